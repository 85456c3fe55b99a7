"""The folder that holds only what runs at Fivetran.

`fivetran package` takes everything below the folder it is given: tests, benchmarks and any JSON
file beside configuration.json. So it is given this one.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "stage"
FILES = ("connector.py", "requirements.txt", "LICENSE")
PACKAGE = "courier_async"


def stage(folder: Path = STAGE) -> Path:
    """Recreates the staged folder and returns it."""
    shutil.rmtree(folder, ignore_errors=True)
    modules = [path.relative_to(ROOT) for path in (ROOT / PACKAGE).rglob("*.py")]
    for name in [*map(Path, FILES), *modules]:
        if any(part.startswith(".") for part in name.parts):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def changed_requirements() -> str:
    """Returns what the SDK changed in the staged requirements.txt; "" if nothing."""
    wanted = (ROOT / "requirements.txt").read_text().splitlines()
    staged = (STAGE / "requirements.txt").read_text().splitlines()
    if staged == wanted:
        return ""
    gone = [f"-{line}" for line in wanted if line not in staged]
    new = [f"+{line}" for line in staged if line not in wanted]
    return " ".join(gone + new) or "the order of its lines"
