"""How deep a sync reads, compared with an executable model of the rule over months."""

import random
from bisect import bisect_right
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.state import plan
from courier_async.state.plan import (
    INDEX_LAG_MS,
    Depth,
    Plan,
    due_down_to,
    plan_walk,
    with_reading,
)
from courier_async.state.position import Lane, MissedChildren, Reading, StreamState, Unusable

NOW = 1_794_657_600_000
LOOKBACK = 30 * DAY_MS
DEPTH = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS)
# The share of a message's age that a change may wait, beyond the next sync.
SHARE = 0.25
# A sync may begin this late without reading more for it.
LATE_START_MS = 10_000


# -- an independent model of the rule ------------------------------------------------------------


def modelled_due(readings: list[Reading], now: int, lookback: int, closed: int) -> int | None:
    """Returns the deepest place that is due, with the rest of its octave of age."""
    down_to, top = None, now
    for began, reached in readings:
        owed_from = max(reached, began - lookback, closed)
        near, far = 0, HOUR_MS
        while owed_from < top and now - near > owed_from:
            youngest, oldest = min(top, now - near), max(owed_from, now - far)
            waited = now - began - LATE_START_MS
            if oldest < youngest and waited > max(now - youngest, HOUR_MS / 2) * SHARE:
                down_to = oldest if down_to is None else min(down_to, oldest)
            near, far = far, far * 2
        top = min(top, reached)
    return down_to


def modelled_reading(
    readings: list[Reading], closed: int, reading: Reading, lookback: int
) -> tuple[list[Reading], int]:
    kept = [reading, *[old for old in readings if old.reached < reading.reached]]
    for index in reversed(range(len(kept))):
        top = kept[index - 1].reached if index else reading.began
        if kept[index].reached > closed and index != len(kept) - 1:
            break
        closed = max(closed, min(top, kept[index].began - lookback))
    while len(kept) > 2 and kept[-3].reached <= closed:
        del kept[-2]
    return kept, closed


def modelled_syncs(every: int, days: int) -> list[Reading]:
    """Returns what each sync reads down to; the first one reads everything."""
    readings, closed, now = [Reading(NOW, 0)], NOW - LOOKBACK, NOW
    log = [*readings]
    while now < NOW + days * DAY_MS:
        now += every
        due = modelled_due(readings, now, LOOKBACK, closed)
        overlap = now - every - INDEX_LAG_MS - HOUR_MS
        reading = Reading(now, overlap if due is None else min(overlap, due))
        readings, closed = modelled_reading(readings, closed, reading, LOOKBACK)
        log.append(reading)
    return log


# -- the code, over virtual syncs ----------------------------------------------------------------


class Syncs:
    """Syncs of a stream that each read to their bound; `log` holds what they read."""

    def __init__(self, depth: Depth = DEPTH) -> None:
        self.depth = depth
        self.state = StreamState()
        self.now = NOW
        self.log: list[Reading] = []
        self.most_readings = 0
        self.sync()

    def sync(self, *, clock_error: int = 0) -> Reading:
        """Runs one sync now, with a clock that may be wrong."""
        started_at = self.now + clock_error
        bound = plan_walk(self.state, started_at, self.depth).bound
        reading = Reading(started_at, bound)
        state = plan.trusted(self.state, started_at)
        readings, closed = with_reading(state, reading, lookback_ms=self.depth.lookback_ms)
        watermark = max(self.now - INDEX_LAG_MS, self.state.watermark or 0)
        self.state = StreamState(readings=readings, closed=closed, watermark=watermark)
        self.log.append(Reading(self.now, bound))
        self.most_readings = max(self.most_readings, len(readings))
        return self.log[-1]

    def every(self, interval: int, *, days: float) -> "Syncs":
        end = self.now + days * DAY_MS
        while self.now < end:
            self.now += interval
            self.sync()
        return self


def delays(
    log: list[Reading], changes: Iterator[tuple[int, int]], *, every: int
) -> tuple[float, int]:
    """Returns (the worst delay beyond a sync as a share of the age, changes never landed)."""
    times = [began for began, _ in log]
    worst, never = 0.0, 0
    for enqueued, changed in changes:
        later = log[bisect_right(times, changed) :]
        landed = next((at for at, reached in later if reached <= enqueued), None)
        if landed is None:
            never += 1
        else:
            worst = max(worst, (landed - changed - every) / (landed - enqueued))
    return worst, never


def random_changes(
    seed: int, *, first_day: float, last_day: float, oldest_days: float, count: int = 4000
) -> Iterator[tuple[int, int]]:
    draw = random.Random(seed)
    for _ in range(count):
        changed = NOW + round(draw.uniform(first_day, last_day) * DAY_MS)
        age = round(draw.uniform(HOUR_MS / 3, oldest_days * DAY_MS - HOUR_MS))
        yield changed - age, changed


