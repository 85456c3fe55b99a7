"""`make package`: the archive that Fivetran would get, made by the real `fivetran package`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.stage import ROOT, changed_requirements, stage

ARCHIVE = ROOT / "build" / "courier_connector.zip"


def sdk_environment() -> dict[str, str]:
    """The caller's environment, in which the SDK's commands are found and leave no bytecode."""
    path = [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]
    return os.environ | {
        "PATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def package() -> Path:
    """Stage and package the connector; return the archive's path.

    Raises SystemExit with the SDK's status, or with a sentence where the SDK would have sent
    other requirements than the ones checked in.
    """
    ARCHIVE.unlink(missing_ok=True)
    folder = stage()
    # "Yes", so that a wish to rewrite requirements.txt shows here, before anything is sent.
    command = ["fivetran", "package", str(folder), "--yes"]
    status = subprocess.run(command, env=sdk_environment(), check=False).returncode
    if status:
        sys.exit(status)
    if change := changed_requirements():
        sys.exit(f"The SDK would change requirements.txt: {change}. Pin what the code imports.")
    # The SDK names the archive after the folder.
    return (folder / "files" / f"{folder.name}.zip").replace(ARCHIVE)


def describe(archive: Path) -> str:
    """The archive's path, size in bytes and names, a name a line."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(opened.namelist())
    size_bytes = archive.stat().st_size
    shown = archive.relative_to(ROOT)
    return "\n".join(
        [f"{shown}: {size_bytes:,} bytes, {len(names)} files", *map("  {}".format, names)]
    )


if __name__ == "__main__":
    print(describe(package()))
