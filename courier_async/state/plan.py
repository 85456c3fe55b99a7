"""Plans what a sync reads of a newest-first stream: how far down, and where to resume.

Pure functions over times in epoch milliseconds. Messages can change for weeks without notice, so a
point in time is read again once the time since its last reading exceeds a quarter of its age.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from msgspec.structs import replace as _replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.state.position import LATEST, Lane, Reading, StreamState, Unusable

# A record may become visible this long after the time it carries (docs: a couple of minutes).
INDEX_LAG_MS: Final = 10 * 60 * 1000
# A place is due when it was last read longer ago than its age divided by this.
_AGE_PER_WAIT: Final = 4
# A sync that begins this late reads no more: intervals between syncs are often quarters of ages.
_LATE_START_MS: Final = 10_000
_MOST_READINGS: Final = 24
# What is younger is never closed, whatever the lookback: a message may show this late.
_LEAST_CLOSED_MS: Final = HOUR_MS + INDEX_LAG_MS
# At most this many unfinished lanes from a head resume; what the others have read is read again.
_MOST_UNFINISHED: Final = 8
# How long to look for records that could not be stored, from when the first of them was met.
UNUSABLE_MS: Final = 30 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How long to look for late changes, and the oldest time that is wanted.

    reads_missed: whether to look for children that could not be noted as due before.
    """

    lookback_ms: int
    overlap_ms: int
    floor: int = 0
    reads_missed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """lanes: the saved lanes to resume.

    due: for each lane, the time down to which what it has read is due again (its cursor at most);
    the lane above it reads that. None: nothing is due. bound: how far down the last lane reads;
    0: to the end.
    """

    lanes: tuple[Lane, ...]
    due: tuple[int | None, ...]
    bound: int


def plan_walk(state: StreamState, now: int, depth: Depth) -> Plan:
    """Returns what a walk that begins at `now` by the server's clock has to read."""
    state = trusted(state, now)
    # Drop lanes that left out records that are wanted now: they are read again.
    wanted = [lane for lane in state.lanes if lane.floor <= depth.floor]
    # Each sync that does not get down to the previous lane leaves one more. Keep the newest, which
    # the next sync reaches first, and the oldest, which has got furthest.
    surplus = [lane for lane in wanted if lane.begins_at is None][_MOST_UNFINISHED - 1 : -1]
    wanted = [
        lane
        for lane in wanted
        if lane not in surplus and not _is_due_within(lane, state, now, depth)
    ]
    state = _replace(state, lanes=tuple(wanted))
    bound = _bound(state, now, depth)
    from_head = [lane for lane in state.lanes if lane.begins_at is None]
    if not from_head or from_head[-1].oldest is None:
        return Plan(lanes=state.lanes, due=tuple([bound] * len(state.lanes)), bound=bound)
    due = {id(lane): _due_again(lane, state, now, depth) for lane in from_head}
    # Drop a lane that is due again all the way down to its cursor: it is read over. The others
    # began late enough for everything that they have yet to reach.
    lanes = tuple(
        lane
        for lane in state.lanes
        if lane.oldest is None or (again := due.get(id(lane))) is None or lane.oldest < again
    )
    return Plan(lanes=lanes, due=tuple(due.get(id(lane)) for lane in lanes), bound=bound)


def _is_due_within(lane: Lane, state: StreamState, now: int, depth: Depth) -> bool:
    """Whether part of what a lane from a made-up cursor has read is due again.

    Only the lane above could read it, but that lane stops at this one's first records.
    """
    if lane.begins_at is None:
        return False
    again = due_down_to(
        _uncovered_by_later([*state.readings, Reading(lane.started_at, 0)]),
        now=now,
        lookback_ms=depth.lookback_ms,
        closed=_closed(state, depth.lookback_ms),
        floor=depth.floor,
    )
    return again is not None and again < lane.begins_at


