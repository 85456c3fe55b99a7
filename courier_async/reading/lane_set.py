"""The lanes of one walk, newest first: which ones exist, where each ends, how two merge."""

from collections import deque
from collections.abc import Iterator

from msgspec.structs import replace

from courier_async.catalog.stream import HOUR_MS
from courier_async.reading.lane import LiveLane
from courier_async.reading.seams import SEAM_RECORDS
from courier_async.state.plan import Depth, Plan
from courier_async.state.position import Lane, Reading


class LaneSet:
    """The lanes, newest first; the first one reads from the head.

    given_up: the readings of lanes that no longer exist, which the walk saves in the state.
    unopened: the number of made-up lanes whose first page has not been read yet.
    """

    def __init__(self, head: LiveLane, depth: Depth) -> None:
        self._depth = depth
        self._lanes = [self._with_floor(head)]
        self._plan = Plan(lanes=(), due=(), bound=0)
        self._resting: deque[LiveLane] = deque()
        self.given_up: list[Reading] = []
        self.unopened = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[LiveLane]:
        return iter(self._lanes)

    @property
    def head(self) -> LiveLane:
        return self._lanes[0]

    @property
    def last(self) -> LiveLane:
        return self._lanes[-1]

    @property
    def bound(self) -> int:
        """The time down to which the last lane reads; 0: to the end."""
        return self._plan.bound

    def begin(self, plan: Plan) -> None:
        self._plan = plan
        for saved, due in zip(plan.lanes, plan.due, strict=True):
            lane = self._with_floor(
                LiveLane(saved, is_saved_cursor=True, is_resumed=True, due=due)
            )
            lane.order.resume(saved.pages, saved.in_order, tells=_spans_an_hour(saved))
            self._lanes.append(lane)
            self._resting.append(lane)
        self._set_targets()
        last = self.last
        oldest = last.saved.oldest
        if last is not self.head and not last.is_made_up and oldest and 0 < oldest <= plan.bound:
            # Nothing below its cursor is due any more.
            last.done, last.reached = True, oldest + HOUR_MS

    def saved(self) -> tuple[Lane, ...]:
        # A lane without a cursor cannot be resumed.
        return tuple([lane.saved for lane in self._lanes if lane.opened and lane.saved.cursor])

    def cap_starts(self, start: int, *, before: int) -> None:
        """Moves later starts of lanes, and times of this walk's renewals, back to `start`.

        before: the walk's start so far; later renewals are not its own.
        """
        for lane in self._lanes:
            renewed = lane.saved.renewed
            if lane.saved.started_at > start:
                lane.saved = replace(lane.saved, started_at=start)
            if renewed is not None and start < renewed.at <= before:
                lane.saved = replace(lane.saved, renewed=renewed._replace(at=start))

    def above(self, lane: LiveLane) -> LiveLane | None:
        index = self._lanes.index(lane)
        return self._lanes[index - 1] if index else None

    def opened_above(self, lane: LiveLane) -> LiveLane | None:
        """Returns the nearest lane above that has read a page."""
        above = self._lanes[: self._lanes.index(lane)]
        return next((upper for upper in reversed(above) if upper.opened), None)

    def opened_below(self, lane: LiveLane) -> LiveLane | None:
        """Returns the nearest lane below that has read a page."""
        return next(iter(self._opened_after(lane)), None)

    def lower_have_read_older(self, lane: LiveLane) -> bool:
        """Whether, in this sync, a lower lane has read records older than `lane` has."""
        lowest = lane.lowest_ms
        # Out of order, `lane` may have read the oldest records too.
        return lowest is not None and any(
            lower.has_read_below(lowest - 1) and not {*lower.tail[-SEAM_RECORDS:]} <= {*lane.tail}
            for lower in self._opened_after(lane)
        )

    def lower_contradict_end(self, lane: LiveLane) -> bool:
        """Whether a lower lane has read beyond this lane's end, or has failed."""
        return any(lower.stuck or lower.is_beyond(lane) for lower in self._opened_after(lane))

    def lower_are_unfinished(self, lane: LiveLane) -> bool:
        return any(not lower.done for lower in self._opened_after(lane))

    def _opened_after(self, lane: LiveLane) -> list[LiveLane]:
        return [lower for lower in self._lanes[self._lanes.index(lane) + 1 :] if lower.opened]

    def insert_head(self, head: LiveLane) -> None:
        self._lanes.insert(0, self._with_floor(head))
        self._set_targets()

    def insert_made_up(self, lane: LiveLane) -> None:
        self.insert(self._with_floor(lane))
        lane.target = self._plan.bound
        self.unopened += 1

    def insert(self, lane: LiveLane) -> None:
        """Inserts a lane below the head, in order of time."""
        index = 1
        while index < len(self._lanes) and _top(self._lanes[index]) > _top(lane):
            index += 1
        self._lanes.insert(index, lane)

    def drop(self, lanes: list[LiveLane]) -> None:
        """Removes lanes; the lane above them reads what they would have read."""
        for lane in lanes:
            self._lanes.remove(lane)
            lane.dropped = True
            self.unopened -= not lane.opened and lane.is_made_up
            oldest, order = lane.saved.oldest, lane.order
            # Pages within an hour fit any order, and newer records may come last.
            is_ordered = order.is_newest_first and order.tells
            if not lane.is_made_up and oldest is not None and is_ordered:
                # Records of the same hour may be out of order and lie below its cursor.
                self.given_up.append(Reading(lane.saved.started_at, oldest + HOUR_MS))
        if lanes:
            self._set_targets()

    def drop_below(self, lane: LiveLane) -> None:
        self.drop(self._lanes[self._lanes.index(lane) + 1 :])

    def drop_made_up(self) -> None:
        self.drop([lane for lane in self._lanes[1:] if lane.is_made_up])

    def merge(self, upper: LiveLane, lower: LiveLane) -> None:
        """Merges the upper lane into the lower one that it has reached; the lower continues."""
        between = slice(self._lanes.index(upper) + 1, self._lanes.index(lower))
        self.drop(self._lanes[between])
        above, below = upper.saved, lower.saved
        began_later = above.started_at > below.started_at
        # Above a lane that began at a made-up cursor, some places may still be unread.
        if began_later and above.oldest is not None and not upper.is_made_up:
            # Keep what the upper lane has read as a separate reading.
            reached = upper.reached if upper.done else above.oldest + HOUR_MS
            self.given_up.append(Reading(above.started_at, reached))
        lower.saved = replace(
            below,
            newest=max(filter(None, (above.newest, below.newest)), default=None),
            oldest=min(filter(None, (above.oldest, below.oldest)), default=None),
            started_at=min(above.started_at, below.started_at),
            begins_at=above.begins_at,
            first=above.first,
            pages=upper.order.pages + lower.order.pages,
            in_order=upper.order.in_order + lower.order.in_order,
        )
        lower.is_resumed |= upper.is_resumed
        # The upper lane has already read what was due of the lower one.
        lower.due = upper.due
        lower.order.resume(
            lower.saved.pages, lower.saved.in_order, tells=_spans_an_hour(lower.saved)
        )
        lower.order.first_two = upper.order.first_two
        self._lanes.remove(upper)
        upper.dropped = True
        self._set_targets()

    def rest(self, lane: LiveLane) -> None:
        self._resting.append(lane)

    def next_resting(self) -> LiveLane | None:
        """Returns a waiting lane that can go on, or None."""
        while self._resting:
            lane = self._resting.popleft()
            if lane.can_go_on:
                return lane
        return None

    def _with_floor(self, lane: LiveLane) -> LiveLane:
        lane.saved = replace(lane.saved, floor=self._depth.floor)
        return lane

    def _set_targets(self) -> None:
        """Sets each target to where the lane below began at a head, or lower if more is due."""
        below: LiveLane | None = None
        for lane in reversed(self._lanes):
            lane.target = self._plan.bound
            if below is not None and not below.is_made_up and below.saved.newest is not None:
                lane.target = below.saved.newest - self._depth.overlap_ms
                if below.due is not None:
                    lane.target = min(lane.target, below.due)
                # If `sync_since` has moved up, older records are no longer wanted.
                lane.target = max(lane.target, self._depth.floor)
            below = lane


def _top(lane: LiveLane) -> int:
    begins_at = lane.saved.begins_at
    return begins_at if begins_at is not None else lane.saved.newest or 0


def _spans_an_hour(lane: Lane) -> bool:
    return lane.oldest is not None and (lane.newest or 0) - lane.oldest > HOUR_MS
