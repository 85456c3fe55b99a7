"""Types for what is saved of a stream between syncs. Times are epoch milliseconds.

A *lane* is one unbroken chain of pages, a *position* the lanes of a walk under way, a *watermark*
the time up to which a stream is complete, a *reading* a span of time that was read, and when.
"""

from typing import Annotated, Final, NamedTuple

import msgspec

LONGEST_CURSOR: Final = 65_536
# Later than the time of any record.
LATEST: Final = 2**53

Time = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_CURSOR)]


class Reading(NamedTuple):
    """Everything visible at `began` and not older than `reached` has been read since.

    reached: 0 if nothing older was left.
    """

    began: Time
    reached: Time


class Renewal(NamedTuple):
    """A cursor failed, and another one reads the part that it was to lead to.

    place: the time at which that part begins, or -1 if unknown.
    """

    at: Time
    place: Time


class Lane(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one unbroken chain of pages stands.

    cursor: leads to the next page; None only before the head has responded.
    started_at: when its walk began, by the server's clock.
    newest: the newest time seen on it. oldest: the time down to which it has certainly read.
    pages, in_order: its page count, and how many pages form the longest newest-first sequence.
    begins_at: the time for which its first cursor was made up; None if it began at the head.
    first: hashes of the first records of a lane that began at a made-up cursor.
    renewed: the last failure of a cursor for the part that it has yet to read.
    contradicted_at: when the listing first ended above what it has read while its cursor failed.
    floor: the oldest time that was wanted while it was read; older records were left out.
    """

    started_at: Time
    cursor: Cursor | None = None
    newest: Time | None = None
    oldest: Time | None = None
    pages: Count = 0
    in_order: Count = 0
    begins_at: Time | None = None
    first: tuple[str, ...] = ()
    renewed: Renewal | None = None
    contradicted_at: Time | None = None
    floor: Time = 0


class Unusable(NamedTuple):
    """Records that could not be stored.

    time, newest: they lie between these, give or take an hour. met_at: when the first was met.
    looked_at: when the last finished walk that looked there began.
    """

    time: Time
    met_at: Time
    newest: Time = LATEST
    looked_at: Time | None = None


class Missing(NamedTuple):
    """A row that no complete walk has held since `since`, and the results of requests for its id.

    asked_at: when its id was last requested. failing_since, failed_asks: since when, and how
    often, requests have been inconclusive. was_found: whether its id has returned 200 since.
    """

    since: Time
    asked_at: Time | None = None
    failing_since: Time | None = None
    failed_asks: Count = 0
    was_found: bool = False


class MissedChildren(NamedTuple):
    """Messages whose children could neither be read nor noted as due.

    time: that of the oldest. met_at: when the last walk that met one began. newest: their latest
    possible time.
    """

    time: Time
    met_at: Time
    newest: Time = LATEST


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a round over all parents of a child table has got.

    done_to: the last parent id with all before it done; "" if none is. over: whether all are done.
    """

    began: Time
    done_to: str = ""
    over: bool = False


class StreamState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stream between two pages, except for its remembered rows (sent_rows.py).

    read_at: when the last finished walk began. newest_first: whether walks have shown this order.
    closed: anything older was beyond the lookback when it was last read.
    lanes: newest first; only while a walk is under way.
    no_lanes_until: set if made-up cursors do not work. timeless: warned that no time is readable.
    unusable: where such records lie. An entry is kept after the search for them ends, so that it
    does not start again.
    missing: rows that may be gone, by key.
    children_missed: for messages only.
    round, owed: for children, the round over all parents, and the ids of parents to read first
    -> whether the last try failed.
    """

    read_at: Time | None = None
    watermark: Time | None = None
    newest_first: bool | None = None
    readings: tuple[Reading, ...] = ()
    closed: Time | None = None
    lanes: tuple[Lane, ...] = ()
    no_lanes_until: Time | None = None
    timeless: bool = False
    unusable: tuple[Unusable, ...] = ()
    missing: dict[str, Missing] = msgspec.field(default_factory=dict)
    children_missed: MissedChildren | None = None
    round: Round | None = None
    owed: dict[str, bool] = msgspec.field(default_factory=dict)