# Longer than the lookback, and at most some thousand syncs per interval.
@pytest.mark.parametrize(("hours", "days"), [(0.25, 35), (1, 90), (6, 90), (24, 90)])
def test_months_of_syncs_read_what_the_model_reads(hours: float, days: int) -> None:
    every = round(hours * HOUR_MS)
    syncs = Syncs().every(every, days=days)
    assert syncs.log == modelled_syncs(every, days)
    assert syncs.most_readings <= 10


@pytest.mark.parametrize("hours", [0.25, 1, 6, 24])
def test_every_change_within_the_lookback_lands_within_a_quarter_of_its_age(
    hours: float, seed: int
) -> None:
    every = round(hours * HOUR_MS)
    log = Syncs().every(every, days=60).log
    changes = random_changes(seed, first_day=35, last_day=50, oldest_days=30)
    worst, never = delays(log, changes, every=every)
    assert worst <= SHARE
    assert never == 0


def test_syncs_at_odd_times_and_after_pauses_miss_no_change(seed: int) -> None:
    draw = random.Random(seed)
    syncs = Syncs()
    longest = 0
    while syncs.now < NOW + 90 * DAY_MS:
        interval = round(draw.choice([0.1, 0.3, 1, 7, 30, 90]) * HOUR_MS)
        longest = max(longest, interval)
        syncs.now += interval
        syncs.sync()
    changes = random_changes(seed, first_day=35, last_day=50, oldest_days=25)
    worst, never = delays(syncs.log, changes, every=longest)
    assert worst <= SHARE
    assert never == 0
    assert syncs.most_readings <= 24


