"""What is saved of a stream between syncs, typed. Times are epoch milliseconds.

A *lane* is one unbroken chain of pages, a *position* the lanes of a walk under way, a *watermark*
the time up to which a stream is complete, a *reading* a span of time that was read, and when.
"""

from typing import Annotated, Final, NamedTuple

import msgspec

LONGEST_CURSOR: Final = 65_536

Time = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_CURSOR)]


class Reading(NamedTuple):
    """Everything visible at `began` and not older than `reached` has been read since.

    reached: 0 where nothing older was left.
    """

    began: Time
    reached: Time


class Renewal(NamedTuple):
    """A cursor failed, and what it was to lead to is read by another.

    place: the time at which the part that it stood for begins, or -1.
    """

    at: Time
    place: Time


class Lane(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one unbroken chain of pages stands.

    cursor: of the next page; None only before the head has answered.
    started_at: when the walk that it belongs to began, by the server's clock.
    newest: the newest time seen on it. oldest: the time down to which it has surely read.
    pages, in_order: its pages, and how many of them form the longest newest-first row.
    begins_at: the time for which its first cursor was made up; None: it began at the head.
    first: hashes of the first records of a lane that began at a made-up cursor.
    renewed: the last time that a cursor failed of what it is to read.
    contradicted_at: when the listing first ended above what it has read, its own cursor refused.
    floor: the oldest time that was wanted while it was read; what is older was left out.
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

    time: of the oldest page that held one. met_at: when the first of them was met.
    """

    time: Time
    met_at: Time


class Missing(NamedTuple):
    """A row that complete walks have not held since `since`, and how its id has answered.

    asked_at: when its id was last asked for. failing_since, failed_asks: since when, and how
    often, that told nothing.
    """

    since: Time
    asked_at: Time | None = None
    failing_since: Time | None = None
    failed_asks: Count = 0


class MissedChildren(NamedTuple):
    """Messages whose children could neither be read nor noted as due.

    time: of the oldest. met_at: when the last walk began that met one.
    """

    time: Time
    met_at: Time


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a round over all parents of a table of children stands.

    done_to: the last parent's id with all before it done; "" where none is. over: all are.
    """

    began: Time
    done_to: str = ""
    over: bool = False


class StreamState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stream between two pages, but for the rows that are remembered (sent_rows.py).

    read_at: when the last walk that ended began. newest_first: what that walk has shown.
    closed: what is older was beyond the lookback when it was last read.
    lanes: newest first; only while a walk is under way.
    no_lanes_until: made-up cursors were seen not to work. timeless: told that no time is readable.
    unusable: oldest first. Those met within the same days share an entry, which outlasts the days
    in which they are looked for, so that nobody looks for them again.
    missing: rows that may have gone, by key.
    children_missed: of messages alone.
    round, owed: of children, the round over all parents, and the ids of parents that are to be
    read first -> whether the last try failed.
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
