"""What one page of a walk comes to: what to write of it, and what it tells of times and order.

Pure functions: no request, no queue, no state that outlives the call.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from courier_async.api.pages import Page
from courier_async.catalog.streams import Record, Stream
from courier_async.state.saved import DISORDER_MS, Frame, Lane, Lean

# The statuses after which nothing but a late open or click changes a message, and the field
# that holds the time of each (docs, message statuses).
_SETTLED_TIMES: Final = {
    "DELIVERED": "delivered",
    "OPENED": "opened",
    "CLICKED": "clicked",
    "CANCELED": "canceledAt",
}
_TIMES: Final = ("enqueued", "sent", "delivered", "opened", "clicked", "canceledAt")


# Courier was founded in 2019: what claims to be older than 2019-01-01 carries no time.
FIRST_MESSAGE_MS: Final = 1_546_300_800_000


@dataclass(frozen=True, slots=True)
class Taken:
    """lane: where the chain stands after the page. records: those to be written.
    times: epoch ms a record, in order; None where it has none.
    newest: the newest of them, None unless every record has one. oldest: the oldest there is.
    """

    lane: Lane
    records: list[Any]
    times: list[int | None]
    newest: int | None
    oldest: int | None


def take(stream: Stream, frame: Frame, lane: Lane, page: Page, *, may_stop: bool) -> Taken:
    """The page as the next one of a lane. may_stop: the stream is taken to be newest first."""
    field = stream.time_field
    if field is None:
        return Taken(replace(lane, cursor=page.next_cursor), page.records, [], None, None)
    times = [time_of(record, field) for record in page.records]
    newest, oldest, ordered = lane.newest, lane.oldest, lane.ordered
    for time in times:
        if time is None:
            continue
        if newest is None or oldest is None:
            newest = oldest = time
        elif time > oldest:
            newest = max(newest, time)
            ordered = ordered and time <= oldest + DISORDER_MS
        else:
            oldest = time
    # The page that shows the bound holds more than is asked for. Where order is not what it was
    # thought to be, the whole stream is read, and then written as well.
    oldest_wanted = frame.stop_at if may_stop and ordered else frame.emit_from
    known = [time for time in times if time is not None]
    return Taken(
        replace(lane, cursor=page.next_cursor, newest=newest, oldest=oldest, ordered=ordered),
        _wanted(page.records, times, oldest_wanted, frame.lean),
        times,
        max(known) if known and len(known) == len(times) else None,
        min(known, default=None),
    )


def _wanted(
    records: list[Any], times: list[int | None], oldest_wanted: int | None, lean: Lean | None
) -> list[Any]:
    if oldest_wanted is None and lean is None:
        return records
    return [
        record
        for record, time in zip(records, times, strict=True)
        if time is None
        or (
            (oldest_wanted is None or time >= oldest_wanted)
            and (lean is None or not is_settled(record, time, lean))
        )
    ]


def is_settled(message: Record, enqueued_ms: int, lean: Lean) -> bool:
    """Whether an earlier deep read has surely landed the message as it is."""
    if enqueued_ms >= lean.below or (lean.after is not None and enqueued_ms < lean.after):
        return False
    own_time = _SETTLED_TIMES.get(str(message.get("status")))
    if own_time is None or message.get(own_time) is None:
        return False
    for field in _TIMES:
        if message.get(field) is not None:
            time = time_of(message, field)
            if time is None or not enqueued_ms <= time < lean.unchanged_since:
                return False
    return True


def is_below_bound(frame: Frame, taken: Taken) -> bool:
    """Whether a page of a newest-first walk shows that nothing above the bound is left."""
    if frame.stop_at is None or not taken.lane.ordered or taken.newest is None:
        return False
    return taken.newest < frame.stop_at - DISORDER_MS


def time_of(record: Any, field: str) -> int | None:
    """Epoch milliseconds in a record's field, given as such or as ISO 8601; else None."""
    value = record.get(field) if isinstance(record, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if FIRST_MESSAGE_MS <= value < 2**53 else None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            time = int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
        return time if time >= FIRST_MESSAGE_MS else None
    return None