@pytest.mark.parametrize("late_ms", [0, 1, 5_000])
def test_a_steady_month_costs_little_more_than_its_own_pages(late_ms: int) -> None:
    """Walks to the bound every quarter of an hour, with 20 pages a day."""
    log = Syncs().every(HOUR_MS // 4 + late_ms, days=45).log
    month = [reading for reading in log if reading.began > NOW + 30 * DAY_MS]
    pages = sum((began - reached) / DAY_MS * 20 + 0.5 for began, reached in month)
    assert pages / 15 < 850


@st.composite
def histories(draw: st.DrawFn) -> list[Reading]:
    """Draws readings without holes, newest first, the last one to the end."""
    began = draw(st.lists(st.integers(0, 2_000), min_size=1, max_size=6, unique=True))
    began.sort(reverse=True)
    depths = draw(st.lists(st.integers(0, 1_000), min_size=len(began), max_size=len(began)))
    readings = []
    for index, time in enumerate(began):
        older = began[index + 1] if index + 1 < len(began) else 0
        reached = older - depths[index] if index + 1 < len(began) else -3_000
        readings.append(Reading(NOW + time * HOUR_MS, NOW + reached * HOUR_MS))
    # A reading that a later one has covered is dropped.
    kept = [
        r for at, r in enumerate(readings) if all(r.reached < q.reached for q in readings[:at])
    ]
    return kept or readings[-1:]


@given(
    readings=histories(),
    later=st.integers(0, 3_000_000_000),
    lookback=st.integers(0, 60).map(lambda days: days * DAY_MS),
    closed=st.integers(-2_000, 2_000).map(lambda hours: NOW + hours * HOUR_MS),
)
def test_what_is_due_is_what_the_model_calls_due(
    readings: list[Reading], later: int, lookback: int, closed: int
) -> None:
    now = readings[0].began + later
    due = due_down_to(readings, now=now, lookback_ms=lookback, closed=closed)
    assert due == modelled_due(readings, now, lookback, closed)


def test_nothing_below_the_floor_is_due() -> None:
    readings = [Reading(NOW - DAY_MS, 0)]
    for floor in (NOW - 3 * HOUR_MS, NOW - 40 * HOUR_MS):
        due = due_down_to(readings, now=NOW, lookback_ms=LOOKBACK, closed=0, floor=floor)
        assert due == floor
    due = due_down_to(readings, now=NOW, lookback_ms=LOOKBACK, closed=0, floor=NOW - 200 * HOUR_MS)
    assert due == NOW - 128 * HOUR_MS


def test_the_rest_of_an_octave_is_read_along_as_far_as_its_reading_had_reached() -> None:
    reached = NOW - 5 * HOUR_MS
    readings = [Reading(NOW - 66 * 60_000, reached), Reading(NOW - 72 * 60_000, 0)]
    # Only the upper part of the octave from four to eight hours was read long enough ago.
    assert due_down_to(readings, now=NOW, lookback_ms=LOOKBACK, closed=0) == reached


def test_what_is_younger_than_half_an_hour_is_due_after_a_quarter_of_that() -> None:
    for minutes, due in ((7.6, None), (7.7, NOW - HOUR_MS)):
        readings = [Reading(NOW - round(minutes * 60_000), 0)]
        assert due_down_to(readings, now=NOW, lookback_ms=LOOKBACK, closed=0) == due


def test_what_is_closed_is_not_due_where_a_reading_ends_with_it() -> None:
    closed = NOW - 5 * HOUR_MS
    readings = [Reading(NOW - 60_000, closed), Reading(NOW - 9 * DAY_MS, 0)]
    assert due_down_to(readings, now=NOW, lookback_ms=LOOKBACK, closed=closed) is None


def test_where_only_what_lies_below_sync_since_is_due_the_overlap_is_read() -> None:
    readings = (Reading(NOW, NOW - 20 * DAY_MS), Reading(NOW - 10 * DAY_MS, 0))
    since = replace_depth(floor=NOW - 15 * DAY_MS)
    assert plan_walk(read_whole(readings=readings), NOW, since).bound == NOW - HOUR_MS
    assert plan_walk(read_whole(readings=readings), NOW, DEPTH).bound == NOW - LOOKBACK


# -- what a reading leaves ---------------------------------------------------------------------


def test_what_a_reading_has_passed_beyond_the_lookback_is_closed() -> None:
    began = NOW + 10 * DAY_MS
    for days, closed in ((31, began - LOOKBACK), (29, NOW - LOOKBACK)):
        reading = Reading(began, NOW - days * DAY_MS)
        assert with_reading(read_whole(), reading, lookback_ms=LOOKBACK)[1] == closed


def test_below_the_oldest_reading_there_is_nothing_to_wait_for() -> None:
    since = Reading(NOW, NOW - 10 * DAY_MS)
    state = read_whole(readings=(since,))
    readings, closed = with_reading(
        state,
        since._replace(began=NOW + 25 * DAY_MS),
        lookback_ms=LOOKBACK,
        floor=since.reached,
    )
    assert readings == (Reading(NOW + 25 * DAY_MS, since.reached),)
    assert closed == NOW - 5 * DAY_MS


def test_a_first_reading_closes_what_is_older_than_the_lookback() -> None:
    assert with_reading(StreamState(), Reading(NOW, 0), lookback_ms=LOOKBACK) == (
        (Reading(NOW, 0),),
        NOW - LOOKBACK,
    )


def test_once_the_lookback_has_shrunk_the_oldest_reading_closes_more() -> None:
    reading = Reading(NOW + DAY_MS, NOW - HOUR_MS)
    _, closed = with_reading(read_whole(), reading, lookback_ms=3 * DAY_MS)
    assert closed == NOW - 3 * DAY_MS


def test_of_readings_that_lie_in_what_is_closed_only_the_oldest_stays() -> None:
    oldest = Reading(NOW - 20 * DAY_MS, 0)
    state = read_whole(readings=(Reading(NOW, NOW - 40 * DAY_MS), oldest))
    for days, kept in ((30, (oldest,)), (29, state.readings)):
        reading = Reading(NOW, NOW - days * DAY_MS)._replace(began=NOW + 1)
        assert with_reading(state, reading, lookback_ms=LOOKBACK)[0] == (reading, *kept)


def test_readings_are_bounded_in_number_and_the_oldest_stays() -> None:
    state = read_whole(closed=NOW - 365 * DAY_MS)
    for day in range(1, 40):
        began = NOW + day * DAY_MS
        reading = Reading(began, began - HOUR_MS)
        readings, closed = with_reading(state, reading, lookback_ms=365 * DAY_MS)
        state = replace(state, readings=readings, closed=closed)
    assert len(state.readings) == 24
    assert state.readings[-1] == Reading(NOW, 0)


# -- settings that change ------------------------------------------------------------------------


def test_what_no_reading_has_covered_is_read_to_its_end() -> None:
    assert plan_walk(StreamState(), NOW, DEPTH).bound == 0
    since = replace_depth(floor=NOW - 90 * DAY_MS)
    assert plan_walk(StreamState(), NOW, since).bound == since.floor
    assert plan_walk(StreamState(watermark=NOW), NOW, since).bound == since.floor
    # Only part of a walk has been read, though as deep as wanted now.
    part = StreamState(readings=(Reading(NOW, NOW - 99 * DAY_MS),))
    assert plan_walk(part, NOW, since).bound == since.floor


def replace_depth(*, floor: int = 0, lookback_days: float = 30) -> Depth:
    return Depth(lookback_ms=round(lookback_days * DAY_MS), overlap_ms=HOUR_MS, floor=floor)


@pytest.mark.parametrize("earlier_days", [90, None], ids=["moved back", "removed"])
def test_where_sync_since_moves_back_the_part_in_between_is_read_once(
    earlier_days: int | None,
) -> None:
    syncs = Syncs(replace_depth(floor=NOW - 10 * DAY_MS)).every(6 * HOUR_MS, days=20)
    assert min(reading.reached for reading in syncs.log) == NOW - 10 * DAY_MS
    floor = 0 if earlier_days is None else NOW - earlier_days * DAY_MS
    syncs.depth = replace_depth(floor=floor)
    syncs.now += 6 * HOUR_MS
    assert syncs.sync().reached == floor
    syncs.now += 6 * HOUR_MS
    assert syncs.sync().reached > syncs.now - 30 * DAY_MS - 6 * HOUR_MS


def test_what_came_between_two_readings_that_do_not_meet_is_read_once() -> None:
    readings = (Reading(NOW, NOW - 5 * DAY_MS), Reading(NOW - 10 * DAY_MS, 0))
    depth = replace_depth(lookback_days=0)
    state = read_whole(readings=readings, closed=NOW - 99 * DAY_MS)
    gap = NOW - 10 * DAY_MS - INDEX_LAG_MS - HOUR_MS
    assert plan_walk(state, NOW, depth).bound == gap
    # Readings that meet, or whose gap is below sync_since, leave nothing to read between.
    met = (Reading(NOW, gap), readings[1])
    assert plan_walk(replace(state, readings=met), NOW, depth).bound == NOW - HOUR_MS
    since = replace_depth(lookback_days=0, floor=NOW - 5 * DAY_MS)
    assert plan_walk(state, NOW, since).bound == NOW - HOUR_MS


def test_where_nothing_has_come_for_days_a_day_and_the_overlap_are_read() -> None:
    state = read_whole(watermark=NOW - 9 * DAY_MS, readings=(Reading(NOW - HOUR_MS, 0),))
    now = NOW - 45 * 60_000
    assert plan_walk(state, now, DEPTH).bound == NOW - HOUR_MS - DAY_MS - HOUR_MS
    # But not without a lookback, as no later sync would find what shows up late.
    no_lookback = replace_depth(lookback_days=0)
    assert plan_walk(state, now, no_lookback).bound == NOW - 9 * DAY_MS - HOUR_MS
    # Nor if it would skip what no reading has covered.
    parted = (Reading(NOW - HOUR_MS, NOW - 2 * HOUR_MS), Reading(NOW - 9 * DAY_MS, 0))
    state = replace(state, readings=parted)
    assert plan_walk(state, now, DEPTH).bound <= NOW - 9 * DAY_MS - HOUR_MS


def test_where_sync_since_moves_forward_nothing_older_is_read() -> None:
    syncs = Syncs().every(6 * HOUR_MS, days=20)
    floor = syncs.now - DAY_MS
    syncs.depth = replace_depth(floor=floor)
    syncs.every(6 * HOUR_MS, days=20)
    assert min(reading.reached for reading in syncs.log[-80:]) == floor


def test_a_sync_since_no_older_than_the_watermark_is_the_bound() -> None:
    for hours in (2, 5 * 24, 9 * 24):
        depth = replace_depth(floor=NOW - hours * HOUR_MS)
        readings = (Reading(NOW - HOUR_MS, depth.floor),)
        state = StreamState(watermark=NOW - 9 * DAY_MS, readings=readings)
        assert plan_walk(state, NOW, depth).bound == depth.floor


def test_a_lookback_that_grows_covers_what_had_been_closed(seed: int) -> None:
    syncs = Syncs(replace_depth(lookback_days=7)).every(6 * HOUR_MS, days=60)
    syncs.depth = replace_depth(lookback_days=30)
    syncs.every(6 * HOUR_MS, days=40)
    changes = random_changes(seed, first_day=60, last_day=80, oldest_days=28)
    worst, never = delays(syncs.log, changes, every=6 * HOUR_MS)
    assert worst <= SHARE
    assert never == 0


def test_a_lookback_that_has_grown_is_read_in_the_next_sync() -> None:
    readings = (Reading(NOW, NOW - 8 * DAY_MS), Reading(NOW - 20 * DAY_MS, 0))
    state = read_whole(readings=readings, closed=NOW - 7 * DAY_MS)
    assert plan_walk(state, NOW, replace_depth(lookback_days=7)).bound == NOW - HOUR_MS
    assert plan_walk(state, NOW, DEPTH).bound == NOW - 30 * DAY_MS


def test_a_lookback_that_has_grown_is_not_forgotten_where_the_next_sync_reads_less_deep() -> None:
    """As when `sync_since` keeps that sync from what has become open again."""
    state = read_whole(readings=(Reading(NOW, 0),), closed=NOW)
    now = NOW + 5 * DAY_MS
    readings, closed = with_reading(state, Reading(now, NOW + DAY_MS), lookback_ms=LOOKBACK)
    assert closed == NOW - LOOKBACK
    state = replace(state, readings=readings, closed=closed)
    assert plan_walk(state, now + HOUR_MS, DEPTH).bound < NOW - 7 * DAY_MS


def test_a_lookback_that_shrinks_is_read_no_deeper_and_may_grow_again(seed: int) -> None:
    syncs = Syncs().every(6 * HOUR_MS, days=40)
    syncs.depth = replace_depth(lookback_days=3)
    syncs.every(6 * HOUR_MS, days=10)
    assert min(r.reached - r.began for r in syncs.log[-30:]) >= -4 * DAY_MS
    syncs.depth = DEPTH
    syncs.every(6 * HOUR_MS, days=60)
    changes = random_changes(seed, first_day=51, last_day=70, oldest_days=29)
    worst, never = delays(syncs.log, changes, every=6 * HOUR_MS)
    assert worst <= SHARE
    assert never == 0


def test_without_a_lookback_each_sync_reads_the_overlap_alone() -> None:
    log = Syncs(replace_depth(lookback_days=0)).every(6 * HOUR_MS, days=10).log
    assert {began - reached for began, reached in log[1:]} == {7 * HOUR_MS + INDEX_LAG_MS}


# -- clocks that are wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [1, 30, 24 * 60])
def test_a_clock_behind_the_watermark_reads_further_and_not_everything(minutes: int) -> None:
    syncs = Syncs().every(6 * HOUR_MS, days=20)
    syncs.now += HOUR_MS
    reading = syncs.sync(clock_error=-minutes * 60_000)
    assert reading.reached >= syncs.now - 31 * DAY_MS
    assert reading.reached <= syncs.now - HOUR_MS - minutes * 60_000


@pytest.mark.parametrize("error_days", [-5, -0.02, 0.02, 5, 40])
def test_one_sync_by_a_wrong_clock_hides_no_change(error_days: float, seed: int) -> None:
    every = 6 * HOUR_MS
    syncs = Syncs().every(every, days=40)
    syncs.now += every
    syncs.sync(clock_error=round(error_days * DAY_MS))
    syncs.every(every, days=60)
    changes = random_changes(seed, first_day=38, last_day=45, oldest_days=29)
    worst, never = delays(syncs.log, changes, every=every)
    assert worst <= SHARE
    assert never == 0


def test_times_from_the_future_are_taken_to_be_the_watermark() -> None:
    ahead = NOW + 9 * DAY_MS
    state = StreamState(
        watermark=NOW - HOUR_MS,
        readings=(Reading(ahead, NOW - 2 * DAY_MS), Reading(NOW - DAY_MS, 0)),
        lanes=(
            Lane(started_at=ahead, cursor="c", newest=NOW - 5, oldest=5),
            Lane(started_at=NOW - DAY_MS, cursor="d", newest=4, oldest=3),
        ),
    )
    trusted = plan.trusted(state, NOW)
    assert trusted.readings == (
        Reading(NOW - HOUR_MS, NOW - 2 * DAY_MS),
        Reading(NOW - DAY_MS, 0),
    )
    assert [lane.started_at for lane in trusted.lanes] == [NOW - HOUR_MS, NOW - DAY_MS]
    assert plan.trusted(state, ahead) == state
    # A first walk has no watermark yet, so its newest time is used.
    first = plan.trusted(replace(state, watermark=None), NOW)
    assert [lane.started_at for lane in first.lanes] == [NOW - 5, NOW - DAY_MS]


# -- records that could not be stored ------------------------------------------------------------


def read_whole(**fields: object) -> StreamState:
    state = StreamState(
        watermark=NOW, readings=(Reading(NOW, 0),), closed=NOW - LOOKBACK, newest_first=True
    )
    return replace(state, **fields)


def test_a_page_that_could_not_be_stored_is_read_again_once_a_day() -> None:
    depth = Depth(lookback_ms=0, overlap_ms=HOUR_MS)
    met = NOW - 40 * DAY_MS
    state = read_whole(unusable=(Unusable(met, NOW - DAY_MS),))
    soon, later = NOW + DAY_MS - 1, NOW + DAY_MS
    assert plan_walk(state, soon, depth).bound == NOW - HOUR_MS
    assert plan_walk(state, later, depth).bound == met - HOUR_MS


def test_where_children_were_missed_their_messages_are_read_again_once_a_day() -> None:
    missed = NOW - 90 * DAY_MS
    known = MissedChildren(missed, NOW)
    state = read_whole(readings=(Reading(NOW, 0),), children_missed=known)
    looks = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, reads_missed=True)
    assert plan_walk(state, NOW + DAY_MS - 1, looks).bound > missed
    assert plan_walk(state, NOW + DAY_MS, looks).bound == missed - HOUR_MS
    assert plan_walk(state, NOW + DAY_MS, DEPTH).bound > missed


