"""The only writer: rows to op.upsert, then the stream's next state, then a checkpoint when due.

All calls to the SDK's operations are in this file, and all run on one thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from courier_async.catalog.stream import Stream
from courier_async.counts import Counts
from courier_async.handover import Batch, Notice
from courier_async.state.saved import State
from courier_async.writing.sdk_thread import Worker

log = logging.getLogger(__name__)

# Pages that may wait: enough that no walk waits for a writer that keeps up. Their memory is
# bounded where responses are read (api/memory.py).
QUEUE_PAGES: Final = 64
# A hop to the thread costs as much as the rows of five pages, so a page waits briefly for
# others, unless enough are waiting already or the destination takes longer than that.
_GATHER_SECONDS: Final = 0.03
_ENOUGH_PAGES: Final = 8
# How long a sync that is told to stop waits for its last checkpoint.
_SAVE_SECONDS: Final = 30.0


class Operations(Protocol):
    """The part of the SDK's `Operations` that the writer needs."""

    def upsert(self, table: str, data: dict[str, Any]) -> Any: ...
    def delete(self, table: str, keys: dict[str, Any]) -> Any: ...
    def checkpoint(self, state: dict[str, Any]) -> Any: ...
    def warning(self, message: str) -> Any: ...


class OperationFailed(Exception):
    """An operation of the SDK raised. The text names the stream, never the value."""


class Writer:
    """Writes batches in the order of the `queue`, which ends with None."""

    def __init__(
        self,
        *,
        op: Operations,
        worker: Worker,
        state: State,
        counts: dict[str, Counts],
        streams: Iterable[Stream],
        checkpoint_interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._op = op
        self._worker = worker
        self._state = state
        self._counts = counts
        self._streams = tuple(streams)
        self._interval_seconds = checkpoint_interval_seconds
        self._clock = clock
        self._saved_at = clock()
        self._unsaved = False
        self._stopped = False
        self._write_seconds = 0.0
        self._is_marked_open = False
        self.queue: asyncio.Queue[Batch | Notice | None] = asyncio.Queue(QUEUE_PAGES)

    async def run(self) -> None:
        """Writes until the queue ends, then saves the state. Raises OperationFailed."""
        try:
            while True:
                items, last = await self._waiting()
                # One hop to the thread for all of them: a hop per page costs more than its rows.
                began = self._clock()
                await self._worker.run(lambda: self._write(items, last=last))  # noqa: B023
                self._write_seconds = self._clock() - began
                while items:
                    _release(items.pop(0))
                if last:
                    return
        finally:
            # After this no operation is called, even if the thread is still busy.
            self._stopped = True

    async def save(self) -> None:
        """Saves what has been written, for a sync that is told to stop."""
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                await self._worker.run(self._save)
        except TimeoutError:
            log.warning("The destination did not accept the last checkpoint in time.")
        finally:
            self._stopped = True

    def _save(self) -> None:
        # Allow operations again only here, on the thread: its previous job has ended by now.
        self._stopped = False
        self._checkpoint()

    async def _waiting(self) -> tuple[list[Batch | Notice], bool]:
        """Returns all queued items, waiting for at least one; none once a checkpoint is due."""
        items: list[Batch | Notice] = []
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
        # An interval of 0 means a checkpoint as soon as there is a page.
        return is_quick and bool(self._interval_seconds) and self.queue.qsize() < _ENOUGH_PAGES

    def _seconds_to_checkpoint(self) -> float | None:
        if not self._unsaved:
            return None
        return max(0.0, self._interval_seconds - (self._clock() - self._saved_at))

    def _write(self, items: list[Batch | Notice], *, last: bool) -> None:
        """Writes the items in order, on the worker's thread."""
        due = not items
        for item in items:
            if isinstance(item, Notice):
                self._warn(item.text)
                continue
            self._write_batch(item)
            due = due or item.ends_walk
            if self._clock() - self._saved_at >= self._interval_seconds:
                self._checkpoint()
        if last and not self._stopped:
            # No operation follows this checkpoint, so the rows match the state.
            self._state.open -= {stream.table for stream in self._streams}
        if last or (due and self._unsaved):
            self._checkpoint()

    def _write_batch(self, batch: Batch) -> None:
        stream, counts = batch.stream, self._counts[batch.stream.table]
        if batch.rows or batch.deletes:
            self._mark_open(stream)
        for row in batch.rows:
            if self._stopped:
                return
            # The row is sent before the state that claims it: after a crash in between, the
            # page is just read again.
            self._call(stream.table, "upsert", row)
            counts.sent += 1
        for key in batch.deletes:
            if self._stopped:
                return
            # Confirmed by two whole walks (reading/deletes.py); the row is only marked deleted.
            self._call(stream.table, "delete", dict(zip(stream.key_columns, key, strict=True)))
            counts.deleted += 1
        if self._stopped:
            # An earlier batch may be only partly written.
            return
        self._remember(batch)
        if batch.state is not None:
            self._state.streams[stream.table] = batch.state
        self._unsaved = True

    def _remember(self, batch: Batch) -> None:
        """Records which rows were sent, except for a stream too large to remember."""
        table = batch.stream.table
        for message_id in batch.done:
            self._state.due.get(table, {}).pop(message_id, None)
        if batch.stream.keeps_recent:
            recent = self._state.recent_of(batch.stream)
            for entry in batch.entries:
                recent.set(entry.name, entry.time_ms or 0, entry.mark)
        for child in batch.due_in:
            self._state.due.setdefault(child, {}).update(batch.due)
        if batch.stream.keeps_rows and table not in self._state.sent_whole:
            rows = self._state.rows_of(table)
            for entry in batch.entries:
                rows.set(entry.key, entry.mark)
            for key in (*batch.deletes, *batch.forgotten):
                rows.forget(key)

    def _mark_open(self, stream: Stream) -> None:
        """Saves, before the first row, that rows may be sent from here on.

        After a sync dies, nothing tells which of its rows have landed. One checkpoint marks
        every stream of this sync.
        """
        if self._is_marked_open or not stream.keeps_rows or self._stopped:
            return
        self._is_marked_open = True
        self._state.open |= {stream.table for stream in self._streams if stream.keeps_rows}
        self._checkpoint()

    def _call(self, table: str, operation: str, data: dict[str, Any]) -> None:
        try:
            getattr(self._op, operation)(table, data)
        except Exception as error:
            failed = type(error).__name__
        else:
            return
        # Raise here, not chained to the SDK's own error, which may show the value.
        raise OperationFailed(
            f"{table}: Fivetran did not accept a row ({operation} raised {failed}). Everything "
            "saved earlier is kept. If it happens again, report it with the table name."
        )

    def _checkpoint(self) -> None:
        if self._stopped:
            return
        for table in self._state.keep_within_bounds():
            self._warn(
                f"{table}: too large to track its rows in the state. From now on every sync sends "
                "all rows, and rows deleted in Courier stay in the table."
            )
        if self._stopped:
            # The sync may have ended while the destination was busy with the warning.
            return
        # Every row that the state claims has been handed over by now, on this same thread.
        self._op.checkpoint(self._state.as_json())
        self._saved_at = self._clock()
        self._unsaved = False

    def _warn(self, text: str) -> None:
        if self._stopped:
            return
        log.warning(text)
        self._op.warning(text)


def _release(item: Batch | Notice) -> None:
    if isinstance(item, Batch) and item.release is not None:
        item.release()
