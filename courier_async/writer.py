"""The one writer: rows to op.upsert, then the state's step, then a checkpoint when one is due.

All calls of the SDK's operations stand here, and all are made on one thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from courier_async.flatten import Flattener, json_text
from courier_async.progress import Tally
from courier_async.state import State
from courier_async.streams import Stream
from courier_async.walk import Batch
from courier_async.worker import Worker

log = logging.getLogger(__name__)

# Pages that may wait: enough that no walk waits for a writer that keeps up.
QUEUE_PAGES: Final = 64


class Operations(Protocol):
    """What the writer needs of the SDK's `Operations`."""

    def upsert(self, table: str, data: dict[str, Any]) -> Any: ...
    def delete(self, table: str, keys: dict[str, Any]) -> Any: ...
    def checkpoint(self, state: dict[str, Any]) -> Any: ...
    def warning(self, message: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Item:
    """A batch on its way from a stream's walk to the destination."""

    stream: Stream
    batch: Batch


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
        self._flatteners: dict[str, Flattener] = {}
        self.queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_PAGES)

    async def run(self) -> None:
        """Writes until the queue ends, then saves the state. Raises what an operation raised."""
        try:
            while True:
                items, last = await self._waiting()
                # One hop to the thread for all that waits: a hop a page costs more than its rows.
                await self._worker.run(lambda: self._write(items, last=last))  # noqa: B023
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
        while item is not None:
            items.append(item)
            if self.queue.empty():
                return items, False
            item = self.queue.get_nowait()
        return items, True

    def _seconds_to_checkpoint(self) -> float | None:
        if not self._unsaved:
            return None
        return max(0.0, self._interval_seconds - (self._clock() - self._saved_at))

    def _write(self, items: list[Item], *, last: bool) -> None:
        due = not items
        for item in items:
            self._write_item(item)
            due = due or item.batch.ends_walk
            if self._clock() - self._saved_at >= self._interval_seconds:
                self._checkpoint()
        if last:
            self._warn_of_unusable()
        if last or (due and self._unsaved):
            self._checkpoint()

    def _write_item(self, item: Item) -> None:
        stream, batch = item.stream, item.batch
        if self._stopped:
            return
        if batch.warning:
            self._warn(batch.warning)
        tally = self._tallies[stream.table]
        for record in batch.records:
            if self._stopped:
                return
            row = self._row(stream, record)
            if row is None:
                tally.unusable += 1
                continue
            # The row goes out before the step that claims it: a crash between the two only
            # reads the page again.
            self._op.upsert(stream.table, row)
            tally.sent += 1
        if batch.step is not None:
            self._state.advance(stream, batch.step)
        self._unsaved = True

    def _row(self, stream: Stream, record: Any) -> dict[str, Any] | None:
        """The flat row with its key as text, or None where the record cannot be stored."""
        if not isinstance(record, dict):
            return None
        key = record.get(stream.key)
        # A row without its key would fail the sync, and every operation after it.
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
            return None
        flattener = self._flatteners.get(stream.table)
        if flattener is None:
            flattener = self._flatteners[stream.table] = Flattener(stream.table)
        try:
            row = flattener.row(record)
        except ValueError:
            return None
        for column in stream.text_columns:
            value = row.get(column)
            if value is not None and type(value) is not str:
                row[column] = json_text(value)
        row[stream.key] = str(key)
        return row

    def _checkpoint(self) -> None:
        if self._stopped:
            return
        # Every row that the state claims has been handed over by now, on this same thread.
        self._op.checkpoint(self._state.as_json())
        self._saved_at = self._clock()
        self._unsaved = False

    def _warn(self, text: str) -> None:
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
