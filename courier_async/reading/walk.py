"""One walk of a stream: the single loop that decides what to read and where the stream stands.

`Fetches` makes the requests. The walk takes their answers one at a time, and only the walk moves
lanes. It never awaits while it processes an answer, so no two answers interleave.
"""

from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from courier_async.catalog.stream import Key, Stream
from courier_async.counts import Counts
from courier_async.errors import BadAnswer, CourierError, KeyRefused, Refused
from courier_async.handover import Batch, Notice
from courier_async.reading.changes import Changes, Selected
from courier_async.reading.checks import Checks
from courier_async.reading.course import Course
from courier_async.reading.ends import brings_older, dated_back, ends_too_soon, is_end
from courier_async.reading.fetches import Arrival, Asked, Fetches, Purpose
from courier_async.reading.judge import JudgedPage, judge_page, no_usable
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_count import LaneCount
from courier_async.reading.lane_opener import LaneOpener
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.outcome import ended_state, with_given_up, with_missed, without_seen
from courier_async.reading.probe import NO_LANES_MS, Probe, Verdict
from courier_async.reading.renewals import Renewals
from courier_async.reading.server_clock import ServerClock
from courier_async.reading.unusable import UnusableRecords
from courier_async.state.plan import Depth, earliest, plan_walk, trusted
from courier_async.state.position import Lane, Reading, StreamState

Output = Batch | Notice