def _due_again(lane: Lane, state: StreamState, now: int, depth: Depth) -> int | None:
    """Returns how far down, at most to its cursor, what a lane from the head read is due again."""
    if not depth.lookback_ms or lane.oldest is None:
        # Nothing is due again, and the lane above reads what no lane has read yet.
        return None
    # An unfinished lane counts as a reading down to its cursor.
    as_readings = [
        Reading(other.started_at, other.oldest)
        for other in state.lanes
        if other.begins_at is None and other.oldest is not None
    ]
    return due_down_to(
        _uncovered_by_later([*state.readings, *as_readings]),
        now=now,
        lookback_ms=depth.lookback_ms,
        closed=_closed(state, depth.lookback_ms),
        floor=max(lane.oldest, depth.floor),
    )


def trusted(state: StreamState, now: int) -> StreamState:
    """Returns the state without times in the future, which a wrong clock has left behind.

    The watermark is a record's own time, so a reading dated after `now` is assumed to have begun
    at the watermark.
    """
    latest = min(now, state.watermark or 0)
    readings = [r if r.began <= now else Reading(latest, r.reached) for r in state.readings]
    lanes = [
        lane
        if lane.started_at <= now
        else _replace(lane, started_at=min(now, state.watermark or lane.newest or 0))
        for lane in state.lanes
    ]
    return _replace(state, readings=_uncovered_by_later(readings), lanes=tuple(lanes))


def _bound(state: StreamState, now: int, depth: Depth) -> int:
    """Returns the oldest time that must be read, apart from lanes that are under way."""
    # Read what no reading has covered once, to its end.
    if state.watermark is None or not state.readings or state.readings[-1].reached > depth.floor:
        return depth.floor
    watermark = state.watermark
    if depth.lookback_ms and watermark > depth.floor:
        # After days without records, one that shows up over a day late is found by its age.
        watermark = max(watermark, state.readings[0].began - DAY_MS)
    # A clock behind the watermark must not hide what came since.
    bound = min(watermark, now) - depth.overlap_ms
    closed = _closed(state, depth.lookback_ms)
    due = due_down_to(
        state.readings,
        now=now,
        lookback_ms=depth.lookback_ms,
        closed=closed,
        floor=depth.floor,
    )
    if due is not None:
        bound = min(bound, due)
    # If the floor has moved back, what came between two readings may be in neither of them.
    for newer, older in pairwise(state.readings):
        # What was not yet visible when the older one began is not closed, whatever the lookback.
        unread = older.began - INDEX_LAG_MS - depth.overlap_ms
        if newer.reached > max(unread, closed, depth.floor):
            bound = min(bound, unread)
    missed = state.children_missed if depth.reads_missed else None
    lacking = _unusable_to_look_for(state, now, depth.floor)
    if missed is not None and missed.newest >= depth.floor:
        lacking = earliest(missed.time - depth.overlap_ms, lacking)
    # Nothing below the floor is read, so nothing there can have been read lately.
    if lacking is not None:
        read_at = last_read(state.readings, max(lacking, depth.floor)) or 0
        if now - read_at >= DAY_MS:
            bound = min(bound, lacking)
    return max(bound, depth.floor)


