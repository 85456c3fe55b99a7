"""When the probe is made, and when an end is believed only after asking below it."""

from collections import deque
from collections.abc import Callable

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import DAY_MS
from courier_async.reading import checks
from courier_async.reading.checks import Checks
from courier_async.reading.fetches import Purpose
from courier_async.reading.judge import judge_page
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.state.plan import Depth, Plan
from courier_async.state.position import Lane
from tests.unit.reading.noted import NotedFetches, Request, held_probe, read_probe, refused_probe
from tests.unit.reading.paged import AUDIT_EVENT, MESSAGE, NOW

END_MS = NOW - 3 * DAY_MS


def read_one_page() -> Probe:
    return read_probe(pages=1)


class Checked:
    """A head that has reached its end after two pages, with or without a lane below it."""

    def __init__(self, probe: Probe, *, pages: int = 2, is_alone: bool = True) -> None:
        self.head = LiveLane(Lane(started_at=NOW, cursor="c"), medians=deque([END_MS]))
        self.head.order.resume(pages, pages, tells=True)
        self.lanes = LaneSet(self.head, Depth(lookback_ms=0, overlap_ms=0))
        lower = Lane(started_at=NOW - 4 * DAY_MS, cursor="d", newest=NOW - 4 * DAY_MS)
        below = () if is_alone else (lower,)
        self.lanes.begin(Plan(lanes=below, due=(None,) * len(below), bound=0))
        self.probe, self.fetches = probe, NotedFetches()
        self.checks = Checks(self.lanes, probe, self.fetches)

    def asked_below(self) -> Request:
        return Request(self.head, message_cursor_at(END_MS), Purpose.CONFIRM, yields=False)

    def asks_again(
        self, page: Page, *, asked: str = "made up", purpose: Purpose = Purpose.CONFIRM
    ) -> bool:
        judged = judge_page(MESSAGE, page, now_ms=NOW)
        return self.checks.asks_again(self.head, judged, asked, purpose)


def test_the_probe_is_asked_for_the_lane_from_the_head_and_only_once() -> None:
    checked = Checked(read_probe())
    assert checked.checks.start_probe() is True
    assert checked.checks.start_probe() is False
    [request] = checked.fetches.requests
    assert request.lane is checked.head
    assert request.cursor is not None
    assert request.purpose is Purpose.PROBE
    assert checked.probe.verdict is Verdict.ASKED


def test_no_probe_is_made_where_too_little_has_been_read() -> None:
    checked = Checked(read_one_page())
    assert checked.checks.start_probe() is False
    assert checked.fetches.requests == []


# -- the end of the lane from the head -----------------------------------------------------------


def test_an_end_waits_for_what_lies_below_it_which_is_asked_once() -> None:
    checked = Checked(held_probe())
    for _ in range(2):
        assert checked.checks.must_check_first(checked.head, is_ordered=True) is True
        assert checked.fetches.requests == [checked.asked_below()]
    assert checked.head.confirming == message_cursor_at(END_MS)


def test_an_end_waits_for_the_probe_and_asks_for_it_where_it_can_be_made() -> None:
    checked = Checked(read_probe())
    for _ in range(2):
        assert checked.checks.must_check_first(checked.head, is_ordered=True) is True
        assert [request.purpose for request in checked.fetches.requests] == [Purpose.PROBE]
    assert checked.head.confirming is None


def test_the_end_of_a_single_page_waits_for_a_probe_that_is_under_way() -> None:
    checked = Checked(read_probe(), pages=1)
    checked.checks.start_probe()
    assert checked.checks.must_check_first(checked.head, is_ordered=True) is True


@pytest.mark.parametrize(
    ("probe", "pages"),
    [(held_probe, 1), (refused_probe, 2), (lambda: Probe(AUDIT_EVENT), 2)],
    ids=["a single page", "refused", "opaque cursors"],
)
def test_an_end_is_believed_where_nothing_can_be_asked(
    probe: Callable[[], Probe], pages: int
) -> None:
    checked = Checked(probe(), pages=pages)
    assert checked.checks.must_check_first(checked.head, is_ordered=True) is False
    assert checked.fetches.requests == []


def test_where_too_little_was_read_for_a_probe_what_lies_below_an_end_is_asked_for_once() -> None:
    for is_ordered in (False, True):
        checked = Checked(read_one_page())
        checked.head.tail = [(str(number),) for number in range(10)]
        must_check_first = checked.checks.must_check_first
        assert must_check_first(checked.head, is_ordered=is_ordered) is is_ordered
        assert checked.fetches.requests == [checked.asked_below()] * is_ordered
        assert checked.head.is_unproved is is_ordered
        checked.head.confirming = None
        assert must_check_first(checked.head, is_ordered=is_ordered) is False


# -- the end of another lane ---------------------------------------------------------------------


def test_an_end_above_other_lanes_is_checked_at_once() -> None:
    checked = Checked(held_probe(), is_alone=False)
    checked.checks.check_end_early(checked.head)
    assert checked.fetches.requests == [checked.asked_below()]
    assert checked.head.confirming == message_cursor_at(END_MS)


@pytest.mark.parametrize("why", ["alone", "no probe yet", "refused", "confirmed"])
def test_an_end_is_not_doubted_where_no_lane_lies_below_it_or_nothing_can_be_asked(
    why: str,
) -> None:
    probe = {"no probe yet": read_probe, "refused": refused_probe}.get(why, held_probe)()
    checked = Checked(probe, is_alone=why == "alone")
    checked.head.is_confirmed = why == "confirmed"
    checked.checks.check_end_early(checked.head)
    assert checked.fetches.requests == []
    assert checked.head.confirmed_from is None


# -- an empty page that leads on -----------------------------------------------------------------

LEADS_ON = Page([], "own")


def test_below_an_end_an_empty_page_is_asked_for_thrice_more_and_then_followed() -> None:
    checked = Checked(held_probe())
    for cursor in ("made up", "made up", "made up", "own"):
        assert checked.asks_again(LEADS_ON) is True
        request = checked.fetches.requests.pop()
        assert request == Request(checked.head, cursor, Purpose.CONFIRM, yields=False)
        assert checked.head.confirming == cursor
    assert checked.fetches.requests == []


def test_an_empty_page_for_the_probe_is_asked_for_thrice_more_and_not_followed() -> None:
    checked = Checked(read_probe())
    for _ in range(3):
        assert checked.asks_again(LEADS_ON, purpose=Purpose.PROBE) is True
    assert checked.asks_again(LEADS_ON, purpose=Purpose.PROBE) is False
    asked = Request(checked.head, "made up", Purpose.PROBE, yields=False)
    assert checked.fetches.requests == [asked] * 3
    assert checked.head.confirming is None


@pytest.mark.parametrize(
    "page",
    [Page([], None), Page([{"id": "m1", "enqueued": NOW}], "own"), Page([{"id": ""}], "own")],
    ids=["the end", "a record", "an unusable record"],
)
def test_a_page_that_tells_something_is_not_asked_for_again(page: Page) -> None:
    checked = Checked(held_probe())
    assert checked.asks_again(page) is False
    assert checked.fetches.requests == []


def test_a_walk_asks_again_only_so_many_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_MOST_FOLLOWED", 2)
    checked = Checked(held_probe())
    asked_again = [checked.asks_again(LEADS_ON, asked=cursor) for cursor in ("a", "b", "c")]
    assert asked_again == [True, True, False]
    assert len(checked.fetches.requests) == 2
