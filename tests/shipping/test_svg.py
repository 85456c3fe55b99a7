"""The pictures show the recorded data, in light and dark mode."""

import re
from xml.etree import ElementTree

from tools.recorded import Reread, Run
from tools.svg import rereads, syncs

SLOW = Run([("/messages", n * 0.1, n * 0.1 + 0.1) for n in range(40)], [4.0], rows=400)
FAST = Run([("/messages", n // 8 * 0.1, n // 8 * 0.1 + 0.1) for n in range(40)], [0.5], rows=400)
PATHS = {"message": "/messages", "brand": "/brands"}


def test_a_panel_a_run_on_one_time_scale() -> None:
    drawn = syncs({"One lane": SLOW, "Many lanes": FAST}, PATHS)
    ElementTree.fromstring(drawn)
    assert drawn.count("<rect") == 80
    assert "One lane: 40 requests, 400 rows, 4.0 s" in drawn
    assert "Many lanes: 40 requests, 400 rows, 0.5 s" in drawn
    right_edges = [
        max(
            float(x) + float(width)
            for x, width in re.findall(r'<rect x="([\d.]+)" .*?width="([\d.]+)"', panel)
        )
        for panel in drawn.split("Many lanes")
    ]
    assert (right_edges[0] - 120) / (right_edges[1] - 120) > 7


def test_the_axis_runs_to_the_end_of_the_run() -> None:
    drawn = syncs({"One lane": SLOW}, PATHS)
    assert re.findall(r">([\d.]+) s<", drawn) == [
        "0",
        "0.5",
        "1",
        "1.5",
        "2",
        "2.5",
        "3",
        "3.5",
        "4",
    ]


def test_a_dot_a_sync_and_the_older_the_higher() -> None:
    log = [Reread(0, -900), Reread(1, 0), Reread(2, 0), Reread(24, -24), Reread(48, 47)]
    drawn = rereads(log)
    ElementTree.fromstring(drawn)
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)" r="2"', drawn)]
    assert len(heights) == 4  # leaves out the first sync, which reads everything
    assert heights[2] < heights[1] < heights[0] == heights[3]


def test_both_can_be_read_in_dark_mode() -> None:
    for drawn in (syncs({"One lane": SLOW}, PATHS), rereads([Reread(0, -9), Reread(1, 0)])):
        assert "prefers-color-scheme:dark" in drawn
        assert 'fill="#fff"' not in drawn
