"""What is known of each stream between syncs, and the only rules by which it moves.

A *bookmark* says where a walk under way stands after a page; a *watermark* is the time up to
which a stream is complete. Times are epoch milliseconds, those of walks by the server's clock.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from courier_async.settings import Settings
from courier_async.streams import AUDIT_OVERLAP_MS, BY_TABLE, DAY_MS, Stream

log = logging.getLogger(__name__)

VERSION: Final = 1
# A record may become visible this long after the time it carries (docs: a couple of minutes).
INDEX_LAG_MS: Final = 10 * 60 * 1000
# Newest first allows this much disorder.
DISORDER_MS: Final = 60 * 60 * 1000
_LONGEST_CURSOR: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """Where a walk stands after a page, and what it has seen so far.

    cursor: of the next page; None once the walk has ended.
    started_at: the server's time at the walk's first answer.
    newest, oldest: the times seen; None before any.
    ordered: newest first so far, within DISORDER_MS.
    stop_at: the bound; None reads to the end. emit_from: older records are left out.
    deep: this walk counts as a deep read. lean_before: see known_rows.settled().
    """

    cursor: str | None
    started_at: int
    newest: int | None = None
    oldest: int | None = None
    ordered: bool = True
    stop_at: int | None = None
    emit_from: int | None = None
    deep: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            name: value for name in self.__slots__ if (value := getattr(self, name)) is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """One stream between two pages. `walk` is there only while a walk is under way."""

    watermark: int | None = None
    newest_first: bool | None = None
    deep_read_at: int | None = None
    walk: Bookmark | None = None

    def as_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: value
            for name in ("watermark", "newest_first", "deep_read_at")
            if (value := getattr(self, name)) is not None
        }
        if self.walk is not None:
            values["walk"] = self.walk.as_json()
        return values


@dataclass(frozen=True, slots=True)
class PageRead:
    """A walk goes on from `bookmark` once the page's rows are written."""

    bookmark: Bookmark


@dataclass(frozen=True, slots=True)
class WalkEnded:
    """A walk has read to its end or bound. `bookmark` is what it had seen by then.

    several_pages: it had more than one, so its order says something of the stream.
    reached_end: nothing older is left, so it counts as a deep read whatever its bound.
    """

    bookmark: Bookmark
    several_pages: bool
    reached_end: bool


@dataclass(frozen=True, slots=True)
class WalkDropped:
    """The API no longer knows the bookmark's cursor: the walk begins again."""


Step = PageRead | WalkEnded | WalkDropped


