"""A made-up cursor asks what lies below an end, and its answer may tell nothing."""

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at, time_in_cursor
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import BadAnswer, CourierError, Refused, Unavailable
from tests.unit.reading.paged import MINUTE_MS, NOW, PagedApi, Reader, evenly, is_whole


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


@pytest.mark.parametrize("answer", ["empty", "refused", "failed"])
@pytest.mark.parametrize("lanes", [1, 8, None])
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
        errors = {"refused": Refused(400, ""), "failed": Unavailable("Courier answered 503")}
        return errors.get(answer) if is_far else None

    api.fails = fails
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk()
    assert is_whole(reader) or reader.error is not None
    api.fails, api.false_ends, api.now_ms = lambda kind, cursor: None, set(), NOW + DAY_MS
    assert is_whole(reader.walk()), reader.error


@pytest.mark.parametrize(("ends_at", "dated_back"), [(801, 1), (802, 1), (810, 5), (815, 5)])
@pytest.mark.parametrize("hours", [100, 2_000])
@pytest.mark.parametrize("die_after", [None, 79, 80])
@pytest.mark.parametrize("lanes", [1, 8, None])
def test_all_below_an_end_is_read_though_its_last_page_is_dated_back(
    lanes: int | None, die_after: int | None, hours: int, ends_at: int, dated_back: int
) -> None:
    """What lies below the time of that page is not what lies below its place.

    It may be the first page that a sync reads, or be dated back to before the oldest message.
    """
    api = PagedApi([])
    for number, time in enumerate(evenly(1_500, every_ms=HOUR_MS)):
        ms = hours * HOUR_MS if ends_at - dated_back <= number < ends_at else 0
        api.insert(time - ms, position=time)
    reader = Reader(api, lanes=1, blocks=(0.0,))
    if die_after is not None:
        reader.walk(die_after=die_after)
    end_once(api, ends_at)
    reader.lanes = lanes
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


# How many of the last are dated back, how many above them are not, how many above those are ahead.
@pytest.mark.parametrize(
    ("lanes", "messages", "back", "between", "ahead", "every_ms"),
    [
        (1, 1_003, 7, 4, 10, HOUR_MS),
        (2, 604, 6, 7, 15, 1_000),
        (8, 309, 12, 0, 10, 1_000),
        (8, 604, 6, 1, 10, 1_000),
        (None, 1_006, 7, 0, 20, 1_000),
    ],
)
def test_a_last_page_dated_back_below_one_dated_ahead_is_read_twice_at_most(
    lanes: int | None, messages: int, back: int, between: int, ahead: int, every_ms: int
) -> None:
    """Pages that are read again do not count as out of order, either."""
    api = PagedApi([])
    for number, time in enumerate(evenly(messages, every_ms=every_ms)):
        ms = 0
        if number >= messages - back:
            ms = 500 * every_ms + number
        elif 0 <= messages - back - between - number - 1 < ahead:
            ms = -(messages - 20) * every_ms
        api.insert(time - ms, position=time)
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0)
    for _ in range(3):
        assert is_whole(reader.walk())
        assert len(api.asked) < 3 * messages / 10
        api.now_ms += DAY_MS
    assert reader.state.newest_first is not False


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("is_gone", [False, True])
def test_an_order_is_not_learned_from_the_pages_above_a_last_page_dated_back(
    lanes: int, is_gone: bool
) -> None:
    """What lies below it may come in another order, where new messages would be missed.

    is_gone: the message dated back is no longer listed when the pages are read again.
    """
    api, times = PagedApi([]), evenly(600, every_ms=HOUR_MS)
    in_groups = [time for group in range(6) for time in times[60 + group :: 6]]
    for number, (place, time) in enumerate(zip(times, times[:60] + in_groups, strict=True)):
        api.insert(time - (100 * HOUR_MS if number == 20 else 0), position=place)
    left, cut, dated_back = end_once(api, 21), api._answer, api.id_of(api.records[20])

    def without(cursor: str | None) -> Page:
        if is_gone and not left and dated_back in map(api.id_of, api.records):
            at = api._index(dated_back)
            assert at is not None
            del api.records[at], api.positions[at]
        return cut(cursor)

    api._answer = without  # type: ignore[method-assign]
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0)
    reader.walk()
    assert reader.state.newest_first is False
    for _ in range(3):
        api.now_ms += DAY_MS
        api.insert(api.now_ms - HOUR_MS, position=times[300] - 1)
        assert is_whole(reader.walk())


def test_a_lane_that_goes_on_above_its_last_page_has_no_cursor_of_an_earlier_sync() -> None:
    """If it failed there, an earlier sync's cursor would seem to have expired."""
    api = PagedApi([])
    for number, time in enumerate(evenly(1_500, every_ms=HOUR_MS)):
        api.insert(time - (100 * HOUR_MS if number == 800 else 0), position=time)
    reader = Reader(api, blocks=(0.0,)).walk(die_after=80)
    end_once(api, 801)
    marks = []

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if kind == "made_up":
            lanes = [lane for lane in reader.last._lanes if lane.saved.cursor == cursor]
            marks.extend([lane.is_saved_cursor for lane in lanes])
        return None

    api.fails = fails
    assert is_whole(reader.walk())
    assert marks == [False]