@pytest.mark.parametrize(("unusable_days", "missed_days"), [(40, 50), (50, 40)])
def test_of_what_could_not_be_stored_and_missed_children_the_older_is_the_bound(
    unusable_days: int, missed_days: int
) -> None:
    state = read_whole(
        unusable=(Unusable(NOW - unusable_days * DAY_MS, NOW),),
        children_missed=MissedChildren(NOW - missed_days * DAY_MS, NOW),
    )
    looks = Depth(lookback_ms=0, overlap_ms=HOUR_MS, reads_missed=True)
    assert plan_walk(state, NOW + DAY_MS, looks).bound == NOW - 50 * DAY_MS - HOUR_MS


def test_missed_children_below_a_later_sync_since_wait_without_rereads_above_it() -> None:
    since = NOW - 10 * DAY_MS
    known = MissedChildren(NOW - 90 * DAY_MS, NOW - 3 * DAY_MS)

    def bound(newest: int, floor: int) -> int:
        readings = (Reading(NOW - 3 * DAY_MS, since), Reading(NOW - 60 * DAY_MS, 0))
        missed = known._replace(newest=newest)
        state = read_whole(readings=readings, closed=NOW - 5 * DAY_MS, children_missed=missed)
        depth = Depth(lookback_ms=0, overlap_ms=HOUR_MS, floor=floor, reads_missed=True)
        return plan_walk(state, NOW, depth).bound

    assert bound(since, since) == since
    assert bound(since - 1, since) > since
    assert bound(since - 1, 0) == known.time - HOUR_MS


