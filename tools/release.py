"""`make release VERSION=1.2.3`: checks and tags the tree, prints the notes, pushes nothing."""

import re
import sys
from pathlib import Path
from typing import Final

from tools.git import GitFailed, changed_files, git
from tools.stage import PACKAGE, ROOT

VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def trouble_with(version: str, folder: Path) -> str | None:
    """Says what prevents releasing the tree as this version; None if nothing does."""
    if VERSION.fullmatch(version.removeprefix("v")) and version.startswith("v"):
        return f"Give the version without the v: make release VERSION={version[1:]}"
    if not VERSION.fullmatch(version):
        return "Give the version: make release VERSION=1.2.3"
    source = (folder / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    if f'__version__: Final = "{version}"' not in source:
        return f"{PACKAGE}/__init__.py does not have version {version}: set __version__ there."
    if heading(version, folder) is None:
        return f"CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)' for this release."
    if not notes(version, folder):
        return f"CHANGELOG.md has no notes below '## {version}'."
    if changed := changed_files(folder):
        return f"Commit or stash the changes first: {', '.join(changed)}."
    if git(folder, "tag", "--list", f"v{version}"):
        return f"The tag v{version} already exists."
    return None


def heading(version: str, folder: Path) -> str | None:
    """Returns the version's dated heading in CHANGELOG.md; "(unreleased)" is not a date."""
    changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$"
    found = re.search(dated, changelog, re.MULTILINE)
    return found[0] if found else None


def notes(version: str, folder: Path) -> str:
    """Returns what CHANGELOG.md says below the version's heading."""
    changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    _, _, below = changelog.partition(heading(version, folder) or "\0")
    return re.split(r"^## ", below, maxsplit=1, flags=re.MULTILINE)[0].strip()


def main(version: str) -> None:
    """Tags the tree.

    Raises SystemExit with a sentence if it may not be released, GitFailed if git refuses.
    """
    if trouble := trouble_with(version, ROOT):
        sys.exit(trouble)
    text = notes(version, ROOT)
    git(ROOT, "tag", "--annotate", f"v{version}", "--message", f"Release {version}\n\n{text}")
    print(f"Tagged v{version}. Release notes:\n\n{text}\n")
    print(f"'git push origin main v{version}' publishes it, and the deploy workflow deploys it.")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
    except GitFailed as failure:
        sys.exit(str(failure))
