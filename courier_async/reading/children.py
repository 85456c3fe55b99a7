"""Reads the children of parent rows: of new ones first, then in rounds over all.

Nothing signals that a parent's children have changed, so each round reads every parent once.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Stream
from courier_async.counts import Counts
from courier_async.errors import (
    CourierError,
    Denied,
    KeyRefused,
    ParentsFailed,
    Refused,
    is_not_found,
    is_not_in_plan,
)
from courier_async.handover import Batch, Notice, Release
from courier_async.reading.changes import Changes
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.deletes import are_many, many_missing
from courier_async.reading.first_failures import AT_ONCE, FirstFailures
from courier_async.reading.judge import JudgedPage
from courier_async.reading.outcome import without_seen
from courier_async.reading.rounds import MOST_OWED, Parents, Progress, begin, with_owed
from courier_async.settings import Settings
from courier_async.state.position import Missing, StreamState
from courier_async.state.sent_rows import key_text

# In an outage, each takes all retries.
_MOST_FAILURES: Final = 40


@dataclass(slots=True)
class _Page:
    parent: str
    page: JudgedPage
    release: Release


@dataclass(slots=True)
class _End:
    """A parent has been read to the end, or its reading failed.

    was_answered: at least one page arrived, so a refusal says nothing about the parent.
    """

    parent: str
    error: CourierError | None = None
    was_answered: bool = False


class ChildrenReader:
    """Reads the children of one table's parents for one sync."""

    def __init__(
        self,
        stream: Stream,
        state: StreamState,
        *,
        changes: Changes,
        settings: Settings,
        pages: ChildPages,
        counts: Counts,
    ) -> None:
        self._stream = stream
        self.state = state
        self._changes = changes
        self._settings = settings
        self._pages = pages
        self._counts = counts
        self._kept: dict[str, set[Key]] = defaultdict(set)
        for key in changes.rows.marks if changes.rows is not None else ():
            self._kept[key[0]].add(key)
        self._seen: dict[str, set[Key]] = defaultdict(set)
        self._unusable: set[str] = set()
        self._errors: dict[str, CourierError] = {}
        self._unknown = 0
        self._misses_more = False
        self._failures = FirstFailures(
            was_read=state.read_at is not None or bool(self._kept), most=_MOST_FAILURES
        )
        # Ends that count only once a parent could be read, or once all have failed.
        self._held: list[_End] = []

    @property
    def complete_to_ms(self) -> int | None:
        """When the last round began if it is over; None while a round is under way."""
        current = self.state.round
        return current.began if current is not None and current.over else None

    @property
    def _refresh_ms(self) -> int:
        longest, wanted = self._stream.read_within_ms, self._settings.children_refresh_ms
        return wanted if longest is None else min(wanted, longest)

    def owe(self, new: Iterable[str]) -> Batch | None:
        """Notes new parents, ahead of their rows.

        Call it only before `batches`.
        """
        before = self.state
        self.state = with_owed(before, filter(self._pages.can_ask, new))
        if self.state == before:
            return None
        return Batch(stream=self._stream, state=self.state)

    def delete_of(self, gone: Iterable[str]) -> Batch | None:
        """Deletes the children of parents whose rows are deleted next, while they are known.

        Call it only before `batches`. A parent becomes owed, in case it returns before its delete.
        """
        if not self._stream.deletes:
            # An archived template's counts still change, so it is read while it has any.
            return None
        parents = sorted(self._kept.keys() & set(gone))
        keys = [key for parent in parents for key in sorted(self._kept.pop(parent))]
        if not keys:
            return None
        missing = dict(self.state.missing)
        for key in keys:
            missing.pop(key_text(key), None)
            if self._changes.rows is not None:
                self._changes.rows.forget(key)
        self.state = with_owed(replace(self.state, missing=missing), parents)
        return Batch(stream=self._stream, deletes=keys, state=self.state)

    async def batches(self, parents: Parents) -> AsyncIterator[Batch | Notice]:
        """Yields the output of each page and parent, then raises CourierError if some failed."""
        self._pages.now_ms = parents.now
        self.state, progress = begin(
            self.state,
            parents,
            self._kept.keys(),
            refresh_ms=self._refresh_ms,
            can_ask=self._pages.can_ask,
        )
        async for output in self._read_parents(progress, parents):
            yield output
            del output
        table_error = self._failures.table_error()
        if isinstance(table_error, Denied):
            raise table_error
        held, self._held = self._held, []
        for end in held:
            yield self._end_parent(end, progress, parents)
        if self._errors.keys() - self.state.owed.keys():
            # The round cannot pass these, but a new one reads those before them.
            self.state = replace(self.state, round=None)
            yield Batch(stream=self._stream, state=self.state)
        missed, known = len(self.state.missing), len(self._changes.rows or ())
        if self._misses_more and are_many(missed, known):
            yield Notice(many_missing(self._stream, missed, known))
        if self._unknown:
            yield Notice(
                f"{self._stream.table}: Courier does not know rows of {self._stream.parent} "
                f"that it lists ({self._unknown:,}). Their children were left unchanged."
            )
        if table_error is not None:
            raise table_error
        if self._errors:
            raise ParentsFailed(self._stream.parent or "", self._errors)

    async def _read_parents(self, progress: Progress, parents: Parents) -> AsyncIterator[Batch]:
        """Reads several parents in parallel. The tasks only fetch; the state moves here."""
        work = iter(progress.work())
        arrivals: asyncio.Queue[_Page | _End | BaseException] = asyncio.Queue(2 * AT_ONCE)
        tasks: set[asyncio.Task[None]] = set()
        try:
            under_way = sum(self._start(work, arrivals, tasks) for _ in range(AT_ONCE))
            while under_way and not self._failures.should_stop:
                if len(self._errors) >= 2 * MOST_OWED:
                    # The fault is hardly that of single parents.
                    break
                arrival = await arrivals.get()
                if isinstance(arrival, BaseException):
                    raise arrival
                if isinstance(arrival, _Page):
                    yield self._batch(arrival)
                    del arrival
                    continue
                under_way -= 1
                for end in self._believed(arrival, parents):
                    yield self._end_parent(end, progress, parents)
                under_way += self._start(work, arrivals, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while not arrivals.empty():
                left = arrivals.get_nowait()
                if isinstance(left, _Page):
                    left.release()

    def _start(
        self,
        work: Iterator[str],
        arrivals: "asyncio.Queue[_Page | _End | BaseException]",
        tasks: set[asyncio.Task[None]],
    ) -> int:
        """Starts reading the next parent, if there is one. Returns how many it started."""
        parent = next(work, None)
        if parent is None:
            return 0
        task = asyncio.create_task(self._read(parent, arrivals))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return 1

    async def _read(
        self, parent: str, arrivals: "asyncio.Queue[_Page | _End | BaseException]"
    ) -> None:
        was_answered = False
        try:
            async for page, release in self._pages.of(parent):
                was_answered = True
                try:
                    await arrivals.put(_Page(parent, page, release))
                except BaseException:
                    release()
                    raise
                del page, release
            end: _End | BaseException = _End(parent)
        except KeyRefused as refusal:
            end = refusal
        except CourierError as error:
            # The traceback references the response, which would be a reference cycle.
            end = _End(parent, error.with_traceback(None), was_answered)
        except Exception as error:  # a bug must end the sync, not hang it
            end = error
        await arrivals.put(end)

    def _batch(self, arrival: _Page) -> Batch:
        page = arrival.page
        if self._changes.rows is not None:
            self._seen[arrival.parent].update(page.keys)
        if page.unusable:
            self._unusable.add(arrival.parent)
        self.state = without_seen(self.state, page.keys)
        self._counts.read += len(page.records) + page.unusable
        selected = self._changes.select(page, self.state, self._pages.now_ms)
        self._counts.unchanged += selected.unchanged
        return Batch(
            stream=self._stream,
            rows=selected.rows,
            entries=selected.entries,
            release=arrival.release,
        )

    def _believed(self, end: _End, parents: Parents) -> list[_End]:
        """Returns the ends that count by now: none until a parent could be read."""
        failed_before = self.state.owed.get(end.parent, False)
        # A refusal of a parent that may be deleted does not fail a table that has been read.
        may_be_deleted = self._failures.has_ever_read and self._asks_again(end)
        if end.error is None or not (may_be_deleted or parents.is_unlisted(end.parent)):
            self._failures.note(end.error, failed_before=failed_before)
        ends = [*self._held, end]
        self._held = [] if self._failures.has_read else ends
        return ends if self._failures.has_read else []

    def _end_parent(self, end: _End, progress: Progress, parents: Parents) -> Batch:
        """Updates the state after a parent's reading; returns it with the children to delete."""
        parent, error = end.parent, end.error
        seen = self._seen.pop(parent, set())
        owed = dict(self.state.owed)
        batch = Batch(stream=self._stream)
        # Where its row is never deleted, a failure would recur in every sync.
        may_go = self._settings.capture_deletes and parent in parents.known
        is_kept = parents.is_unlisted(parent) and not may_go
        if error is None or _is_gone(end, parents):
            owed.pop(parent, None)
            if parents.now and parent not in self._unusable:
                self._compare(parent, seen, batch, parents.now)
        elif self._asks_again(end):
            # It may have been deleted since it was listed.
            self._unknown += parent in parents.listed
            owed[parent] = True
        elif is_not_found(error) and not (end.was_answered or self._is_outage(error)):
            self._unknown += parent in parents.listed
            owed.pop(parent, None)
            if not self._stream.deletes and parents.is_unlisted(parent):
                self._compare(parent, seen, batch, parents.now)
        elif not is_kept:
            self._errors[parent] = error
            if parent in owed or len(owed) < MOST_OWED:
                # They take turns.
                owed.pop(parent, None)
                owed[parent] = True
        current = self.state.round
        # A failed parent that cannot be owed keeps the round from passing it.
        if parent in owed or parent not in self._errors:
            current = progress.advanced(current, parent)
        has_read = parents.whole and self._failures.has_read
        read_at = parents.now if has_read else self.state.read_at
        self.state = replace(self.state, owed=owed, round=current, read_at=read_at)
        batch.state = self.state
        return batch

    def _asks_again(self, end: _End) -> bool:
        """Whether the next sync requests a parent again that seems to be unknown."""
        error = end.error
        # Half of the room is for new parents.
        if len(self.state.owed) + len(self._held) >= MOST_OWED // 2:
            return False
        # For tenants, only 400 is documented for an unknown id.
        if end.was_answered or not isinstance(error, Refused) or error.status not in (400, 404):
            return False
        if not self.state.owed.get(end.parent):
            return True
        return self._is_outage(error)

    def _is_outage(self, error: Refused) -> bool:
        """Whether a gateway lacks the whole table, not just a row while others are answered."""
        has_stopped = self._failures.has_ever_read and not self._failures.has_read
        return has_stopped and error.by_gateway

    def _compare(self, parent: str, seen: set[Key], batch: Batch, now: int) -> None:
        """Deletes children that two whole readings of their parent in a row did not hold."""
        missed, rows = sorted(self._kept[parent] - seen), self._changes.rows
        if rows is None or not missed:
            return
        if not self._stream.deletes:
            batch.forgotten = missed
        elif self._settings.capture_deletes:
            missing = dict(self.state.missing)
            is_many = are_many(len(missing.keys() | set(map(key_text, missed))), len(rows))
            wait_ms = DAY_MS if is_many else HOUR_MS
            # A round may take hours, so what counts is when this parent was read.
            latest = max(now, self._pages.now_ms)
            for key in missed:
                text = key_text(key)
                known = missing.get(text)
                if known is None:
                    self._misses_more = True
                    missing[text] = Missing(latest)
                elif now - known.since >= wait_ms:
                    batch.deletes.append(key)
                    del missing[text]
                else:
                    # Ignore times in the future.
                    missing[text] = Missing(min(known.since, latest))
            self.state = replace(self.state, missing=missing)
        for key in (*batch.deletes, *batch.forgotten):
            rows.forget(key)


def _is_gone(end: _End, parents: Parents) -> bool:
    error = end.error
    if end.was_answered or not isinstance(error, Refused) or is_not_in_plan(error):
        return False
    return not error.by_gateway and 400 <= error.status < 500 and parents.is_unlisted(end.parent)