class Walk:
    """Reads a stream from its head or, with `resumed`, only onward from where a lane stands.

    state: includes everything yielded so far, so it is ahead of what has been written.
    complete: the walk ran from the head to the end of the listing. seen: the keys of all records
    met, or None. unusable: those without a key.
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
        head.is_saved_cursor = head.is_resumed = self._is_rest
        head.order.resume(head.saved.pages, head.saved.in_order, tells=self._is_rest)
        self._lanes = LaneSet(head, depth)
        self._began = self._is_rest
        self._probe = Probe(stream)
        is_learned = state.newest_first is not None
        presumed = state.newest_first if is_learned else stream.presumed_newest_first
        self._course = Course(
            stream,
            self._lanes,
            self._probe,
            depth=depth,
            recent=changes.recent,
            watermark=state.watermark,
            may_stop=bool(presumed) and not self._is_rest,
            is_learned=is_learned,
        )
        self._checks = Checks(self._lanes, self._probe, fetches)
        self._renewals = Renewals(
            stream,
            self._lanes,
            probe=self._probe,
            checks=self._checks,
            fetches=fetches,
            clock=self.clock,
            is_rest=self._is_rest,
        )
        self._opener = LaneOpener(
            stream,
            self._lanes,
            course=self._course,
            probe=self._probe,
            checks=self._checks,
            fetches=fetches,
            clock=self.clock,
            has_room=self._has_room,
        )
        self._pages = 0
        self._records = 0
        self._dated_back: set[bytes] = set()
        self._children_missed: int | None = None
        self._over = False

    @property
    def head_answered(self) -> bool:
        """Whether the first page has arrived."""
        return self._began

    async def batches(self) -> AsyncIterator[Output]:
        """Yields the output of each page. Raises CourierError if a part could not be read."""
        self._fetch(self._lanes.head)
        while self._fetches.under_way and not self._over:
            outputs = self._take(await self._fetches.next())
            self._go_on()
            if self._lanes.head.done and not (self._over or self._fetches.under_way):
                # The lane for which the end waited has failed.
                outputs = self._end(outputs)
            while outputs:
                # Keeps no page whose memory is given back.
                yield outputs.pop(0)
        if self._renewals.error is not None:
            raise self._renewals.error
        if not self._over:
            raise RuntimeError(f"{self._stream.table}: the walk stopped before it was complete")

    def _take(self, arrival: Arrival) -> list[Output]:
        lane, answer = arrival.lane, arrival.answer
        if isinstance(answer, KeyRefused):
            raise answer
        if isinstance(answer, Asked):
            self._note_time(answer, arrival.answered_at)
        if arrival.purpose is Purpose.PROBE:
            return self._take_probe(answer)
        below = None
        if arrival.purpose is Purpose.CONFIRM:
            below, lane.confirming = lane.confirming, None
        if lane.dropped:
            if isinstance(answer, Asked):
                answer.release()
            return []
        if isinstance(answer, CourierError):
            outputs = self._take_failure(lane, answer, below)
            return self._end(outputs) if self._lanes.head.done and not self._over else outputs
        if not lane.is_made_up:
            self._course.give_up_failed(self._renewals.failed_lanes)
            self._renewals.failed_lanes.clear()
        self._lane_count.answered(per_second=self._per_second(), seconds=answer.seconds)
        if not self._began:
            self._begin(lane)
        page = judge_page(self._stream, answer.page, now_ms=self.clock.now_ms)
        if below is not None:
            return self._take_confirmation(lane, below, answer, page)
        return self._read(lane, answer, page)

    def _note_time(self, asked: Asked, answered_at: float) -> None:
        start = self.clock.start
        self.clock.note(asked.server_ms, answered_at)
        if self.clock.start < start:
            self._lanes.cap_starts(self.clock.start, before=start)

    def _take_failure(
        self, lane: LiveLane, error: CourierError, below: str | None
    ) -> list[Output]:
        """Handles a failed request for a lane's next page, or below its end."""
        if below is None:
            return self._fail(lane, error)
        met_older = self._lanes.lower_have_read_older(lane)
        if not isinstance(error, Refused):
            may_end = self._course.lanes_refused and not (met_older or lane.is_asked_twice)
            if lane.is_unproved or may_end:
                self._repeat_last_page(lane)
                return []
        elif not lane.asked_again:
            # One refusal tells nothing.
            lane.asked_again = True
            self._checks.ask_below(lane, below)
            return []
        elif lane.is_unproved:
            return self._end([])
        elif not (met_older or lane.is_asked_lower):
            return self._confirmed(lane)
        lane.done = lane.ended = False
        return self._fail(lane, error)

    def _repeat_last_page(self, lane: LiveLane) -> None:
        """Requests it again: the end counts if the server's own cursor repeats it."""
        lane.repeats_last_page = True
        lane.done = lane.ended = lane.is_unproved = False
        self._fetch(lane)

    def _begin(self, head: LiveLane) -> None:
        """Plans the walk once the head's first answer has provided the server's time."""
        self._began = True
        start = self.clock.start
        self.state = trusted(self.state, start)
        missed = self.state.children_missed
        if missed is not None and not self._depth.reads_missed:
            # A later sync that finishes this walk must not conclude that it met none.
            self.state = with_missed(self.state, missed.time, start)
        self._probe.begin(self.state, start)
        head.saved = replace(head.saved, started_at=start)
        if self._course.may_stop:
            plan = plan_walk(self.state, start, self._depth)
            dropped = [lane for lane in self.state.lanes if lane not in plan.lanes]
            self._renewals.note_dropped(*dropped)
            self._lanes.begin(plan)

    def _read(self, lane: LiveLane, asked: Asked, page: JudgedPage) -> list[Output]:
        """Selects a page's rows to send, and moves the lane."""
        if page.unusable and not lane.asked_again:
            lane.asked_again = True
            asked.release()
            self._fetch(lane)
            return []
        lane.asked_again = False
        if lane.is_made_up and not lane.opened and not self._course.is_of_use(lane, page):
            asked.release()
            return [Batch(stream=self._stream, state=self._saved())]
        if not lane.repeats_last_page:
            self._counts.unusable += page.unusable
        if self.unusable.affects(lane, page):
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
            # The rows are good, but the lane cannot go on from this page.
            batch.state = self._saved()
            return [batch, *self._fail(lane, trouble, may_renew=not lane.guard.is_stale)]
        if lane is self._lanes.head and not lane.is_saved_cursor:
            self._probe.add(lane, page)
        self._renewals.drop_replaced(lane)
        self._course.move(lane, page)
        self._course.place(lane, page, selected)
        # For the head lane, `_end` asks in any case.
        if lane.ended and lane is not self._lanes.head:
            self._checks.check_end_early(lane)
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
        if self._course.may_stop:
            # Without an order, half of all records would count, and nothing uses them.
            self._dated_back |= dated_back(page, self.clock.start)
        self._counts.read += len(page.records) + page.unusable
        if self.seen is not None:
            self.seen.update(page.keys)
        if self.state.missing:
            self.state = without_seen(self.state, page.keys)
        selected = self._changes.select(page, self.state, self.clock.now_ms)
        self._counts.unchanged += selected.unchanged
        if selected.missed_ms is not None:
            self._children_missed = earliest(selected.missed_ms, self._children_missed)
            self.state = with_missed(self.state, selected.missed_ms, self.clock.start)
        return selected

    def _fail(
        self, lane: LiveLane, error: CourierError, *, may_renew: bool = True
    ) -> list[Output]:
        """Handles a failure and returns its output. may_renew: another cursor might help."""
        if not self._began:
            raise error
        return self._with_notices(self._renewals.fail(lane, error, may_renew=may_renew))

    def _with_notices(self, notices: list[Notice]) -> list[Output]:
        return [*notices, Batch(stream=self._stream, state=self._saved())] if notices else []

    def _take_probe(self, answer: Asked | CourierError) -> list[Output]:
        if isinstance(answer, CourierError):
            self._probe.fail(answer)
        else:
            page = judge_page(self._stream, answer.page, now_ms=self.clock.now_ms)
            answer.release()
            head, cursor = self._lanes.head, self._probe.cursor
            if self._checks.asks_again(head, page, cursor, Purpose.PROBE):
                return []
            self._probe.take(page)
        if self._checks.start_probe():
            # Probe again before the lanes that wait for the verdict go on.
            return []
        if self._probe.verdict is Verdict.REFUSED:
            self._course.refuse_lanes("does not accept made-up cursors")
        outputs = self._with_notices(self._renewals.renew_waiting())
        return self._end(outputs) if self._lanes.head.done else outputs

    def _end(self, outputs: list[Output]) -> list[Output]:
        """Ends the walk once the head is done; the end of a listing is confirmed first."""
        head = self._lanes.head
        if not head.done:
            # A new head lane has replaced the one whose end was being confirmed.
            return outputs
        if head.ended:
            if self._checks.must_check_first(head, is_ordered=self._course.may_stop):
                return outputs
            if self._waits_below(head):
                # The lanes that contradict an end may have been restored, and must be saved.
                state = [Batch(stream=self._stream, state=self._saved())] if head.stuck else []
                return [*outputs, *state]
            if self._must_end_twice(head):
                self._repeat_last_page(head)
                return outputs
        self._lanes.drop_below(head)
        self._over = True
        self.complete = head.ended and not self._is_rest
        was_timeless = self.state.timeless
        self.state = self._ended_state(head)
        last = outputs[-1] if outputs else None
        if not isinstance(last, Batch):
            last = Batch(stream=self._stream)
            outputs = [*outputs, last]
        last.state, last.ends_walk = self.state, True
        if self.state.timeless and not was_timeless:
            outputs = [*outputs, self._notice_timeless()]
        return outputs

    def _waits_below(self, head: LiveLane) -> bool:
        """Whether the end must wait: an earlier sync's lanes contradict it or are unfinished."""
        if head.is_confirmed:
            return False
        if head.order.is_newest_first:
            self._renewals.restore_below(head)
        if self._lanes.lower_contradict_end(head):
            self._doubt(head, "the listing ends, but an earlier sync has read older records")
            return True
        return self._lanes.lower_are_unfinished(head)

    def _must_end_twice(self, head: LiveLane) -> bool:
        """Whether nothing confirms an end that the server has returned once."""
        if self._changes.recent is None or self._is_rest or head.is_confirmed:
            # The others are read whole in each sync.
            return False
        return bool(head.is_resumed or head.tail) and not head.repeats_last_page

    def _ended_state(self, head: LiveLane) -> StreamState:
        self.state = self.unusable.bounded(self.state)
        if not head.order.is_newest_first:
            self.state = self.unusable.without_order(self.state, self.clock.start)
        before, state = self.state, self._saved()
        if self._is_rest:
            return replace(state, lanes=())
        recent, floor = self._changes.recent, self._depth.floor
        proves_nothing = not self._records or (
            # Without an order, older rows may have been on any page.
            self._course.may_stop
            and ends_too_soon(
                head, before, recent, met=self._dated_back, floor=floor, now=self.clock.start
            )
        )
        had_rows = before.watermark is not None or before.lanes
        if self._stream.time_field and had_rows and proves_nothing:
            # The listing had rows before, and is now empty or ends above them.
            return before
        return ended_state(
            self._stream,
            state,
            head,
            start=min(head.saved.started_at, self.clock.start),
            depth=self._depth,
            records=self._records,
            met=self.unusable.met,
            children_missed=self._children_missed,
            is_resumed=head.is_resumed,
        )

    def _notice_timeless(self) -> Notice:
        return Notice(
            f"{self._stream.table}: no record has a readable time in {self._stream.time_field!r}, "
            "so every sync reads and sends all records. Look for a newer version of this "
            "connector; if there is none, report it."
        )

    def _take_confirmation(
        self, lane: LiveLane, below: str, asked: Asked, page: JudgedPage
    ) -> list[Output]:
        """Judges a lane's end by the page below it."""
        if self._checks.asks_again(lane, page, below, Purpose.CONFIRM):
            asked.release()
            return []
        if lane.is_unproved:
            asked.release()
            if brings_older(lane, page):
                return self._doubt(lane, "the listing ends, but older records follow")
            return [] if self._checks.asks_lower(lane, page) else self._end([])
        if page.unusable and not lane.asked_again:
            lane.asked_again = True
            asked.release()
            self._checks.ask_below(lane, below)
            return []
        is_over = asked.page.trouble is None and is_end(lane, page)
        if is_over and self._lanes.lower_have_read_older(lane):
            asked.release()
            text = "the listing ends, but other lanes have read older records"
            return self._doubt(lane, text, may_renew=True)
        is_known = lane.is_asked_twice or set(page.keys) & set(lane.tail)
        above = None if is_known else self._probe.above(lane, page)
        if is_over and above is None:
            asked.release()
            if page.unusable:
                # The lane may not have met it, so a later sync looks again.
                self.state = self.unusable.note(lane, page, self.state, self.clock.start)
            return self._confirmed(lane)
        if lane.is_asked_twice:
            # Going on would skip unread records of the same time as its last one.
            asked.release()
            if self._checks.ask_below(lane, self._probe.on_last_pages(lane)):
                return []
            return self._doubt(lane, "the listing ends, but more records follow")
        return self._read_past_end(lane, below, above, asked, page)

    def _read_past_end(
        self, lane: LiveLane, below: str, above: str | None, asked: Asked, page: JudgedPage
    ) -> list[Output]:
        """Goes on from the page below an end, or above it."""
        self._probe.pass_end(lane, page)
        lane.done = lane.ended = False
        lane.guard.go_on_elsewhere()
        lane.saved = replace(lane.saved, cursor=above or below)
        if above is None:
            return self._read(lane, asked, page)
        # Its last page may be dated back, above unread records.
        asked.release()
        lane.asked_again = lane.is_saved_cursor = False
        self._lanes.rest(lane)
        return []

    def _doubt(self, lane: LiveLane, text: str, *, may_renew: bool = False) -> list[Output]:
        lane.done = lane.ended = False
        return self._fail(lane, BadAnswer(text), may_renew=may_renew)

    def _confirmed(self, lane: LiveLane) -> list[Output]:
        lane.is_confirmed = True
        self._lanes.drop_below(lane)
        return self._end([]) if lane is self._lanes.head else []

    def _go_on(self) -> None:
        """Starts the requests that may start now: the head's next page, resting and new lanes."""
        if self._over:
            return
        head = self._lanes.head
        if head.can_go_on and head.saved.cursor is not None:
            self._fetch(head)
        while self._has_room():
            lane = self._lanes.next_resting()
            if lane is None:
                break
            self._fetch(lane)
        self._opener.open(pages=self._pages)

    def _has_room(self) -> bool:
        return self._fetches.under_way < self._lane_count.wanted

    def _fetch(self, lane: LiveLane) -> None:
        self._fetches.start(lane, lane.saved.cursor, yields=lane is not self._lanes.head)

    def _saved(self) -> StreamState:
        # Without an order, newer records may be anywhere.
        for began, reached in self._lanes.given_up if self._course.may_stop else ():
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
