"""Decides when to begin lanes at made-up cursors, and how many at once."""

from collections.abc import Callable
from typing import Final

from courier_async.catalog.stream import Stream
from courier_async.reading import seams
from courier_async.reading.checks import Checks
from courier_async.reading.course import Course
from courier_async.reading.fetches import Fetches
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import MOST_PASSED_ENDS, Probe, Verdict
from courier_async.reading.server_clock import ServerClock
from courier_async.state.position import Lane

# After finding no gap, wait a page for every this many lanes: the search goes through all.
_LANES_PER_SEARCH: Final = 2


class LaneOpener:
    """Opens lanes in the widest gaps between others."""

    def __init__(
        self,
        stream: Stream,
        lanes: LaneSet,
        *,
        course: Course,
        probe: Probe,
        checks: Checks,
        fetches: Fetches,
        clock: ServerClock,
        has_room: Callable[[], bool],
    ) -> None:
        self._stream = stream
        self._lanes = lanes
        self._course = course
        self._probe = probe
        self._checks = checks
        self._fetches = fetches
        self._clock = clock
        self._has_room = has_room
        # At how many pages to look for gaps again.
        self._next_search_at = 0

    def open(self, *, pages: int) -> None:
        """Begins lanes while there is room, up to two unopened ones for each opened one."""
        if not self._may_open(pages):
            return
        lanes = self._lanes
        bottom = max(self._course.bottom, lanes.bound)
        while self._has_room():
            if lanes.unopened >= max(2 * (len(lanes) - lanes.unopened), seams.SCATTERED):
                return
            worthwhile = seams.worthwhile_pages(pages, self._course.lanes_begun)
            gap = seams.widest_gap(lanes, bottom, worthwhile)
            if gap is None:
                self._next_search_at = pages + len(lanes) // _LANES_PER_SEARCH
                return
            if self._probe.verdict is not Verdict.HELD:
                self._checks.start_probe()
                return
            newest = lanes.head.saved.newest or gap.top
            for begins_at in seams.places(gap, newest):
                if self._has_room():
                    self._open_at(begins_at)

    def _may_open(self, pages: int) -> bool:
        return (
            self._course.may_stop
            and not self._course.lanes_refused
            and pages >= self._next_search_at
            and self._probe.verdict is not Verdict.REFUSED
            and self._probe.passed_ends <= MOST_PASSED_ENDS
            and self._lanes.head.order.is_newest_first
        )

    def _open_at(self, begins_at: int) -> None:
        if self._stream.cursor_at is None:
            return
        cursor = self._stream.cursor_at(begins_at)
        saved = Lane(started_at=self._clock.start, cursor=cursor, begins_at=begins_at)
        lane = LiveLane(saved, opened=False)
        self._lanes.insert_made_up(lane)
        self._course.lanes_begun += 1
        self._fetches.start(lane, cursor, yields=True)
