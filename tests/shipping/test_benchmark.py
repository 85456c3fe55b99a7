"""The benchmark runs, so that it does not rot; its figures are not judged here."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmark.__main__ import main
from benchmark.cost import SIZES, thirty_days
from benchmark.figures import Figure, Result
from benchmark.floors import Chain, split
from benchmark.report import table


def test_a_tiny_measurement_gives_table_json_and_chart(tmp_path: Path) -> None:
    report = tmp_path / "all.json"
    main(["--quick", "--only", "cpu", "--json", str(report), "--results", str(tmp_path)])

    figures = json.loads(report.read_text())["measurements"]["cpu"]["figures"]
    ratio = next(figure for figure in figures if figure["figure"] == "CPU / parse floor")
    shares = [figure["median"] for figure in figures if figure["case"].startswith("stage")]
    assert 1 < ratio["min"] <= ratio["median"] <= ratio["max"]
    if sys.version_info < (3, 12):
        assert abs(sum(shares) - 100) < 1
    else:
        assert shares == []
    assert ElementTree.parse(tmp_path / "cpu.svg").getroot().tag.endswith("svg")


def test_chains_of_the_floor_hold_every_page_once() -> None:
    cursors = [None, "a", "b", "c", "d"]

    assert split(cursors, lanes=1) == [Chain(None, 5)]
    assert split(cursors, lanes=2) == [Chain(None, 2), Chain("b", 3)]
    assert sum(chain.pages for chain in split(cursors, lanes=16)) == 5


def test_the_table_says_which_goal_is_not_met() -> None:
    result = Result("name", "Title", "Note")
    result.add("case", "slow", [1.0, 9.0, 2.0], "<= 1.5")
    result.add("case", "fast", [7.0], ">= 6.5")

    lines = table(result).splitlines()

    assert lines[-2].split() == [
        "case",
        "slow",
        "1.000",
        "2.000",
        "9.000",
        "<=",
        "1.5",
        "NOT",
        "MET",
    ]
    assert lines[-1].endswith(">= 6.5 met")
    assert Figure("", "", (3.0, 1.0)).is_met is None


async def test_the_cost_script_counts_each_row_of_a_month_once() -> None:
    sizes = dict.fromkeys(SIZES, 60) | {"message": 900}

    bills = await thirty_days(hours=12, sizes=sizes, days=2)

    ours, example = bills["ours"], bills["example"]
    # The example sends the 900 messages of the start and the 400 that have come since.
    assert len({row for row in example.active if row[0] == "message"}) > 1200
    assert len(example.active) < example.sent
    assert len(ours.active) < len(example.active)
    new = {("audit_event", row) for table, row in example.active if table == "audit_event"}
    assert new <= ours.active
