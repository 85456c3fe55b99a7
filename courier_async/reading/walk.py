"""One walk of a stream: the one loop that decides what is read, and where the stream stands.

Requests are made by `Fetches`; their answers come here one after another, and here alone lanes
move. What an answer leads to is worked out without waiting, so no two answers mix.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Stream
from courier_async.counts import Counts
from courier_async.errors import BadAnswer, CourierError, KeyRefused, Limited
from courier_async.handover import Batch, Notice
from courier_async.reading import seams
from courier_async.reading.changes import Changes, Selected
from courier_async.reading.judge import JudgedPage, judge_page
from courier_async.reading.lane import Arrival, Asked, EndlessGuard, Fetches, LiveLane, Purpose
from courier_async.reading.lane_count import LaneCount
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.outcome import ended_state, with_given_up, with_unusable, without_seen
from courier_async.reading.probe import NO_LANES_MS, Probe, Verdict, is_end
from courier_async.state.plan import Depth, plan_walk
from courier_async.state.position import Lane, StreamState

log = logging.getLogger(__name__)

# Pages in a row below the bound that show that nothing above it is left.
_PAGES_BELOW: Final = 2
_MOST_WASTED_LANES: Final = 3
_LONGEST_TAIL: Final = 100

Output = Batch | Notice


class Walk:
    """Reads a stream from its head; or with `resumed` only on from where a lane stands.

    state: moves with what has been yielded, and so ahead of what is written.
    complete: it ran from the head to the end of the listing. seen: the keys of all records met,
    where they are wanted. unusable_to: the oldest time at which records could not be stored.
    """

    def __init__(
        self,
        stream: Stream,
        state: StreamState,
        *,
        depth: Depth,
        changes: Changes,
        fetches: Fetches,
        lane_count: LaneCount,
        per_second: Callable[[], float],
        counts: Counts,
        resumed: Lane | None = None,
        seen: set[Key] | None = None,
    ) -> None:
        self._stream = stream
        self.state = state
        self._depth = depth
        self._changes = changes
        self._fetches = fetches
        self._lane_count = lane_count
        self._per_second = per_second
        self._counts = counts
        self.seen = seen
        self.complete = False
        self.unusable_to: int | None = None
        self.clock = ServerClock()
        self._is_rest = resumed is not None
        presumed = stream.presumed_newest_first
        self._may_stop = not self._is_rest and (
            presumed if state.newest_first is None else state.newest_first
        )
        head = LiveLane(resumed or Lane(started_at=0), opened=self._is_rest)
        head.is_saved_cursor = self._is_rest
        self._lanes = LaneSet(head, depth)
        self._began = self._is_rest
        self._probe = Probe(stream)
        self._waiting_for_probe: list[tuple[LiveLane, CourierError]] = []
        # Nothing older was found below this time.
        self._bottom = seams.FIRST_MESSAGE_MS
        self._wasted_lanes = 0
        self._lanes_begun = 0
        self._records = 0
        self._error: CourierError | None = None
        self._over = False

    @property
    def head_answered(self) -> bool:
        """Whether the first page has come, so that the stream can be read at all."""
        return self._began

    async def batches(self) -> AsyncIterator[Output]:
        """Yields what each page brings. Raises CourierError once nothing more can be read."""
        self._fetch(self._lanes.head)
        while self._fetches.under_way and not self._over:
            arrival = await self._fetches.next()
            outputs = self._take(arrival)
            self._go_on()
            for output in outputs:
                yield output
        if self._error is not None:
            raise self._error
        if not self._over:
            # Never to be taken for a complete reading.
            raise RuntimeError(f"{self._stream.table}: its walk stopped before its end")

    # -- answers ----------------------------------------------------------------------------

    def _take(self, arrival: Arrival) -> list[Output]:
        """What one answer leads to."""
        lane, asked = arrival.lane, arrival.asked
        if isinstance(arrival.error, KeyRefused):
            raise arrival.error
        if asked is not None:
            self.clock.note(asked.server_ms)
        if arrival.purpose is Purpose.PROBE:
            return self._take_probe(asked)
        if lane.dropped:
            if asked is not None:
                asked.release()
            return []
        if asked is None:
            lane.done = lane.ended = False
            return self._fail(lane, arrival.error or BadAnswer("nothing was answered"))
        self._lane_count.answered(per_second=self._per_second(), seconds=asked.seconds)
        if not self._began:
            self._begin(lane)
        page = judge_page(self._stream, asked.page, now_ms=self.clock.now_ms)
        if arrival.purpose is Purpose.CONFIRM:
            if is_end(lane, page):
                asked.release()
                self._lanes.drop_below(lane)
                return self._end([]) if lane is self._lanes.head else []
            # The end was none: the lane goes on from here.
            lane.done = lane.ended = False
        return self._read(lane, asked, page)

    def _begin(self, head: LiveLane) -> None:
        """The head has answered: now the server's time, and so the plan, is known."""
        self._began = True
        self._probe.begin(self.state, self.clock.start)
        head.saved = replace(head.saved, started_at=self.clock.start)
        if self._may_stop:
            self._lanes.begin(plan_walk(self.state, self.clock.start, self._depth))

    def _read(self, lane: LiveLane, asked: Asked, page: JudgedPage) -> list[Output]:
        """One page of a lane: what must be sent of it, and where the lane stands then."""
        if page.unusable and not lane.asked_again:
            lane.asked_again = True
            asked.release()
            self._fetch(lane)
            return []
        lane.asked_again = False
        if lane.is_made_up and not lane.opened and not self._is_as_asked(lane, page):
            asked.release()
            return [Batch(stream=self._stream, state=self._saved())]
        if page.unusable:
            self._note_unusable(page)
        selected = self._select(page)
        batch = Batch(
            stream=self._stream,
            rows=selected.rows,
            entries=selected.entries,
            due=selected.due,
            release=asked.release,
        )
        trouble = asked.page.trouble or _no_usable(page) or lane.guard.trouble(page)
        if trouble is not None:
            # The rows are good; only the way on is not, so the position stays where it was.
            return [batch, *self._fail(lane, trouble)]
        if lane is self._lanes.head and not lane.is_saved_cursor:
            self._probe.add(page)
            self._drop_replaced(lane)
        self._move(lane, page)
        self._place(lane, page, selected)
        if self._lanes.head.done:
            return self._end([batch])
        batch.state = self._saved()
        self._show_progress()
        self._lanes.rest(lane)
        return [batch]

    def _select(self, page: JudgedPage) -> Selected:
        self._records += len(page.records)
        self._counts.read += len(page.records) + page.unusable
        if self.seen is not None:
            self.seen.update(page.keys)
        if self.state.missing:
            self.state = without_seen(self.state, page.keys)
        selected = self._changes.select(page, self.state, self.clock.now_ms)
        self._counts.unchanged += selected.unchanged
        return selected

    def _note_unusable(self, page: JudgedPage) -> None:
        self._counts.unusable += page.unusable
        time = self.clock.start if page.oldest is None else page.oldest
        self.unusable_to = time if self.unusable_to is None else min(time, self.unusable_to)
        self.state = with_unusable(self.state, time, self.clock.start)

    def _move(self, lane: LiveLane, page: JudgedPage) -> None:
        """What is known of the lane behind the page, but for the cursor."""
        lane.order.add(page.median)
        lane.note_density(page)
        lane.tail = [*lane.tail, *page.names][-_LONGEST_TAIL:]
        if not lane.opened:
            lane.opened = True
            self._lanes.unopened -= lane.is_made_up
        saved = lane.saved
        newest, oldest = saved.newest, saved.oldest
        if page.newest is not None and page.oldest is not None:
            newest = page.newest if newest is None else max(newest, page.newest)
            oldest = page.oldest if oldest is None else min(oldest, page.oldest)
        first = saved.first
        if lane.is_made_up and len(first) < seams.SEAM_RECORDS:
            first = seams.first_names(page, first)
        lane.saved = replace(
            saved,
            newest=newest,
            oldest=oldest,
            pages=lane.order.pages,
            in_order=lane.order.in_order,
            first=first,
        )

    def _place(self, lane: LiveLane, page: JudgedPage, selected: Selected) -> None:
        """Whether the lane has come to its end, to its target, or to the lane below it."""
        lower = self._lanes.below(lane)
        if page.next_cursor is None:
            lane.done = lane.ended = True
            lane.reached = self._depth.floor
            # The lane from the head is asked for below its end in any case (_end).
            if lane is not self._lanes.head and not self._asks_below(lane, lower):
                self._lanes.drop_below(lane)
            return
        if self._is_below_target(lane, page, selected):
            lane.done, lane.reached = True, lane.target
            if lower is not None and not lower.is_made_up:
                self._lanes.merge(lane, lower)
            else:
                self._lanes.drop_below(lane)
            return
        lane.saved = replace(lane.saved, cursor=page.next_cursor)
        lane.is_saved_cursor = False
        if lower is not None and lower.is_made_up:
            self._meet(lane, lower, page)
        if lane.order.is_hopeless:
            self._give_up_order()

    def _asks_below(self, lane: LiveLane, lower: LiveLane | None) -> bool:
        """Whether an end is confirmed at once, since the lane below it says that it is none."""
        if lower is None or not lower.opened or self._probe.verdict is not Verdict.HELD:
            return False
        cursor = self._probe.below(lane)
        if cursor is not None:
            self._fetches.start(lane, cursor, purpose=Purpose.CONFIRM)
        return cursor is not None

    def _is_below_target(self, lane: LiveLane, page: JudgedPage, selected: Selected) -> bool:
        """Whether two pages in a row show that nothing above the lane's target is left."""
        if not self._may_stop or not lane.target or not page.records:
            return False
        if selected.shows_news or not page.is_below(lane.target):
            lane.pages_below, lane.known_below = 0, False
            return False
        lane.pages_below += 1
        lane.known_below = lane.known_below or selected.holds_known
        if lane.pages_below < _PAGES_BELOW or not lane.order.is_newest_first:
            return False
        messages = self._changes.messages
        if (
            messages is not None
            and lane.target > self._depth.floor
            and messages.is_above_given_up(lane.target)
            and not lane.known_below
        ):
            return False
        newest = self._lanes.head.saved.newest
        is_learned = self.state.newest_first is not None
        return is_learned or (newest is not None and newest >= lane.target)

    def _meet(self, lane: LiveLane, lower: LiveLane, page: JudgedPage) -> None:
        """Whether the lane has come to the first records of the one below it, or past them."""
        if lower.opened:
            lane.seam_met = seams.follow(lane, lower, page)
        if lane.seam_met == seams.SEAM_RECORDS:
            self._lanes.merge(lane, lower)
        elif seams.has_passed(lane, lower, page):
            # What it has read is read over.
            self._wasted_lanes += lower.opened
            self._lanes.drop([lower])
            # One in ten may be passed while its first page is still on its way.
            if self._wasted_lanes >= max(_MOST_WASTED_LANES, self._lanes_begun // 10):
                self._refuse_lanes("answers made-up cursors from elsewhere")

    def _is_as_asked(self, lane: LiveLane, page: JudgedPage) -> bool:
        """Whether a made-up cursor was answered from where it points; else lanes are no use."""
        begins_at = lane.saved.begins_at or 0
        if page.newest is not None and page.newest > begins_at:
            self._refuse_lanes("answers a made-up cursor with newer records")
            return False
        if not page.records and page.next_cursor is None:
            # Nothing is older: only a hint for where to look next.
            self._bottom = max(self._bottom, begins_at)
            self._lanes.drop([lane])
            return False
        return True

    def _refuse_lanes(self, why: str) -> None:
        """One lane reads on alone; remembered, so that the next syncs do not try."""
        if self._probe.verdict is not Verdict.REFUSED:
            log.info(
                "%s: Courier %s, so its pages are read one after another for a week.",
                self._stream.table,
                why,
            )
        self._probe.verdict = Verdict.REFUSED
        self.state = replace(self.state, no_lanes_until=self.clock.start + NO_LANES_MS)
        self._lanes.drop_made_up()

    def _give_up_order(self) -> None:
        """The stream is not newest first after all: one lane reads all of it."""
        if self._may_stop:
            log.info(
                "%s: its pages do not come newest first, so all of them are read.",
                self._stream.table,
            )
        self._may_stop = False
        self._lanes.drop_below(self._lanes.head)

    # -- failures ---------------------------------------------------------------------------

    def _fail(self, lane: LiveLane, error: CourierError) -> list[Output]:
        """What a request that failed for good means to its lane."""
        if not self._began:
            raise error
        if lane.is_made_up:
            self._lanes.drop([lane])
            self._refuse_lanes("refuses made-up cursors")
            return [Batch(stream=self._stream, state=self._saved())]
        if isinstance(error, Limited) or not self._may_renew(lane):
            # The lane stays where it is; every sync tries it again, and fails.
            lane.stuck = True
            self._error = self._error or error
            return []
        return self._renew(lane, error)

    def _may_renew(self, lane: LiveLane) -> bool:
        """Whether the cursor may be at fault; a place that fails again is at fault itself."""
        saved = lane.saved
        if self._is_rest or saved.cursor is None:
            return False
        if lane.is_saved_cursor:
            return saved.renewed_at is None or self.clock.start - saved.renewed_at >= DAY_MS
        if lane.renewed_from is None:
            return True
        return saved.oldest is not None and saved.oldest < lane.renewed_from

    def _renew(self, lane: LiveLane, error: CourierError) -> list[Output]:
        """The part of a lane whose cursor failed is read on by another cursor."""
        if self._stream.cursor_at is not None and lane.saved.oldest is not None:
            if self._probe.verdict is Verdict.ASKED or self._start_probe():
                lane.stuck = True
                self._waiting_for_probe.append((lane, error))
                return []
            if self._probe.verdict is Verdict.HELD:
                self._renew_in_place(lane, lane.saved.oldest)
                return []
        upper = self._lanes.above(lane)
        if upper is not None and not (upper.stuck or upper.done):
            upper.saved = replace(upper.saved, renewed_at=self.clock.start)
            upper.renewed_from = _place_of(lane)
            self._lanes.drop([lane])
            return [self._notice(error), Batch(stream=self._stream, state=self._saved())]
        # Kept until the head has answered: where it does not, the fault is not the cursor's.
        lane.stuck = True
        head = LiveLane(
            Lane(started_at=self.clock.start, renewed_at=self.clock.start), opened=False
        )
        head.renewed_from = _place_of(lane)
        self._lanes.insert_head(head)
        self._fetch(head)
        return [self._notice(error)]

    def _notice(self, error: CourierError) -> Notice:
        return Notice(
            f"{self._stream.table}: Courier no longer accepts the cursor at which the reading was "
            f"to go on ({error}), so that part is read again from the newest records. Nothing is "
            "lost."
        )

    def _renew_in_place(self, lane: LiveLane, oldest: int) -> None:
        """A cursor made up for the lane's own place, where this walk's probe has held."""
        if self._stream.cursor_at is None:
            return
        lane.renewed_from = oldest
        lane.stuck = lane.is_saved_cursor = False
        lane.guard = EndlessGuard()
        # Records of the same hour may stand behind the cursor that failed.
        cursor = self._stream.cursor_at(oldest + HOUR_MS)
        lane.saved = replace(lane.saved, cursor=cursor, renewed_at=self.clock.start)
        self._lanes.rest(lane)

    def _drop_replaced(self, head: LiveLane) -> None:
        """The head has answered, so the lane that it replaces had a bad cursor."""
        if head.renewed_from is None or head.opened:
            return
        lane = self._lanes.below(head)
        if lane is not None and lane.stuck and not lane.is_made_up:
            self._lanes.drop([lane])

    # -- probe and end ----------------------------------------------------------------------

    def _start_probe(self) -> bool:
        cursor = self._probe.ask()
        if cursor is not None:
            self._fetches.start(self._lanes.head, cursor, purpose=Purpose.PROBE)
        return cursor is not None

    def _take_probe(self, asked: Asked | None) -> list[Output]:
        page = None
        if asked is not None:
            page = judge_page(self._stream, asked.page, now_ms=self.clock.now_ms)
            asked.release()
        self._probe.take(page)
        if self._probe.verdict is Verdict.UNTRIED and self._start_probe():
            return []
        if self._probe.verdict is Verdict.REFUSED:
            self._refuse_lanes("does not take made-up cursors")
        outputs: list[Output] = []
        for lane, error in self._waiting_for_probe:
            if not lane.dropped:
                lane.stuck = False
                outputs += self._renew(lane, error)
        self._waiting_for_probe.clear()
        if self._lanes.head.done and not self._over:
            outputs += self._end([])
        return outputs

    def _end(self, outputs: list[Output]) -> list[Output]:
        """The lane from the head has come to its end or bound; an end is confirmed first."""
        head = self._lanes.head
        if head.ended and self._awaits_confirmation(head):
            return outputs
        self._lanes.drop_below(head)
        self._over = True
        self.complete = head.ended and not self._is_rest
        state = self._saved()
        if self._is_rest:
            state = replace(state, lanes=())
        else:
            state = ended_state(
                self._stream,
                state,
                head,
                start=min(head.saved.started_at, self.clock.start),
                depth=self._depth,
                records=self._records,
                unusable_to=self.unusable_to,
            )
        self.state = state
        last = outputs[-1] if outputs else None
        if not isinstance(last, Batch):
            last = Batch(stream=self._stream)
            outputs = [*outputs, last]
        last.state, last.ends_walk = state, True
        return outputs

    def _awaits_confirmation(self, head: LiveLane) -> bool:
        """Whether something is asked first: the probe, or what lies below the last record."""
        cursor = self._probe.confirmation(head)
        if cursor is None:
            return False
        if self._probe.verdict is Verdict.HELD:
            self._fetches.start(head, cursor, purpose=Purpose.CONFIRM)
            return True
        return self._probe.verdict is Verdict.ASKED or self._start_probe()

    # -- going on ---------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Asks for what may be asked for now: the head's next page, resting lanes, new lanes."""
        if self._over or not self._began:
            return
        head = self._lanes.head
        if head.can_go_on and head.saved.cursor is not None:
            self._fetch(head)
        while self._has_room():
            lane = self._lanes.next_resting()
            if lane is None:
                break
            self._fetch(lane)
        if self._has_room() and self._lanes_may_open():
            self._open_lanes()

    def _has_room(self) -> bool:
        return self._fetches.under_way < self._lane_count.wanted

    def _lanes_may_open(self) -> bool:
        return (
            self._may_stop
            and self._lane_count.wanted > 1
            and self._probe.verdict is not Verdict.REFUSED
            and self._lanes.head.order.is_newest_first
        )

    def _open_lanes(self) -> None:
        """Gives lanes the widest gaps; at most twice as many at once as have been of use."""
        lanes = self._lanes
        bottom = max(self._bottom, lanes.bound)
        while self._has_room():
            if lanes.unopened >= max(2 * (len(lanes) - lanes.unopened), seams.SCATTERED):
                return
            worthwhile = seams.worthwhile_pages(self._counts.pages, self._lanes_begun)
            gap = seams.widest_gap(lanes, bottom, worthwhile)
            if gap is None:
                return
            if self._probe.verdict is not Verdict.HELD:
                self._start_probe()
                return
            newest = lanes.head.saved.newest or gap.top
            for begins_at in seams.places(gap, newest):
                self._open_lane(begins_at)

    def _open_lane(self, begins_at: int) -> None:
        if self._stream.cursor_at is None:
            return
        cursor = self._stream.cursor_at(begins_at)
        lane = LiveLane(
            Lane(started_at=self.clock.start, cursor=cursor, begins_at=begins_at), opened=False
        )
        self._lanes.insert(lane, begins_at)
        self._lanes_begun += 1
        self._fetch(lane)

    def _fetch(self, lane: LiveLane) -> None:
        self._fetches.start(lane, lane.saved.cursor, yields=lane is not self._lanes.head)

    def _saved(self) -> StreamState:
        """The state with the lanes as they stand now, and what dropped lanes have read."""
        for reading in self._lanes.given_up:
            self.state = with_given_up(self.state, reading, self._depth)
        self._lanes.given_up.clear()
        self.state = replace(self.state, lanes=self._lanes.saved())
        return self.state

    def _show_progress(self) -> None:
        head, counts = self._lanes.head.saved, self._counts
        counts.reached_ms, counts.newest_ms = head.oldest, head.newest
        counts.bound_ms = self._lanes.bound or None
        counts.lanes = len(self._lanes) - 1


class ServerClock:
    """The server's time at a walk's start: the smallest that any of its answers tells."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self.start = 0
        self.now_ms = 0

    def note(self, server_ms: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._first_at is None:
            self._first_at, self.start = now, server_ms
        self.start = min(self.start, server_ms - int((now - self._first_at) * 1000))
        self.now_ms = max(self.now_ms, server_ms)


def _place_of(lane: LiveLane) -> int:
    return -1 if lane.saved.oldest is None else lane.saved.oldest


def _no_usable(page: JudgedPage) -> BadAnswer | None:
    if page.records or not page.unusable:
        return None
    return BadAnswer(f"none of the {page.unusable} records of a page can be stored")
