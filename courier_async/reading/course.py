"""Moves the lanes of one walk after each page: to the end, to a bound, or to the lane below."""

import logging
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import HOUR_MS, Stream
from courier_async.reading import seams
from courier_async.reading.changes import Selected
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.state.plan import Depth
from courier_async.state.sent_rows import SentByHour

log = logging.getLogger(__name__)

# This many pages in a row below the bound show that nothing above it is left to read.
_PAGES_BELOW: Final = 2
_MOST_WASTED_LANES: Final = 3
_LONGEST_TAIL: Final = 100


class Course:
    """Tracks the lanes, whether the walk may stop early, and whether made-up cursors work.

    recent: the entries of sent rows, used only for streams that change late.
    is_learned: the order was seen in a complete walk, not only presumed.
    bottom: no record was found below this time. lanes_begun: how many lanes were made up.
    lanes_refused: no more lanes are begun in this walk.
    """

    def __init__(
        self,
        stream: Stream,
        lanes: LaneSet,
        probe: Probe,
        *,
        depth: Depth,
        recent: SentByHour | None,
        watermark: int | None,
        may_stop: bool,
        is_learned: bool,
    ) -> None:
        self._stream = stream
        self._watermark = watermark
        self.lanes = lanes
        self._probe = probe
        self._depth = depth
        self._recent = recent if stream.changes_late else None
        self.may_stop = may_stop
        self._is_learned = is_learned
        self.bottom = seams.FIRST_MESSAGE_MS
        self.lanes_refused = False
        self._wasted_lanes = 0
        self._failed_lanes = 0
        self.lanes_begun = 0

    def move(self, lane: LiveLane, page: JudgedPage) -> None:
        """Updates the lane after a page, except its cursor."""
        keys = {*page.keys}
        if lane.rereads_to & keys:
            lane.rereads_to = set()
        elif not (lane.rereads_to or lane.repeats_last_page or keys <= {*lane.tail}):
            # Pages read again around an end say nothing.
            lane.order.add(page.median)
        lane.note_density(page)
        lane.tail = [*lane.tail, *page.keys][-_LONGEST_TAIL:]
        if not lane.opened:
            lane.opened = True
            self.lanes.unopened -= lane.is_made_up
        lane.note_place(page)
        first = lane.saved.first
        if lane.is_made_up and len(first) < seams.SEAM_RECORDS:
            first = seams.first_names(page, first)
        lane.saved = replace(
            lane.saved,
            pages=lane.order.pages,
            in_order=lane.order.in_order,
            first=first,
            contradicted_at=None,
        )

    def place(self, lane: LiveLane, page: JudgedPage, selected: Selected) -> None:
        """Updates the lane after a page: it may be at its end, its target or the lane below."""
        if page.next_cursor is None:
            lane.done = lane.ended = True
            lane.reached = self._depth.floor
            return
        # Skip unopened lanes: they may begin among the first records of the next opened one.
        lower = self.lanes.opened_below(lane)
        if self._is_below_target(lane, page, selected):
            lane.done, lane.reached = True, lane.target
            if lower is not None and not lower.is_made_up:
                self.lanes.merge(lane, lower)
            else:
                self.lanes.drop_below(lane)
            return
        lane.saved = replace(lane.saved, cursor=page.next_cursor)
        lane.is_saved_cursor = lane.repeats_last_page = False
        if lower is not None and lower.is_made_up:
            self._meet(lane, lower, page)
        if lane.order.is_hopeless:
            self._give_up_order()

    def _is_below_target(self, lane: LiveLane, page: JudgedPage, selected: Selected) -> bool:
        """Whether two pages in a row show that nothing above the target is left to read."""
        if not self.may_stop or not lane.target or not page.records:
            return False
        if selected.shows_news or not page.is_below(lane.target):
            # Pages below the target may hold no row with an entry, so the page before counts too.
            lane.pages_below, lane.known_below = 0, selected.holds_known
            return False
        lane.pages_below += 1
        lane.known_below = lane.known_below or selected.holds_known
        order = lane.order
        if lane.pages_below < _PAGES_BELOW or not order.is_newest_first:
            return False
        if not (self._is_learned or order.tells or order.falls):
            # All there is may come oldest first.
            return False
        recent = self._recent
        if (
            recent is not None
            and lane.target > self._depth.floor
            and not lane.known_below
            # If no older entries are kept, as after a burst, there is no known row to meet.
            and recent.has_between(0, lane.target + HOUR_MS, excluding=())
        ):
            return False
        if self._is_learned and recent is not None:
            return True
        # If the order has changed, the newest records are elsewhere. With `sync_since` set, the
        # newest that is known may be older than the target.
        newest, known = self.lanes.head.saved.newest, self._watermark
        # Within an hour, records may be out of order.
        tolerance_ms = self._stream.overlap_ms if self._is_learned else 0
        least = lane.target if known is None else min(lane.target, known - tolerance_ms)
        return newest is not None and newest >= least

    def _meet(self, lane: LiveLane, lower: LiveLane, page: JudgedPage) -> None:
        """Joins the lane below once its first records are met, or drops it if they are passed."""
        lane.seam_met = seams.follow(lane, lower, page)
        if lane.seam_met == seams.SEAM_RECORDS:
            self.lanes.merge(lane, lower)
        elif seams.has_passed(lane, lower, page):
            # The upper lane reads that part again.
            self._wasted_lanes += 1
            self.lanes.drop([lower])
            if self._is_too_many(self._wasted_lanes):
                self.refuse_lanes("answers made-up cursors with records from another place")

    def give_up_failed(self, lanes: list[LiveLane]) -> None:
        """Drops lanes whose next page failed while the server's own cursors are answered."""
        # A cursor from an earlier sync may just have expired: no evidence against made-up ones.
        self._failed_lanes += sum(not lane.is_saved_cursor for lane in lanes)
        self.lanes.drop([lane for lane in lanes if not lane.dropped])
        # The other lanes go on, but after too many failures no new ones begin.
        self.lanes_refused = self.lanes_refused or self._is_too_many(self._failed_lanes)

    def _is_too_many(self, lanes: int) -> bool:
        return lanes >= max(_MOST_WASTED_LANES, self.lanes_begun // 10)

    def is_of_use(self, lane: LiveLane, page: JudgedPage) -> bool:
        """Whether a made-up cursor was answered from its place, and the lane can still be met."""
        begins_at = lane.saved.begins_at or 0
        # A single record dated ahead says nothing about the cursor.
        if page.median is not None and page.median > begins_at:
            self.refuse_lanes("answers a made-up cursor with newer records")
            return False
        if not page.records and page.next_cursor is None:
            # Nothing is older, but this is only a hint about where to look next.
            self.bottom = max(self.bottom, begins_at)
            self.lanes.drop([lane])
            return False
        upper = self.lanes.opened_above(lane)
        if upper is not None and upper.has_read_below(begins_at):
            # The lane above has passed its first records; if kept, it would hide the next seam.
            self.lanes.drop([lane])
            return False
        return True

    def refuse_lanes(self, why: str) -> None:
        """Drops made-up lanes and begins no more; saved, so that the next syncs do not try."""
        if not self.lanes_refused:
            log.info(
                "%s: Courier %s, so pages are read one at a time for the next week.",
                self._stream.table,
                why,
            )
        self._probe.verdict = Verdict.REFUSED
        self.lanes_refused = True
        self.lanes.drop_made_up()

    def _give_up_order(self) -> None:
        if self.may_stop:
            log.info(
                "%s: its pages are not newest first, so all of them are read.",
                self._stream.table,
            )
        self.may_stop = False
        self.lanes.drop_below(self.lanes.head)
