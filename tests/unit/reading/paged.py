"""A paged listing in memory, and walks over it in virtual time into their own table."""

import asyncio
import base64
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from courier_async.api.pages import Page
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.errors import CourierError, Refused
from courier_async.handover import Batch, Notice
from courier_async.reading.changes import Changes
from courier_async.reading.fetches import Asked, Fetches
from courier_async.reading.lane_count import LaneCount
from courier_async.reading.walk import Walk
from courier_async.state.plan import Depth
from courier_async.state.position import Lane, StreamState
from courier_async.state.sent_rows import SentByHour, SentRows
from tests.support.virtual_time import run_virtual

NOW = 1_794_657_600_000
MESSAGE, AUDIT_EVENT, LIST = BY_TABLE["message"], BY_TABLE["audit_event"], BY_TABLE["list"]
MINUTE_MS = 60_000

Record = dict[str, Any]
# Takes a cursor's kind ("head", "own", "made_up") and the cursor; returns its error or None.
Fails = Callable[[str, str | None], CourierError | None]


def evenly(
    count: int, *, every_ms: int = 10 * MINUTE_MS, newest: int = NOW - HOUR_MS
) -> list[int]:
    """Returns evenly spaced times, newest first."""
    return [newest - number * every_ms for number in range(count)]


@dataclass
class PagedApi:
    """Lists records newest first, with cursors that are positions, as Courier's are.

    made_up: how a cursor that was never given out is answered: honoured, refused, head, thin
    (every third record), empty (no record and no more), empty and leads on (no record, but a next
    cursor), newer (a page too high), silent (as if the oldest page were the last). false_ends:
    cursors of the server's own answered as if nothing were older. false_end_page: the same for all
    own cursors for places on this page. head_ends: the first page says that nothing is older.
    """

    times: list[int]
    per_page: int = 10
    made_up: str = "honoured"
    fails: Fails = lambda kind, cursor: None
    false_ends: set[str] = field(default_factory=set)
    false_end_page: int | None = None
    head_ends: bool = False
    seconds: tuple[float, float] = (1.0, 1.0)
    seed: int = 0
    stream: Stream = MESSAGE
    now_ms: int = NOW
    asked: list[str | None] = field(default_factory=list)
    held: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._at_once = 0
        self._places: dict[str, int] = {}
        self.records: list[Record] = []
        # Each record's place, which may differ from its time.
        self.positions: list[int] = []
        for time in self.times:
            self.insert(time)

    def insert(self, time: int, *, position: int | None = None) -> str:
        """Adds a record in its place, and returns its id."""
        id_ = f"1-{len(self.records):08x}"
        position = time if position is None else position
        # Of equal times, the one added first stands first, so ids follow the order of `times`.
        at = bisect_right(self.positions, -position, key=lambda own: -own)
        name = self.stream.key[0]
        field_ = self.stream.time_field or "created"
        self.records.insert(at, {name: id_, field_: time, "status": "SENT"})
        self.positions.insert(at, position)
        return id_

    def change(self, id_: str, **fields: Any) -> None:
        self.records[self._index(id_) or 0].update(fields)

    def id_of(self, record: Record) -> str:
        return str(record[self.stream.key[0]])

    @property
    def ids(self) -> set[str]:
        return {self.id_of(record) for record in self.records}

    def _index(self, id_: str) -> int | None:
        """Returns a record's index, or None if the server does not know it."""
        if len(self._places) != len(self.records):
            self._places = {self.id_of(record): n for n, record in enumerate(self.records)}
        return self._places.get(id_)

    @property
    def made_up_asked(self) -> list[str]:
        return [cursor for cursor in self.asked if cursor and self.kind(cursor) == "made_up"]

    def cursor_behind(self, index: int) -> str:
        record = self.records[index]
        return base64.b64encode(f"{self.positions[index]},{self.id_of(record)}".encode()).decode()

    def cursor_of_page(self, number: int) -> str:
        """Returns the cursor that the server gives out for a page; the head is number 0."""
        return self.cursor_behind(number * self.per_page - 1)

    def kind(self, cursor: str | None) -> str:
        if cursor is None:
            return "head"
        _, _, id_ = base64.b64decode(cursor).decode().partition(",")
        return "made_up" if self._index(id_) is None else "own"

    async def ask(self, cursor: str | None, yields: bool) -> Asked:
        self.asked.append(cursor)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            took_seconds = self._random.uniform(*self.seconds)
            await asyncio.sleep(took_seconds)
        finally:
            self._at_once -= 1
        error = self.fails(self.kind(cursor), cursor)
        if error is not None:
            raise error
        page = self._answer(cursor)
        self.held += 1
        seconds = asyncio.get_running_loop().time()
        answered_ms = self.now_ms + int(seconds * 1000)
        return Asked(page, answered_ms, self._release_once(), took_seconds)

    def _release_once(self) -> Callable[[], None]:
        is_released = False

        def release() -> None:
            nonlocal is_released
            assert not is_released
            is_released = True
            self.held -= 1

        return release

    def _answer(self, cursor: str | None) -> Page:
        if cursor is None:
            page = self.page_from(0)
            return Page(page.records, None) if self.head_ends else page
        time, _, id_ = base64.b64decode(cursor).decode().partition(",")
        index = self._index(id_)
        is_false_end = index is not None and index // self.per_page == self.false_end_page
        if cursor in self.false_ends or is_false_end:
            return Page([], None)
        return self._made_up(int(time)) if index is None else self.page_from(index + 1)

    def _made_up(self, time: int) -> Page:
        at = bisect_left(self.positions, -time, key=lambda own: -own)
        if self.made_up == "refused":
            raise Refused(400, "")
        if self.made_up == "head":
            return self.page_from(0)
        if self.made_up == "empty":
            return Page([], None)
        if self.made_up == "empty and leads on":
            return Page([], self.cursor_behind(at - 1))
        if self.made_up == "newer":
            return self.page_from(max(at - self.per_page, 0))
        if self.made_up == "thin":
            some = self.records[at::3][: self.per_page]
            return Page(some, self.cursor_behind(self.records.index(some[-1])) if some else None)
        if self.made_up == "silent":
            return Page(self.records[-self.per_page :], None)
        return self.page_from(at)

    def page_from(self, at: int) -> Page:
        last = min(at + self.per_page, len(self.records))
        records = [dict(record) for record in self.records[at:last]]
        return Page(records, self.cursor_behind(last - 1) if last < len(self.records) else None)


