"""Runs the readers of one sync in parallel, one per stream, and records how each ended."""

import asyncio
from collections.abc import Mapping

from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.schema import salt_of
from courier_async.catalog.stream import Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.errors import CourierError, KeyRefused, NotInRegion
from courier_async.handover import Batch, Notice
from courier_async.reading.changes import Changes
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.children import ChildrenReader
from courier_async.reading.children_due import ChildrenDue
from courier_async.reading.message_children import MessageChildrenReader
from courier_async.reading.rounds import Parents
from courier_async.reading.stream_reader import Put, StreamReader, outcome_of
from courier_async.settings import Settings
from courier_async.state.saved import State
from courier_async.state.sent_rows import key_text


class Readers:
    """Reads all streams of a sync and puts their output on the writer's queue.

    endings: table -> why its stream was not read to the end, or None if it was.
    refusal: set if Courier refused the key, in which case the other readers were cancelled.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        client: CourierClient,
        pacer: Pacer,
        put: Put,
        counts: Mapping[str, Counts],
    ) -> None:
        self._settings = settings
        self._state = state
        self._client = client
        self._pacer = pacer
        self._put = put
        self._counts = counts
        self.endings: dict[str, CourierError | None] = {}
        self.refusal: KeyRefused | None = None
        # Not for messages: they become due one by one, and their ids would fill memory.
        tables = [s.parent for s in settings.streams if s.parent and not _is_of_messages(s)]
        self._parents: dict[str, asyncio.Future[Parents]] = {
            table: asyncio.get_running_loop().create_future() for table in dict.fromkeys(tables)
        }
        # Parent table -> the readers of its children.
        self._children: dict[str, list[ChildrenReader]] = {table: [] for table in self._parents}
        self._due = {
            stream.table: ChildrenDue(state.due.get(stream.table, {}))
            for stream in settings.streams
            if _is_of_messages(stream)
        }

    async def read_all(self) -> None:
        """Reads all streams in parallel. If the key is refused, cancels the rest and returns."""
        try:
            async with asyncio.TaskGroup() as group:
                for stream in self._settings.streams:
                    group.create_task(self._read(stream))
        except* KeyRefused:
            pass

    async def _read(self, stream: Stream) -> None:
        counts = self._counts[stream.table]
        mapper = RowMapper(stream, redact_secrets=self._settings.redact_secrets)
        changes = self._changes(stream, mapper)
        try:
            if stream.us_only and not self._settings.is_us:
                raise NotInRegion
            if stream.parent is None:
                await self._read_stream(stream, changes)
            elif _is_of_messages(stream):
                await self._read_message_children(stream, changes)
            else:
                await self._read_children(stream, changes)
            ending: CourierError | None = None
        except KeyRefused as refusal:
            counts.outcome = "key refused"
            self.refusal = refusal
            raise
        except CourierError as error:
            ending = error
        except BaseException:
            if counts.read:
                counts.outcome = "stopped"
            raise
        counts.outcome = outcome_of(stream.table, ending)
        counts.redacted = mapper.redacted
        self.endings[stream.table] = ending

    async def _read_stream(self, stream: Stream, changes: Changes) -> None:
        due = self._due if stream.changes_late else {}
        parents = self._parents.get(stream.table)
        children = self._children.get(stream.table, [])
        marks = changes.rows.marks if changes.rows is not None else ()
        # A sync that died may have deleted the children of a row that was missing.
        missing = self._state.of(stream.table).missing
        known = {key[0] for key in marks if key_text(key) not in missing}

        async def put(output: Batch | Notice) -> None:
            if isinstance(output, Notice):
                await self._put(output)
                return
            for batch in _ahead_of(output, children, known) if children else ():
                await self._put(batch)
            # For messages, nothing has been awaited since the page was judged, so a table that
            # had room then still has it.
            noted = {table: waiting for table, waiting in due.items() if waiting.has_room}
            output.due_in = tuple(noted) if output.due else ()
            await self._put(output)
            for waiting in noted.values():
                waiting.add(output.due)

        async def until_room() -> None:
            for waiting in due.values():
                await waiting.until_room()

        reader = StreamReader(
            stream,
            self._state.of(stream.table),
            changes=changes,
            settings=self._settings,
            client=self._client,
            pacer=self._pacer,
            put=put,
            until_room=until_room,
            counts=self._counts[stream.table],
            has_children=parents is not None,
            reads_missed=self._reads_missed,
        )
        try:
            await reader.read()
        finally:
            for waiting in due.values():
                waiting.end()
            if parents is not None and not parents.done():
                parents.set_result(reader.parents())

    async def _read_children(self, stream: Stream, changes: Changes) -> None:
        counts = self._counts[stream.table]
        reader = ChildrenReader(
            stream,
            self._state.of(stream.table),
            changes=changes,
            settings=self._settings,
            pages=self._pages(stream),
            counts=counts,
        )
        self._children[stream.parent or ""].append(reader)
        # Shielded because several child tables may wait for the same parents.
        parents = await asyncio.shield(self._parents[stream.parent or ""])
        try:
            async for output in reader.batches(parents):
                await self._put(output)
                del output
        finally:
            counts.complete_to_ms = reader.complete_to_ms

    async def _read_message_children(self, stream: Stream, changes: Changes) -> None:
        state = self._state.of(stream.table)
        reader = MessageChildrenReader(
            stream,
            state,
            changes=changes,
            pages=self._pages(stream),
            due=self._due[stream.table],
            counts=self._counts[stream.table],
        )
        async for output in reader.batches():
            await self._put(output)
        parent = self._counts[stream.parent or ""]
        self._counts[stream.table].complete_to_ms = parent.complete_to_ms

    def _pages(self, stream: Stream) -> ChildPages:
        return ChildPages(
            stream,
            self._client,
            self._counts[stream.table],
            base_url=self._settings.base_url,
        )

    def _changes(self, stream: Stream, mapper: RowMapper) -> Changes:
        """Returns a Changes with copies of what was sent, since reading runs ahead of writing."""
        state, settings = self._state, self._settings
        keeps = stream.keeps_rows and stream.table not in state.sent_whole
        is_message = stream.changes_late
        # If a message is wanted, so are all of its events, whatever their times.
        may_leave_out = stream.time_field is not None and stream.parent is None
        return Changes(
            stream,
            mapper=mapper,
            salt=salt_of(stream, settings.redact_secrets),
            rows=state.rows_of(stream.table).copy() if keeps else None,
            recent=state.recent_of(stream).copy() if stream.keeps_recent else None,
            since_ms=settings.sync_since_ms if may_leave_out else None,
            reread_ms=max(settings.message_lookback_ms, stream.overlap_ms),
            can_note_due=self._can_note_due if is_message and self._due else None,
            reads_missed=self._reads_missed,
        )

    @property
    def _reads_missed(self) -> bool:
        """False while any table is full, or the others would be read again and again for it."""
        return bool(self._due) and not any(due.was_full for due in self._due.values())

    def _can_note_due(self) -> bool:
        return not any(due.would_miss for due in self._due.values())


def _ahead_of(parents: Batch, children: list[ChildrenReader], known: set[str]) -> list[Batch]:
    """Returns the batches to put ahead of a batch of parent rows.

    Once its parents are recorded as known or deleted, nothing signals that they were new or gone.
    known: ids of the parents known before this sync, and not missing.
    """
    new = {entry.key[0] for entry in parents.entries} - known
    gone = {key[0] for key in parents.deletes}
    ahead = [reader.owe(new) for reader in children if new]
    ahead += [reader.delete_of(gone) for reader in children if gone]
    return [batch for batch in ahead if batch is not None]


def _is_of_messages(stream: Stream) -> bool:
    return stream.parent is not None and BY_TABLE[stream.parent].changes_late
