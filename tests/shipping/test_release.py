"""`make release` tags what it has checked, and the version number is the same everywhere."""

import re
import subprocess
from pathlib import Path

import pytest

import courier_async
from tools import release
from tools.release import main, notes, trouble_with
from tools.stage import ROOT

CHANGELOG = (
    "# Changelog\n\n## 1.2.0 (2026-12-01)\n\n- Reads more.\n\n## 1.1.0 (2026-11-01)\n\n- Old.\n"
)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "courier_async").mkdir()
    source = '__version__: Final = "1.2.0"\n'
    (tmp_path / "courier_async" / "__init__.py").write_text(source)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Test")
    git(tmp_path, "config", "user.email", "test@example.com")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "All")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


def test_a_clean_tree_is_tagged_and_its_notes_are_printed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main("1.2.0")
    assert git(tree, "tag", "--list") == "v1.2.0"
    assert "- Reads more." in git(tree, "tag", "--list", "--format=%(contents)")
    printed = capsys.readouterr().out
    assert "- Reads more." in printed
    assert "- Old." not in printed
    assert "git push origin main v1.2.0" in printed


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("", "Give the version"),
        ("1.2", "Give the version: make release VERSION=1.2.3"),
        ("v1.2.0", "Give the version without the v: make release VERSION=1.2.0"),
        ("1.3.0", "courier_async/__init__.py does not have version 1.3.0"),
    ],
)
def test_another_version_is_not_released(tree: Path, version: str, sentence: str) -> None:
    assert sentence in str(trouble_with(version, tree))


def test_an_undated_changelog_a_dirty_tree_and_a_used_tag_are_not_released(tree: Path) -> None:
    assert trouble_with("1.2.0", tree) is None
    git(tree, "tag", "v1.2.0")
    assert "already exists" in str(trouble_with("1.2.0", tree))
    (tree / "new.txt").touch()
    (tree / "courier_async" / "__init__.py").open("a").write("\n")
    assert trouble_with("1.2.0", tree) == (
        "Commit or stash the changes first: courier_async/__init__.py, new.txt."
    )
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("(2026-12-01)", "(unreleased)"))
    assert "no heading '## 1.2.0 (YYYY-MM-DD)'" in str(trouble_with("1.2.0", tree))


def test_notes_end_where_the_next_version_begins(tree: Path) -> None:
    assert notes("1.1.0", tree) == "- Old."


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == courier_async.__version__
