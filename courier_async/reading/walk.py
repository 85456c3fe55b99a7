"""One walk of a stream: the one loop that decides what is read, and where the stream stands.

Requests are made by `Fetches`; their answers come here one after another, and here alone lanes
move. What an answer leads to is worked out without waiting, so no two answers mix.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import HOUR_MS, Key, Stream
from courier_async.counts import Counts
from courier_async.errors import BadAnswer, CourierError, KeyRefused, Limited, Refused
from courier_async.handover import Batch, Notice
from courier_async.reading import seams
from courier_async.reading.changes import Changes, Selected
from courier_async.reading.course import Course
from courier_async.reading.judge import JudgedPage, judge_page, no_usable
from courier_async.reading.lane import Arrival, Asked, Fetches, LiveLane, Purpose
from courier_async.reading.lane_count import LaneCount
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.outcome import ended_state, with_given_up, without_seen
from courier_async.reading.probe import NO_LANES_MS, Probe, Verdict, is_end
from courier_async.reading.server_clock import ServerClock
from courier_async.reading.unusable import UnusableRecords
from courier_async.state.plan import Depth, plan_walk, trusted
from courier_async.state.position import Lane, Reading, StreamState

# So many cursors may fail in one walk; the next one continues where it stands then.
_MOST_RENEWALS: Final = 1_000
# After a look for gaps that found none, the next comes a page later for each so many lanes.
_LANES_A_LOOK: Final = 8

Output = Batch | Notice


class Walk:
    """Reads a stream from its head; or with `resumed` only on from where a lane stands.

    state: moves with what has been yielded, and so ahead of what is written.
    complete: it ran from the head to the end of the listing. seen: the keys of all records met,
    where they are wanted. unusable: the records met that cannot be stored.
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
        self.unusable = UnusableRecords(stream, state.unusable)
        self.clock = ServerClock()
        self._is_rest = resumed is not None
        head = LiveLane(resumed or Lane(started_at=0), opened=self._is_rest)
        head.is_saved_cursor = self._is_rest
        self._lanes = LaneSet(head, depth)
        self._began = self._is_rest
        # The clock's, and so one for all lanes of this walk.
        self._started_at = 0
        self._probe = Probe(stream)
        is_learned = state.newest_first is not None
        presumed = state.newest_first if is_learned else stream.presumed_newest_first
        self._course = Course(
            stream,
            self._lanes,
            self._probe,
            depth=depth,
            recent=changes.recent,
            may_stop=bool(presumed) and not self._is_rest,
            is_learned=is_learned,
        )
        self._waiting_for_probe: list[tuple[LiveLane, CourierError]] = []
        # Made-up ones, until a cursor of the server's own is answered: in an outage none is, and
        # the lanes stay where they are.
        self._failed_lanes: list[LiveLane] = []
        self._pages = 0
        self._records = 0
        self._renewals = 0
        # The count of pages from which on gaps between lanes are looked for once more.
        self._looks_again_at = 0
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
            self.clock.note(asked.server_ms, arrival.answered_at)
            if self.clock.start < self._started_at:
                self._started_at = self.clock.start
                self._lanes.started_by(self._started_at)
        if arrival.purpose is Purpose.PROBE:
            return self._take_probe(asked)
        below = None
        if arrival.purpose is Purpose.CONFIRM:
            below, lane.confirming = lane.confirming, None
        if lane.dropped:
            if asked is not None:
                asked.release()
            return []
        if asked is None:
            # A refusal, or a failure where lanes fail too, says nothing against the end that the
            # server's own cursors came to; what a lane has read below it does.
            is_mute = isinstance(arrival.error, Refused) or self._course.lanes_refused
            if below is not None and is_mute and not self._lanes.have_shown_more(lane):
                return self._confirmed(lane)
            lane.done = lane.ended = False
            return self._fail(lane, arrival.error or BadAnswer("nothing was answered"))
        if self._failed_lanes and not lane.is_made_up:
            self._course.give_up_failed(self._failed_lanes)
            self._failed_lanes.clear()
        self._lane_count.answered(per_second=self._per_second(), seconds=asked.seconds)
        if not self._began:
            self._begin(lane)
        page = judge_page(self._stream, asked.page, now_ms=self.clock.now_ms)
        if below is not None:
            return self._take_confirmation(lane, below, asked, page)
        return self._read(lane, asked, page)

    def _begin(self, head: LiveLane) -> None:
        """The head has answered: now the server's time, and so the plan, is known."""
        self._began = True
        self._started_at = self.clock.start
        self.state = trusted(self.state, self._started_at)
        self._probe.begin(self.state, self._started_at)
        head.saved = replace(head.saved, started_at=self._started_at)
        if self._course.may_stop:
            self._lanes.begin(plan_walk(self.state, self.clock.start, self._depth))

    def _read(self, lane: LiveLane, asked: Asked, page: JudgedPage) -> list[Output]:
        """One page of a lane: what must be sent of it, and where the lane stands then."""
        if page.unusable and not lane.asked_again:
            lane.asked_again = True
            asked.release()
            self._fetch(lane)
            return []
        lane.asked_again = False
        if lane.is_made_up and not lane.opened and not self._course.is_of_use(lane, page):
            asked.release()
            return [Batch(stream=self._stream, state=self._saved())]
        self._counts.unusable += page.unusable
        if self.unusable.concern(lane, page):
            self.state = self.unusable.note(lane, page, self.state, self.clock.start)
        selected = self._select(page)
        batch = Batch(
            stream=self._stream,
            rows=selected.rows,
            entries=selected.entries,
            due=selected.due,
            release=asked.release,
        )
        trouble = asked.page.trouble or no_usable(page) or lane.guard.trouble(page)
        if trouble is not None:
            # The rows are good; only the way on is not, so the position stays where it was.
            return [batch, *self._fail(lane, trouble, may_renew=not lane.guard.is_stale)]
        if lane is self._lanes.head and not lane.is_saved_cursor:
            self._probe.add(lane, page)
        self._drop_replaced(lane)
        self._course.move(lane, page)
        self._course.place(lane, page, selected)
        # Of the lane from the head, what lies below is asked for in any case.
        if lane.ended and lane is not self._lanes.head and not self._asks_below(lane):
            self._lanes.drop_below(lane)
        if self._lanes.head.done:
            outputs = self._end([batch])
            if self._over:
                return outputs
        batch.state = self._saved()
        self._show_progress()
        self._lanes.rest(lane)
        return [batch]

    def _select(self, page: JudgedPage) -> Selected:
        self._pages += 1
        self._records += len(page.records)
        self._counts.read += len(page.records) + page.unusable
        if self.seen is not None:
            self.seen.update(page.keys)
        if self.state.missing:
            self.state = without_seen(self.state, page.keys)
        selected = self._changes.select(page, self.state, self.clock.now_ms)
        self._counts.unchanged += selected.unchanged
        return selected

    # -- failures ---------------------------------------------------------------------------

    def _fail(
        self, lane: LiveLane, error: CourierError, *, may_renew: bool = True
    ) -> list[Output]:
        """What a failure means to its lane. may_renew: another cursor might help."""
        if not self._began:
            raise error
        if lane.is_made_up:
            lane.stuck = True
            self._failed_lanes.append(lane)
            return []
        may_renew = may_renew and not (isinstance(error, Limited) or self._is_rest)
        if not may_renew or not lane.may_renew(self.clock.start):
            # The lane stays where it is; every sync tries it again, and fails.
            lane.stuck = True
            self._error = self._error or error
            return []
        self._renewals += 1
        if self._renewals > _MOST_RENEWALS:
            return self._fail(lane, error, may_renew=False)
        return self._renew(lane, error)

    def _renew(self, lane: LiveLane, error: CourierError) -> list[Output]:
        """The part of a lane whose cursor failed is read on by another cursor."""
        if self._stream.cursor_at is not None and lane.place >= 0:
            if self._probe.verdict is Verdict.ASKED or self._start_probe():
                lane.stuck = True
                self._waiting_for_probe.append((lane, error))
                return []
            if self._probe.verdict is Verdict.HELD:
                # Records of the same hour may stand behind the cursor that failed.
                cursor = self._stream.cursor_at(lane.place + HOUR_MS)
                lane.renew_at(cursor, now=self.clock.start)
                self._lanes.rest(lane)
                return []
        upper = self._lanes.above(lane)
        while upper is not None and (upper.is_saved_cursor or upper in self._failed_lanes):
            # Its own cursor may have had its day as well.
            upper = self._lanes.above(upper)
        if upper is not None and not (upper.stuck or upper.done):
            upper.saved = replace(upper.saved, renewed_at=self.clock.start)
            upper.renewed_from = lane.place
            self._lanes.drop([lane])
            return [self._notice(error), Batch(stream=self._stream, state=self._saved())]
        # Kept until the head has answered: where it does not, the fault is not the cursor's.
        lane.stuck = True
        head = LiveLane(
            Lane(started_at=self._started_at, renewed_at=self.clock.start), opened=False
        )
        head.renewed_from, head.replaces = lane.place, lane
        self._lanes.insert_head(head)
        self._fetch(head)
        return [self._notice(error)]

    def _notice(self, error: CourierError) -> Notice:
        return Notice(
            f"{self._stream.table}: Courier no longer accepts the cursor at which the reading was "
            f"to go on ({error}), so that part is read again from the newest records. Nothing is "
            "lost."
        )

    def _drop_replaced(self, lane: LiveLane) -> None:
        """A lane from the head has answered, so the lane that it replaces had a bad cursor."""
        replaced, lane.replaces = lane.replaces, None
        if replaced is not None and replaced.stuck and not replaced.dropped:
            self._lanes.drop([replaced])

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
            self._course.refuse_lanes("does not take made-up cursors")
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
        self.state = self.unusable.bounded(self.state)
        before, state = self.state, self._saved()
        if self._is_rest:
            state = replace(state, lanes=())
        elif self._stream.time_field and not self._records and _had_rows(before):
            # An empty listing of what had rows proves nothing.
            state = before
        else:
            state = ended_state(
                self._stream,
                state,
                head,
                start=min(head.saved.started_at, self.clock.start),
                depth=self._depth,
                records=self._records,
                unusable_to=self.unusable.oldest,
                is_resumed=head.saved.started_at < self._started_at,
            )
        is_told = self.state.timeless
        self.state = state
        last = outputs[-1] if outputs else None
        if not isinstance(last, Batch):
            last = Batch(stream=self._stream)
            outputs = [*outputs, last]
        last.state, last.ends_walk = state, True
        if state.timeless and not is_told:
            outputs = [*outputs, self._notice_timeless()]
        return outputs

    def _notice_timeless(self) -> Notice:
        return Notice(
            f"{self._stream.table}: no record has a time in {self._stream.time_field!r} that can "
            "be read, so every sync reads and sends all of them. Look for a newer version of this "
            "connector; if there is none, report it."
        )

    def _awaits_confirmation(self, head: LiveLane) -> bool:
        """Whether something is asked first: the probe, or what lies below the last record."""
        if head.confirming is not None:
            return True
        cursor = self._probe.confirmation(head)
        if cursor is None:
            return False
        if self._probe.verdict is Verdict.HELD:
            self._confirm(head, cursor)
            return True
        return self._probe.verdict is Verdict.ASKED or self._start_probe()

    def _asks_below(self, lane: LiveLane) -> bool:
        """Whether an end is confirmed at once, since lanes below it say that it is none."""
        if self._lanes.below(lane) is None or self._probe.verdict is not Verdict.HELD:
            return False
        cursor = self._probe.below(lane)
        if cursor is not None:
            self._confirm(lane, cursor)
        return cursor is not None

    def _take_confirmation(
        self, lane: LiveLane, below: str, asked: Asked, page: JudgedPage
    ) -> list[Output]:
        """What lies below the end that a lane has come to: nothing, or where it goes on."""
        if page.unusable and not lane.asked_again:
            lane.asked_again = True
            asked.release()
            self._confirm(lane, below)
            return []
        if asked.page.trouble is None and is_end(lane, page):
            asked.release()
            if page.unusable:
                # It may be a record that the lane has not met, so it is looked for again.
                self.state = self.unusable.note(lane, page, self.state, self.clock.start)
            return self._confirmed(lane)
        # The end was none: the lane goes on from there, where it may have to ask again.
        lane.done = lane.ended = False
        if lane.is_asked_twice:
            # Going on here would skip unread records that have the same time as its last one.
            asked.release()
            trouble = BadAnswer(
                "the listing ends among records of one time, but older ones follow"
            )
            return self._fail(lane, trouble, may_renew=False)
        lane.saved = replace(lane.saved, cursor=below)
        lane.guard.go_on_elsewhere()
        return self._read(lane, asked, page)

    def _confirmed(self, lane: LiveLane) -> list[Output]:
        lane.is_confirmed = True
        self._lanes.drop_below(lane)
        return self._end([]) if lane is self._lanes.head else []

    def _confirm(self, lane: LiveLane, cursor: str) -> None:
        lane.confirming = cursor
        self._fetches.start(lane, cursor, purpose=Purpose.CONFIRM)

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
            self._course.may_stop
            and self._lane_count.wanted > 1
            and not self._course.lanes_refused
            and self._pages >= self._looks_again_at
            and self._probe.verdict is not Verdict.REFUSED
            and self._lanes.head.order.is_newest_first
        )

    def _open_lanes(self) -> None:
        """Gives lanes the widest gaps; at most twice as many at once as have been of use."""
        lanes = self._lanes
        bottom = max(self._course.bottom, lanes.bound)
        while self._has_room():
            if lanes.unopened >= max(2 * (len(lanes) - lanes.unopened), seams.SCATTERED):
                return
            worthwhile = seams.worthwhile_pages(self._pages, self._course.lanes_begun)
            gap = seams.widest_gap(lanes, bottom, worthwhile)
            if gap is None:
                # A look goes through all lanes, so the more there are, the rarer it comes.
                self._looks_again_at = self._pages + len(lanes) // _LANES_A_LOOK
                return
            if self._probe.verdict is not Verdict.HELD:
                self._start_probe()
                return
            newest = lanes.head.saved.newest or gap.top
            for begins_at in seams.places(gap, newest):
                if self._has_room():
                    self._open_lane(begins_at)

    def _open_lane(self, begins_at: int) -> None:
        if self._stream.cursor_at is None:
            return
        saved = Lane(
            started_at=self._started_at,
            cursor=self._stream.cursor_at(begins_at),
            begins_at=begins_at,
        )
        lane = LiveLane(saved, opened=False)
        self._lanes.insert(lane, begins_at)
        self._course.lanes_begun += 1
        self._fetch(lane)

    def _fetch(self, lane: LiveLane) -> None:
        self._fetches.start(lane, lane.saved.cursor, yields=lane is not self._lanes.head)

    def _saved(self) -> StreamState:
        """The state with the lanes as they stand now, and what dropped lanes have read."""
        for began, reached in self._lanes.given_up:
            reading = Reading(min(began, self.clock.start), reached)
            self.state = with_given_up(self.state, reading, self._depth)
        self._lanes.given_up.clear()
        if self._course.lanes_refused:
            until = self.clock.start + NO_LANES_MS
            self.state = replace(self.state, no_lanes_until=until)
        self.state = replace(self.state, lanes=self._lanes.saved())
        return self.state

    def _show_progress(self) -> None:
        head, counts = self._lanes.head.saved, self._counts
        counts.reached_ms, counts.newest_ms = self._lanes.head.end_ms, head.newest
        counts.bound_ms = self._lanes.bound or None
        counts.lanes = len(self._lanes) - 1


def _had_rows(state: StreamState) -> bool:
    return state.watermark is not None or bool(state.lanes)
