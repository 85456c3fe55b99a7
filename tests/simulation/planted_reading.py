"""Planted bugs in what is read: how far, in which order, and in how many lanes."""

from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from courier_async.reading import (
    course,
    judge,
    lane_set,
    outcome,
    seams,
    stream_reader,
    unusable,
    walk,
)
from courier_async.reading.checks import Checks
from courier_async.reading.course import Course
from courier_async.reading.fetches import Purpose
from courier_async.reading.judge import PageOrder
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe
from courier_async.reading.readers import Readers
from courier_async.reading.stream_reader import StreamReader
from courier_async.reading.unusable import UnusableRecords
from courier_async.reading.walk import Walk
from courier_async.state import plan
from courier_async.state.position import Reading
from tests.simulation.planted_state import Patches

# -- readings -----------------------------------------------------------------------------------


def a_reading_claims_more_than_it_saw() -> Patches:
    yield patch.object(lane_set, "HOUR_MS", -lane_set.HOUR_MS)


def a_partial_reading_counted_whole() -> Patches:
    real = outcome.with_given_up

    def with_given_up(state: Any, reading: Reading, depth: Any) -> Any:
        return real(state, reading._replace(reached=0), depth)

    yield patch.object(walk, "with_given_up", with_given_up)


def a_place_ages_out_of_what_is_owed() -> Patches:
    real = plan.due_down_to

    def due(readings: Any, *, now: int, lookback_ms: int, closed: int, floor: int = 0) -> Any:
        closed = max(closed, now - lookback_ms)
        return real(readings, now=now, lookback_ms=lookback_ms, closed=closed, floor=floor)

    yield patch.object(plan, "due_down_to", due)


def due_after_half_the_age() -> Patches:
    yield patch.object(plan, "_AGE_PER_WAIT", 2)


def nothing_is_ever_due_again() -> Patches:
    yield patch.object(plan, "due_down_to", lambda *arguments, **named: None)


def an_unusable_record_dated_by_its_neighbours_without_an_order() -> Patches:
    yield patch.object(UnusableRecords, "without_order", lambda self, state, now: state)


def what_was_not_visible_yet_counted_as_closed() -> Patches:
    yield patch.object(plan, "_LEAST_CLOSED_MS", 0)


def closed_stays_where_the_lookback_grows() -> Patches:
    yield patch.object(plan, "_closed", lambda state, lookback_ms: state.closed or 0)


def a_lookback_that_has_grown_is_forgotten() -> Patches:
    real = outcome.with_reading

    def with_reading(state: Any, reading: Reading, *, lookback_ms: int, **_: Any) -> Any:
        readings, closed = real(state, reading, lookback_ms=lookback_ms)
        return readings, max(closed, min(state.closed or 0, readings[0].began - lookback_ms))

    yield patch.object(outcome, "with_reading", with_reading)


def what_is_left_out_counted_as_read() -> Patches:
    real = outcome.with_reading

    def with_reading(state: Any, reading: Reading, **named: Any) -> Any:
        return real(state, reading._replace(reached=0), **named)

    yield patch.object(outcome, "with_reading", with_reading)


def a_lane_keeps_what_it_left_out() -> Patches:
    real = plan.plan_walk

    def plan_walk(state: Any, now: int, depth: Any) -> Any:
        lanes = tuple([replace(lane, floor=0) for lane in state.lanes])
        return real(replace(state, lanes=lanes), now, depth)

    yield patch.object(walk, "plan_walk", plan_walk)


def unusable_counted_as_read() -> Patches:
    yield patch.object(unusable, "with_unusable", lambda known, met: known)


def an_older_lane_takes_the_heads_start() -> Patches:
    real = LaneSet.merge

    def merge(self: LaneSet, upper: Any, lower: Any) -> None:
        lower.saved = replace(lower.saved, started_at=upper.saved.started_at)
        real(self, upper, lower)

    yield patch.object(LaneSet, "merge", merge)


