"""The head lane comes to an end, although lanes below it show that there is more."""

import asyncio

import pytest
from msgspec.structs import replace

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import BadAnswer, KeyRefused, Limited, Refused
from courier_async.reading.fetches import Asked
from courier_async.state.position import Lane, Renewal, StreamState
from tests.unit.reading.paged import (
    AUDIT_EVENT,
    MINUTE_MS,
    NOW,
    PagedApi,
    Reader,
    evenly,
    is_whole,
)


def unfinished_messages(*, lanes: int, made_up: str = "honoured") -> Reader:
    """Returns a reader whose first walk died."""
    api = PagedApi(evenly(900, every_ms=2 * HOUR_MS), made_up=made_up)
    return Reader(api, lanes=lanes, blocks=(0.0,)).walk(die_after=30)


@pytest.mark.parametrize("made_up", ["honoured", "refused"])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_first_page_that_says_it_is_the_last_does_not_end_a_lane_of_an_earlier_sync(
    lanes: int, made_up: str
) -> None:
    """A single page is too little to probe a made-up cursor."""
    reader = unfinished_messages(lanes=lanes, made_up=made_up)
    api = reader.api
    api.head_ends, api.now_ms = True, api.now_ms + HOUR_MS
    reader.walk()
    assert reader.error is not None or is_whole(reader)
    api.head_ends = False
    for _ in range(3):
        api.now_ms += DAY_MS
        reader.walk()
    assert is_whole(reader), len(reader.missing)


@pytest.mark.parametrize("page", [0, 2])
def test_an_end_above_a_lane_that_was_to_be_read_over_keeps_that_lane(page: int) -> None:
    """All that it had read is due again, but it tells how far down the listing went."""
    reader = unfinished_messages(lanes=1, made_up="refused")
    api, before = reader.api, reader.state.lanes[0]
    api.now_ms += 20 * DAY_MS
    api.head_ends, api.false_end_page = page == 0, page
    reader.walk()
    assert str(reader.error) == "the listing ends, but an earlier sync has read older records"
    assert reader.notices == []
    assert reader.state.lanes[-1] == replace(before, contradicted_at=api.now_ms + 1_000)
    api.head_ends, api.false_end_page = False, None
    assert is_whole(reader.walk()), len(reader.missing)


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
    """The records that the lane was to read have been deleted meanwhile."""
    reader = unfinished_messages(lanes=lanes)
    api = reader.api
    del api.records[5:], api.positions[5:]
    api.now_ms += HOUR_MS
    assert is_whole(reader.walk()), reader.error


@pytest.mark.parametrize("on_last_page", range(1, 10))
@pytest.mark.parametrize("lanes", [2, 3, 4, 8])
def test_an_end_is_believed_though_the_oldest_record_is_not_the_last(
    lanes: int, on_last_page: int
) -> None:
    """The head's last page is newer than the record before it, which other lanes read too."""
    times = evenly(60 + on_last_page, every_ms=MINUTE_MS)
    api = PagedApi([*times[:59], *times[60:]])
    api.insert(times[-1] - HOUR_MS, position=times[59])
    reader = Reader(api, lanes=lanes, blocks=(0.0,))
    for _ in range(3):
        assert is_whole(reader.walk()), reader.error
        api.now_ms += DAY_MS


@pytest.mark.parametrize("lanes", [2, 8, None])
@pytest.mark.parametrize("ahead_ms", [HOUR_MS, HOUR_MS + MINUTE_MS, 5 * HOUR_MS])
@pytest.mark.parametrize(("pages", "on_last_page"), [(7, 1), (8, 2), (10, 1), (10, 3)])
def test_last_records_that_are_dated_ahead_are_an_end_all_the_same(
    pages: int, on_last_page: int, ahead_ms: int, lanes: int | None
) -> None:
    """What lies below their time is all the rest, which other lanes read meanwhile."""
    times = evenly(pages * 10 + on_last_page, every_ms=MINUTE_MS)
    api = PagedApi(times[:-on_last_page])
    api.fails = lambda *_: KeyRefused() if len(api.asked) > 1_000 else None
    for time in times[-on_last_page:]:
        api.insert(time + ahead_ms, position=time)
    reader = Reader(api, lanes=lanes, blocks=(0.0,))
    for _ in range(3):
        assert is_whole(reader.walk()), reader.error
        api.now_ms += DAY_MS


def test_nor_do_they_fail_a_sync_that_continues_one_that_died_there() -> None:
    """Its lanes merge near the end, and remember too little of what lies above it."""
    oldest = NOW - 60 * DAY_MS
    hours_and_ms = [(49, 8)] * 2 + [(49, 7)] * 5 + [(48, 7), (48, 7), (48, 6), (48, 5), (24, 5)]
    hours_and_ms += [(0, ms) for ms in (5, 4, 3, 3, 3, 3, 2, 1)]
    times = [oldest + hours * HOUR_MS + ms for hours, ms in hours_and_ms]
    api = PagedApi(times, now_ms=times[0] + 2)
    for ms in (1, 0, 0):
        api.insert(oldest + 10 * MINUTE_MS + ms, position=oldest + ms)
    reader = Reader(api, lanes=3, lookback_days=0.0, blocks=(0.0,))
    for die_after, pause_minutes in ((0, 3_000), (5, 1), (10, 1)):
        reader.walk(die_after=die_after)
        api.now_ms += pause_minutes * MINUTE_MS
    for _ in range(3):
        assert is_whole(reader.walk()), reader.error
        api.now_ms += 25 * HOUR_MS


