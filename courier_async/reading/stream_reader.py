"""Reads one stream in one sync: resumes a walk, walks from the head, finds deleted rows."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote_plus, urlencode

from msgspec.structs import replace

from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.pages import parse_page
from courier_async.catalog.stream import Key, Stream
from courier_async.counts import Counts
from courier_async.errors import AccessLost, CourierError, Denied, KeyRefused, Refused
from courier_async.handover import Batch, Notice
from courier_async.reading.changes import Changes
from courier_async.reading.deletes import find_gone
from courier_async.reading.fetches import Asked, Fetches
from courier_async.reading.judge import lacks_order
from courier_async.reading.lane_count import LaneCount
from courier_async.reading.rounds import Parents
from courier_async.reading.walk import Walk
from courier_async.settings import Settings
from courier_async.state.plan import Depth, complete_to, stalest
from courier_async.state.position import Lane, StreamState

log = logging.getLogger(__name__)

_DENIED: Final = frozenset({402, 403, 404})

Put = Callable[[Batch | Notice], Awaitable[None]]


class StreamReader:
    """Reads one stream once and puts what it finds on the writer's queue.

    until_room: awaited before each page, so that work that follows from pages can catch up.
    state: the stream's state once everything put so far has been written.
    """

    def __init__(
        self,
        stream: Stream,
        state: StreamState,
        *,
        changes: Changes,
        settings: Settings,
        client: CourierClient,
        pacer: Pacer,
        put: Put,
        until_room: Callable[[], Awaitable[None]],
        counts: Counts,
        has_children: bool = False,
        reads_missed: bool = False,
    ) -> None:
        self._stream = stream
        self.state = state
        self._changes = changes
        self._settings = settings
        self._client = client
        self._pacer = pacer
        self._put = put
        self._until_room = until_room
        self._counts = counts
        self._has_children = has_children
        self._reads_missed = reads_missed
        self._known = set(changes.rows.marks) if changes.rows is not None else None
        self._was_read = state != StreamState() or bool(self._known)
        self._seen: set[Key] = set()
        self._is_whole = False
        self._started_at = 0
        query = urlencode(stream.params)
        self._target = f"{stream.path}?{query}" if query else stream.path
        self._target_at = f"{self._target}{'&' if query else '?'}cursor="

    async def read(self) -> None:
        """Reads the stream. Raises CourierError if it could not be read to the end."""
        try:
            await self._read()
        finally:
            self._counts.complete_to_ms = complete_to(self.state)
            if self._stream.changes_late:
                self._counts.stalest_ms = stalest(self.state)

    def parents(self) -> Parents:
        """Returns the parents that this sync found, for the readers of their children."""
        listed = {key[0] for key in self._seen}
        known_before = self._known if self._known is not None else self._seen
        rows = self._changes.rows
        return Parents(
            listed=listed,
            whole=self._is_whole,
            new=listed - {key[0] for key in known_before},
            known={key[0] for key in rows.marks} if rows is not None else listed,
            now=self._started_at,
        )

    async def _read(self) -> None:
        rest_error = await self._read_rest()
        walk = await self._walk(None)
        if rest_error is not None and walk.head_answered:
            await self._put(
                Notice(
                    f"{self._stream.table}: Courier no longer accepts the saved cursor "
                    f"({rest_error}), so all pages were read again. No data is lost."
                )
            )
        if walk.complete and walk.seen is not None:
            self._seen, self._is_whole = walk.seen, True
            if self._stream.deletes and self._settings.capture_deletes:
                await self._delete_what_has_gone(walk, walk.seen)

    async def _read_rest(self) -> CourierError | None:
        """Resumes the walk of an unordered stream first, since its head proves nothing.

        Returns an error instead of raising it, unless the key is refused: the head is read anyway.
        """
        lanes, newest_first = self.state.lanes, self.state.newest_first
        if not lanes or lanes[0].begins_at is not None:
            return None
        if newest_first is None:
            # A first reading that has met no order goes on, or each sync would begin it anew.
            newest_first = self._stream.presumed_newest_first and not lacks_order(lanes[0])
        # A walk that left out records that are wanted now is not resumed.
        if newest_first or lanes[0].floor > self._depth().floor:
            return None
        try:
            await self._walk(lanes[0])
        except KeyRefused:
            raise
        except CourierError as error:
            return error
        return None

    async def _walk(self, resumed: Lane | None) -> Walk:
        deletes = self._stream.deletes and self._changes.rows is not None
        is_watched = resumed is None and (deletes or self._has_children)
        async with Fetches(self._ask) as fetches:
            walk = Walk(
                self._stream,
                self.state,
                depth=self._depth(),
                changes=self._changes,
                fetches=fetches,
                lane_count=LaneCount(self._settings.message_lanes),
                per_second=lambda: self._pacer.per_second,
                counts=self._counts,
                resumed=resumed,
                seen=set() if is_watched else None,
            )
            try:
                async for output in walk.batches():
                    await self._put(output)
                    del output
                    if self._changes.rows is None and not self._has_children:
                        # Nothing compares these keys any more, and they would fill memory.
                        walk.seen = None
            except Refused as refusal:
                if walk.head_answered or refusal.status not in _DENIED:
                    raise
                raise self._denied(refusal) from None
            finally:
                self.state, self._started_at = walk.state, walk.clock.start
        return walk

    def _denied(self, refusal: Refused) -> CourierError:
        """Returns AccessLost, which fails the sync, if the stream was read before; else Denied."""
        return AccessLost(refusal.status) if self._was_read else Denied(refusal.status)

    def _depth(self) -> Depth:
        stream, settings = self._stream, self._settings
        lookback_ms = settings.message_lookback_ms if stream.changes_late else 0
        return Depth(
            lookback_ms=lookback_ms,
            overlap_ms=stream.overlap_ms,
            floor=settings.sync_since_ms or 0,
            reads_missed=self._reads_missed,
        )

    async def _delete_what_has_gone(self, walk: Walk, seen: set[Key]) -> None:
        rows = self._changes.rows
        if rows is None or (walk.unusable.met and not self._stream.id_tells):
            # A missing row may be one of the unusable records, and its id would not tell.
            return
        gone = await find_gone(
            self._stream,
            known=rows.marks,
            seen=seen,
            missing=self.state.missing,
            now=walk.clock.start,
            latest=walk.clock.latest_start,
            all_usable=not walk.unusable.met,
            ask_path=self._ask_path,
            ask=self._ask,
        )
        if gone.warning is not None:
            await self._put(Notice(gone.warning))
        if gone.keys or gone.missing != self.state.missing:
            for key in gone.keys:
                rows.forget(key)
            self.state = replace(self.state, missing=gone.missing)
            await self._put(Batch(stream=self._stream, deletes=gone.keys, state=self.state))

    async def _ask(self, cursor: str | None, yields: bool) -> Asked:
        """Fetches the page at a cursor, which it percent-encodes exactly once."""
        await self._until_room()
        target = self._target if cursor is None else self._target_at + _encoded(cursor)
        reply = await self._client.get(
            target, self._counts, lane=yields, arrays=self._stream.arrays
        )
        self._counts.pages += 1
        try:
            page = parse_page(self._stream, reply.body, base_url=self._settings.base_url)
        except CourierError:
            reply.hold.release()
            raise
        return Asked(page, reply.server_ms, reply.hold.release, reply.seconds)

    async def _ask_path(self, path: str) -> None:
        # Every row has its key, unlike an error inside a 200.
        reply = await self._client.get(path, self._counts, arrays=self._stream.key)
        reply.hold.release()


def outcome_of(table: str, ending: CourierError | None) -> str:
    """Returns how a stream ended, for the end table, and logs a failure."""
    if ending is None:
        return "complete"
    if isinstance(ending, Denied):
        return f"skipped ({ending.status})"
    log.error("%s: %s. %s", table, ending, ending.advice)
    return "FAILED"


def _encoded(cursor: str) -> str:
    """Same as quote_plus, at a tenth of the cost for a cursor of letters, digits and padding."""
    stem = cursor.rstrip("=")
    if stem.isascii() and stem.isalnum():
        return stem + "%3D" * (len(cursor) - len(stem))
    return quote_plus(cursor)