# -- bounds and order ---------------------------------------------------------------------------


def no_overlap_below_the_watermark() -> Patches:
    real = StreamReader._depth

    def depth(self: StreamReader) -> Any:
        found = real(self)
        return plan.Depth(lookback_ms=found.lookback_ms, overlap_ms=0, floor=found.floor)

    yield patch.object(StreamReader, "_depth", depth)


def order_by_single_records() -> Patches:
    real = judge.judge_page

    def judge_page(*arguments: Any, **named: Any) -> Any:
        page = real(*arguments, **named)
        page.median = page.oldest
        return page

    yield patch.object(walk, "judge_page", judge_page)
    yield patch.object(
        PageOrder, "is_newest_first", property(lambda self: self.pages == self.in_order)
    )


def early_stop_on_an_unordered_stream() -> Patches:
    yield patch.object(PageOrder, "is_newest_first", property(lambda self: True))


def order_of_a_resumed_walk_forgotten() -> Patches:
    def resume(self: PageOrder, *_: int, tells: bool) -> None:
        self.pages = self.in_order = 0

    yield patch.object(PageOrder, "resume", resume)


def stops_at_news() -> Patches:
    real = Course._is_below_target

    def is_below(self: Course, lane: Any, page: Any, selected: Any) -> bool:
        selected.shows_news, selected.holds_known = False, True
        return real(self, lane, page, selected)

    yield patch.object(Course, "_is_below_target", is_below)
    yield patch.object(course, "_PAGES_BELOW", 1)


def a_walk_goes_on_where_nothing_below_its_bound_is_remembered() -> Patches:
    real = Course._is_below_target

    def is_below(self: Course, lane: Any, page: Any, selected: Any) -> bool:
        is_over = real(self, lane, page, selected)
        lane.known_below = lane.known_below and lane.pages_below > 0
        return is_over

    yield patch.object(Course, "_is_below_target", is_below)


# -- walks that resume or fail --------------------------------------------------------------------


def no_head_walk_after_the_rest() -> Patches:
    real = StreamReader._walk
    rests: dict[int, Walk] = {}

    async def walk_once(self: StreamReader, resumed: Any) -> Walk:
        if resumed is None and id(self) in rests:
            return rests.pop(id(self))
        done = await real(self, resumed)
        if resumed is not None:
            rests[id(self)] = done
        return done

    yield patch.object(StreamReader, "_walk", walk_once)


def a_refused_cursor_taken_for_the_end() -> Patches:
    real = Walk._fail

    def fail(self: Walk, lane: Any, error: Any, **how: Any) -> Any:
        if not self._began or lane is not self._lanes.head:
            return real(self, lane, error, **how)
        lane.done = lane.ended = True
        return self._end([])

    yield patch.object(Walk, "_fail", fail)


def a_bad_cursor_is_kept_for_ever() -> Patches:
    yield patch.object(LiveLane, "may_renew", lambda self, now: False)


def what_is_wrong_further_back_stops_what_is_new() -> Patches:
    real = Walk._fail

    def fail(self: Walk, lane: Any, error: Any, **how: Any) -> Any:
        if lane.is_saved_cursor and not lane.may_renew(self.clock.start):
            raise error
        return real(self, lane, error, **how)

    yield patch.object(Walk, "_fail", fail)


def a_failure_ends_the_other_walks() -> Patches:
    real = Readers._read

    async def read(self: Readers, stream: Any) -> None:
        await real(self, stream)
        ending = self.endings[stream.table]
        if ending is not None:
            raise ending

    yield patch.object(Readers, "_read", read)


def lost_access_is_only_a_warning() -> Patches:
    def denied(self: StreamReader, refusal: Any) -> Any:
        return stream_reader.Denied(refusal.status)

    yield patch.object(StreamReader, "_denied", denied)


