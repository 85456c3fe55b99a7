"""The weekly runs record their figures with date and commit, and their failures too."""

import sys
from datetime import UTC, date, datetime

import pytest

from tools.weekly import BEGIN, END, RELIABILITY, Outcome, commands, run, table, written_into

WHEN = datetime(2026, 11, 28, 3, 17, tzinfo=UTC)
OUTCOMES = [
    Outcome("python -m tests.simulation 0-9", 0, 4854.2, "10 seeds, 0 failures"),
    Outcome("make mutants", 1, 12.0, "a | in a line"),
]


def test_the_table_names_date_commit_and_each_outcome() -> None:
    figures = table(OUTCOMES, when=WHEN, commit="abc1234")
    assert figures.startswith("2026-11-28 03:17 UTC, commit abc1234, Python ")
    assert "| `python -m tests.simulation 0-9` | ok | 4,854 | 10 seeds, 0 failures |" in figures
    assert "| `make mutants` | **status 1** | 12 | a \\| in a line |" in figures


def test_the_figures_replace_those_of_the_week_before() -> None:
    document = f"Before\n{BEGIN}\nold\n{END}\nAfter\n"
    once = written_into(document, "new \\1")
    assert once == f"Before\n{BEGIN}\nnew \\1\n{END}\nAfter\n"
    assert written_into(once, "newer").count(BEGIN) == 1
    with pytest.raises(ValueError, match="lacks the markers"):
        written_into("nothing", "new")


def test_the_document_has_room_for_them() -> None:
    assert written_into(RELIABILITY.read_text(), "figures")


def test_each_week_has_seeds_of_its_own() -> None:
    first, next_week = (commands(date(2026, 11, day))[0][-1] for day in (21, 28))
    begin, end = map(int, first.split("-"))
    assert end - begin == 99_999
    assert int(next_week.split("-")[0]) == end + 1


def test_a_run_that_fails_is_told_with_its_last_line(capfd: pytest.CaptureFixture[str]) -> None:
    program = "print('begun'); print('3 failures'); raise SystemExit(1)"
    outcome = run([sys.executable, "-c", program])
    assert (outcome.status, outcome.said) == (1, "3 failures")
    assert "begun" in capfd.readouterr().out