def test_records_that_could_not_be_stored_below_sync_since_cause_no_rereads_above_it() -> None:
    since = NOW - 10 * DAY_MS
    readings = (Reading(NOW - 3 * DAY_MS, since), Reading(NOW - 60 * DAY_MS, 0))

    def bound(newest: int, floor: int) -> int:
        met = Unusable(NOW - 90 * DAY_MS, NOW - 4 * DAY_MS, newest)
        state = read_whole(readings=readings, closed=NOW - 5 * DAY_MS, unusable=(met,))
        depth = Depth(lookback_ms=0, overlap_ms=HOUR_MS, floor=floor)
        return plan_walk(state, NOW, depth).bound

    assert bound(since, since) == since
    assert bound(since - 1, since) > since
    assert bound(since - 1, 0) == NOW - 90 * DAY_MS - HOUR_MS


def test_a_page_that_could_not_be_stored_is_looked_for_thirty_days_and_never_again() -> None:
    depth = Depth(lookback_ms=0, overlap_ms=HOUR_MS)
    last = NOW + 30 * DAY_MS
    sought = NOW - 40 * DAY_MS - HOUR_MS
    for looked_at, bound in ((None, sought), (last, sought), (last + 1, NOW - HOUR_MS)):
        span = Unusable(NOW - 40 * DAY_MS, NOW, looked_at=looked_at)
        # After a long pause too, it is looked for until a walk has looked past the last day.
        for now in (last + DAY_MS, last + 100 * DAY_MS):
            assert plan_walk(read_whole(unusable=(span,)), now, depth).bound == bound
    # A time in the future counts as now.
    span = Unusable(NOW - 40 * DAY_MS, NOW, looked_at=last + DAY_MS)
    assert plan_walk(read_whole(unusable=(span,)), last, depth).bound == sought


