"""One stream, page by page, from a bookmark or its head to its end or its bound.

Pure async generators: they ask for pages through a function and yield records with the step by
which the state may move once those records are written. They write nothing and log nothing.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from courier_async.errors import BadAnswer, Denied, Refused
from courier_async.pages import Page
from courier_async.settings import Settings
from courier_async.state import (
    DISORDER_MS,
    INDEX_LAG_MS,
    Bookmark,
    PageRead,
    Step,
    StreamState,
    WalkDropped,
    WalkEnded,
    advance,
    bound_for,
    may_stop_early,
)
from courier_async.streams import Stream

# Asks for the page at a cursor (None: the head) and returns it with the server's time in epoch ms.
Ask = Callable[[str | None], Awaitable[tuple[Page, int]]]

_REFUSED_CURSOR: Final = frozenset({400, 404, 410})
_DENIED: Final = frozenset({402, 403, 404})
_MOST_STALE_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """What one page brings: records to write, then the step to take, and what to tell.

    from_head: the batch belongs to a walk that began at the head in this sync.
    """

    records: list[Any]
    step: Step | None
    warning: str | None = None
    from_head: bool = True

    @property
    def ends_walk(self) -> bool:
        return isinstance(self.step, WalkEnded)


async def read_stream(
    stream: Stream, state: StreamState, settings: Settings, ask: Ask
) -> AsyncGenerator[Batch, None]:
    """All that one sync reads of a stream: the rest of an interrupted walk, then a head walk.

    Raises Denied when the stream's first answer of this sync, or the head, is 402, 403 or 404;
    Refused, Unavailable, BadAnswer and KeyRefused as they come.
    """
    restarted = False
    answered = False
    while True:
        resumed = state.walk is not None
        pages = walk(stream, state, settings, ask)
        try:
            async for batch in pages:
                answered = True
                state = advance(state, batch.step) if batch.step else state
                yield batch
        except Refused as refusal:
            at_head = state.walk is None
            # A cursor's own 404 says that the cursor is gone, not that the stream is denied.
            denied = _DENIED if at_head else _DENIED - _REFUSED_CURSOR if not answered else ()
            if refusal.status in denied:
                raise Denied(refusal.status) from None
            if at_head or restarted or refusal.status not in _REFUSED_CURSOR:
                raise
            restarted = True
            state = advance(state, WalkDropped())
            yield Batch(
                [],
                WalkDropped(),
                warning=f"{stream.table}: Courier no longer knows the place at which the reading "
                f"was to go on (it answered {refusal.status}), so it begins again from the "
                "newest records. Nothing is lost.",
            )
            continue
        if not resumed:
            return


async def walk(
    stream: Stream, state: StreamState, settings: Settings, ask: Ask
) -> AsyncGenerator[Batch, None]:
    """One walk: on from the state's bookmark if there is one, else from the head."""
    resumed = state.walk
    here = resumed
    guard = _EndlessGuard(stream)
    pages = 1 if resumed else 0
    while True:
        page, server_ms = await ask(here.cursor if here else None)
        if here is None:
            bound = bound_for(stream, state, settings, started_at=server_ms)
            here = Bookmark(
                cursor=None,
                started_at=server_ms,
                stop_at=bound.stop_at,
                emit_from=bound.emit_from,
                deep=bound.deep,
            )
        elif here is resumed and not _is_credible(resumed, state, settings, server_ms):
            yield Batch([], WalkDropped())
            return
        pages = min(pages + 1, 2)
        before, taken = here, _take(stream, here, page)
        here = taken.bookmark
        try:
            guard.check(page, here.cursor)
        except BadAnswer:
            # The rows are good; only the way on is not, so the bookmark stays where it was.
            yield Batch(taken.records, PageRead(before) if before.cursor else None)
            raise
        stopped = may_stop_early(stream, state) and _is_below_bound(state, taken)
        if page.next_cursor is not None and not stopped:
            yield Batch(taken.records, PageRead(here), from_head=resumed is None)
            continue
        end = WalkEnded(
            replace(here, cursor=None),
            several_pages=pages > 1,
            reached_end=page.next_cursor is None,
        )
        yield Batch(taken.records, end, from_head=resumed is None)
        return


