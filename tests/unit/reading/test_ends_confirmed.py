"""A made-up cursor asks what lies below an end, and its answer may tell nothing."""

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at, time_in_cursor
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import CourierError, Refused
from tests.unit.reading.paged import NOW, PagedApi, Reader, evenly, is_whole


@pytest.mark.parametrize("times", [1, 3])
def test_an_empty_page_that_leads_on_confirms_no_end(times: int) -> None:
    """The page is requested again, and finally followed."""
    api = PagedApi(evenly(600), false_end_page=40)
    lead_on_empty(api, times=times)
    reader = Reader(api)
    reader.walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("times", [1, 3, 5])
def test_an_empty_page_that_leads_on_does_not_pass_for_a_made_up_cursor_that_is_honoured(
    times: int,
) -> None:
    """It leads to one of the server's own cursors; other made-up ones are answered with gaps."""
    api = PagedApi(evenly(600), made_up="thin")
    lead_on_empty(api, times=times, cursors=1)
    expired = api.cursor_of_page(30)

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        return Refused(410, "") if cursor == expired else None

    api.fails = fails
    reader = Reader(api)
    reader.walk()
    assert is_whole(reader) or reader.error is not None
    api.fails = lambda kind, cursor: None
    reader.walk()
    assert is_whole(reader), len(reader.missing)


def lead_on_empty(api: PagedApi, *, times: int, cursors: int = 1_000) -> None:
    """At first answers made-up cursors with empty pages that lead to the server's own cursors."""
    made_up, asked = api._made_up, dict[int, int]()

    def often_empty(time: int) -> Page:
        asked[time] = asked.get(time, 0) + 1
        page = made_up(time)
        own = api.cursor_behind(sum(position > time for position in api.positions) - 1)
        is_empty = asked[time] <= times and len(asked) <= cursors
        return Page([], own) if is_empty else page

    api._made_up = often_empty  # type: ignore[method-assign]


@pytest.mark.parametrize("is_read", [True, False])
def test_an_end_is_confirmed_though_a_record_comes_unusable_where_made_up_cursors_are_tried(
    is_read: bool,
) -> None:
    """Whether it was read by the server's own cursor, or was unusable then too."""
    api = PagedApi(evenly(200), false_end_page=2)
    page_from = api.page_from

    def spoilt(at: int) -> Page:
        page = page_from(at)
        if not is_read or api.kind(api.asked[-1]) == "made_up":
            page.records[:] = [None if at + n == 22 else r for n, r in enumerate(page.records)]
        return page

    api.page_from = spoilt  # type: ignore[method-assign]
    reader = Reader(api).walk()
    assert reader.error is None
    assert len(reader.missing) == (not is_read)


def test_empty_pages_that_lead_on_for_ever_end_a_walk_all_the_same() -> None:
    api = PagedApi(evenly(600))
    api._made_up = lambda time: Page([], message_cursor_at(time - 1))  # type: ignore[method-assign]
    reader = Reader(api)
    reader.walk()
    assert is_whole(reader), reader.error
    assert len(api.asked) < 200


def test_nothing_below_an_end_is_not_believed_where_lanes_have_read_what_is_older() -> None:
    api = PagedApi(evenly(3_000), false_end_page=100)
    made_up = api._made_up

    def nothing_below(time: int) -> Page:
        confirming = [lane.confirming for lane in reader.last._lanes]
        return Page([], None) if message_cursor_at(time) in confirming else made_up(time)

    api._made_up = nothing_below  # type: ignore[method-assign]
    reader = Reader(api, lanes=8)
    reader.walk()
    # Another cursor for that place leads on.
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("lanes", [2, 8])
def test_where_another_cursor_comes_to_that_end_too_it_is_an_error(lanes: int) -> None:
    api = PagedApi(evenly(3_000), false_end_page=100)
    made_up, ends_at = api._made_up, range(api.times[1_015], api.times[995])
    api._made_up = lambda time: Page([], None) if time in ends_at else made_up(time)  # type: ignore[method-assign]
    reader = Reader(api, lanes=lanes).walk()
    assert str(reader.error) == "the listing ends, but other lanes have read older records"
    api._made_up = made_up  # type: ignore[method-assign]
    api.false_end_page, api.now_ms = None, NOW + DAY_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("answer", ["empty", "refused"])
@pytest.mark.parametrize("lanes", [1, 8])
def test_nothing_far_below_an_end_does_not_confirm_it(lanes: int, answer: str) -> None:
    """Half of a page above it is dated back, and one time fills the last page."""
    times = evenly(400, every_ms=HOUR_MS)
    back_dated, of_one_time = range(35, 40), range(40, 50)
    api = PagedApi(times[:35])
    for number, time in enumerate(times[35:], 35):
        if number in of_one_time:
            api.insert(times[40])
        else:
            ms = 400 * DAY_MS if number in back_dated else 0
            api.insert(time - ms, position=time)
    api.false_ends = {api.cursor_behind(49)}

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        is_far = kind == "made_up" and (time_in_cursor(cursor or "") or 0) < times[-1]
        return Refused(400, "") if answer == "refused" and is_far else None

    api.fails = fails
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk()
    assert is_whole(reader) or reader.error is not None
    api.false_ends, api.now_ms = set(), NOW + DAY_MS
    assert is_whole(reader.walk()), reader.error
