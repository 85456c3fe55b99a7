"""What is known of each stream between syncs, and the only rules by which it moves.

A *bookmark* says where a walk under way stands after a page; a *watermark* is the time up to
which a stream is complete. Times are epoch milliseconds, those of walks by the server's clock.
"""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any, Final

from courier_async.catalog.streams import AUDIT_OVERLAP_MS, BY_TABLE, DAY_MS, Stream
from courier_async.settings import Settings
from courier_async.state.sent_rows import KnownRows, is_text, parse_known_rows

VERSION: Final = 1
# A record may become visible this long after the time it carries (docs: a couple of minutes).
INDEX_LAG_MS: Final = 10 * 60 * 1000
# Newest first allows this much disorder.
DISORDER_MS: Final = 60 * 60 * 1000
# Provider retries last 72 hours (docs, delivery pipeline): a message younger than that may move.
SETTLING_MS: Final = 3 * DAY_MS
_LONGEST_CURSOR: Final = 65_536


@dataclass(frozen=True, slots=True)
class Lean:
    """Which messages a deep read leaves out as settled: those enqueued from `after` (None: any)
    to `below`, all of whose own times are older than `unchanged_since`."""

    after: int | None
    below: int
    unchanged_since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What holds for a whole walk, from its first answer on.

    started_at: the server's time at that answer.
    stop_at: the bound; None reads to the end. emit_from: what is older is never written.
    deep: the walk counts as a deep read.
    """

    started_at: int
    stop_at: int | None = None
    emit_from: int | None = None
    deep: bool = True
    lean: Lean | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Where one unbroken chain of pages stands. A walk has one from the head, and may have more.

    cursor: of the next page; None once the chain has come to the end or the bound.
    newest, oldest: the times seen. ordered: newest first so far, within DISORDER_MS.
    start: the time at which a lane was made up to begin; None for the lane from the head.
    first: short hashes of the lane's first records; first_oldest: the oldest time among them.
    met: how many of those of the lane below this one came to, one after another, last.
    """

    id: int = 0
    cursor: str | None = None
    newest: int | None = None
    oldest: int | None = None
    ordered: bool = True
    start: int | None = None
    first: tuple[str, ...] = ()
    first_oldest: int | None = None
    met: int = 0


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A walk under way. `lanes` are in order, newest first; the first reads from the head."""

    frame: Frame
    lanes: tuple[Lane, ...]

    def as_json(self) -> dict[str, Any]:
        """Flat, as long as there is one lane."""
        values = _filled(asdict(self.frame)) | _lane_json(self.lanes[0])
        if self.frame.lean is not None:
            values["lean"] = list(astuple(self.frame.lean))
        if len(self.lanes) > 1:
            values["lanes"] = [_lane_json(lane) for lane in self.lanes[1:]]
        return values


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _lane_json(lane: Lane) -> dict[str, Any]:
    values = _filled(asdict(lane))
    values["first"] = list(lane.first)
    for name, usual in (("id", 0), ("met", 0), ("first", [])):
        if values[name] == usual:
            del values[name]
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """One stream between two pages. `walk` is there only while a walk is under way.

    deep_read_at: when the last complete deep read began; deep_read_to: its bound (None: the end).
    lanes_refused_at: when made-up cursors were last seen not to work.
    """

    watermark: int | None = None
    newest_first: bool | None = None
    deep_read_at: int | None = None
    deep_read_to: int | None = None
    lanes_refused_at: int | None = None
    walk: Bookmark | None = None

    def as_json(self) -> dict[str, Any]:
        names = ("watermark", "newest_first", "deep_read_at", "deep_read_to", "lanes_refused_at")
        values = _filled({name: getattr(self, name) for name in names})
        if self.walk is not None:
            values["walk"] = self.walk.as_json()
        return values


@dataclass(frozen=True, slots=True)
class PageRead:
    """A lane has moved on by a page. The first such step of a walk begins it."""

    frame: Frame
    lane: Lane


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """A lane of a walk under way has read its first page."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class LanesJoined:
    """The upper lane has come to the first records of the lower one: they are one chain now.

    `upper` is as its last page left it; the lower one is wherever the state has it by then.
    """

    upper: Lane
    lower_id: int


@dataclass(frozen=True, slots=True)
class LanesDropped:
    """Lanes that serve no more; what they would have read, the lane above them reads."""

    ids: tuple[int, ...]
    refused_at: int | None = None


@dataclass(frozen=True, slots=True)
class WalkEnded:
    """The lane from the head has come to the end or to the bound.

    several_pages: the walk had more than one, so its order says something of the stream.
    reached_end: nothing older is left, so it counts as a deep read whatever its bound.
    """

    frame: Frame
    lane: Lane
    several_pages: bool
    reached_end: bool


@dataclass(frozen=True, slots=True)
class WalkDropped:
    """The bookmark cannot be used: the walk begins again at the head."""