def test_an_unusable_page_younger_than_the_last_reading_is_read_with_the_overlap() -> None:
    state = read_whole(unusable=(Unusable(NOW + HOUR_MS, NOW + HOUR_MS),))
    depth = replace_depth(lookback_days=0)
    assert plan_walk(state, NOW + 2 * HOUR_MS, depth).bound == NOW - HOUR_MS


def test_an_unusable_page_is_read_again_by_age_though_its_place_had_been_closed() -> None:
    depth = replace_depth(lookback_days=1)
    readings = (Reading(NOW, NOW - 30 * HOUR_MS), Reading(NOW - 23 * HOUR_MS, 0))
    state = read_whole(readings=readings, closed=NOW - DAY_MS)
    assert plan_walk(state, NOW, depth).bound == NOW - HOUR_MS
    state = replace(state, unusable=(Unusable(NOW - 40 * HOUR_MS, NOW),))
    assert plan_walk(state, NOW, depth).bound == NOW - 41 * HOUR_MS


def test_nothing_from_an_unusable_page_on_is_closed_for_thirty_days() -> None:
    unusable = Unusable(NOW - 60 * DAY_MS, NOW)

    def closed(days: int, *, over_ms: int = 0, met: tuple[Unusable, ...] = (unusable,)) -> int:
        reading = Reading(NOW + days * DAY_MS + over_ms, NOW)
        return with_reading(read_whole(unusable=met), reading, lookback_ms=LOOKBACK)[1] or 0

    assert closed(1) == unusable.time - HOUR_MS
    assert closed(30) == unusable.time - HOUR_MS
    assert closed(30, over_ms=1) == NOW - LOOKBACK
    assert closed(1, met=()) == NOW - LOOKBACK


# -- unfinished lanes ----------------------------------------------------------------------------


