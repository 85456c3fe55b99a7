"""The one writer: rows to op.upsert, then the state's step, then a checkpoint when one is due.

All calls of the SDK's operations stand here, and all are made on one thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from courier_async.catalog.rows import Flattener, json_text
from courier_async.catalog.streams import BY_TABLE, Record, Stream
from courier_async.reading.walk import Batch
from courier_async.report import Tally
from courier_async.state.saved import State
from courier_async.state.sent_rows import (
    BLANK,
    Deletions,
    KnownRows,
    fingerprint,
    keep_within_bounds,
)
from courier_async.writing.sdk_thread import Worker

log = logging.getLogger(__name__)

# Pages that may wait: enough that no walk waits for a writer that keeps up.
QUEUE_PAGES: Final = 64
# And so many bytes as they came, which take about five times as much once they are parsed.
_MOST_BYTES_WAITING: Final = 4 * 1024 * 1024
# A hop to the thread costs as much as flattening five pages, so a page waits a moment for others,
# unless so many wait already or the destination takes longer than that for what it is given.
# The queue still takes twice the highest rate of requests.
_GATHER_SECONDS: Final = 0.03
_ENOUGH_PAGES: Final = 8


class Operations(Protocol):
    """What the writer needs of the SDK's `Operations`."""

    def upsert(self, table: str, data: dict[str, Any]) -> Any: ...
    def delete(self, table: str, keys: dict[str, Any]) -> Any: ...
    def checkpoint(self, state: dict[str, Any]) -> Any: ...
    def warning(self, message: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Item:
    """A batch on its way from a stream's walk to the destination, and what it took on the wire."""

    stream: Stream
    batch: Batch
    size_bytes: int = 0


@dataclass(slots=True)
class _Marked:
    """A record that can be stored, its key, and its fingerprint where rows are kept."""

    key: str
    record: Record
    mark: str


class Writer:
    """Takes items in the order in which they were put; `queue` None-terminated."""

    def __init__(
        self,
        *,
        op: Operations,
        worker: Worker,
        state: State,
        tallies: dict[str, Tally],
        checkpoint_interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._op = op
        self._worker = worker
        self._state = state
        self._tallies = tallies
        self._interval_seconds = checkpoint_interval_seconds
        self._clock = clock
        self._saved_at = clock()
        self._unsaved = False
        self._stopped = False
        self._write_seconds = 0.0
        self._flatteners: dict[str, Flattener] = {}
        self.queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_PAGES)
        self._bytes_waiting = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, item: Item) -> None:
        """Queues an item; waits while pages, or bytes of them, enough to fill the memory wait.

        One that is so large by itself is also waited for until it is written, so that the next
        such page is not read meanwhile.
        """
        await self._room()
        self._count(item.size_bytes)
        try:
            await self.queue.put(item)
        except BaseException:
            self._count(-item.size_bytes)
            raise
        if item.size_bytes >= _MOST_BYTES_WAITING:
            await self._room()

    async def _room(self) -> None:
        while not self._has_room.is_set():
            await self._has_room.wait()

    def _count(self, size_bytes: int) -> None:
        self._bytes_waiting += size_bytes
        if self._bytes_waiting < _MOST_BYTES_WAITING:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def run(self) -> None:
        """Writes until the queue ends, then saves the state. Raises what an operation raised."""
        try:
            while True:
                items, last = await self._waiting()
                size_bytes = sum(item.size_bytes for item in items)
                # One hop to the thread for all that waits: a hop a page costs more than its rows.
                began = self._clock()
                await self._worker.run(lambda: self._write(items, last=last))  # noqa: B023
                self._write_seconds = self._clock() - began
                self._count(-size_bytes)
                if last:
                    return
        finally:
            # After this no operation is called, whatever the thread is still busy with.
            self._stopped = True

    async def _waiting(self) -> tuple[list[Item], bool]:
        """All items now in the queue, at least one; or none once a checkpoint is due."""
        items: list[Item] = []
        try:
            async with asyncio.timeout(self._seconds_to_checkpoint()):
                item = await self.queue.get()
        except TimeoutError:
            return items, False
        if item is not None and self._may_gather():
            await asyncio.sleep(_GATHER_SECONDS)
        while item is not None:
            items.append(item)
            if self.queue.empty():
                return items, False
            item = self.queue.get_nowait()
        return items, True

    def _may_gather(self) -> bool:
        is_quick = self._write_seconds < _GATHER_SECONDS
        # An interval of 0 asks for a checkpoint as soon as there is a page.
        return is_quick and bool(self._interval_seconds) and self.queue.qsize() < _ENOUGH_PAGES

    def _seconds_to_checkpoint(self) -> float | None:
        if not self._unsaved:
            return None
        return max(0.0, self._interval_seconds - (self._clock() - self._saved_at))

    def _write(self, items: list[Item], *, last: bool) -> None:
        """What waits, in order, on the worker's thread."""
        marked = [self._marked(item) for item in items]
        self._announce(items, marked)
        due = not items
        for item, records in zip(items, marked, strict=True):
            self._write_item(item, records)
            due = due or item.batch.ends_walk
            if self._clock() - self._saved_at >= self._interval_seconds:
                self._checkpoint()
        if last:
            self._warn_of_unusable()
            # No operation follows this checkpoint, so the rows are what the state says.
            for known in self._state.rows.values():
                known.open = False
        if last or (due and self._unsaved):
            self._checkpoint()
        # Both loop and thread keep the list until they get the next: large pages must not wait.
        items.clear()

    def _marked(self, item: Item) -> list[_Marked]:
        """The records that can be stored; those of streams whose rows are kept, fingerprinted."""
        stream = item.stream
        keeps = stream.keeps_rows and not self._state.rows_of(stream).given_up
        marked = []
        for record in item.batch.records:
            key = stream.key_of(record)
            if key is None:
                continue
            try:
                marked.append(_Marked(key, record, fingerprint(record) if keeps else ""))
            except ValueError:
                continue
        return marked

    def _announce(self, items: list[Item], marked: list[list[_Marked]]) -> None:
        """Saves, ahead of the rows themselves, that rows of these streams may be sent.

        A sync that dies leaves nobody who knows which of its rows have landed. So the state first
        says that the stream is open; and a new row's id, so that the row can be deleted later.
        """
        announced = False
        # Before a stream's first complete walk nothing of it is deleted; it may end among these.
        complete = {item.stream.table for item in items if item.batch.ends_walk}
        for item, records in zip(items, marked, strict=True):
            stream, deletions = item.stream, item.batch.deletions
            if not stream.keeps_rows or self._state.rows_of(stream).given_up:
                continue
            known = self._state.rows_of(stream)
            changed = [record for record in records if known.get(record.key) != record.mark]
            if not changed and not (deletions and deletions.gone):
                continue
            if not known.open:
                self._open_all()
                announced = True
            if stream.table in complete or self._state.of(stream).deep_read_at is not None:
                for record in changed:
                    if record.key not in known:
                        known.set(record.key, BLANK)
                        announced = True
        if announced:
            self._checkpoint()

    def _open_all(self) -> None:
        """Marks every stream at once: one checkpoint serves them all."""
        for table in self._tallies:
            stream = BY_TABLE[table]
            if stream.keeps_rows:
                self._state.rows_of(stream).open = True

    def _write_item(self, item: Item, records: list[_Marked]) -> None:
        stream, batch = item.stream, item.batch
        if self._stopped:
            return
        if batch.warning:
            self._warn(batch.warning)
        known = self._state.rows_of(stream) if stream.keeps_rows else None
        sent, unusable = 0, len(batch.records) - len(records)
        if known is not None and known.left:
            # Seen again, so what was once missed counts from the start.
            known.left = known.left.difference(record.key for record in records)
        for record in records:
            if self._stopped:
                return
            # Judged only now: the same record may have come twice in what waited.
            if known is not None and known.get(record.key) == record.mark:
                continue
            row = self._row(stream, record)
            if row is None:
                unusable += 1
                continue
            # The row goes out before the step that claims it: a crash between the two only
            # reads the page again.
            self._op.upsert(stream.table, row)
            sent += 1
            if known is not None:
                known.set(record.key, record.mark)
        tally = self._tallies[stream.table]
        tally.sent += sent
        tally.unusable += unusable
        tally.unchanged += batch.read - sent - unusable
        if batch.deletions is not None and known is not None:
            self._delete(stream, known, batch.deletions)
        if batch.step is not None:
            self._state.advance(stream, batch.step)
        self._unsaved = True

    def _delete(self, stream: Stream, known: KnownRows, deletions: Deletions) -> None:
        for key in deletions.gone:
            if self._stopped:
                return
            # Confirmed by id after a whole walk (deletes.py); the row is only marked deleted.
            self._op.delete(stream.table, {stream.key: key})
            known.forget(key)
            self._tallies[stream.table].deleted += 1
        known.note(deletions)

    def _row(self, stream: Stream, marked: _Marked) -> dict[str, Any] | None:
        """The flat row with its key as text, or None where it cannot be stored."""
        flattener = self._flatteners.get(stream.table)
        if flattener is None:
            flattener = self._flatteners[stream.table] = Flattener(stream.table, key=stream.key)
        try:
            row = flattener.row(marked.record)
        except ValueError:
            return None
        for column in stream.text_columns:
            value = row.get(column)
            if value is not None and type(value) is not str:
                row[column] = json_text(value)
        row[stream.key] = marked.key
        return row

    def _checkpoint(self) -> None:
        if self._stopped:
            return
        keep_within_bounds(self._state.rows)
        # Every row that the state claims has been handed over by now, on this same thread.
        self._op.checkpoint(self._state.as_json())
        self._saved_at = self._clock()
        self._unsaved = False

    def _warn(self, text: str) -> None:
        if self._stopped:
            return
        log.warning(text)
        self._op.warning(text)

    def _warn_of_unusable(self) -> None:
        for tally in self._tallies.values():
            if tally.unusable:
                self._warn(
                    f"{tally.table}: {tally.unusable:,} records came without their key or in a "
                    "form that no table holds, and were left out. Ask Courier's support about "
                    "them; all others have landed."
                )