Step = PageRead | LaneOpened | LanesJoined | LanesDropped | WalkEnded | WalkDropped


def advance(state: StreamState, step: Step) -> StreamState:
    """The state after a step. The walk and the writer both move by this rule alone."""
    walk = state.walk
    match step:
        case PageRead(frame, lane):
            lanes = (lane,) if walk is None else _with_lane(walk.lanes, lane)
            return replace(state, walk=Bookmark(frame, lanes))
        case LaneOpened(lane) if walk is not None:
            return replace(state, walk=replace(walk, lanes=_inserted(walk.lanes, lane)))
        case LanesJoined(upper, lower_id) if walk is not None:
            return _joined(state, walk, upper, lower_id)
        case LanesDropped(ids, refused_at):
            if walk is not None:
                lanes = tuple(lane for lane in walk.lanes if lane.id not in ids)
                walk = replace(walk, lanes=lanes)
            return replace(state, walk=walk, lanes_refused_at=refused_at or state.lanes_refused_at)
        case WalkEnded(frame, lane, several_pages, reached_end):
            return _ended(state, frame, lane, several_pages=several_pages, reached_end=reached_end)
        case _:
            return replace(state, walk=None)


def _with_lane(lanes: tuple[Lane, ...], moved: Lane) -> tuple[Lane, ...]:
    return tuple(moved if lane.id == moved.id else lane for lane in lanes)


def _inserted(lanes: tuple[Lane, ...], opened: Lane) -> tuple[Lane, ...]:
    return (lanes[0], *sorted((*lanes[1:], opened), key=lambda lane: -(lane.start or 0)))


def _joined(state: StreamState, walk: Bookmark, upper: Lane, lower_id: int) -> StreamState:
    lower = next(lane for lane in walk.lanes if lane.id == lower_id)
    times = [time for time in (upper.newest, lower.newest) if time is not None]
    older = [time for time in (upper.oldest, lower.oldest) if time is not None]
    one = replace(
        lower,
        newest=max(times, default=None),
        oldest=min(older, default=None),
        ordered=upper.ordered and lower.ordered,
        start=upper.start,
        first=upper.first,
        first_oldest=upper.first_oldest,
    )
    lanes = tuple(
        one if lane.id == lower_id else lane for lane in walk.lanes if lane.id != upper.id
    )
    if lanes[0].cursor is None:
        return _ended(state, walk.frame, lanes[0], several_pages=True, reached_end=False)
    return replace(state, walk=replace(walk, lanes=lanes))


def _ended(
    state: StreamState, frame: Frame, lane: Lane, *, several_pages: bool, reached_end: bool
) -> StreamState:
    watermark, newest_first = state.watermark, state.newest_first
    if lane.newest is not None and lane.oldest is not None:
        # Not the newest alone: what was younger may not have been visible yet.
        watermark = min(lane.newest, frame.started_at - INDEX_LAG_MS)
        # Any order passes within an hour, so less than that teaches nothing.
        if several_pages and (lane.newest - lane.oldest > DISORDER_MS or not lane.ordered):
            newest_first = lane.ordered
    # One that reached the end, and on the way left out nothing as too old, is as good as deep.
    whole = frame.stop_at is None or lane.oldest is None or lane.oldest >= frame.stop_at
    reached_end = reached_end and whole
    deep = frame.deep or reached_end
    return replace(
        state,
        watermark=watermark,
        newest_first=newest_first,
        deep_read_at=frame.started_at if deep else state.deep_read_at,
        deep_read_to=(None if reached_end else frame.stop_at) if deep else state.deep_read_to,
        walk=None,
    )


def frame_for(stream: Stream, state: StreamState, settings: Settings, *, started_at: int) -> Frame:
    """The frame of a walk from the head that begins at `started_at` by the server's clock."""
    if stream.time_field is None:
        return Frame(started_at=started_at)
    since = settings.sync_since_ms
    watermark = state.watermark
    # A watermark later than now was never earned, and would hide rows.
    if watermark is None or watermark > started_at:
        return Frame(started_at=started_at, stop_at=since, emit_from=since)
    if not stream.changes:
        stop_at = _later(watermark - AUDIT_OVERLAP_MS, since)
        return Frame(started_at=started_at, stop_at=stop_at, emit_from=stop_at, deep=False)
    lookback = settings.message_lookback_ms
    read_at = state.deep_read_at
    # Nor was a deep read that is yet to come, and it would make young messages look settled.
    if read_at is not None and read_at > started_at:
        read_at = None
    deep = read_at is None or started_at - read_at >= DAY_MS
    lean = None
    if deep:
        if read_at is not None:
            lean = Lean(
                after=state.deep_read_to,
                below=watermark - lookback,
                unchanged_since=read_at - SETTLING_MS,
            )
        lookback = max(lookback, settings.message_deep_lookback_ms)
    return Frame(
        started_at=started_at,
        stop_at=_later(watermark - lookback, since),
        emit_from=since,
        deep=deep,
        lean=lean,
    )