def lane(began_hours_ago: float, oldest_hours_ago: float | None, **fields: object) -> Lane:
    started_at = NOW - round(began_hours_ago * HOUR_MS)
    oldest = None if oldest_hours_ago is None else NOW - round(oldest_hours_ago * HOUR_MS)
    made = Lane(started_at=started_at, cursor="c", newest=started_at, oldest=oldest)
    return replace(made, **fields)


def head_target(planned: Plan) -> int:
    """Returns how far down the head lane reads before it meets the next lane from a head."""
    for kept, due in zip(planned.lanes, planned.due, strict=True):
        if kept.begins_at is None and kept.newest is not None:
            overlap = kept.newest - HOUR_MS
            return overlap if due is None else min(overlap, due)
    return planned.bound


@pytest.mark.parametrize(
    ("began", "age", "stays"),
    [(10, 100, True), (30, 100, False), (30, 127, False), (30, 128, True), (30, 900, True)],
)
def test_a_lane_from_a_made_up_cursor_goes_on_unless_what_it_has_read_is_due_again(
    began: int, age: int, stays: bool
) -> None:
    """The lane above would have to read that, but it stops where it meets this one."""
    above = lane(began, 50)
    made_up = lane(began, age, begins_at=NOW - age * HOUR_MS, newest=NOW - age * HOUR_MS)
    planned = plan_walk(StreamState(lanes=(above, made_up)), NOW, DEPTH)
    assert (made_up in planned.lanes) is stays
    without = plan_walk(StreamState(lanes=(above, made_up)), NOW, replace_depth(lookback_days=0))
    assert made_up in without.lanes


def test_a_lane_from_a_made_up_cursor_goes_on_where_only_what_sync_since_leaves_out_is_due() -> (
    None
):
    made_up = lane(30, 100, begins_at=NOW - 40 * HOUR_MS, newest=NOW - 40 * HOUR_MS)
    state = StreamState(readings=(Reading(NOW, NOW - 50 * HOUR_MS),), lanes=(made_up,))
    assert plan_walk(state, NOW, replace_depth(floor=NOW - 50 * HOUR_MS)).lanes == (made_up,)
    assert plan_walk(state, NOW, replace_depth(floor=NOW - 51 * HOUR_MS)).lanes == ()


def test_of_many_unfinished_lanes_the_seven_newest_and_the_oldest_go_on() -> None:
    depth = replace_depth(lookback_days=0)
    unfinished = [lane(began, began + 1) for began in range(1, 13)]
    for count, kept in ((8, unfinished[:8]), (12, [*unfinished[:7], unfinished[11]])):
        state = StreamState(lanes=tuple(unfinished[:count]))
        assert plan_walk(state, NOW, depth).lanes == tuple(kept)
    # Those from made-up cursors are not counted.
    made_up = [replace(each, begins_at=each.oldest) for each in unfinished]
    state = StreamState(lanes=(unfinished[0], *made_up))
    assert plan_walk(state, NOW, depth).lanes == state.lanes


def test_the_head_lane_ends_an_overlap_beyond_where_the_next_lane_began() -> None:
    recent = lane(0.05, 24 * 20)
    planned = plan_walk(StreamState(lanes=(recent,)), NOW, DEPTH)
    assert planned.lanes == (recent,)
    assert head_target(planned) == recent.started_at - HOUR_MS
    assert planned.bound == 0


def test_the_head_lane_reads_on_to_what_is_due_above_the_next_lanes_cursor() -> None:
    older = lane(10, 24 * 20)
    planned = plan_walk(StreamState(lanes=(older,)), NOW, DEPTH)
    # Ten hours are more than a quarter of an age of 32 hours, and less than one of 64.
    assert head_target(planned) == NOW - 64 * HOUR_MS
    assert planned.lanes == (older,)


def test_a_lane_through_which_all_is_due_again_is_forgotten() -> None:
    passed, deeper = lane(2, 5), lane(30, 24 * 20)
    planned = plan_walk(StreamState(lanes=(passed, deeper)), NOW, DEPTH)
    assert planned.lanes == (deeper,)
    assert head_target(planned) == NOW - 128 * HOUR_MS
    planned = plan_walk(StreamState(lanes=(lane(100, 200),)), NOW, DEPTH)
    assert planned.lanes == ()
    assert head_target(planned) == planned.bound == 0


def test_the_last_lane_goes_on_to_what_is_due_now_and_not_to_the_bound_it_began_with() -> None:
    began = NOW - 20 * HOUR_MS
    state = StreamState(
        watermark=began,
        readings=(Reading(began, began - 2 * HOUR_MS), Reading(began - DAY_MS, 0)),
        closed=began - LOOKBACK,
        lanes=(lane(0.1, 1),),
    )
    planned = plan_walk(state, NOW, DEPTH)
    assert planned.bound == NOW - 256 * HOUR_MS
    # The lane reads that part itself, so the head lane only has to meet it.
    assert planned.lanes == state.lanes
    assert head_target(planned) == state.lanes[0].started_at - HOUR_MS
    later = NOW + 3 * DAY_MS
    assert plan_walk(state, later, DEPTH).bound == later - 512 * HOUR_MS


