"""The probe of made-up cursors, page by page."""

from msgspec.structs import replace

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at, time_in_cursor
from courier_async.catalog.stream import DAY_MS
from courier_async.reading.judge import JudgedPage, judge_page
from courier_async.reading.lane import LiveLane
from courier_async.reading.probe import Probe, Verdict
from courier_async.state.position import Lane, StreamState
from tests.unit.reading.judged import judged
from tests.unit.reading.paged import MESSAGE, NOW, PagedApi, evenly


def test_a_second_probe_is_compared_with_pages_that_followed_one_another() -> None:
    """Not with pages around a skipped one, whose record is dated ahead."""
    api = PagedApi(evenly(200))
    api.insert(NOW + 5 * DAY_MS, position=api.times[25] - 1)
    head, probe = LiveLane(Lane(started_at=NOW)), Probe(MESSAGE)
    probe.begin(StreamState(), NOW)

    def page(number: int) -> JudgedPage:
        return judge_page(MESSAGE, api.page_from(10 * number), now_ms=NOW)

    def ask() -> JudgedPage:
        cursor = probe.ask()
        assert cursor is not None
        return judge_page(MESSAGE, api._answer(cursor), now_ms=NOW)

    for number in range(2):
        probe.add(head, page(number))
    ask()
    probe.take(page(9))
    verdicts = [probe.verdict]
    for number in range(1, 4):
        probe.add(head, page(number))
    probe.take(ask())
    assert [*verdicts, probe.verdict] == [Verdict.UNTRIED, Verdict.HELD]


def test_where_a_lane_of_an_earlier_sync_goes_on_the_pages_above_it_still_tell_what_to_ask() -> (
    None
):
    """The lane may end before its own pages are enough to probe a cursor."""
    api, probe = PagedApi(evenly(200)), Probe(MESSAGE)
    probe.begin(StreamState(), NOW)
    head, lower = LiveLane(Lane(started_at=NOW)), LiveLane(Lane(started_at=NOW - DAY_MS))
    for number in range(2):
        probe.add(head, judge_page(MESSAGE, api.page_from(10 * number), now_ms=NOW))
    probe.add(lower, judge_page(MESSAGE, Page([], None), now_ms=NOW))
    cursor = probe.ask()
    assert cursor is not None
    probe.take(judge_page(MESSAGE, api._answer(cursor), now_ms=NOW))
    assert probe.verdict is Verdict.HELD


def test_if_two_ends_only_repeat_known_pages_in_turn_the_next_request_goes_below_both() -> None:
    """As if the last page began elsewhere each time, with a record of another time on it."""
    probe = Probe(MESSAGE)
    probe.begin(StreamState(), NOW)
    probe.verdict = Verdict.HELD
    lane = LiveLane(Lane(started_at=NOW))

    def asked_below(end_ms: int) -> int | None:
        lane.medians.append(end_ms)
        assert probe.below(lane) is not None
        return lane.confirmed_from

    page = judged(["a", "b"], next_cursor="1")
    assert lane.guard.trouble(page) is None
    assert asked_below(NOW - 9) == NOW - 9
    assert asked_below(NOW) == NOW
    assert asked_below(NOW - 9) == NOW - 9
    assert lane.guard.trouble(replace(page, next_cursor="2")) is None
    assert asked_below(NOW) == NOW - 10
    assert lane.is_asked_twice


def test_an_end_that_comes_again_is_asked_about_just_below_it_and_then_on_its_pages() -> None:
    """The last page may hold a single record, dated ahead of all others."""
    probe = Probe(MESSAGE)
    probe.begin(StreamState(), NOW)
    probe.verdict = Verdict.HELD
    lane = LiveLane(Lane(started_at=NOW))
    lane.medians.extend([NOW - 20, NOW - 30, NOW])
    asked = [probe.below(lane), probe.below(lane)]
    assert [lane.is_asked_twice, lane.is_asked_lower] == [True, False]
    asked += [probe.on_last_pages(lane), probe.on_last_pages(lane)]
    assert [time_in_cursor(cursor or "") for cursor in asked] == [
        NOW,
        NOW - 1,
        NOW - 20,
        NOW - 30,
    ]
    assert [lane.is_asked_twice, lane.is_asked_lower] == [True, True]
    assert probe.on_last_pages(lane) is None


def test_an_unproved_end_is_asked_about_again_just_below_it() -> None:
    """Only older records that come back count, so none may be passed over."""
    probe = Probe(MESSAGE)
    lane = LiveLane(Lane(started_at=NOW), is_unproved=True)
    lane.medians.extend([NOW - 20, NOW - 30, NOW])
    assert time_in_cursor(probe.below(lane) or "") == NOW
    assert time_in_cursor(probe.below(lane) or "") == NOW - 1


def test_two_ends_in_turn_count_as_one_once_others_have_led_back_up() -> None:
    probe = Probe(MESSAGE)
    probe.begin(StreamState(), NOW)
    probe.verdict, probe.passed_ends = Verdict.HELD, 21
    lane = LiveLane(Lane(started_at=NOW), confirmed_from=NOW - 9)
    lane.medians.append(NOW)
    assert time_in_cursor(probe.below(lane) or "") == NOW - 10


def test_above_a_last_page_that_is_dated_back_it_goes_on_from_the_highest_place_known() -> None:
    probe = Probe(MESSAGE)
    lane = LiveLane(Lane(started_at=NOW, cursor=message_cursor_at(NOW - 5)))
    lane.medians.extend([NOW - 20, NOW - 10, NOW - 900])
    lane.confirmed_from = NOW - 900
    page = judge_page(MESSAGE, Page([{"id": "m1", "enqueued": NOW - 950}], None), now_ms=NOW)
    assert time_in_cursor(probe.above(lane, page) or "") == NOW - 5
    lane.saved = replace(lane.saved, cursor=message_cursor_at(NOW - 15))
    assert time_in_cursor(probe.above(lane, page) or "") == NOW - 10
    lane.confirmed_from = NOW - 10
    assert probe.above(lane, page) is None


def test_above_an_end_with_nothing_below_it_goes_on_once() -> None:
    probe, nothing = Probe(MESSAGE), judge_page(MESSAGE, Page([], None), now_ms=NOW)
    lane = LiveLane(Lane(started_at=NOW, cursor=message_cursor_at(NOW - 5)))
    lane.confirmed_from, lane.tail = NOW - 900, [("a",)]
    assert probe.above(lane, nothing) is not None
    # A lane below has met the same end.
    other = LiveLane(lane.saved, confirmed_from=NOW - 901, tail=[("b",), ("a",)])
    assert probe.above(other, nothing) is None
    other.tail = [("c",)]
    assert probe.above(other, nothing) is not None
