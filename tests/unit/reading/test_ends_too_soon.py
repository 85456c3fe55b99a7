"""A listing ends above known rows of the last week, and nothing confirms the end."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.errors import Unavailable
from courier_async.state.position import Reading
from tests.unit.reading.paged import (
    AUDIT_EVENT,
    MESSAGE,
    MINUTE_MS,
    NOW,
    PagedApi,
    Reader,
    evenly,
    is_whole,
)


def with_new(stream: Stream, count: int) -> Reader:
    """Returns a reader of a listing that has `count` new rows since its walk."""
    api = PagedApi(evenly(100), stream=stream)
    reader = Reader(api, lookback_days=0).walk()
    assert is_whole(reader)
    for number in range(1, count + 1):
        api.insert(api.times[0] + number * 10 * MINUTE_MS)
    api.now_ms += count * 10 * MINUTE_MS
    return reader


@pytest.mark.parametrize(("stream", "page"), [(AUDIT_EVENT, 25), (AUDIT_EVENT, 0), (MESSAGE, 5)])
def test_the_rows_between_the_end_and_the_newest_known_one_land_in_the_next_sync(
    stream: Stream, page: int
) -> None:
    """Made-up cursors are not honoured, so nothing confirms an end."""
    reader = with_new(stream, 400)
    before = reader.state
    reader.api.false_end_page, reader.api.made_up = page, "refused"
    reader.walk()
    assert reader.missing
    assert reader.state.readings == before.readings
    reader.api.false_end_page, reader.api.now_ms = None, reader.api.now_ms + HOUR_MS
    assert is_whole(reader.walk()), len(reader.missing)


@pytest.mark.parametrize(("days", "is_believed"), [(6.5, False), (7.5, True)])
def test_where_the_newest_rows_are_old_the_listing_may_have_lost_them(
    days: float, is_believed: bool
) -> None:
    reader = with_new(AUDIT_EVENT, 0)
    api, before = reader.api, reader.state
    del api.records[:], api.positions[:]
    api.now_ms += int(days * DAY_MS)
    api.insert(api.now_ms - HOUR_MS)
    reader.walk()
    assert (reader.state != before) == is_believed
    assert (reader.state.readings[0] == Reading(api.now_ms + 1000, 0)) == is_believed


def test_an_end_below_the_rows_of_the_last_week_is_believed_though_older_ones_have_gone() -> None:
    reader = with_new(AUDIT_EVENT, 7 * 144)
    reader.walk()
    left = sum(time >= reader.api.now_ms - 7 * DAY_MS for time in reader.api.positions)
    del reader.api.records[left:], reader.api.positions[left:]
    reader.api.now_ms += HOUR_MS
    reader.api.insert(reader.api.now_ms)
    reader.walk()
    assert reader.state.readings[0].began == reader.api.now_ms + 1000


@pytest.mark.parametrize("stream", [AUDIT_EVENT, MESSAGE], ids=lambda stream: stream.table)
def test_a_single_page_is_not_taken_for_all_where_sync_since_has_moved_back(
    stream: Stream,
) -> None:
    api = PagedApi(evenly(600), stream=stream)
    reader = Reader(api, lookback_days=0, since_ms=NOW - DAY_MS).walk()
    reader.since_ms, api.head_ends, api.now_ms = 0, True, NOW + HOUR_MS
    reader.walk()
    api.head_ends, api.now_ms = False, NOW + DAY_MS
    assert is_whole(reader.walk()), len(reader.missing)


@pytest.mark.parametrize("ends_falsely", [False, True])
def test_a_row_that_is_dated_back_says_nothing_against_an_end_below_it(ends_falsely: bool) -> None:
    api = PagedApi(evenly(120, newest=NOW), stream=AUDIT_EVENT)
    api.insert(NOW - 3 * DAY_MS, position=NOW)
    reader = Reader(api).walk()
    assert is_whole(reader)
    api.now_ms += HOUR_MS
    api.false_end_page = 2 if ends_falsely else None
    reader.walk()
    assert (reader.state.readings[0].began > NOW + HOUR_MS) is not ends_falsely


@pytest.mark.parametrize("made_up", ["honoured", "thin"])
def test_a_first_page_of_messages_is_not_all_where_older_ones_answer_below_it(
    made_up: str,
) -> None:
    """The page is too short to probe a made-up cursor, but the records it returns exist."""
    api = PagedApi(evenly(600, every_ms=2 * HOUR_MS), made_up=made_up, head_ends=True)
    reader = Reader(api).walk()
    assert "older records follow" in str(reader.error)
    assert reader.state.readings == ()
    api.head_ends, api.now_ms = False, NOW + HOUR_MS
    assert is_whole(reader.walk())
    assert reader.error is None


def test_a_false_end_below_which_older_ones_answer_with_gaps_is_an_error_and_stays_in_place() -> (
    None
):
    api = PagedApi(evenly(600), made_up="thin", false_end_page=5)
    reader = Reader(api).walk()
    assert str(reader.error) == "the listing ends, but older records follow"
    # No other cursor would help.
    assert reader.notices == []
    [lane] = reader.state.lanes
    assert (lane.cursor, lane.renewed) == (api.cursor_of_page(6), None)
    api.false_end_page, api.now_ms = None, NOW + HOUR_MS
    assert is_whole(reader.walk())


def test_nor_where_what_answers_is_of_the_time_of_its_last_one() -> None:
    times = evenly(9) + [NOW - DAY_MS] * 12
    reader = Reader(PagedApi(times, head_ends=True)).walk()
    assert "older records follow" in str(reader.error)
    reader.api.head_ends = False
    assert is_whole(reader.walk())


def test_nor_where_messages_of_one_time_fill_the_page_below_it() -> None:
    times = evenly(16)
    times += [times[-1] - 1000] * 10
    times += evenly(60, newest=times[-1] - 1000)
    api = PagedApi(times, made_up="empty and leads on")
    api.false_ends = {api.cursor_of_page(3)}
    reader = Reader(api).walk()
    assert "older records follow" in str(reader.error)
    api.false_ends = set()
    assert is_whole(reader.walk())


@pytest.mark.parametrize("made_up", ["honoured", "refused", "head", "empty"])
def test_a_single_full_page_costs_few_requests_more_and_is_believed(made_up: str) -> None:
    """The page comes twice, and one is asked for below it, or two if the first is refused."""
    for count, requests in ((9, 2), (10, 4 if made_up == "refused" else 3)):
        api = PagedApi(evenly(count), made_up=made_up)
        assert is_whole(Reader(api).walk())
        assert len(api.asked) == requests


def test_a_failure_below_a_single_page_fails_no_stream() -> None:
    error = Unavailable("Courier answered 500")
    api = PagedApi(evenly(10), fails=lambda kind, cursor: error if kind == "made_up" else None)
    assert is_whole(Reader(api).walk())
