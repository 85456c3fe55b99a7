"""Planted bugs in watermarks, checkpoints, and what is sent and deleted."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from courier_async.errors import StateRefused
from courier_async.handover import Batch
from courier_async.reading import changes, deletes, outcome, readers, walk
from courier_async.reading.server_clock import ServerClock
from courier_async.reading.unusable import UnusableRecords
from courier_async.reading.walk import Walk
from courier_async.state import plan, saved
from courier_async.state.position import StreamState
from courier_async.state.sent_rows import SentRows
from courier_async.writing import writer
from courier_async.writing.writer import Writer

Patches = Iterator[Any]


# -- watermarks ---------------------------------------------------------------------------------


def watermark_inside_the_loop() -> Patches:
    real = Walk._saved

    def saved_state(self: Walk) -> Any:
        state = real(self)
        newest = self._lanes.head.saved.newest
        self.state = state if newest is None else replace(state, watermark=newest)
        return self.state

    yield patch.object(Walk, "_saved", saved_state)


def watermark_without_lag() -> Patches:
    yield patch.object(outcome, "INDEX_LAG_MS", 0)


def watermark_back() -> Patches:
    real = outcome.ended_state

    def ended_state(stream: Any, state: Any, lane: Any, **named: Any) -> Any:
        return real(stream, replace(state, watermark=None), lane, **named)

    yield patch.object(walk, "ended_state", ended_state)


def start_taken_at_the_end() -> Patches:
    real = outcome.ended_state

    def ended_state(stream: Any, state: Any, lane: Any, *, start: int, **named: Any) -> Any:
        return real(stream, state, lane, start=max(clocks), **named)

    clocks: list[int] = [0]

    def remember(self: ServerClock, server_ms: int, answered_at: float) -> None:
        self.start = self.now_ms = max(self.start, server_ms)
        clocks.append(server_ms)

    yield patch.object(ServerClock, "note", remember)
    yield patch.object(walk, "ended_state", ended_state)


def an_empty_listing_taken_for_a_reading() -> Patches:
    real = outcome.ended_state

    def ended_state(stream: Any, state: Any, lane: Any, *, records: int, **named: Any) -> Any:
        lane.saved = replace(lane.saved, newest=lane.saved.newest or state.watermark)
        return real(stream, state, lane, records=records or 1, **named)

    yield patch.object(walk, "ended_state", ended_state)


# -- checkpoints --------------------------------------------------------------------------------


def state_adopted_before_its_rows() -> Patches:
    real = Writer._write_batch

    def write(self: Writer, batch: Batch) -> None:
        if batch.state is not None:
            self._state.streams[batch.stream.table] = batch.state
            self._checkpoint()
        real(self, batch)

    yield patch.object(Writer, "_write_batch", write)


def entries_before_their_rows() -> Patches:
    real = Writer._write_batch

    def write(self: Writer, batch: Batch) -> None:
        self._remember(batch)
        self._checkpoint()
        real(self, batch)

    yield patch.object(Writer, "_write_batch", write)


def state_of_another_stream() -> Patches:
    real = Writer._write_batch

    def write(self: Writer, batch: Batch) -> None:
        real(self, batch)
        if batch.state is not None:
            for table in self._state.streams:
                self._state.streams[table] = batch.state

    yield patch.object(Writer, "_write_batch", write)


def state_of_another_source_replaced() -> Patches:
    real = saved.load

    def load(raw: Any, *, source: str) -> Any:
        try:
            return real(raw, source=source)
        except StateRefused:
            return saved.State(source), []

    yield patch.object(saved, "load", load)


def streams_left_out_are_forgotten() -> Patches:
    real = Writer.__init__

    def init(self: Writer, *, state: Any, streams: Any, **named: Any) -> None:
        tables = {stream.table for stream in streams}
        for table in {*state.rows, *state.recent, *state.streams} - tables:
            state.rows.pop(table, None)
            state.recent.pop(table, None)
            state.streams.pop(table, None)
        real(self, state=state, streams=streams, **named)

    yield patch.object(Writer, "__init__", init)


def operations_after_one_that_raised() -> Patches:
    real = Writer._write

    def write(self: Writer, items: Any, *, last: bool) -> None:
        try:
            real(self, items, last=last)
        except Exception:
            self._checkpoint()
            raise

    yield patch.object(Writer, "_write", write)


def rows_repeated_past_the_last_checkpoint() -> Patches:
    real = Writer._write

    def write(self: Writer, items: Any, *, last: bool) -> None:
        real(self, items, last=last)
        if last:
            for item in items:
                if isinstance(item, Batch):
                    self._write_batch(item)

    yield patch.object(Writer, "_write", write)


def memory_never_given_back() -> Patches:
    yield patch.object(writer, "_release", lambda item: None)


# -- rows ---------------------------------------------------------------------------------------


def no_open_mark() -> Patches:
    yield patch.object(Writer, "_mark_open", lambda self, stream: None)


def marks_kept_after_a_sync_that_died() -> Patches:
    yield patch.object(SentRows, "blank_all", lambda self: None)


def fingerprints_without_the_settings() -> Patches:
    yield patch.object(readers, "salt_of", lambda stream, redact_secrets: b"always")


def settled_too_early() -> Patches:
    yield patch.object(changes, "SETTLING_MS", -changes.DAY_MS)
    yield patch.object(changes, "last_read", lambda readings, time: 1 << 52)


# -- deletes ------------------------------------------------------------------------------------


def deletes_after_one_walk() -> Patches:
    yield patch.object(deletes, "HOUR_MS", 0)


def deletes_after_an_hour_where_ids_tell_nothing() -> Patches:
    yield patch.object(deletes, "DAY_MS", deletes.HOUR_MS)


def veto_by_id_ignored() -> Patches:
    async def ask_ids(stream: Any, gone: Any, keys: Any, **named: Any) -> set[Any]:
        gone.keys += keys
        return set()

    yield patch.object(deletes, "_ask_ids", ask_ids)


def veto_by_id_ignored_where_another_row_has_just_gone() -> Patches:
    async def ask_ids(*arguments: Any, ids_tell: bool, **named: Any) -> set[Any]:
        if not ids_tell:
            return set(arguments[2])
        return await real(*arguments, ids_tell=ids_tell, **named)

    real = deletes._ask_ids
    yield patch.object(deletes, "_ask_ids", ask_ids)


def what_an_id_has_told_is_forgotten_in_an_outage() -> Patches:
    async def ask_ids(stream: Any, gone: Any, keys: Any, **named: Any) -> set[Any]:
        if not named["ids_tell"]:
            gone.missing = {
                text: row._replace(was_found=False) for text, row in gone.missing.items()
            }
        return await real(stream, gone, keys, **named)

    real = deletes._ask_ids
    yield patch.object(deletes, "_ask_ids", ask_ids)


def a_row_seen_again_stays_missing() -> Patches:
    async def find_gone(*arguments: Any, missing: Any, known: Any, **named: Any) -> Any:
        gone = await real(*arguments, missing=missing | kept, known=known, **named)
        kept.update(gone.missing)
        return gone

    kept: dict[str, Any] = {}
    real = deletes.find_gone
    from courier_async.reading import stream_reader

    yield patch.object(stream_reader, "find_gone", find_gone)


def deletes_are_never_asked_for() -> Patches:
    yield patch.object(deletes, "_waiting_since", lambda missing, latest: [])


def unusable_records_are_forgotten_in_a_pause() -> Patches:
    yield patch.object(
        plan,
        "_unusable_to_look_for",
        lambda state, now, floor: plan.unusable_from(state, now),
    )


def an_unusable_row_taken_for_gone() -> Patches:
    real = UnusableRecords.note

    def note(self: UnusableRecords, *arguments: Any) -> StreamState:
        state = real(self, *arguments)
        self.met = ()
        return state

    yield patch.object(UnusableRecords, "note", note)
