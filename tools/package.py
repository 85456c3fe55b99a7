"""`make package`: builds the archive that Fivetran would get, with the real `fivetran package`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.environment import is_on
from tools.stage import ROOT, stage

ARCHIVE = ROOT / "build" / "courier_connector.zip"


def sdk_environment() -> dict[str, str]:
    """Returns the caller's environment, in which SDK commands are found and keep our pins.

    The SDK compares requirements.txt with the output of pipreqs, and `--yes` rewrites the file
    to match. But pipreqs does not find the installed aiolimiter, backoff and msgspec (they have
    no top_level.txt), and takes the newest on the index. A pipreqs that prints nothing leaves
    the file alone; our tests check that the pins cover the imports.
    """
    stubs = ROOT / "build" / "bin"
    stubs.mkdir(parents=True, exist_ok=True)
    (stubs / "pipreqs").write_text("#!/bin/sh\nexit 0\n")
    (stubs / "pipreqs").chmod(0o755)
    path = [str(stubs), os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]
    return os.environ | {
        "PATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def package(*, quiet: bool = False) -> Path:
    """Stages and packages the connector; returns the archive's path.

    With `quiet`, shows the SDK's output only if it fails. Raises SystemExit with the SDK's
    status if that is not 0.
    """
    ARCHIVE.unlink(missing_ok=True)
    folder = stage()
    command = ["fivetran", "package", str(folder), "--non-interactive"]
    done = subprocess.run(
        command,
        env=sdk_environment(),
        check=False,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode:
        sys.stdout.write((done.stdout or b"").decode(errors="replace"))
        sys.exit(done.returncode)
    # The SDK names the archive after the folder.
    _move_without_times(folder / "files" / f"{folder.name}.zip", ARCHIVE)
    return ARCHIVE


def _move_without_times(made: Path, archive: Path) -> None:
    """Rewrites the archive so that its bytes, and so its hash, depend only on its files."""
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(archive, "w") as copy:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.external_attr = 0o644 << 16
            copy.writestr(entry, source.read(name), zipfile.ZIP_DEFLATED)
    made.unlink()


def size(archive: Path) -> str:
    """Says how large the archive is."""
    with zipfile.ZipFile(archive) as opened:
        return f"{archive.stat().st_size:,} bytes, {len(opened.namelist())} files"


def main() -> None:
    """Packages, and prints the result; with VERBOSE=1, also the SDK's output and the files."""
    verbose = is_on(os.environ, "VERBOSE")
    archive = package(quiet=not verbose)
    print(f"{archive.relative_to(ROOT)}: {size(archive)}")
    if verbose:
        with zipfile.ZipFile(archive) as opened:
            print(*(f"  {name}" for name in sorted(opened.namelist())), sep="\n")


if __name__ == "__main__":
    main()