def test_a_response_that_tells_no_end_confirms_none_below_a_page_dated_back() -> None:
    api = PagedApi([])
    for number, time in enumerate(evenly(1_500, every_ms=HOUR_MS)):
        api.insert(time - (100 * HOUR_MS if number == 800 else 0), position=time)
    reader = Reader(api, lanes=1, blocks=(0.0,), lookback_days=0.0).walk(die_after=79)
    api.now_ms += HOUR_MS
    answer, left = api._answer, [801, 801]

    def odd(cursor: str | None) -> Page:
        page = answer(cursor)
        at = api._index(api.id_of(page.records[0])) or 0
        if left and at < 801 <= at + len(page.records):
            return Page(page.records[: left.pop() - at], None)
        if at >= 801 and api.kind(cursor) == "made_up":
            return Page([], None, BadAnswer("the response is missing 'paging'"))
        return page

    api._answer = odd  # type: ignore[method-assign]
    reader.walk()
    assert is_whole(reader) or reader.error is not None
    api._answer, api.now_ms = answer, api.now_ms + DAY_MS  # type: ignore[method-assign]
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


def end_once(api: PagedApi, ends_at: int) -> list[int]:
    """Cuts one response before a record, and returns a list that is empty from then on."""
    answer, left = api._answer, [ends_at]

    def cut(cursor: str | None) -> Page:
        page = answer(cursor)
        if not left or not page.records or api.kind(cursor) == "made_up":
            return page
        at = api._index(api.id_of(page.records[0])) or 0
        if not at < ends_at <= at + len(page.records):
            return page
        left.clear()
        return Page(page.records[: ends_at - at], None)

    api._answer = cut  # type: ignore[method-assign]
    return left


@pytest.mark.parametrize("fails_for", ["all", "made-up cursors", "made-up cursors but one"])
@pytest.mark.parametrize("lanes", [1, 2, 8, None])
@pytest.mark.parametrize("ends_at", [204, 1_000])
def test_an_outage_confirms_no_end(ends_at: int, lanes: int | None, fails_for: str) -> None:
    """Neither before made-up cursors have been tried, nor after they have opened lanes."""
    api = PagedApi(evenly(1_500, every_ms=HOUR_MS))
    left = end_once(api, ends_at)

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        is_spared = fails_for == "made-up cursors but one" and len(api.made_up_asked) == 1
        is_down = not left if fails_for == "all" else kind == "made_up" and not is_spared
        return Unavailable("Courier answered 503") if is_down else None

    api.fails = fails
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0).walk()
    assert is_whole(reader) or reader.error is not None
    if fails_for == "made-up cursors":
        assert is_whole(reader)
    api.fails, api.now_ms = lambda kind, cursor: None, NOW + DAY_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("statuses", [(503, 404), (503, 503, 404), (404, 503, 404), (404,)])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_single_refusal_amid_an_outage_confirms_no_end(
    lanes: int, statuses: tuple[int, ...]
) -> None:
    """statuses: of the first requests with a made-up cursor."""
    api = PagedApi(evenly(1_500, every_ms=HOUR_MS))
    end_once(api, 204)
    left = list(statuses)

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if kind != "made_up" or not left:
            return None
        status = left.pop(0)
        return Refused(404, "") if status == 404 else Unavailable("Courier answered 503")

    api.fails = fails
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0).walk()
    assert is_whole(reader) or reader.error is not None
    api.now_ms = NOW + DAY_MS
    assert is_whole(reader.walk()), (reader.error, len(reader.missing))


@pytest.mark.parametrize("gap", [6, 10])
@pytest.mark.parametrize("lanes", [2, 8, None])
def test_an_end_that_leads_back_to_messages_dated_back_ends_the_walk(
    lanes: int | None, gap: int
) -> None:
    times = evenly(101, every_ms=MINUTE_MS)
    api = PagedApi([])
    for number, time in enumerate(times):
        ms = 50 * MINUTE_MS if number >= 99 else 0
        ms -= DAY_MS if number in (49, 49 + gap) else 0
        api.insert(time + ms, position=time)
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0).walk()
    assert is_whole(reader), reader.error
    assert len(api.asked) < 200


@pytest.mark.parametrize("count", [5, 10, 25, 200])
@pytest.mark.parametrize("lanes", [1, 8])
def test_an_end_that_the_server_repeats_is_believed_if_all_made_up_cursors_fail(
    lanes: int, count: int
) -> None:
    api = PagedApi(evenly(count))
    api.fails = lambda kind, cursor: (
        Unavailable("Courier answered 503") if kind == "made_up" else None
    )
    reader = Reader(api, lanes=lanes, blocks=(0.0,))
    for _ in range(3):
        assert is_whole(reader.walk()), reader.error
        api.now_ms += DAY_MS


@pytest.mark.parametrize("lanes", [2, 8])
def test_two_ends_that_lead_back_up_in_turn_end_the_walk(lanes: int) -> None:
    """They lie more pages apart than are remembered."""
    times = evenly(7_007, every_ms=MINUTE_MS)
    api = PagedApi(times[:-2])
    for position, ahead in zip(times[-2:], (905, 694), strict=True):
        api.insert(times[ahead] - 1, position=position)
    reader = Reader(api, lanes=lanes, blocks=(0.0,), lookback_days=0.0).walk()
    assert is_whole(reader), reader.error
    assert len(api.asked) < 6_000


def test_ends_of_lanes_above_a_single_old_message_keep_no_lane_from_beginning() -> None:
    times = evenly(6_000)
    api = PagedApi([*times, times[-1] - 700 * DAY_MS])
    reader = Reader(api, lanes=64, blocks=(0.0,)).walk()
    assert is_whole(reader), reader.error
    assert reader.last.clock.now_ms - NOW < 100_000