def rows_of_a_page_without_a_way_on_dropped() -> Patches:
    real = Walk._select

    def select(self: Walk, page: Any) -> Any:
        selected = real(self, page)
        if page.next_cursor is None and self._trouble is not None:
            selected.rows, selected.entries = [], []
        return selected

    real_read = Walk._read

    def read(self: Any, lane: Any, asked: Any, page: Any) -> Any:
        self._trouble = asked.page.trouble
        return real_read(self, lane, asked, page)

    yield patch.object(Walk, "_select", select)
    yield patch.object(Walk, "_read", read)


# -- lanes --------------------------------------------------------------------------------------


def a_made_up_cursor_believed() -> Patches:
    yield patch.object(seams, "holds", lambda expected, page: True)
    yield patch.object(Course, "is_of_use", lambda self, lane, page: True)
    yield from seam_met_by_time_alone()


def seam_met_by_time_alone() -> Patches:
    def follow(upper: Any, lower: Any, page: Any) -> int:
        newest = lower.saved.newest
        is_past = newest is not None and page.oldest is not None and page.oldest <= newest
        return seams.SEAM_RECORDS if is_past else 0

    yield patch.object(seams, "holds", lambda expected, page: True)
    yield patch.object(seams, "follow", follow)


def seam_met_by_one_record() -> Patches:
    real = seams.follow

    def follow(*arguments: Any) -> int:
        return seams.SEAM_RECORDS if real(*arguments) else 0

    yield patch.object(seams, "holds", lambda expected, page: True)
    yield patch.object(seams, "follow", follow)


def a_false_end_believed() -> Patches:
    yield patch.object(Probe, "below", lambda self, lane: None)


def an_end_of_a_first_reading_believed_at_once() -> Patches:
    yield patch.object(Walk, "_must_end_twice", lambda self, head: False)


def an_end_believed_at_once_if_an_earlier_sync_read_all() -> Patches:
    real = Walk._must_end_twice

    def must_end_twice(self: Any, head: LiveLane) -> bool:
        was_read = any(reading.reached <= self._depth.floor for reading in self.state.readings)
        return not was_read and real(self, head)

    yield patch.object(Walk, "_must_end_twice", must_end_twice)


def an_end_doubted_for_old_records_that_its_lane_has_read() -> Patches:
    def lower_have_read_older(self: LaneSet, lane: LiveLane) -> bool:
        lowest = lane.lowest_ms
        return lowest is not None and any(
            lower.has_read_below(lowest - 1) for lower in self._opened_after(lane)
        )

    yield patch.object(LaneSet, "lower_have_read_older", lower_have_read_older)


def an_outage_confirms_an_end() -> Patches:
    real = Walk._take_failure

    def take_failure(self: Any, lane: LiveLane, error: Any, below: str | None) -> Any:
        if below is not None and lane.is_unproved:
            return self._confirmed(lane)
        return real(self, lane, error, below)

    yield patch.object(Walk, "_take_failure", take_failure)


def a_last_page_dated_back_hides_what_follows_it() -> Patches:
    yield patch.object(Probe, "above", lambda self, lane: None)


def an_empty_page_far_below_an_end_confirms_it() -> Patches:
    yield patch.object(LiveLane, "is_asked_lower", property(lambda self: False))


def an_empty_page_that_leads_on_confirms_an_end() -> Patches:
    yield patch.object(Checks, "asks_again", lambda self, lane, page, asked, purpose: False)


def an_empty_page_that_leads_on_passes_for_an_honoured_cursor() -> Patches:
    real = Checks.asks_again

    def asks_again(self: Any, lane: Any, page: Any, asked: str, purpose: Purpose) -> bool:
        cursor = page.next_cursor
        if purpose is not Purpose.PROBE or page.records or cursor is None:
            return real(self, lane, page, asked, purpose)
        self._fetches.start(lane, cursor, purpose=purpose)
        return True

    yield patch.object(Checks, "asks_again", asks_again)