def _is_credible(
    bookmark: Bookmark, state: StreamState, settings: Settings, server_ms: int
) -> bool:
    """Whether this connector can have set the bookmark: its bound must have been earned."""
    if bookmark.started_at > server_ms + INDEX_LAG_MS:
        return False
    earned = [time for time in (state.watermark, settings.sync_since_ms) if time is not None]
    bounds = [time for time in (bookmark.stop_at, bookmark.emit_from) if time is not None]
    return not bounds or (bool(earned) and max(bounds) <= max(earned))


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a page comes to: the bookmark after it, the records to write, and the newest time
    on it, which is None unless every record has one."""

    bookmark: Bookmark
    records: list[Any]
    newest: int | None


def _take(stream: Stream, here: Bookmark, page: Page) -> _Taken:
    field = stream.time_field
    if field is None:
        return _Taken(replace(here, cursor=page.next_cursor), page.records, None)
    newest, oldest, ordered, emit_from = here.newest, here.oldest, here.ordered, here.emit_from
    times = [time_of(record, field) for record in page.records]
    for time in times:
        if time is None:
            continue
        if newest is None or oldest is None:
            newest = oldest = time
        elif time > oldest:
            newest = max(newest, time)
            ordered = ordered and time <= oldest + DISORDER_MS
        else:
            oldest = time
    records = page.records
    if emit_from is not None:
        records = [
            record
            for record, time in zip(records, times, strict=True)
            if time is None or time >= emit_from
        ]
    known = [time for time in times if time is not None]
    return _Taken(
        replace(here, cursor=page.next_cursor, newest=newest, oldest=oldest, ordered=ordered),
        records,
        max(known) if known and len(known) == len(times) else None,
    )


def _is_below_bound(state: StreamState, taken: _Taken) -> bool:
    """Whether a page of a newest-first walk shows that nothing above the bound is left."""
    here = taken.bookmark
    if here.stop_at is None or not here.ordered or taken.newest is None:
        return False
    # A walk that meets nothing as new as the bound cannot have come newest first from the head,
    # or the newest have gone: reading on costs requests, stopping might cost rows.
    if state.watermark is not None and (here.newest is None or here.newest < here.stop_at):
        return False
    return taken.newest < here.stop_at - DISORDER_MS


def time_of(record: Any, field: str) -> int | None:
    """Epoch milliseconds in a record's field, given as such or as ISO 8601; else None."""
    value = record.get(field) if isinstance(record, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**53 else None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    return None


class _EndlessGuard:
    """Ends a walk that gets nowhere, in memory that does not grow with the walk."""

    def __init__(self, stream: Stream) -> None:
        self._key = stream.key
        # Brent's cycle detection: one cursor is kept, and replaced at every power of two.
        self._kept: str | None = None
        self._steps = 0
        self._limit = 1
        self._previous: str | None = None
        # Pages whose records were all on a page not long before bring nothing new.
        self._recent: dict[int, None] = {}
        self._stale_pages = 0

    def check(self, page: Page, cursor: str | None) -> None:
        """Raises BadAnswer where a cursor returns or page after page brings nothing new."""
        if cursor is None:
            return
        if cursor in (self._kept, self._previous):
            raise BadAnswer("a cursor came a second time: the pages go round in a circle")
        self._previous = cursor
        if self._kept is None or self._steps == self._limit:
            self._kept, self._steps = cursor, 0
            self._limit *= 2
        self._steps += 1
        self._check_records(page)

    def _check_records(self, page: Page) -> None:
        keys = [
            str(record.get(self._key)) if isinstance(record, dict) else ""
            for record in page.records
        ]
        print_of_page = hash(tuple(keys))
        if keys and print_of_page not in self._recent:
            self._stale_pages = 0
            self._recent[print_of_page] = None
            if len(self._recent) > _MOST_STALE_PAGES:
                del self._recent[next(iter(self._recent))]
            return
        self._stale_pages += 1
        if self._stale_pages >= _MOST_STALE_PAGES:
            raise BadAnswer(
                f"{_MOST_STALE_PAGES:,} pages in a row brought no new record, and each said that "
                "there is more"
            )
