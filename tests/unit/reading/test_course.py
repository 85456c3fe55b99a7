"""How pages move the lanes of a walk, and when made-up cursors are given up."""

from typing import Final

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.changes import Selected
from courier_async.reading.course import Course
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe
from courier_async.state.plan import Depth
from courier_async.state.position import Lane
from tests.unit.reading.judged import judged

NOW: Final = 1_786_700_000_000
MESSAGE: Final = BY_TABLE["message"]
DEPTH: Final = Depth(lookback_ms=30 * DAY_MS, overlap_ms=HOUR_MS)


def page_of_hours(first: int) -> JudgedPage:
    """Returns a page of ten messages an hour apart."""
    hours = range(first, first + 10)
    return judged([f"m{hour}" for hour in hours], [NOW - hour * HOUR_MS for hour in hours])


class Walked:
    """A head lane that reads ten hours a page, and lanes that it passes without meeting them."""

    def __init__(self) -> None:
        self.head = LiveLane(Lane(started_at=NOW, cursor="c"))
        self.lanes = LaneSet(self.head, DEPTH)
        self.course = Course(
            MESSAGE,
            self.lanes,
            Probe(MESSAGE),
            depth=DEPTH,
            recent=None,
            watermark=None,
            may_stop=True,
            is_learned=True,
        )

    def read(self, lane: LiveLane, page: JudgedPage) -> None:
        self.course.move(lane, page)
        self.course.place(lane, page, Selected())

    def pass_one(self, first_hour: int) -> None:
        begins_at = NOW - first_hour * HOUR_MS
        lower = LiveLane(Lane(started_at=NOW, cursor="c", begins_at=begins_at), opened=False)
        self.lanes.insert_made_up(lower)
        elsewhere = page_of_hours(first_hour)
        elsewhere.keys = [(f"other {first_hour} {key[0]}",) for key in elsewhere.keys]
        self.read(lower, elsewhere)
        self.read(self.head, page_of_hours(first_hour + 20))
        assert lower.dropped


@pytest.mark.parametrize(("begun", "passed"), [(0, 3), (30, 3), (100, 10)])
def test_made_up_cursors_are_given_up_once_three_lanes_or_a_tenth_of_them_are_passed(
    begun: int, passed: int
) -> None:
    walked = Walked()
    walked.course.lanes_begun = begun
    for number in range(passed):
        assert not walked.course.lanes_refused
        walked.pass_one(number * 40)
    assert walked.course.lanes_refused


def test_a_lane_that_reads_on_is_no_longer_contradicted_by_an_end_above_it() -> None:
    walked = Walked()
    walked.head.saved = Lane(started_at=NOW, cursor="c", contradicted_at=NOW - DAY_MS)
    walked.read(walked.head, page_of_hours(0))
    assert walked.head.saved.contradicted_at is None
