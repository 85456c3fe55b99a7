"""Handles a lane whose next page failed: finds another cursor, or ends the walk with the error."""

from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.errors import CourierError, Limited
from courier_async.handover import Notice
from courier_async.reading.checks import Checks
from courier_async.reading.fetches import Fetches
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.reading.server_clock import ServerClock
from courier_async.state.position import Lane, Renewal

_MOST_RENEWALS: Final = 1_000


class Renewals:
    """Finds another cursor for the part that a lane still had to read, if one may help.

    error: the first failure that no other cursor can repair, if any.
    failed_lanes: made-up lanes that failed, until the server answers one of its own cursors. In an
        outage it answers none, and the lanes stay where they are.
    """

    def __init__(
        self,
        stream: Stream,
        lanes: LaneSet,
        *,
        probe: Probe,
        checks: Checks,
        fetches: Fetches,
        clock: ServerClock,
        is_rest: bool,
    ) -> None:
        self._stream = stream
        self._lanes = lanes
        self._probe = probe
        self._checks = checks
        self._fetches = fetches
        self._clock = clock
        self._is_rest = is_rest
        self._waiting_for_probe: list[tuple[LiveLane, CourierError]] = []
        # Lanes of earlier syncs that were dropped before this walk has read as far down.
        self._dropped: list[Lane] = []
        self._count = 0
        self.error: CourierError | None = None
        self.failed_lanes: list[LiveLane] = []

    def fail(self, lane: LiveLane, error: CourierError, *, may_renew: bool) -> list[Notice]:
        """Handles a failure and returns any notices. may_renew: another cursor might help."""
        if lane.is_made_up:
            upper = self._lanes.above(lane)
            if lane.is_saved_cursor and upper is not None and upper.ended:
                # There may be no further response to show whether this is an outage.
                return self._judge_end_above(upper, lane, error)
            lane.stuck = True
            self.failed_lanes.append(lane)
            return []
        may_renew = may_renew and not (isinstance(error, Limited) or self._is_rest)
        if not may_renew or not lane.may_renew(self._clock.start) or self._count >= _MOST_RENEWALS:
            # The lane stays where it is; every sync tries it again, and fails.
            lane.stuck = True
            self.error = self.error or error
            return []
        self._count += 1
        return self._renew(lane, error)

    def renew_waiting(self) -> list[Notice]:
        """Renews the lanes that waited for the probe, now that its response has arrived."""
        notices: list[Notice] = []
        for lane, error in self._waiting_for_probe:
            if not lane.dropped:
                notices += self._renew(lane, error)
        self._waiting_for_probe.clear()
        return notices

    def drop_replaced(self, lane: LiveLane) -> None:
        """Drops the lane that this one replaces: the head has answered, so its cursor was bad."""
        for replaced in lane.replaces:
            if replaced.stuck and not replaced.dropped:
                self.note_dropped(replaced.saved)
                self._lanes.drop([replaced])
        lane.replaces = []

    def note_dropped(self, *lanes: Lane) -> None:
        """Notes saved lanes that this walk drops, as they tell how far down the listing went."""
        self._dropped += [lane for lane in lanes if lane.begins_at is None and lane.newest]

    def restore_below(self, head: LiveLane) -> None:
        """Restores the dropped lanes that have read below the head's end, for a day at most."""
        now = self._clock.start
        # The last pages may be empty, or hold one record with an odd time.
        read = [head.lowest_ms, head.saved.oldest, head.place]
        lowest = min([time for time in read if time is not None and time >= 0], default=now)
        for saved in self._dropped:
            lane = LiveLane(saved, stuck=True)
            since = saved.contradicted_at
            is_recent = since is None or now - since < DAY_MS
            if is_recent and lowest > lane.place + head.aged_ms(saved.started_at, now):
                lane.saved = replace(saved, contradicted_at=min(since or now, now))
                self._lanes.insert(lane)
        self._dropped.clear()

    def _renew(self, lane: LiveLane, error: CourierError) -> list[Notice]:
        if self._stream.cursor_at is not None and lane.place >= 0:
            if self._probe.verdict is Verdict.ASKED or self._checks.start_probe():
                lane.stuck = True
                self._waiting_for_probe.append((lane, error))
                return []
            if self._probe.verdict is Verdict.HELD:
                # Records of the same hour may lie below the cursor that failed.
                lane.renew_at(self._stream.cursor_at(lane.place + HOUR_MS), now=self._clock.start)
                self._lanes.rest(lane)
                return []
        upper = self._lanes.above(lane)
        while upper is not None and (upper.is_saved_cursor or upper in self.failed_lanes):
            # Its own cursor may have expired too.
            upper = self._lanes.above(upper)
        # If a head that is awaited fails too, the lane below it must still be there.
        if upper is not None and not (upper.stuck or upper.done or upper.replaces):
            upper.saved = replace(upper.saved, renewed=Renewal(self._clock.start, lane.place))
            self.note_dropped(lane.saved)
            self._lanes.drop([lane])
        elif upper is not None and upper.ended:
            return self._judge_end_above(upper, lane, error)
        else:
            self._read_from_head(lane)
        return [self._notice(error)]

    def _judge_end_above(
        self, upper: LiveLane, lane: LiveLane, error: CourierError
    ) -> list[Notice]:
        """Decides whether to accept the end above a lane that can no longer show older records."""
        now, newest, since = self._clock.start, lane.saved.newest, lane.saved.contradicted_at
        shows_nothing = newest is None or upper.has_read_below(min(newest, lane.place))
        if shows_nothing or (since is not None and now - since >= DAY_MS):
            # The upper lane has read what this one had, or the end has not changed for a day.
            self._lanes.drop([lane])
            return []
        lane.stuck = True
        lane.saved = replace(lane.saved, contradicted_at=min(since or now, now))
        self.error = self.error or error
        notice = Notice(
            f"{self._stream.table}: the listing ends above records that an earlier sync read, and "
            f"Courier no longer accepts the cursor there ({error}). If it still ends there in a "
            "day, that is accepted as its end."
        )
        return [notice]

    def _read_from_head(self, lane: LiveLane) -> None:
        # Keep the lane until the head answers; if it does not, the cursor is not at fault.
        lane.stuck = True
        head = self._lanes.head
        if head.replaces:
            # The head is awaited already, and two at once could drop each other.
            head.replaces.append(lane)
            return
        start = self._clock.start
        renewed = Renewal(start, lane.place)
        head = LiveLane(Lane(started_at=start, renewed=renewed), opened=False, replaces=[lane])
        self._lanes.insert_head(head)
        self._fetches.start(head, None)

    def _notice(self, error: CourierError) -> Notice:
        return Notice(
            f"{self._stream.table}: Courier no longer accepts the saved cursor ({error}), so this "
            "part is read again, starting with the newest records. No data is lost."
        )
