"""Everything that ships is pinned to an exact version."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_requirements_that_ship_are_bare_pins() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9_-]+==\d+(\.\d+)+", line)] == []


def test_what_fivetran_installs_itself_is_not_required_again() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert "fivetran" not in text
    assert "requests" not in text
