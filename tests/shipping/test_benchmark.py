"""The benchmark runs, and the figures quoted in the documentation are those it measured."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.__main__ import main
from benchmark.cost import DOCS, connector_syncs, document, rows_of
from benchmark.figures import RESULTS, ROOT, Result
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from tests.support.harness import Sink
from tests.support.virtual_sync import virtual_api, virtual_sync

# A quoted figure is followed by its source: 8,512<!-- half_core: messages a second -->
_QUOTED = re.compile(r"([\d,.]+)<!-- (\w+): (.+?) -->")
_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _kept(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text()))


def test_a_tiny_measurement_writes_its_figures_with_command_and_commit(tmp_path: Path) -> None:
    main(["--quick", "--only", "cpu", "--results", str(tmp_path)])

    kept = json.loads((tmp_path / "cpu.json").read_text())
    over = kept["figures"]["over the floor"]
    assert 1 < over["min"] <= over["median"] <= over["max"]
    assert kept["command"] == "make benchmark ONLY=cpu"
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", kept["commit"])


def test_a_figure_is_the_median_of_its_repetitions() -> None:
    result = Result("name", "note")
    for value in (9.0, 1.0, 2.0):
        result.add("figure", value)

    figure = result.as_json("command")["figures"]["figure"]

    assert figure == {"median": 2.0, "min": 1.0, "max": 9.0, "repetitions": 3}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_quoted_figures_are_those_that_were_measured(page: Path) -> None:
    for number, name, figure in _QUOTED.findall(page.read_text()):
        kept = _kept(name)["figures"][figure]
        digits = len(number.partition(".")[2])
        assert number == f"{kept['median']:,.{digits}f}", (page.name, figure)
        assert kept["repetitions"] >= 5, (page.name, figure)


def test_the_documented_costs_are_those_that_the_planning_functions_give() -> None:
    figures = _kept("cost")["figures"]

    assert DOCS.read_text() == document(DOCS.read_text(), figures)
    assert figures["200, 6 hours"] == rows_of(200, "6 hours")


def test_a_real_connector_asks_as_often_as_its_costs_say() -> None:
    per_day, interval_ms, count = 40, 6 * HOUR_MS, 9
    added = per_day * interval_ms // DAY_MS
    api = virtual_api({"message": per_day * 30}, account={"span_days": 30.0})
    state, asked = None, []
    for _ in range(count):
        api.traffic.reset()
        synced = virtual_sync(
            api, state, sink=Sink(), streams=(BY_TABLE["message"],), requests_per_second=1000.0
        )
        assert synced.error is None
        state = synced.sink.last_state()
        asked.append(api.traffic.requests)
        api.account.advance(interval_ms)
        for number in range(added):
            api.account.add_late(1, number * interval_ms // added)

    computed = [sync.pages for sync in connector_syncs(per_day, interval_ms)[:count]]

    assert sum(asked[1:]) == pytest.approx(sum(computed[1:]), rel=0.15)
