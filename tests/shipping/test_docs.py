"""The README stays short, and everything that the documents point to exists."""

import re
from pathlib import Path

import pytest

from courier_async.settings import OPTIONS
from tools.stage import ROOT

README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# The community repository requires these, in this order.
HEADINGS = [
    "Connector overview", "Requirements", "Getting started", "Features", "Configuration file",
    "Requirements file", "Authentication", "Pagination", "Data handling", "Error handling",
    "Tables created", "Additional files", "Additional considerations",
]  # fmt: skip


def test_the_readme_is_short_and_has_the_headings_that_the_community_asks_for() -> None:
    text = README.read_text()
    assert len(text.split()) < 1500
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_command_in_a_document_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ |= ?\S+ )make ([a-z][a-z-]*)", document.read_text()))
    assert named - targets == set()


def test_the_index_lists_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    names = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".sql")}
    assert {name for name in names if f"({name})" not in index} == {"README.md"}


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(OPTIONS)


def test_the_readme_s_settings_are_among_them() -> None:
    section = README.read_text().split("## Configuration file")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) <= set(OPTIONS)


def test_every_file_that_contributing_names_exists() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().split("| To change | Edit |")[1].split("## ")[0]
    named: list[Path] = []
    for line in table.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w./]+\.(?:py|md))`", line):
            # A bare name is in the same folder as the one before it.
            path = ROOT / name if "/" in name or folder == ROOT else folder / name
            named.append(path if path.exists() else ROOT / name)
            folder = named[-1].parent
    assert len(named) > 20
    assert [str(path.relative_to(ROOT)) for path in named if not path.exists()] == []
