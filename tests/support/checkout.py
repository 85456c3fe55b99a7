"""A checkout to deploy from: the repository's files, plus what a person leaves beside them."""

import shutil
from pathlib import Path

from tools.stage import FILES, PACKAGE, ROOT

# None of these may ever leave the machine.
LEFT_LYING_ABOUT = (
    ".env",
    "configuration.prod.json",
    "destination.json",
    "notes.json",
    "tests/test_something.py",
    "benchmark/bench.py",
    f"{PACKAGE}/.hidden.py",
    f"{PACKAGE}/notes.json",
    f"{PACKAGE}/__pycache__/old.pyc",
    "files/state.json",
    f"mutants/{PACKAGE}/state.py",
)


def checkout(folder: Path) -> Path:
    """Copies the shipped files and the tools into `folder`, adds the rest, and returns it."""
    for name in (*FILES, "configuration.json"):
        shutil.copy(ROOT / name, folder / name)
    for name in (PACKAGE, "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LEFT_LYING_ABOUT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("# A secret")
    return folder


def shipped_names() -> list[str]:
    """Returns the sorted names of exactly the files that the archive must hold."""
    modules = [str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.py")]
    # The SDK adds the setup form.
    return sorted([*FILES, *modules, "configuration_form.pb"])