def due_down_to(
    readings: Iterable[Reading], *, now: int, lookback_ms: int, closed: int, floor: int = 0
) -> int | None:
    """Returns the oldest time not below `floor` that is due again, or None if nothing is due.

    A place that was last read at `began` is owed while it is younger than began - lookback_ms and
    not closed. It is due once now - began is more than a quarter of its age; then the rest of its
    octave of age (1 h, 2 h, 4 h ...) is read too.
    """
    down_to, top = None, now
    for began, reached in readings:
        owed_from = max(reached, began - lookback_ms, closed, floor)
        near, far = 0, HOUR_MS
        while now - near > owed_from:
            youngest, oldest = min(top, now - near), max(owed_from, now - far)
            wait = max(now - youngest, HOUR_MS // 2)
            if oldest < youngest and _AGE_PER_WAIT * (now - began - _LATE_START_MS) > wait:
                down_to = oldest
            near, far = far, far * 2
        top = min(top, reached)
    return down_to


def with_reading(
    state: StreamState, reading: Reading, *, lookback_ms: int, floor: int = 0
) -> tuple[tuple[Reading, ...], int | None]:
    """Returns (readings, closed) after a further span has been read.

    floor: older records are left out. What lies above it and below all readings is not closed.
    """
    kept = list(_uncovered_by_later([*state.readings, reading]))
    closed = _closed(state, lookback_ms)
    # From the oldest reading up, close what each has read that was already beyond the lookback.
    read_to = max(closed, floor)
    for known in reversed(kept):
        if known.reached > read_to:
            break
        read_to = closed = max(closed, _closed_by(known, lookback_ms))
    unusable = unusable_from(state, kept[0].began)
    if unusable is not None:
        closed = min(closed, unusable)
    while len(kept) > 2 and (kept[-3].reached <= closed or len(kept) > _MOST_READINGS):
        del kept[-2]
    return tuple(kept), closed


def unusable_from(state: StreamState, now: int) -> int | None:
    """Returns the oldest time at which records could not be stored in the last thirty days."""
    return _oldest_place([span for span in state.unusable if now - span.met_at <= UNUSABLE_MS])


def _unusable_to_look_for(state: StreamState, now: int, floor: int) -> int | None:
    """Returns the oldest time at which to look for records that could not be stored, if any.

    A later `sync_since` hides those that lie below the floor.
    """
    return _oldest_place(
        [span for span in state.unusable if span.newest >= floor and not is_over(span, now)]
    )


def is_over(span: Unusable, now: int = LATEST) -> bool:
    """Whether the thirty days of looking for unusable records are over.

    They end only once a walk has looked after them: until then there may have been a long pause,
    or a `sync_since` that hid the records.
    """
    looked_at = span.met_at if span.looked_at is None else span.looked_at
    return min(now, looked_at) - span.met_at > UNUSABLE_MS


def _oldest_place(spans: list[Unusable]) -> int | None:
    """Returns the oldest time at which these records may lie, or None without any."""
    return min([max(0, span.time - HOUR_MS) for span in spans], default=None)


def earliest(time: int, other: int | None) -> int:
    return time if other is None else min(time, other)


def last_read(readings: Iterable[Reading], time: int) -> int | None:
    """Returns when a place was last read, or None if no reading has reached it."""
    return next((r.began for r in readings if r.reached <= time <= r.began), None)


def complete_to(state: StreamState) -> int | None:
    """Returns the time up to which all that was visible has been read, if any."""
    if state.lanes:
        return state.watermark
    if state.readings:
        return state.readings[0].began - INDEX_LAG_MS
    return state.read_at


def stalest(state: StreamState) -> int | None:
    """Returns when the place that has waited longest for a reread was last read, if still owed."""
    closed = state.closed or 0
    top, began = None, None
    for reading in state.readings:
        if top is not None and top <= closed:
            break
        top, began = reading.reached, reading.began
    return began


def _closed(state: StreamState, lookback_ms: int) -> int:
    """Returns the time below which nothing is owed; it moves back if the lookback has grown."""
    if state.closed is None or not state.readings:
        return 0
    closed = min(state.closed, _closed_by(state.readings[0], lookback_ms))
    unusable = unusable_from(state, state.readings[0].began)
    return closed if unusable is None else min(closed, unusable)


def _closed_by(reading: Reading, lookback_ms: int) -> int:
    """Returns the time below which all that a reading covers is closed."""
    return reading.began - max(lookback_ms, _LEAST_CLOSED_MS)


def _uncovered_by_later(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """Returns the readings newest first, without those that a later one has covered."""
    kept: list[Reading] = []
    for reading in sorted(readings, key=lambda r: (-r.began, r.reached)):
        if not kept or reading.reached < kept[-1].reached:
            kept.append(reading)
    return tuple(kept)
