"""What a checkpoint saves as JSON, and how it is loaded."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from courier_async.catalog.stream import Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.errors import StateRefused
from courier_async.state.position import StreamState, Time
from courier_async.state.sent_rows import (
    MOST_BYTES,
    MOST_IMMUTABLE,
    SentByHour,
    SentRows,
    json_bytes,
)

VERSION: Final = 9
# For all rows that may be gone. A later walk notes again what does not fit.
MOST_MISSING_BYTES: Final = 1_500_000
# Size of one entry besides its key: quotes, four numbers and a flag.
_MISSING_BYTES: Final = 69


class _SavedStream(StreamState, frozen=True, kw_only=True, omit_defaults=True):
    """StreamState, and the rows that belong to it.

    open: rows may have been sent after this checkpoint, since it did not end a sync.
    sent_whole: the stream is too large for its rows to be remembered; reported once.
    due: for children of messages, id -> time of the messages to read, negative if the last try
        failed.
    """

    open: bool = False
    sent_whole: bool = False
    sent: str | dict[str, str] | None = None
    due: dict[str, Time] = msgspec.field(default_factory=dict)


class State:
    """Everything a checkpoint saves.

    Once a sync has begun, only the writer changes it, after it has sent the rows concerned.
    Streams that this sync does not read are kept unchanged.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.streams: dict[str, StreamState] = {}
        self.rows: dict[str, SentRows] = {}
        self.recent: dict[str, SentByHour] = {}
        self.open: set[str] = set()
        self.sent_whole: set[str] = set()
        self.due: dict[str, dict[str, int]] = {}

    def of(self, table: str) -> StreamState:
        return self.streams.get(table) or StreamState()

    def recent_of(self, stream: Stream) -> SentByHour:
        """Returns the youngest rows of a stream that have been sent."""
        return self.recent.setdefault(stream.table, _empty(stream))

    def rows_of(self, table: str) -> SentRows:
        return self.rows.setdefault(table, SentRows())

    def begin(self, tables: Collection[str]) -> None:
        """Resets the round of each child table that a sync leaves out while it reads the parents.

        Such a table learns of no new parents, so it begins a round when it is read again.
        """
        for table in self.streams.keys() - set(tables):
            if BY_TABLE[table].parent in tables:
                self.streams[table] = replace(self.streams[table], round=None)

    def as_json(self) -> dict[str, Any]:
        """Returns a new object each time, since the SDK may keep it."""
        parts = (self.streams, self.rows, self.recent, self.sent_whole, self.open, self.due)
        tables = BY_TABLE.keys() & {table for part in parts for table in part}
        streams = {table: self._stream_as_json(table) for table in sorted(tables)}
        _keep_missing_within_bounds(streams)
        return {"version": VERSION, "source": self.source, "streams": streams}

    def _stream_as_json(self, table: str) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(self.of(table))
        recent = self.recent.get(table)
        if recent is not None and (len(recent) or recent.given_up >= 0):
            values["sent"] = recent.as_json()
        if self.due.get(table):
            values["due"] = dict(self.due[table])
        if table in self.open:
            values["open"] = True
        if table in self.sent_whole:
            values["sent_whole"] = True
            values.pop("missing", None)
        elif len(self.rows.get(table, ())):
            values["sent"] = self.rows[table].as_json()
        return values

    def keep_within_bounds(self) -> list[str]:
        """Gives up the rows of the largest streams until the rest fit. Returns their tables."""
        given_up = [table for table, rows in self.rows.items() if rows.are_too_many]
        for table in given_up:
            self._give_up(table)
        while sum(rows.size_bytes for rows in self.rows.values()) > MOST_BYTES:
            largest = max(self.rows, key=lambda table: self.rows[table].size_bytes)
            self._give_up(largest)
            given_up.append(largest)
        return given_up

    def _give_up(self, table: str) -> None:
        self.rows[table] = SentRows()
        self.sent_whole.add(table)


def _keep_missing_within_bounds(streams: dict[str, dict[str, Any]]) -> None:
    """Leaves out the rows that have been missing for the shortest time if there are too many.

    The table that has the most comes last, so that it does not leave the others without room.
    """
    room = MOST_MISSING_BYTES
    for values in sorted(streams.values(), key=lambda values: len(values.get("missing", ()))):
        missing: dict[str, Any] = values.get("missing", {})
        sizes = {text: json_bytes(text) + _MISSING_BYTES for text in missing}
        if sum(sizes.values()) > room:
            kept = {}
            for text, record in sorted(missing.items(), key=lambda item: item[1][0]):
                if sizes[text] > room:
                    break
                room -= sizes[text]
                kept[text] = record
            values["missing"] = kept
        else:
            room -= sum(sizes.values())