def advance(state: StreamState, step: Step) -> StreamState:
    """The state after a step. The walk and the writer both move by this rule alone."""
    match step:
        case PageRead(bookmark):
            return replace(state, walk=bookmark)
        case WalkDropped():
            return replace(state, walk=None)
        case WalkEnded(bookmark, several_pages, reached_end):
            newest, oldest = bookmark.newest, bookmark.oldest
            watermark, newest_first = state.watermark, state.newest_first
            if newest is not None and oldest is not None:
                # Not the newest alone: what was younger may not have been visible yet.
                watermark = min(newest, bookmark.started_at - INDEX_LAG_MS)
                # Any order passes within an hour, so less than that teaches nothing.
                if several_pages and (newest - oldest > DISORDER_MS or not bookmark.ordered):
                    newest_first = bookmark.ordered
            deep = bookmark.deep or reached_end
            return StreamState(
                watermark=watermark,
                newest_first=newest_first,
                deep_read_at=bookmark.started_at if deep else state.deep_read_at,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far back a walk reads, and what of it is sent; None is without bound."""

    stop_at: int | None
    emit_from: int | None
    deep: bool


def bound_for(stream: Stream, state: StreamState, settings: Settings, *, started_at: int) -> Bound:
    """The bound of a walk from the head that begins at `started_at` by the server's clock."""
    if stream.time_field is None:
        return Bound(stop_at=None, emit_from=None, deep=True)
    since = settings.sync_since_ms
    watermark = state.watermark
    # A watermark later than now was never earned, and would hide rows.
    if watermark is None or watermark > started_at:
        return Bound(stop_at=since, emit_from=since, deep=True)
    deep, lookback = False, AUDIT_OVERLAP_MS
    if stream.resends_below_bound:
        lookback = settings.message_lookback_ms
        read_at = state.deep_read_at
        deep = read_at is None or not 0 <= started_at - read_at < DAY_MS
        if deep:
            lookback = max(lookback, settings.message_deep_lookback_ms)
    stop_at = watermark - lookback
    if since is not None:
        stop_at = max(stop_at, since)
    return Bound(
        stop_at=stop_at,
        emit_from=since if stream.resends_below_bound else stop_at,
        deep=deep,
    )


def may_stop_early(stream: Stream, state: StreamState) -> bool:
    """Whether the stream is known, or of messages presumed, to come newest first."""
    if state.newest_first is None:
        return stream.presumed_newest_first
    return state.newest_first


@dataclass(slots=True)
class State:
    """What a checkpoint saves. Only the writer changes it, behind the rows it speaks of."""

    source: str
    streams: dict[str, StreamState] = field(default_factory=dict)
    # What a later version of the file or an unselected stream holds is carried along as it came.

    def of(self, stream: Stream) -> StreamState:
        return self.streams.get(stream.table) or StreamState()

    def advance(self, stream: Stream, step: Step) -> None:
        self.streams[stream.table] = advance(self.of(stream), step)

    def as_json(self) -> dict[str, Any]:
        """A new object each time, which the SDK may keep."""
        return {
            "version": VERSION,
            "source": self.source,
            "streams": {table: stream.as_json() for table, stream in self.streams.items()},
        }


def load(raw: Any, *, source: str) -> tuple[State, list[str]]:
    """The state in `raw`, and a sentence for each part of it that cannot be used.

    Whatever cannot be used starts afresh: reading again is always right, trusting is not.
    Raises nothing, whatever `raw` is.
    """
    fresh = State(source=source)
    if not raw:
        return fresh, []
    if not isinstance(raw, Mapping):
        return fresh, ["The saved state is not an object: every stream is read afresh."]
    if "version" not in raw:
        return fresh, [
            "The saved state is not of this connector (perhaps of Fivetran's example for "
            "Courier, which skipped rows): every stream is read afresh."
        ]
    if raw["version"] != VERSION or isinstance(raw["version"], bool):
        return fresh, [
            "The saved state is of a version that this connector does not know: every stream "
            "is read afresh."
        ]
    if raw.get("source") != source:
        return fresh, [
            "The saved state is of another Courier account, region or environment: every stream "
            "is read afresh. Rows of the account before stay in the tables; to be rid of them, "
            "use a new connection."
        ]
    streams = raw.get("streams")
    if not isinstance(streams, Mapping):
        return fresh, ["The saved state has no streams: every stream is read afresh."]
    warnings = []
    for table, part in streams.items():
        if table not in BY_TABLE:
            continue
        try:
            fresh.streams[table] = _stream_state(part)
        except ValueError as error:
            warnings.append(
                f"{table}: its part of the saved state cannot be used ({error}), so the stream "
                "is read afresh."
            )
    return fresh, warnings


def _stream_state(part: Any) -> StreamState:
    if not isinstance(part, Mapping):
        raise ValueError("it is not an object")
    walk = part.get("walk")
    return StreamState(
        watermark=_time(part, "watermark"),
        newest_first=_flag(part, "newest_first"),
        deep_read_at=_time(part, "deep_read_at"),
        walk=None if walk is None else _bookmark(walk),
    )


def _bookmark(part: Any) -> Bookmark:
    if not isinstance(part, Mapping):
        raise ValueError("walk is not an object")
    cursor, started_at = part.get("cursor"), _time(part, "started_at")
    if not isinstance(cursor, str) or not 0 < len(cursor) <= _LONGEST_CURSOR:
        raise ValueError("walk has no cursor")
    if started_at is None:
        raise ValueError("walk has no started_at")
    stop_at, emit_from = _time(part, "stop_at"), _time(part, "emit_from")
    # A bound later than the walk's own start was never set by this connector.
    if any(bound is not None and bound > started_at for bound in (stop_at, emit_from)):
        raise ValueError("walk ends after it begins")
    return Bookmark(
        cursor=cursor,
        started_at=started_at,
        newest=_time(part, "newest"),
        oldest=_time(part, "oldest"),
        ordered=_flag(part, "ordered") is True,
        stop_at=stop_at,
        emit_from=emit_from,
        deep=_flag(part, "deep") is True,
    )


def _time(part: Mapping[Any, Any], name: str) -> int | None:
    value = part.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**53:
        raise ValueError(f"{name} is not a time")
    return value


def _flag(part: Mapping[Any, Any], name: str) -> bool | None:
    value = part.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} is neither true nor false")
    return value
