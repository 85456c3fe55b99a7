"""Reads the children of messages: delivery attempts and history.

A message's children are due once its row has been sent, and are read while messages still arrive.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from courier_async.api.headers import now_ms
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.counts import Counts
from courier_async.errors import CourierError, Denied, KeyRefused, ParentsFailed, is_not_found
from courier_async.handover import Batch, Notice, Release
from courier_async.reading.changes import Changes
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.children_due import ChildrenDue
from courier_async.reading.first_failures import AT_ONCE, FirstFailures
from courier_async.reading.judge import JudgedPage, time_of
from courier_async.state.position import StreamState

# Courier's name for the first event of every history (recorded traffic).
_FIRST_EVENT: Final = "ENQUEUED"
# After this many failing messages in one sync, the others wait for the next sync.
_MOST_FAILING: Final = 1_000
# Whether the last try had failed -> the most messages with suspect children to read again.
_MOST_SUSPECTS: Final = {False: 10_000, True: 1_000}
# Courier keeps messages for at least a month.
_YOUNG_MS: Final = 7 * DAY_MS


class _Read:
    """One message's children, or why they could not be read."""

    def __init__(self, message_id: str, time: int) -> None:
        self.message_id = message_id
        self.time = time
        self.pages: list[tuple[JudgedPage, Release]] = []
        self.error: CourierError | None = None


