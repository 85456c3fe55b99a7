"""`make release VERSION=1.2.3`: check the tree, tag it, print the notes. Nothing is pushed."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.stage import PACKAGE, ROOT

VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def trouble_with(version: str, folder: Path) -> str | None:
    """What keeps the tree from being released as this version; None where nothing does."""
    if not VERSION.fullmatch(version):
        return "Name the version: make release VERSION=1.2.3"
    source = (folder / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    if f'__version__: Final = "{version}"' not in source:
        return f"{PACKAGE}/__init__.py is not of version {version}: set __version__ there."
    if heading(version, folder) is None:
        return f"CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)' for this release."
    if not notes(version, folder):
        return f"CHANGELOG.md says nothing below '## {version}'."
    if _git(folder, "status", "--porcelain"):
        return "The tree has changes that are not committed: commit or stash them."
    if _git(folder, "tag", "--list", f"v{version}"):
        return f"The tag v{version} exists already."
    return None


def heading(version: str, folder: Path) -> str | None:
    """The version's dated heading in CHANGELOG.md; "(unreleased)" is no date."""
    changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$"
    found = re.search(dated, changelog, re.MULTILINE)
    return found[0] if found else None


def notes(version: str, folder: Path) -> str:
    """What CHANGELOG.md says below the version's heading."""
    changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    _, _, below = changelog.partition(heading(version, folder) or "\0")
    return re.split(r"^## ", below, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def main(version: str) -> None:
    """Tag the tree. Raises SystemExit with a sentence where it may not be released."""
    if trouble := trouble_with(version, ROOT):
        sys.exit(trouble)
    text = notes(version, ROOT)
    _git(ROOT, "tag", "--annotate", f"v{version}", "--message", f"Release {version}\n\n{text}")
    print(f"Tagged v{version}. Release notes:\n\n{text}\n")
    print(f"'git push origin v{version}' publishes the tag, and the deploy workflow deploys it.")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