def expire(api: PagedApi, cursors: set[str | None]) -> None:
    """Refuses these cursors from now on, after all others have been answered."""
    ask = api.ask

    async def answer(cursor: str | None, yields: bool) -> Asked:
        if cursor in cursors:
            await asyncio.sleep(1_000)
            raise Refused(400, "")
        return await ask(cursor, yields)

    api.ask = answer  # type: ignore[method-assign]


def unfinished(*, new: int, die_after: int) -> Reader:
    """Returns a reader of audit events whose second walk died, and whose cursor is refused now."""
    api = PagedApi(evenly(100), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    for number in range(1, new + 1):
        api.insert(api.times[0] + number * 10 * 60_000)
    api.now_ms += 8 * DAY_MS
    reader.walk(die_after=die_after)
    expire(api, {lane.cursor for lane in reader.state.lanes})
    return reader


@pytest.mark.parametrize("new", [0, 1, 9, 70])
@pytest.mark.parametrize("die_after", [1, 2])
def test_a_lane_whose_cursor_has_expired_does_not_doubt_an_end_that_lies_below_it(
    new: int, die_after: int
) -> None:
    """The head lane has read its part, and has reached the end."""
    reader = unfinished(new=new, die_after=die_after)
    api = reader.api
    # Less than a page, so that no cursor is given out again.
    for number in range(7):
        api.insert(api.now_ms - DAY_MS + number * HOUR_MS)
    reader.walk(die_after=1)
    api.now_ms += HOUR_MS
    assert is_whole(reader.walk()), reader.error


@pytest.mark.parametrize("renewed_ago_ms", [None, 3 * DAY_MS])
def test_an_end_above_what_a_lane_had_read_is_believed_after_a_day(
    renewed_ago_ms: int | None,
) -> None:
    """The lane's cursor has expired, and the records it read may have left the listing.

    An earlier renewal of the lane, for another reason, does not count towards the day.
    """
    reader = unfinished(new=900, die_after=30)
    api = reader.api
    if renewed_ago_ms is not None:
        lanes = [
            replace(lane, renewed=Renewal(api.now_ms - renewed_ago_ms, lane.oldest or 0))
            for lane in reader.state.lanes
        ]
        reader.state = replace(reader.state, lanes=tuple(lanes))
    del api.records[:], api.positions[:]
    for number in range(12):
        api.insert(api.now_ms + number * HOUR_MS)
    for hours in (12, 6, 12):
        api.now_ms += hours * HOUR_MS
        assert reader.walk().error is not None
    api.now_ms += DAY_MS
    reader.walk()
    assert reader.error is None
    assert not reader.state.lanes


def test_a_lane_that_had_read_nothing_holds_nothing_against_an_end() -> None:
    """Such a lane can come from a state of any origin."""
    api = PagedApi(evenly(5), stream=AUDIT_EVENT)
    reader = Reader(api)
    reader.state = StreamState(newest_first=True, lanes=(Lane(started_at=NOW, cursor="x"),))
    expire(api, {"x"})
    assert is_whole(reader.walk()), reader.error


@pytest.mark.parametrize("below_seconds", [22, 27, 33])
def test_an_end_that_is_asked_below_while_the_head_is_read_anew_does_not_end_the_walk(
    below_seconds: int,
) -> None:
    """Meanwhile, a lane below has failed, and another is read again from the head."""
    reader = unfinished_messages(lanes=1)
    api = reader.api
    for number in range(200):
        api.insert(api.times[0] + number * 10 * 60_000)
    api.now_ms += 2 * DAY_MS
    reader.walk(die_after=5)
    upper, lower = [lane.cursor for lane in reader.state.lanes]
    ask, heads = api.ask, 0

    async def answer(cursor: str | None, yields: bool) -> Asked:
        nonlocal heads
        if cursor is None:
            heads += 1
            api.head_ends = heads == 1
        elif api.kind(cursor) == "made_up":
            await asyncio.sleep(below_seconds)
            raise Refused(400, "")
        elif cursor == lower:
            await asyncio.sleep(20)
            raise Refused(410, "")
        elif heads == 1 and cursor != upper:
            raise Limited("")
        else:
            await asyncio.sleep(5)
        return await ask(cursor, yields)

    api.ask = answer  # type: ignore[method-assign]
    reader.lanes = 8
    reader.walk()
    assert heads == 2
    api.ask = ask  # type: ignore[method-assign]
    api.now_ms += DAY_MS
    assert is_whole(reader.walk()), len(reader.missing)


@pytest.mark.parametrize("seconds", [0, 1_000])
def test_a_broken_page_of_a_lane_for_which_the_end_waits_does_not_stop_the_walk(
    seconds: int,
) -> None:
    api = PagedApi(evenly(100), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    api.now_ms += 8 * DAY_MS
    reader.walk(die_after=1)
    [saved] = [lane.cursor for lane in reader.state.lanes]
    for number in range(7):
        api.insert(api.now_ms - DAY_MS + number * HOUR_MS)
    ask = api.ask

    async def answer(cursor: str | None, yields: bool) -> Asked:
        asked = await ask(cursor, yields)
        if cursor != saved:
            return asked
        await asyncio.sleep(seconds)
        broken = Page(asked.page.records, None, BadAnswer("the response is missing 'paging'"))
        return asked._replace(page=broken)

    api.ask = answer  # type: ignore[method-assign]
    assert is_whole(reader.walk()), len(reader.missing)
