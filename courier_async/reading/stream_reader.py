"""What one sync reads of one stream: the rest of an interrupted walk, a walk from the head, and
which rows have gone."""

import logging
from typing import Final
from urllib.parse import quote_plus, urlencode

from courier_async.api.client import CourierClient
from courier_async.api.pages import Page, parse_page
from courier_async.catalog.streams import Stream
from courier_async.errors import CourierError, Denied, KeyRefused, Refused
from courier_async.reading.deletes import find_deletions
from courier_async.reading.walk import Batch, Walk
from courier_async.report import Tally
from courier_async.settings import Settings
from courier_async.state.saved import (
    LaneOpened,
    LanesDropped,
    LanesJoined,
    PageRead,
    StreamState,
    WalkDropped,
    advance,
)
from courier_async.state.sent_rows import KnownRows
from courier_async.writing.writer import Item, Writer

log = logging.getLogger(__name__)

_DENIED: Final = frozenset({402, 403, 404})


class Reader:
    """Reads one stream once and puts what it finds on the writer's queue."""

    def __init__(
        self,
        *,
        stream: Stream,
        state: StreamState,
        known: KnownRows,
        settings: Settings,
        client: CourierClient,
        writer: Writer,
        tally: Tally,
    ) -> None:
        self._stream = stream
        self._state = state
        self._known = known
        self._settings = settings
        self._client = client
        self._writer = writer
        self._tally = tally
        tally.lanes = len(state.walk.lanes) - 1 if state.walk else 0
        # Rows may only be missed by a walk that began and ended in this sync.
        watched = stream.keeps_rows and settings.capture_deletes and state.walk is None
        self._seen: set[str] | None = set() if watched and len(known) else None
        self._known_ids = known.ids() if self._seen is not None else frozenset()
        self._answered = False
        self._bytes_put = 0
        query = urlencode(stream.params)
        self._target = f"{stream.path}?{query}" if query else stream.path
        self._target_at = f"{self._target}{'&' if query else '?'}cursor="

    async def read(self) -> CourierError | None:
        """None when all is read, else why not. Raises KeyRefused alone: it concerns them all."""
        table, tally = self._stream.table, self._tally
        try:
            await self._walk_all()
            await self._delete_what_has_gone()
        except KeyRefused:
            tally.outcome = "key refused"
            raise
        except Denied as denial:
            tally.outcome = f"skipped ({denial.status})"
            return denial
        except CourierError as error:
            tally.outcome = "FAILED"
            log.error("%s: %s.", table, error)
            return error
        tally.outcome = "complete"
        return None

    async def _walk_all(self) -> None:
        """The rest of an interrupted walk, if there is one, and then always one from the head."""
        restarted = False
        while True:
            resumed = self._state.walk is not None
            walk = Walk(self._stream, self._state, self._settings, self._ask, self._emit)
            try:
                await walk.run()
            except Refused as refusal:
                at_head = walk.state.walk is None
                # A cursor's own 404 says that the cursor is gone, not that the stream is denied.
                is_of_stream = at_head or not (self._answered or refusal.may_mean_cursor)
                if refusal.status in _DENIED and is_of_stream:
                    raise Denied(refusal.status) from None
                if at_head or restarted or not refusal.may_mean_cursor:
                    raise
                restarted = True
                self._state = walk.state
                await self._restart(refusal.status)
                continue
            self._state = walk.state
            if not resumed:
                return

    async def _restart(self, status: int) -> None:
        self._seen = None
        step = WalkDropped()
        await self._emit(
            Batch(
                [],
                step,
                warning=f"{self._stream.table}: Courier no longer knows the place at which the "
                f"reading was to go on (it answered {status}), so it begins again with the "
                "first page. Nothing is lost.",
            )
        )
        self._state = advance(self._state, step)

    async def _delete_what_has_gone(self) -> None:
        if self._seen is None:
            return
        missing = set(self._known_ids - self._seen)
        if not missing and not self._known.left and not self._known.half_gone:
            return
        deletions, warning = await find_deletions(
            self._stream,
            self._known,
            known_ids=self._known_ids,
            missing=missing,
            client=self._client,
            tally=self._tally,
        )
        await self._emit(Batch([], None, warning=warning, deletions=deletions))

    async def _emit(self, batch: Batch) -> None:
        if batch.read or batch.step is not None:
            self._answered = True
        self._tally.read += batch.read
        if isinstance(batch.step, PageRead) and batch.step.lane.start is None:
            self._tally.reached_ms = batch.step.lane.oldest
            self._tally.newest_ms = batch.step.lane.newest
            self._tally.stop_at_ms = batch.step.frame.stop_at
        elif isinstance(batch.step, LaneOpened):
            self._tally.lanes += 1
        elif isinstance(batch.step, LanesJoined | LanesDropped):
            gone = batch.step.ids if isinstance(batch.step, LanesDropped) else (0,)
            self._tally.lanes -= len(gone)
        if self._seen is not None:
            for record in batch.records:
                key = self._stream.key_of(record)
                if key is not None:
                    self._seen.add(key)
        # What has been read since the last batch: with lanes not of this page alone, but in sum.
        size_bytes = self._tally.bytes_read - self._bytes_put
        self._bytes_put += size_bytes
        await self._writer.put(Item(self._stream, batch, size_bytes))
        # Not only when the next page is asked for: a walk's own task may wait for its lanes first.
        self._client.put_away()

    async def _ask(self, cursor: str | None) -> tuple[Page, int]:
        """The page at a cursor, encoded once, and the server's time in epoch milliseconds."""
        target = self._target if cursor is None else self._target_at + _encoded(cursor)
        body, server_ms = await self._client.get(target, self._tally)
        self._tally.pages += 1
        return parse_page(self._stream, body, base_url=self._settings.base_url), server_ms


def _encoded(cursor: str) -> str:
    """As quote_plus has it, at a tenth of the cost for a cursor of letters, digits and padding."""
    stem = cursor.rstrip("=")
    if stem.isascii() and stem.isalnum():
        return stem + "%3D" * (len(cursor) - len(stem))
    return quote_plus(cursor)