class MessageChildrenReader:
    """Reads one table of children of messages for one sync."""

    def __init__(
        self,
        stream: Stream,
        state: StreamState,
        *,
        changes: Changes,
        pages: ChildPages,
        due: ChildrenDue,
        counts: Counts,
    ) -> None:
        self._stream = stream
        self._state = state
        self._changes = changes
        self._pages = pages
        self._due = due
        self._counts = counts
        self._failures = FirstFailures(was_read=state != StreamState())
        self._failing: dict[str, CourierError] = {}
        self._unknown = 0
        # Whether the last try had failed (None: a 404) -> how many; also of 404s by a gateway.
        self._suspects: Counter[bool | None] = Counter()
        self._by_gateway: Counter[bool] = Counter()

    async def batches(self) -> AsyncIterator[Batch | Notice]:
        """Yields each message's batches until none is due. Raises CourierError if some failed."""
        results: asyncio.Queue[_Read | BaseException | None] = asyncio.Queue(AT_ONCE)
        workers = [asyncio.create_task(self._work(results)) for _ in range(AT_ONCE)]
        running = len(workers)
        try:
            while running and not self._should_stop:
                result = await results.get()
                if result is None:
                    running -= 1
                    continue
                if isinstance(result, BaseException):
                    raise result
                batches = self._batches_of(result)
                result.pages.clear()
                while batches:
                    yield batches.pop(0)
                self._due.batch_queued(result.message_id)
        finally:
            table_error = self._failures.table_error()
            fails_otherwise = self._failures.has_ever_read or self._failing
            is_missing = self._by_gateway[True] > 0 and not fails_otherwise
            self._due.give_up(is_refused=is_missing or isinstance(table_error, Denied))
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            while not results.empty():
                left = results.get_nowait()
                if isinstance(left, _Read):
                    _release(left)
        if self._unknown and not self._failures.has_read:
            yield Notice(
                f"{self._stream.table}: Courier returned 404 for every message requested "
                f"({self._unknown:,}). If this continues, your account does not have this table: "
                "leave it out of 'streams' in the configuration."
            )
        if table_error is not None:
            raise table_error
        if self._failing:
            raise ParentsFailed("message", self._failing)

    @property
    def _should_stop(self) -> bool:
        if self._failures.should_stop or len(self._failing) >= _MOST_FAILING:
            return True
        # Messages of which a gateway knows none stay due, and would fill the state.
        unknown = 0 if self._failures.has_read else self._by_gateway.total()
        return unknown >= _MOST_FAILING and self._due.are_too_many(unknown)

    async def _work(self, results: "asyncio.Queue[_Read | BaseException | None]") -> None:
        """Only fetches; the consumer of `results` decides what a response means."""
        while (next_due := await self._due.take()) is not None:
            read = _Read(*next_due)
            try:
                if self._pages.can_ask(read.message_id):
                    async for page in self._pages.of(read.message_id):
                        read.pages.append(page)
                        del page
            except KeyRefused as refusal:
                _release(read)
                await results.put(refusal)
                return
            except CourierError as error:
                # The traceback references the response, which would be a reference cycle.
                read.error = error.with_traceback(None)
            except Exception as error:  # a bug must end the sync, not hang it
                _release(read)
                await results.put(error)
                return
            except BaseException:
                _release(read)
                raise
            try:
                await results.put(read)
            except BaseException:
                _release(read)
                raise
        await results.put(None)

    def _batches_of(self, read: _Read) -> list[Batch]:
        """Returns one message's batches. The last marks it as done, unless it failed."""
        error = read.error
        self._due.finish(read.message_id)
        failed_before = self._due.failed_before(read.message_id)
        self._failures.note(error, failed_before=failed_before)
        if is_not_found(error):
            self._unknown += 1
            self._by_gateway[failed_before] += error.by_gateway
            if error.by_gateway and (not failed_before or self._should_exist(read)):
                # It may not have been Courier that answered, so the next sync asks once more.
                _release(read)
                return [self._due_again(read)]
        elif error is not None:
            self._failing[read.message_id] = error
            _release(read)
            return [self._due_again(read)]
        batches = []
        if not self._is_cut_short(read):
            for page, release in read.pages:
                self._counts.read += len(page.records) + page.unusable
                selected = self._changes.select(page, self._state, self._pages.now_ms)
                batches.append(Batch(stream=self._stream, rows=selected.rows, release=release))
        else:
            _release(read)
        state = StreamState(read_at=self._pages.now_ms) if error is None else None
        last = Batch(stream=self._stream, state=state)
        self._due.finish_with(read.message_id, last)
        if self._is_suspect(read, failed_before=failed_before):
            last.due, last.due_in = {read.message_id: -read.time}, (self._stream.table,)
        return [*batches, last]

    def _should_exist(self, read: _Read) -> bool:
        """Whether the message is too young, in a table that exists, for Courier not to know it."""
        now = self._pages.now_ms or now_ms()  # before the first response, by our own clock
        return self._failures.has_ever_read and read.time > now - _YOUNG_MS

    def _is_suspect(self, read: _Read, *, failed_before: bool) -> bool:
        """Whether to read it again in the next sync: no records came, or some cannot be stored.

        Every history has a first event, so an empty one is doubtful, and with a 404 it may not
        show yet. If too many are, or one still is after a week, they count as done.
        """
        pages = [page for page, _ in read.pages]
        may_be_empty = not pages or self._stream.field_when_empty is not None
        is_empty = not may_be_empty and not any(page.records for page in pages)
        if not (read.error or is_empty or any(page.unusable for page in pages)):
            return False
        if failed_before and (read.error or not self._should_exist(read)):
            return False
        # Counted apart, so lasting faults never cost new messages their second try.
        kind = None if read.error else failed_before
        self._suspects[kind] += 1
        return self._suspects[kind] <= _MOST_SUSPECTS[failed_before]

    def _is_cut_short(self, read: _Read) -> bool:
        """Whether a history has lost its first events because they expired.

        That would shift its positions, so the rows that have landed are left as they are.
        """
        field = self._stream.time_field
        if field is None or not read.pages or not read.pages[0][0].records:
            return False
        if 0 in read.pages[0][0].gaps:
            # The first event cannot be stored, but it is there.
            return False
        event = read.pages[0][0].records[0]
        if event.get("type") == _FIRST_EVENT:
            # The history is complete; the message's own time may be wrong.
            return False
        first = time_of(event.get(field), self._pages.now_ms)
        return first is not None and first > read.time + HOUR_MS

    def _due_again(self, read: _Read) -> Batch:
        """Keeps the message due, after the others, and marks it as failed."""
        return Batch(
            stream=self._stream,
            done=[read.message_id],
            due={read.message_id: -read.time},
            due_in=(self._stream.table,),
        )


def _release(read: _Read) -> None:
    for _, release in read.pages:
        release()
