"""What a walk leaves in the state: readings, watermark, order, and unusable records."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import Key, Stream
from courier_async.reading.lane import LiveLane
from courier_async.state.plan import INDEX_LAG_MS, UNUSABLE_MS, Depth, is_over, with_reading
from courier_async.state.position import MissedChildren, Reading, StreamState, Unusable
from courier_async.state.sent_rows import key_text

# If there are more, those met within half a month of each other are joined.
_MOST_UNUSABLE: Final = 24
# A shorter listing without an order may look newest first by chance.
_FEWEST_PAGES: Final = 10


def ended_state(
    stream: Stream,
    state: StreamState,
    lane: LiveLane,
    *,
    start: int,
    depth: Depth,
    records: int,
    met: tuple[Unusable, ...],
    children_missed: int | None,
    is_resumed: bool,
) -> StreamState:
    """Returns the state after a walk whose head lane has reached its end or bound.

    met: where this walk met records that cannot be stored.
    children_missed: the oldest time of messages whose children could not be noted as due.
    is_resumed: an earlier sync has read a part of the walk, and may have met such records there.
    """
    if stream.time_field is None:
        still = state.unusable if met else ()
        return replace(state, read_at=start, lanes=(), unusable=still)
    order, newest = lane.order, lane.saved.newest
    # Many pages of one time fit any order, unless the newest come last.
    is_newest_first = order.is_newest_first and not (lane.ended and order.ends_newer)
    # Of messages, what is remembered shows whether a walk has stopped too early.
    may_learn = stream.changes_late or order.pages >= _FEWEST_PAGES
    is_learned = not is_newest_first or (may_learn and (order.tells or order.falls))
    missed = state.children_missed
    if missed is not None and depth.reads_missed:
        oldest = children_missed
        if is_resumed and missed.met_at >= start:
            # An earlier sync may have met the oldest in its part of the walk.
            oldest = missed.time
        missed = _still_missed(missed, lane.reached, depth.floor, oldest)
    below = [span for span in state.unusable if _is_below_doubtful_end(span, lane, start)]
    above = [span for span in state.unusable if span not in below]
    unusable = _with_look(above, lane.reached, depth.floor, start)
    if not is_resumed:
        deepest = min([depth.floor, *[reading.reached for reading in state.readings]])
        unusable = _still_unusable(unusable, lane.reached, deepest, met)
    ended = replace(
        state,
        read_at=start,
        lanes=(),
        newest_first=is_newest_first if is_learned else state.newest_first,
        unusable=not_too_many((*unusable, *below)),
        children_missed=missed,
    )
    if newest is None:
        return replace(ended, timeless=records > 0)
    ended = with_given_up(ended, Reading(start, lane.reached), depth)
    # Not just the newest time: newer records may not have been visible yet.
    complete_to = min(newest, ended.readings[0].began - INDEX_LAG_MS)
    if ended.watermark is not None:
        complete_to = max(complete_to, ended.watermark)
    return replace(ended, watermark=complete_to, timeless=False)


def with_given_up(state: StreamState, reading: Reading, depth: Depth) -> StreamState:
    """Returns the state after another span has been read, by a whole walk or a part of one."""
    # Records older than the floor were left out, whichever page they were on.
    reading = reading._replace(reached=max(reading.reached, depth.floor))
    readings, closed = with_reading(
        state, reading, lookback_ms=depth.lookback_ms, floor=depth.floor
    )
    return replace(state, readings=readings, closed=closed)


def with_unusable(known: tuple[Unusable, ...], met: Unusable) -> tuple[Unusable, ...]:
    """Returns where unusable records may lie after a further page that holds some."""
    same = [span for span in known if _overlap(span, met)]
    for span in same:
        if met.met_at - span.met_at <= UNUSABLE_MS // 2:
            return tuple([_joined(span, met) if one is span else one for one in known])
    # A record that stays unusable gets no more days.
    return known if same else not_too_many((*known, met))


def not_too_many(spans: tuple[Unusable, ...]) -> tuple[Unusable, ...]:
    """Joins the spans that were first met within half a month, if there are too many.

    Those that are no longer looked for stay apart from the others, and go first.
    """
    if len(spans) <= _MOST_UNUSABLE:
        return spans
    joined: list[Unusable] = []
    for span in sorted(spans, key=lambda span: (not is_over(span), span.met_at)):
        last = joined[-1] if joined and is_over(joined[-1]) == is_over(span) else None
        if last is not None and span.met_at - last.met_at <= UNUSABLE_MS // 2:
            joined[-1] = _joined(last, span)
        else:
            joined.append(span)
    return tuple(joined[-_MOST_UNUSABLE:])


def _overlap(one: Unusable, other: Unusable) -> bool:
    """Whether both may be one record: spans that only touch have a usable record between them."""
    time, newest = max(one.time, other.time), min(one.newest, other.newest)
    return time < newest or (time, newest) in ((one.time, one.newest), (other.time, other.newest))


def _joined(one: Unusable, other: Unusable) -> Unusable:
    """Returns both as one, met when the first of them was."""
    return one._replace(time=min(one.time, other.time), newest=max(one.newest, other.newest))


def with_missed(state: StreamState, time: int, now: int) -> StreamState:
    """Returns the state after a page with messages whose children could not be noted as due."""
    known = state.children_missed
    time = time if known is None else min(time, known.time)
    return replace(state, children_missed=MissedChildren(time, now))


def without_seen(state: StreamState, keys: Iterable[Key]) -> StreamState:
    """Returns the state with rows that were seen again no longer missing."""
    seen = {key_text(key) for key in keys} & state.missing.keys()
    if not seen:
        return state
    missing = {text: record for text, record in state.missing.items() if text not in seen}
    return replace(state, missing=missing)


def _still_missed(
    missed: MissedChildren, reached: int, floor: int, oldest: int | None
) -> MissedChildren | None:
    """Returns what may still be missing after a walk; `oldest` is what it met itself, if any."""
    if reached <= missed.time:
        return None if oldest is None else missed._replace(time=max(missed.time, oldest))
    if reached <= floor and oldest is None:
        # Only what `sync_since` leaves out.
        return missed._replace(newest=min(missed.newest, floor - 1))
    return missed


def _is_below_doubtful_end(span: Unusable, lane: LiveLane, start: int) -> bool:
    """Whether a walk has not seen a span, since it ended above it and nothing confirms the end."""
    if not lane.ended or lane.is_confirmed or not lane.order.is_newest_first:
        return False
    if start - span.met_at > 2 * UNUSABLE_MS:
        # The listing may just keep less than it did; each day of doubt reads all of it again.
        return False
    return (lane.lowest_ms or 0) > span.newest + lane.aged_ms(span.met_at, start)


def _with_look(
    spans: Iterable[Unusable], reached: int, floor: int, start: int
) -> tuple[Unusable, ...]:
    """Returns the spans after a walk that looked there, save for what `sync_since` leaves out."""
    looked: list[Unusable] = []
    for span in spans:
        if reached <= span.time:
            looked.append(span._replace(looked_at=start))
        elif reached <= floor <= span.newest:
            looked.append(span._replace(time=floor, looked_at=start))
            looked.append(span._replace(newest=floor - 1))
        else:
            looked.append(span)
    return tuple(looked)


def _still_unusable(
    spans: tuple[Unusable, ...], reached: int, deepest: int, met: tuple[Unusable, ...]
) -> tuple[Unusable, ...]:
    """Returns the spans that a walk has not reached, or in which it met unusable records again.

    deepest: the deepest place ever wanted; a page may begin above it and end below it.
    """
    still = []
    for span in spans:
        places = [span]
        if reached <= max(span.time, deepest):
            places = [other for other in met if _overlap(span, other)]
        still += [
            span._replace(time=max(span.time, at.time), newest=min(span.newest, at.newest))
            for at in places
        ]
    return tuple(dict.fromkeys(still))
