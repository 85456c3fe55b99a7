"""Children of a parent's rows: one round over all parents after another, and what is owed before.

Nothing tells that the children of a parent have changed, so each parent is asked once a round.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.stream import HOUR_MS, Key, Stream
from courier_async.counts import Counts
from courier_async.errors import CourierError, Denied, KeyRefused, ParentsFailed, Refused
from courier_async.handover import Batch, Notice, Release
from courier_async.reading.changes import Changes
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.judge import JudgedPage
from courier_async.settings import Settings
from courier_async.state.position import Missing, Round, StreamState
from courier_async.state.sent_rows import key_text

# Parents that are read at once, under the shared limiter.
_AT_ONCE: Final = 32
_MOST_OWED: Final = 1_000
# So many failures before the first success are no single parent's fault.
_MOST_FAILURES_AT_FIRST: Final = 20
_NOT_FOUND: Final = 404
_NOT_IN_PLAN: Final = frozenset({402, 403})


@dataclass(slots=True, kw_only=True)
class Parents:
    """What this sync's walk has found of the parents.

    listed: ids that the walk held. whole: it ran to the end. new: ids not known before it.
    gone: ids whose rows this sync deletes. now: the walk's start by the server's clock.
    """

    listed: set[str]
    whole: bool
    new: set[str]
    gone: set[str]
    now: int


@dataclass(slots=True)
class _Page:
    parent: str
    page: JudgedPage
    release: Release


@dataclass(slots=True)
class _End:
    """A parent has been read to the end, or its reading failed."""

    parent: str
    error: CourierError | None = None


@dataclass(slots=True)
class _Progress:
    """The work of this sync: owed parents first, then the round's in the order of their ids."""

    owed: list[str]
    round_ids: list[str]
    done: set[str] = field(default_factory=set)
    at: int = 0

    def work(self) -> list[str]:
        owed = set(self.owed)
        return self.owed + [parent for parent in self.round_ids if parent not in owed]

    def advance(self, parent: str) -> str | None:
        """The last id of the round with all before it done, where it has moved."""
        self.done.add(parent)
        before = self.at
        while self.at < len(self.round_ids) and self.round_ids[self.at] in self.done:
            self.at += 1
        return self.round_ids[self.at - 1] if self.at > before else None


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
        self._was_read = state != StreamState() or bool(self._kept)
        self._errors: dict[str, CourierError] = {}
        self._unknown = 0

    @property
    def complete_to_ms(self) -> int | None:
        """When the last round that is over began, or the one before the one under way."""
        current = self.state.round
        return current.began if current is not None and current.over else None

    async def batches(self, parents: Parents) -> AsyncIterator[Batch | Notice]:
        """Yields what each page and each parent brings. Raises CourierError in the end."""
        self._pages.now_ms = parents.now
        for parent in sorted(parents.gone & self._kept.keys()):
            yield self._delete_all(parent)
        progress = self._begin(parents)
        if progress.round_ids or progress.owed:
            async for output in self._read_parents(progress, parents):
                yield output
        if self._unknown:
            yield Notice(
                f"{self._stream.table}: Courier answered 404 to {self._unknown:,} rows of "
                f"{self._stream.parent} that it lists. Their children were left as they are."
            )
        if self._errors:
            raise ParentsFailed(self._stream.parent or "", self._errors)

    def _begin(self, parents: Parents) -> _Progress:
        """What is to be read: what is owed, and a round if one is under way or due."""
        state, had_round = self.state, self.state.round is not None
        owed = dict(state.owed)
        for parent in sorted(parents.new) if had_round else ():
            if len(owed) < _MOST_OWED:
                owed.setdefault(parent, False)
        current = state.round
        is_due = current is None or (
            current.over and parents.now - current.began >= self._settings.children_refresh_ms
        )
        if is_due:
            current = Round(began=parents.now)
        ids: list[str] = []
        if parents.whole and current is not None and not current.over:
            known = parents.listed | self._kept.keys()
            ids = sorted(parent for parent in known if parent > current.done_to)
        if parents.whole or not is_due:
            self.state = replace(state, owed=owed, round=current)
        if parents.whole and not ids and current is not None:
            self.state = replace(self.state, round=replace(current, over=True))
        can_ask = self._pages.can_ask
        return _Progress([p for p in owed if can_ask(p)], [p for p in ids if can_ask(p)])

    async def _read_parents(
        self, progress: _Progress, parents: Parents
    ) -> AsyncIterator[Batch | Notice]:
        """Several parents at once; their answers come here, where alone the state moves."""
        work = iter(progress.work())
        arrivals: asyncio.Queue[_Page | _End | BaseException] = asyncio.Queue(2 * _AT_ONCE)
        tasks: set[asyncio.Task[None]] = set()
        successes = 0
        try:
            under_way = sum(self._start(work, arrivals, tasks) for _ in range(_AT_ONCE))
            while under_way:
                arrival = await arrivals.get()
                if isinstance(arrival, BaseException):
                    raise arrival
                if isinstance(arrival, _Page):
                    yield self._batch(arrival)
                    continue
                under_way -= 1
                successes += arrival.error is None
                if arrival.error is not None and not successes:
                    self._raise_if_general(arrival.error)
                yield self._end_parent(arrival, progress, parents)
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
        work: Iterable[str],
        arrivals: "asyncio.Queue[_Page | _End | BaseException]",
        tasks: set[asyncio.Task[None]],
    ) -> int:
        """Starts the next parent, if there is one; how many were started."""
        parent = next(iter(work), None)
        if parent is None:
            return 0
        task = asyncio.create_task(self._read(parent, arrivals))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return 1

    async def _read(
        self, parent: str, arrivals: "asyncio.Queue[_Page | _End | BaseException]"
    ) -> None:
        """Only fetches; what an answer means is decided where it arrives."""
        try:
            async for page, release in self._pages.of(parent):
                try:
                    await arrivals.put(_Page(parent, page, release))
                except BaseException:
                    release()
                    raise
            end: _End | BaseException = _End(parent)
        except KeyRefused as refusal:
            end = refusal
        except CourierError as error:
            end = _End(parent, error)
        except Exception as error:  # a fault of our own must end the sync, not hang it
            end = error
        await arrivals.put(end)

    def _batch(self, arrival: _Page) -> Batch:
        page = arrival.page
        self._seen[arrival.parent].update(page.keys)
        self._counts.read += len(page.records) + page.unusable
        selected = self._changes.select(page, self.state, self._pages.now_ms)
        self._counts.unchanged += selected.unchanged
        return Batch(
            stream=self._stream,
            rows=selected.rows,
            entries=selected.entries,
            release=arrival.release,
        )

    def _raise_if_general(self, error: CourierError) -> None:
        """Nothing has been read yet: whether it is the plan, or Courier as a whole."""
        is_refusal = isinstance(error, Refused) and error.status in _NOT_IN_PLAN
        if is_refusal and isinstance(error, Refused) and not self._was_read:
            raise Denied(error.status)
        if len(self._errors) >= _MOST_FAILURES_AT_FIRST:
            raise error

    def _end_parent(self, end: _End, progress: _Progress, parents: Parents) -> Batch:
        """The state once a parent's reading has ended, and which of its children have gone."""
        parent, error = end.parent, end.error
        seen = self._seen.pop(parent, set())
        owed = self.state.owed
        batch = Batch(stream=self._stream)
        is_unknown = isinstance(error, Refused) and error.status == _NOT_FOUND
        if error is None or (is_unknown and parents.whole and parent not in parents.listed):
            owed = {key: failed for key, failed in owed.items() if key != parent}
            self._compare(parent, seen, batch)
        elif is_unknown:
            self._unknown += 1
            owed = {key: failed for key, failed in owed.items() if key != parent}
        else:
            self._errors[parent] = error
            if len(owed) >= _MOST_OWED and parent not in owed:
                raise error
            owed = {**owed, parent: True}
        done_to = progress.advance(parent)
        current = self.state.round
        if current is not None and done_to is not None:
            over = progress.at == len(progress.round_ids)
            current = replace(current, done_to="" if over else done_to, over=over)
        self.state = replace(self.state, owed=owed, round=current, read_at=parents.now)
        batch.state = self.state
        return batch

    def _compare(self, parent: str, seen: set[Key], batch: Batch) -> None:
        """A child goes when two whole readings of its parent in a row did not hold it."""
        missed = self._kept[parent] - seen
        rows, now = self._changes.rows, self._pages.now_ms
        if rows is None or not (missed or self.state.missing):
            return
        if not self._stream.deletes:
            batch.forgotten = sorted(missed)
        elif self._settings.capture_deletes:
            missing = dict(self.state.missing)
            for key in self._kept[parent] & seen:
                missing.pop(key_text(key), None)
            for key in sorted(missed):
                since = missing.setdefault(key_text(key), Missing(now)).since
                if now - since >= HOUR_MS:
                    batch.deletes.append(key)
                    del missing[key_text(key)]
            self.state = replace(self.state, missing=missing)
        for key in (*batch.deletes, *batch.forgotten):
            rows.forget(key)

    def _delete_all(self, parent: str) -> Batch:
        """The parent's row is deleted, and with it its children's."""
        keys = sorted(self._kept.pop(parent))
        missing = dict(self.state.missing)
        for key in keys:
            missing.pop(key_text(key), None)
            if self._changes.rows is not None:
                self._changes.rows.forget(key)
        self.state = replace(self.state, missing=missing)
        if not self._stream.deletes:
            return Batch(stream=self._stream, forgotten=keys, state=self.state)
        return Batch(stream=self._stream, deletes=keys, state=self.state)