def test_a_lane_that_has_read_nothing_yet_promises_nothing() -> None:
    state = StreamState(lanes=(lane(1, None),))
    planned = plan_walk(state, NOW, DEPTH)
    assert head_target(planned) == planned.bound == 0
    assert planned.lanes == state.lanes


def test_nothing_is_due_through_a_lane_that_has_read_nothing_or_without_a_lookback() -> None:
    state = StreamState(lanes=(lane(1, None), lane(10, 24 * 20)))
    planned = plan_walk(state, NOW, DEPTH)
    assert (planned.lanes, planned.due) == (state.lanes, (None, NOW - 64 * HOUR_MS))
    assert plan_walk(state, NOW, replace_depth(lookback_days=0)).due == (None, None)


def test_a_lane_that_left_out_what_is_wanted_now_is_read_again() -> None:
    left_out = lane(0.05, 24 * 20, floor=NOW - 25 * DAY_MS)
    state = StreamState(lanes=(left_out,))
    assert plan_walk(state, NOW, replace_depth(floor=left_out.floor)).lanes == (left_out,)
    planned = plan_walk(state, NOW, replace_depth(floor=left_out.floor - 1))
    assert planned.lanes == ()
    assert head_target(planned) == planned.bound == left_out.floor - 1


def test_a_lane_goes_on_through_what_is_due_below_it_where_it_began_late_enough_for_that() -> None:
    recent, deeper = lane(1, 24 * 3), lane(24 * 10, 24 * 45)
    planned = plan_walk(StreamState(lanes=(recent, deeper)), NOW, DEPTH)
    assert planned.lanes == (recent, deeper)
    # For the first lane, what is younger than four hours; for the other, all that is owed.
    assert planned.due == (NOW - 4 * HOUR_MS, NOW - 40 * DAY_MS)


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.integers(1, 2_000), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_lanes_that_go_on_keep_their_order_and_the_head_reads_an_overlap_into_the_first(
    drawn: list[tuple[int, int, bool]], is_complete: bool
) -> None:
    lanes = tuple(
        lane(began / 10, (began + depth) / 10, begins_at=NOW if made_up and at else None)
        for at, (began, depth, made_up) in enumerate(sorted(drawn))
    )
    state = read_whole(lanes=lanes) if is_complete else StreamState(lanes=lanes)
    planned = plan_walk(state, NOW, DEPTH)
    positions = [lanes.index(kept) for kept in planned.lanes]
    assert positions == sorted(positions)
    head_began = [kept for kept in planned.lanes if kept.begins_at is None]
    if head_began and head_began[0].newest is not None:
        assert head_target(planned) <= head_began[0].newest - HOUR_MS


# -- what is told --------------------------------------------------------------------------------


def test_the_last_reading_of_a_place_is_the_newest_that_reached_it() -> None:
    readings = (Reading(NOW, NOW - HOUR_MS), Reading(NOW - DAY_MS, 0))
    assert plan.last_read(readings, NOW) == plan.last_read(readings, NOW - HOUR_MS) == NOW
    assert plan.last_read(readings, NOW - DAY_MS - 1) == NOW - DAY_MS
    # A reading cannot have covered what is younger than itself.
    assert plan.last_read(readings, NOW + 1) is None
    assert plan.last_read(readings[:1], NOW - DAY_MS) is None


def test_a_stream_is_complete_to_ten_minutes_before_its_last_reading_began() -> None:
    assert plan.complete_to(read_whole()) == NOW - 600_000
    assert plan.complete_to(read_whole(lanes=(lane(0, 1),))) == NOW
    assert plan.complete_to(StreamState(read_at=7)) == 7
    assert plan.complete_to(StreamState()) is None


def test_the_stalest_reading_is_the_oldest_that_is_still_owed() -> None:
    old = Reading(NOW - 5 * DAY_MS, NOW - 20 * DAY_MS)
    readings = (Reading(NOW, NOW - DAY_MS), old, Reading(NOW - 40 * DAY_MS, 0))
    state = read_whole(readings=readings, closed=NOW - 30 * DAY_MS)
    assert plan.stalest(state) == NOW - 40 * DAY_MS
    assert plan.stalest(replace(state, closed=NOW - 20 * DAY_MS)) == old.began
    assert plan.stalest(StreamState()) is None


def test_without_a_lookback_what_may_not_be_visible_yet_is_not_closed() -> None:
    state = StreamState(readings=(Reading(NOW - DAY_MS, 0),), closed=0)
    _, closed = with_reading(state, Reading(NOW, NOW - DAY_MS - 2 * HOUR_MS), lookback_ms=0)
    assert closed == NOW - HOUR_MS - INDEX_LAG_MS
