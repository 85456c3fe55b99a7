"""The probe of made-up cursors, page by page."""

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS
from courier_async.reading.judge import JudgedPage, judge_page
from courier_async.reading.lane import LiveLane
from courier_async.reading.probe import Probe, Verdict
from courier_async.state.position import Lane, StreamState
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
