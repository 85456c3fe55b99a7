"""An end that the lane from the head comes to, while lanes below it show that there is more."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.unit.reading.paged import AUDIT_EVENT, PagedApi, Reader, evenly, is_whole


@pytest.mark.parametrize("made_up", ["honoured", "refused"])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_first_page_that_says_it_is_the_last_does_not_end_a_lane_of_an_earlier_sync(
    lanes: int, made_up: str
) -> None:
    """A single page is too little to try a made-up cursor by."""
    api = PagedApi(evenly(900, every_ms=2 * HOUR_MS), made_up=made_up)
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk(die_after=30)
    api.head_ends, api.now_ms = True, api.now_ms + HOUR_MS
    reader.walk()
    assert reader.error is not None or is_whole(reader)
    api.head_ends = False
    for _ in range(3):
        api.now_ms += DAY_MS
        reader.walk()
    assert is_whole(reader), len(reader.missing)


@pytest.mark.parametrize("page", [0, 1, 3])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_false_end_among_audit_events_does_not_end_a_lane_that_reads_older_ones(
    lanes: int, page: int
) -> None:
    api = PagedApi(evenly(100), stream=AUDIT_EVENT)
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk()
    assert is_whole(reader)
    assert reader.state.newest_first is True
    for number in range(1, 1_000):
        api.insert(api.times[0] + number * 10 * 60_000)
    api.now_ms += 8 * DAY_MS
    reader.walk(die_after=20)
    for number in range(1_000, 1_100):
        api.insert(api.times[0] + number * 10 * 60_000)
    api.now_ms += DAY_MS
    api.false_end_page = page
    reader.walk()
    assert reader.error is not None or is_whole(reader)
    api.false_end_page = None
    for _ in range(3):
        api.now_ms += DAY_MS
        reader.walk()
    assert is_whole(reader), len(reader.missing)


@pytest.mark.parametrize("lanes", [1, 8])
def test_an_end_is_believed_once_the_lane_below_it_has_come_to_nothing_older(lanes: int) -> None:
    """What that lane was to read has gone in the meantime."""
    api = PagedApi(evenly(900, every_ms=2 * HOUR_MS))
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk(die_after=30)
    del api.records[5:], api.positions[5:]
    api.now_ms += HOUR_MS
    assert is_whole(reader.walk()), reader.error
