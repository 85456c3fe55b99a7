"""Where lanes begin at made-up cursors, how many at once, and when none does."""

import pytest

from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import HOUR_MS
from courier_async.reading import seams
from courier_async.reading.checks import Checks
from courier_async.reading.course import Course
from courier_async.reading.fetches import Purpose
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_opener import LaneOpener
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.reading.server_clock import ServerClock
from courier_async.state.plan import Depth, Plan
from courier_async.state.position import Lane
from tests.unit.reading.judged import judged
from tests.unit.reading.noted import NotedFetches, Request, held_probe, read_probe, refused_probe
from tests.unit.reading.paged import MESSAGE, NOW

START = NOW + 1_000
# The head has read down to here, at an hour per page.
TOP_MS = NOW - 1_000 * HOUR_MS


class Opened:
    """A head that has read a thousand pages, with `pages_left` pages down to the bound."""

    def __init__(self, pages_left: int | None, *, room: int = 1, probe: Probe | None = None):
        self.head = LiveLane(Lane(started_at=START, cursor="c", newest=NOW))
        self.head.order.resume(1_000, 1_000, tells=True)
        self.head.note_density(self.page(TOP_MS + HOUR_MS, TOP_MS))
        depth = Depth(lookback_ms=0, overlap_ms=0)
        self.lanes = LaneSet(self.head, depth)
        bound = 0 if pages_left is None else TOP_MS - pages_left * HOUR_MS
        self.lanes.begin(Plan(lanes=(), due=(), bound=bound))
        self.probe, self.fetches, self.room = probe or held_probe(), NotedFetches(), room
        self.course = Course(
            MESSAGE,
            self.lanes,
            self.probe,
            depth=depth,
            recent=None,
            watermark=None,
            may_stop=True,
            is_learned=True,
        )
        clock = ServerClock()
        clock.note(START, 0.0)
        self.opener = LaneOpener(
            MESSAGE,
            self.lanes,
            course=self.course,
            probe=self.probe,
            checks=Checks(self.lanes, self.probe, self.fetches),
            fetches=self.fetches,
            clock=clock,
            has_room=lambda: self.fetches.under_way < self.room,
        )

    def page(self, newest: int, oldest: int) -> JudgedPage:
        return judged(["a", "b"], [newest, oldest])

    def open(self, *, pages: int = 1_000) -> list[int | None]:
        """Opens lanes; returns where they begin, in hours below the head's place."""
        del self.fetches.requests[:]
        self.opener.open(pages=pages)
        return [begun(request) for request in self.fetches.requests]

    def add_useful(self, count: int) -> None:
        """Adds lanes that have read a page each, spread evenly down to the bound."""
        step_ms = (TOP_MS - self.lanes.bound) // (count + 1)
        for number in range(1, count + 1):
            begins_at = TOP_MS - number * step_ms
            lane = LiveLane(Lane(started_at=START, cursor="d", begins_at=begins_at))
            lane.note_density(self.page(begins_at, begins_at - HOUR_MS))
            self.lanes.insert_made_up(lane)
            self.lanes.unopened -= 1


def begun(request: Request) -> int | None:
    begins_at = request.lane.saved.begins_at
    return None if begins_at is None else (TOP_MS - begins_at) // HOUR_MS


def test_a_lane_begins_in_the_middle_of_the_widest_gap_and_lets_other_streams_go_first() -> None:
    opened = Opened(pages_left=100)
    assert opened.open() == [50]
    begins_at = TOP_MS - 50 * HOUR_MS
    cursor = message_cursor_at(begins_at)
    lane = list(opened.lanes)[1]
    assert opened.fetches.requests == [Request(lane, cursor, Purpose.READ, yields=True)]
    assert lane.saved == Lane(started_at=START, cursor=cursor, begins_at=begins_at)
    assert not lane.opened
    assert opened.course.lanes_begun == 1
    assert opened.lanes.unopened == 1


def test_lanes_are_begun_for_as_long_as_there_is_room() -> None:
    opened = Opened(pages_left=400, room=3)
    assert opened.open() == [200, 100, 50]
    assert opened.course.lanes_begun == 3
    assert opened.open() == []
    opened.room = 4
    assert len(opened.open()) == 1
    assert opened.course.lanes_begun == 4


@pytest.mark.parametrize(("useful", "most"), [(0, 8), (3, 8), (5, 12)])
def test_at_most_eight_or_twice_as_many_lanes_are_unanswered_as_have_been_of_use(
    useful: int, most: int
) -> None:
    opened = Opened(pages_left=3_000, room=100)
    opened.add_useful(useful)
    assert len(opened.open()) == most
    assert opened.lanes.unopened == most
    assert opened.open() == []


def test_where_nobody_knows_how_far_back_records_go_lanes_are_scattered_into_the_room() -> None:
    opened = Opened(pages_left=None, room=3)
    places = seams.places(seams.Gap(TOP_MS, seams.FIRST_MESSAGE_MS, 0), NOW)
    assert len(places) == seams.SCATTERED
    opened.open()
    begins_at = [request.lane.saved.begins_at for request in opened.fetches.requests]
    assert begins_at == places[:3]


def test_nothing_is_looked_for_below_where_nothing_older_was_found() -> None:
    opened = Opened(pages_left=400)
    opened.course.bottom = TOP_MS - 100 * HOUR_MS
    assert opened.open() == [50]


@pytest.mark.parametrize(
    ("pages_left", "begun_before", "pages", "opens"),
    [(39, 0, 1_000, 0), (40, 0, 1_000, 1), (10, 1, 1_000, 1), (10, 1, 30, 0)],
)
def test_a_lane_is_begun_only_where_its_gap_is_worth_it(
    pages_left: int, begun_before: int, pages: int, opens: int
) -> None:
    opened = Opened(pages_left=pages_left)
    opened.course.lanes_begun = begun_before
    assert len(opened.open(pages=pages)) == opens


def test_where_no_gap_is_wide_enough_the_next_look_comes_later_for_many_lanes() -> None:
    opened = Opened(pages_left=5, room=100)
    # Twenty lanes including the head, so the next look comes ten pages later.
    opened.add_useful(19)
    assert opened.open(pages=100) == []
    opened.course.lanes_begun = 1
    opened.head.recent[-1] += 1_000 * HOUR_MS
    assert opened.open(pages=109) == []
    assert opened.open(pages=110) != []


def test_the_probe_comes_before_the_first_lane_and_only_where_a_lane_is_wanted() -> None:
    opened = Opened(pages_left=100, room=5, probe=read_probe())
    assert opened.open() == [None]
    assert opened.fetches.requests[0].purpose is Purpose.PROBE
    assert opened.probe.verdict is Verdict.ASKED
    assert opened.open() == []
    assert Opened(pages_left=10, probe=read_probe()).open() == []


@pytest.mark.parametrize("why", ["to the end", "lanes refused", "cursors refused", "no order"])
def test_no_lane_is_begun_where_lanes_cannot_work(why: str) -> None:
    probe = refused_probe() if why == "cursors refused" else read_probe()
    opened = Opened(pages_left=100, probe=probe)
    opened.course.may_stop = why != "to the end"
    opened.course.lanes_refused = why == "lanes refused"
    if why == "no order":
        opened.head.order.resume(1_000, 0, tells=True)
        assert not opened.head.order.is_newest_first
    assert opened.open() == []


def test_after_enough_ends_that_led_back_up_no_more_lanes_are_begun() -> None:
    opened = Opened(pages_left=100)
    opened.probe.passed_ends = 21
    assert opened.open() == []
    opened.probe.passed_ends = 20
    assert len(opened.open()) == 1
