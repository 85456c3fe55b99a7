"""An end that nothing confirms counts once the server returns it twice."""

import random

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from tests.unit.reading.paged import (
    AUDIT_EVENT,
    LIST,
    MESSAGE,
    MINUTE_MS,
    NOW,
    PagedApi,
    Reader,
    evenly,
    is_whole,
)


class EndsOnce(PagedApi):
    """Says once that nothing is older than a page. ends_at: the number of that page."""

    ends_at: int | None = None
    is_empty: bool = False

    def page_from(self, at: int) -> Page:
        page = super().page_from(at)
        if self.ends_at is None or at // self.per_page != self.ends_at:
            return page
        self.ends_at = None
        return Page([] if self.is_empty else page.records, None)


def ends_once(stream: Stream, page: int, *, is_empty: bool = False) -> EndsOnce:
    api = EndsOnce(evenly(100), stream=stream, made_up="refused")
    api.ends_at, api.is_empty = page, is_empty
    return api


@pytest.mark.parametrize("die_after", [None, 1, 2])
@pytest.mark.parametrize(("page", "is_empty"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize("stream", [AUDIT_EVENT, MESSAGE], ids=lambda stream: stream.table)
def test_an_end_that_comes_once_in_a_first_reading_loses_nothing(
    stream: Stream, page: int, is_empty: bool, die_after: int | None
) -> None:
    api = ends_once(stream, page, is_empty=is_empty)
    reader = Reader(api)
    if die_after is not None:
        reader.walk(die_after=die_after)
        api.now_ms += HOUR_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("page", [4, 7])
def test_one_that_comes_once_after_sync_since_has_moved_back_loses_nothing(page: int) -> None:
    api = EndsOnce(evenly(100, every_ms=HOUR_MS, newest=NOW), stream=AUDIT_EVENT)
    reader = Reader(api, since_ms=NOW - DAY_MS).walk()
    reader.since_ms, api.ends_at, api.now_ms = 0, page, NOW + HOUR_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("page", [20, 30, 45])
def test_one_between_two_readings_after_sync_since_has_moved_back_loses_nothing(page: int) -> None:
    """The older reading lies below the end, so it cannot contradict it."""
    api = EndsOnce(evenly(200, every_ms=HOUR_MS, newest=NOW), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    later = NOW + 20 * DAY_MS
    for time in evenly(480, every_ms=HOUR_MS, newest=later):
        api.insert(time)
    reader.since_ms, api.now_ms = later - 2 * DAY_MS, later
    assert not reader.walk().error
    reader.since_ms, api.ends_at, api.now_ms = 0, page, later + HOUR_MS
    reader.walk()
    assert api.ends_at is None
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize(("stream", "requests"), [(AUDIT_EVENT, 6), (LIST, 5)])
def test_the_last_page_is_requested_twice_while_no_order_is_known(
    stream: Stream, requests: int
) -> None:
    reader = Reader(PagedApi(evenly(50), stream=stream))
    for _ in range(2):
        assert len(reader.walk().api.asked) == requests
        reader.api.now_ms += HOUR_MS


@pytest.mark.parametrize("made_up", ["refused", "head", "empty"])
@pytest.mark.parametrize("page", [2, 3, 4])
def test_one_above_a_changed_message_leaves_no_old_status(page: int, made_up: str) -> None:
    """The sync is the last one in which the message is still read again."""
    api = EndsOnce(evenly(100, every_ms=DAY_MS // 2, newest=NOW), made_up=made_up)
    reader = Reader(api).walk()
    changed = api.id_of(api.records[58])
    api.change(changed, status="OPENED")
    api.ends_at, api.now_ms = page, NOW + DAY_MS
    for _ in range(3):
        reader.walk()
        api.now_ms += DAY_MS
    assert reader.landed[changed]["status"] == "OPENED"


def test_one_behind_a_record_dated_back_loses_nothing() -> None:
    api = EndsOnce(evenly(200), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    for time in evenly(60, every_ms=HOUR_MS, newest=NOW + 9 * DAY_MS):
        api.insert(time)
    api.insert(NOW - 9 * DAY_MS, position=api.positions[35])
    api.ends_at, api.now_ms = 3, NOW + 9 * DAY_MS + HOUR_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


def test_what_arrives_while_an_only_page_is_requested_again_tells_nothing_of_the_order() -> None:
    class Arrives(PagedApi):
        def page_from(self, at: int) -> Page:
            page = super().page_from(at)
            for time in (NOW, NOW):
                self.insert(time)
            return page

    reader = Reader(Arrives(evenly(3, every_ms=6 * HOUR_MS))).walk()
    assert reader.api.asked == [None, None]
    assert reader.state.newest_first is None


@pytest.mark.parametrize("page", [2, 7])
def test_one_in_a_listing_without_an_order_loses_nothing(page: int) -> None:
    times = evenly(200, every_ms=HOUR_MS)
    random.Random(page).shuffle(times)
    api = EndsOnce([], made_up="refused")
    for place, time in enumerate(times):
        api.insert(time, position=NOW - place)
    reader = Reader(api).walk()
    assert reader.state.newest_first is False
    for place in range(100):
        api.insert(NOW + place * MINUTE_MS, position=NOW - 2 * place)
    api.ends_at, api.now_ms = page, NOW + 8 * DAY_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("is_empty", [False, True])
def test_one_at_the_first_page_after_a_sync_that_died_loses_nothing(is_empty: bool) -> None:
    """That page is too short, or too empty, for a made-up cursor to be tried on it."""
    api = EndsOnce(evenly(300), made_up="refused")
    reader = Reader(api).walk()
    for id_ in sorted(api.ids):
        api.change(id_, status="OPENED")
    api.now_ms += 20 * DAY_MS
    reader.walk(die_after=20)
    api.ends_at, api.is_empty, api.now_ms = 20, is_empty, api.now_ms + HOUR_MS
    assert is_whole(reader.walk())
    assert {row["status"] for row in reader.landed.values()} == {"OPENED"}


@pytest.mark.parametrize("page", [0, 1, 4])
@pytest.mark.parametrize("count", [30, 200], ids=["order unknown", "order known"])
def test_one_above_all_that_earlier_syncs_read_loses_nothing(count: int, page: int) -> None:
    """After a long pause, no row of the last week is known that could contradict the end."""
    api = EndsOnce(evenly(count), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    for time in evenly(150, every_ms=HOUR_MS, newest=NOW + 8 * DAY_MS):
        api.insert(time)
    api.ends_at, api.now_ms = page, NOW + 8 * DAY_MS + HOUR_MS
    reader.walk()
    assert api.ends_at is None
    # The next sync stops where this one has read.
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("made_up", ["head", "refused"])
@pytest.mark.parametrize("lookback_days", [30, 3])
@pytest.mark.parametrize("per_sync", [5, 20])
@pytest.mark.parametrize("page", [1, 3])
def test_one_before_the_order_is_known_loses_nothing_if_the_newest_messages_come_last(
    page: int, per_sync: int, lookback_days: int, made_up: str
) -> None:
    """They begin with a burst, whose pages fit any order."""
    api = EndsOnce([], made_up=made_up)
    for place in range(90):
        api.insert(NOW - 10 * HOUR_MS, position=-place)
    reader = Reader(api, lookback_days=lookback_days).walk()
    for sync in range(8):
        for minute in range(per_sync):
            time = api.now_ms + minute * MINUTE_MS
            api.insert(time, position=-len(api.records))
        api.ends_at, api.now_ms = page if sync == 2 else None, api.now_ms + 30 * HOUR_MS
        reader.walk()
    assert not reader.missing, reader.error


def test_audit_events_mostly_from_one_burst_lose_nothing_if_they_have_no_order() -> None:
    api = PagedApi([], stream=AUDIT_EVENT)
    drawn = random.Random(1)

    def insert(time: int) -> None:
        api.insert(time, position=drawn.randrange(10**9))

    for place in range(200):
        insert(NOW - HOUR_MS + place * 6_000)
    reader = Reader(api).walk()
    for _ in range(20):
        for minute in range(5):
            insert(api.now_ms + minute * MINUTE_MS)
        api.now_ms += 12 * HOUR_MS
        assert is_whole(reader.walk()), (reader.error, len(reader.missing))