@dataclass
class Reader:
    """Runs successive walks of a listing, each from the state that the last one left.

    landed: what the table holds. blocks: possible waits for a full queue, drawn at random.
    batches: of the last walk, as written. shown: its counts as each batch was handed over.
    """

    api: PagedApi
    lanes: int | None = 1
    lookback_days: float = 30.0
    since_ms: int = 0
    seed: int = 0
    blocks: tuple[float, ...] = (0.0, 0.0, 0.3, 3.0)
    state: StreamState = field(default_factory=StreamState)
    landed: dict[str, Record] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: CourierError | None = None
    can_note_due: Callable[[], bool] | None = None
    reads_missed: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.sent = SentByHour()
        self.rows = SentRows()
        self.sent_ids: list[str] = []
        self.states: list[StreamState] = []
        self.batches: list[Batch] = []
        self.shown: list[Counts] = []

    def walk(self, *, die_after: int | None = None, resumed: Lane | None = None) -> "Reader":
        """Runs one walk to its end, or until the sync dies after `die_after` batches."""
        self.api.asked.clear()
        self.sent_ids, self.states, self.notices, self.batches = [], [], [], []
        self.shown = []
        run_virtual(self._walk(die_after, resumed))
        assert self.api.held == 0
        return self

    async def _walk(self, die_after: int | None, resumed: Lane | None) -> None:
        stream = self.api.stream
        seen: set[Key] | None = set() if stream.deletes else None
        left = die_after
        self.error = None
        counts = Counts(stream.table)
        async with Fetches(self.api.ask) as fetches:
            self.last = walk = Walk(
                stream,
                self.state,
                depth=Depth(
                    lookback_ms=int(self.lookback_days * DAY_MS) if stream.changes_late else 0,
                    overlap_ms=stream.overlap_ms,
                    floor=self.since_ms,
                    reads_missed=self.reads_missed,
                ),
                changes=Changes(
                    stream,
                    mapper=RowMapper(stream, redact_secrets=True),
                    salt=b"",
                    rows=self.rows.copy() if stream.keeps_rows else None,
                    recent=self.sent.copy() if stream.keeps_recent else None,
                    since_ms=self.since_ms or None,
                    reread_ms=int(self.lookback_days * DAY_MS),
                    can_note_due=self.can_note_due,
                    reads_missed=self.reads_missed,
                ),
                fetches=fetches,
                lane_count=LaneCount(self.lanes),
                per_second=lambda: 1000.0,
                counts=counts,
                resumed=resumed,
                seen=seen,
            )
            try:
                async for output in walk.batches():
                    await asyncio.sleep(self._random.choice(self.blocks))
                    if isinstance(output, Notice):
                        self.notices.append(output.text)
                        continue
                    assert output.stream is stream
                    if output.state is not None:
                        # A lane without a cursor could not continue.
                        assert all(lane.cursor for lane in output.state.lanes)
                    if output.release is not None:
                        output.release()
                    if left is not None and not left:
                        return
                    left = None if left is None else left - 1
                    self.batches.append(output)
                    self.shown.append(replace(counts))
                    self._write(output.rows, output.entries)
                    if output.state is not None:
                        self.state = output.state
                        self.states.append(output.state)
            except CourierError as error:
                self.error = error
            else:
                # Only the last batch says that the walk has ended.
                assert [batch for batch in self.batches if batch.ends_walk] == self.batches[-1:]
                assert self.state == walk.state

    def _write(self, rows: list[Record], entries: list[Any]) -> None:
        column = self.api.stream.key_columns[0]
        for row in rows:
            self.landed[row[column]] = row
            self.sent_ids.append(row[column])
        for entry in entries:
            if self.api.stream.keeps_recent:
                self.sent.set(entry.name, entry.time_ms or 0, entry.mark)
            elif self.api.stream.keeps_rows:
                self.rows.set(entry.key, entry.mark)

    @property
    def missing(self) -> set[str]:
        return self.api.ids - set(self.landed)

    @property
    def asked_twice(self) -> list[str | None]:
        return [cursor for cursor, times in Counter(self.api.asked).items() if times > 1]


def is_whole(reader: Reader) -> bool:
    """Returns whether the last walk ended without error and every record has landed."""
    return reader.error is None and not reader.missing and not reader.state.lanes