def _later(time: int, other: int | None) -> int:
    return time if other is None else max(time, other)


def may_stop_early(stream: Stream, state: StreamState) -> bool:
    """Whether the stream is known, or of messages presumed, to come newest first."""
    if state.newest_first is None:
        return stream.presumed_newest_first
    return state.newest_first


@dataclass(slots=True)
class State:
    """What a checkpoint saves. Only the writer changes it, behind the rows it speaks of.

    Streams that this sync does not read are carried along as they are.
    """

    source: str
    streams: dict[str, StreamState] = field(default_factory=dict)
    rows: dict[str, KnownRows] = field(default_factory=dict)

    def of(self, stream: Stream) -> StreamState:
        return self.streams.get(stream.table) or StreamState()

    def rows_of(self, stream: Stream) -> KnownRows:
        return self.rows.setdefault(stream.table, KnownRows())

    def advance(self, stream: Stream, step: Step) -> None:
        self.streams[stream.table] = advance(self.of(stream), step)

    def as_json(self) -> dict[str, Any]:
        """A new object each time, which the SDK may keep."""
        streams = {table: stream.as_json() for table, stream in self.streams.items()}
        for table, known in self.rows.items():
            streams[table] = streams.get(table, {}) | known.as_json()
        return {"version": VERSION, "source": self.source, "streams": streams}


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
            if BY_TABLE[table].keeps_rows:
                fresh.rows[table] = parse_known_rows(part)
            walk = part.get("walk")
            try:
                if walk is not None:
                    known = fresh.streams[table]
                    fresh.streams[table] = replace(known, walk=_bookmark(walk))
            except ValueError as error:
                warnings.append(
                    f"{table}: where its reading was to go on cannot be used ({error}), so it "
                    "begins again with the first page. Nothing is lost."
                )
        except ValueError as error:
            fresh.streams.pop(table, None)
            warnings.append(
                f"{table}: its part of the saved state cannot be used ({error}), so the stream "
                "is read afresh."
            )
    return fresh, warnings


def _stream_state(part: Any) -> StreamState:
    if not isinstance(part, Mapping):
        raise ValueError("it is not an object")
    return StreamState(
        watermark=_time(part, "watermark"),
        newest_first=_flag(part, "newest_first"),
        deep_read_at=_time(part, "deep_read_at"),
        deep_read_to=_time(part, "deep_read_to"),
        lanes_refused_at=_time(part, "lanes_refused_at"),
    )


def _bookmark(part: Any) -> Bookmark:
    if not isinstance(part, Mapping):
        raise ValueError("walk is not an object")
    started_at = _time(part, "started_at")
    if started_at is None:
        raise ValueError("walk has no started_at")
    frame = Frame(
        started_at=started_at,
        stop_at=_time(part, "stop_at"),
        emit_from=_time(part, "emit_from"),
        deep=_flag(part, "deep") is True,
        lean=_lean(part.get("lean")),
    )
    below = part.get("lanes", [])
    if not isinstance(below, list):
        raise ValueError("walk's lanes are not a list")
    lanes = (_lane(part), *(_lane(lane) for lane in below))
    if lanes[0].cursor is None or lanes[0].start is not None:
        raise ValueError("walk has no cursor")
    starts = [lane.start for lane in lanes[1:]]
    if None in starts or len({lane.id for lane in lanes}) != len(lanes):
        raise ValueError("walk's lanes are not told apart")
    if starts != sorted(starts, key=lambda start: -(start or 0)):
        raise ValueError("walk's lanes are not in order")
    return Bookmark(frame, lanes)


def _lane(part: Any) -> Lane:
    if not isinstance(part, Mapping):
        raise ValueError("a lane is not an object")
    cursor, first = part.get("cursor"), part.get("first", [])
    if cursor is not None and not (is_text(cursor) and 0 < len(cursor) <= _LONGEST_CURSOR):
        raise ValueError("a lane's cursor is not text")
    if not isinstance(first, list) or not all(map(is_text, first)):
        raise ValueError("a lane's first records are not names")
    return Lane(
        id=_time(part, "id") or 0,
        cursor=cursor,
        newest=_time(part, "newest"),
        oldest=_time(part, "oldest"),
        ordered=_flag(part, "ordered") is True,
        start=_time(part, "start"),
        first=tuple(first),
        first_oldest=_time(part, "first_oldest"),
        met=_time(part, "met") or 0,
    )


def _lean(part: Any) -> Lean | None:
    if part is None:
        return None
    if not isinstance(part, list) or len(part) != 3:
        raise ValueError("lean is not three times")
    times = dict(zip(("after", "below", "unchanged_since"), part, strict=True))
    after, below, since = (_time(times, name) for name in times)
    if below is None or since is None:
        raise ValueError("lean lacks a time")
    return Lean(after, below, since)


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