def load(raw: Any, *, source: str) -> tuple[State, list[str]]:
    """Returns the state in `raw`, and a sentence for each part of it that cannot be used.

    Unusable parts start afresh, since reading again is always safe. Raises StateRefused if the
    state is from another account or a newer version, and so must not be overwritten.
    """
    fresh = State(source)
    if not raw:
        return fresh, []
    if not isinstance(raw, Mapping) or not isinstance(raw.get("version"), int):
        return fresh, [
            "The saved state is not from this connector (it may be from Fivetran's example for "
            "Courier, which skipped rows), so every stream is read from the beginning."
        ]
    if raw["version"] > VERSION:
        raise StateRefused(
            "The saved state was written by a newer version of this connector. Deploy that "
            "version again, or start a historical re-sync, which reads everything from the "
            "beginning."
        )
    if raw["version"] != VERSION or isinstance(raw["version"], bool):
        return fresh, [
            "The saved state was written by an older version of this connector, so every stream "
            "is read from the beginning."
        ]
    if raw.get("source") != source:
        raise StateRefused(other_source(raw.get("source"), source))
    warnings = []
    streams: Any = raw.get("streams")
    # Parents come first.
    for table, stream in BY_TABLE.items() if isinstance(streams, Mapping) else ():
        if table not in streams:
            continue
        try:
            _load_stream(fresh, stream, streams[table])
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            _forget(fresh, table)
            if stream.parent == "message":
                # Only messages read again become due.
                _forget(fresh, "message")
            warnings.append(
                f"{table}: its part of the saved state cannot be read ({_reason(error)}), so the "
                "stream is read from the beginning."
            )
    return fresh, warnings


def other_source(saved: Any, source: str) -> str:
    """Returns the error text for a state whose source is not the configuration's."""
    known = saved if isinstance(saved, str) and len(saved) < 300 else "another account"
    return (
        f"The tables hold rows from {known!r}, but the configuration points to {source!r} (host "
        "and key type). Nothing was read. If the setting is wrong, correct region, base_url or "
        "api_key. To read the other account, use a new connection, or start a historical re-sync, "
        "which clears the state."
    )


def _load_stream(state: State, stream: Stream, part: Any) -> None:
    # Raises on half of a surrogate pair, which could be neither sent nor saved again.
    msgspec.json.encode(part)
    saved = msgspec.convert(part, _SavedStream)
    if any(lane.cursor is None and lane.begins_at is None for lane in saved.lanes):
        raise ValueError("a lane has no cursor")
    if stream.keeps_recent:
        if isinstance(saved.sent, str):
            raise ValueError("expected recent rows grouped by hour")
        most = _most_recent(stream)
        state.recent[stream.table] = SentByHour.from_json(saved.sent or {}, most)
    elif isinstance(saved.sent, dict):
        raise ValueError("expected rows as text")
    elif saved.sent_whole:
        state.sent_whole.add(stream.table)
    elif stream.keeps_rows:
        rows = state.rows[stream.table] = SentRows.from_json(saved.sent or "")
        if any(len(key) != len(stream.key) for key in rows.marks):
            raise ValueError("the keys do not belong to this stream")
        if saved.open:
            rows.blank_all()
    if saved.due:
        state.due[stream.table] = saved.due
    fields = {name: getattr(saved, name) for name in StreamState.__struct_fields__}
    state.streams[stream.table] = StreamState(**fields)


def _reason(error: Exception) -> str:
    # The texts of other errors may quote the data that does not parse.
    is_a_sentence = type(error) in (ValueError, msgspec.ValidationError)
    return str(error) if is_a_sentence else type(error).__name__


def _forget(state: State, table: str) -> None:
    state.streams.pop(table, None)
    state.rows.pop(table, None)
    state.sent_whole.discard(table)
    state.due.pop(table, None)
    state.recent.pop(table, None)


def _empty(stream: Stream) -> SentByHour:
    return SentByHour(_most_recent(stream))


def _most_recent(stream: Stream) -> int | None:
    return None if stream.changes_late else MOST_IMMUTABLE
