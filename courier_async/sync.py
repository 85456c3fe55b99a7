"""The orchestrator: a reader a stream, one queue, one writer, and how a sync ends."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from courier_async import __version__
from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.transport import HttpTransport, Transport
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.schema import salt_of
from courier_async.catalog.stream import Stream
from courier_async.counts import Counts
from courier_async.errors import KEY_ADVICE, CourierError, Denied, KeyRefused, StateRefused
from courier_async.handover import Notice
from courier_async.reading.changes import Changes
from courier_async.reading.stream_reader import StreamReader
from courier_async.report import end_table, report_progress, start_line
from courier_async.settings import Settings
from courier_async.state import saved
from courier_async.state.saved import State
from courier_async.writing.sdk_thread import SdkThread, Worker
from courier_async.writing.writer import OperationFailed, Operations, Writer

log = logging.getLogger(__name__)

# Table -> why its stream was not read to the end, or None where it was.
Endings = dict[str, CourierError | None]


class SyncFailed(Exception):
    """How a sync failed, in sentences for the person who has to act."""


async def sync(settings: Settings, raw_state: Any, op: Operations) -> None:
    """One sync over HTTP. Raises SyncFailed, or what a checkpoint of the SDK raised."""
    asyncio.get_running_loop().set_exception_handler(_tell_kind)
    async with (
        HttpTransport(
            base_url=settings.base_url,
            api_key=settings.api_key,
            timeout_seconds=settings.request_timeout_seconds,
        ) as transport,
        SdkThread() as worker,
    ):
        await run(settings, raw_state, op, transport=transport, worker=worker)


def _tell_kind(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """In place of asyncio's own lines, which show what was raised: a row, perhaps, or a header."""
    error = context.get("exception")
    if isinstance(error, Exception):
        log.warning("Outside of any stream: %s", type(error).__name__)


async def run(
    settings: Settings, raw_state: Any, op: Operations, *, transport: Transport, worker: Worker
) -> None:
    """One sync over any transport and worker."""
    try:
        state, warnings = saved.load(raw_state, source=settings.source)
    except StateRefused as refusal:
        raise SyncFailed(str(refusal)) from None
    started_at = time.monotonic()
    counts = {stream.table: Counts(stream.table) for stream in settings.streams}
    writer = Writer(
        op=op,
        worker=worker,
        state=state,
        counts=counts,
        streams=settings.streams,
        checkpoint_interval_seconds=settings.checkpoint_interval_seconds,
        clock=asyncio.get_running_loop().time,
    )
    pacer = Pacer(per_second=settings.requests_per_second)
    client = CourierClient(transport, pacer, max_retries=settings.max_retries)
    log.info("Courier connector %s, source %s", __version__, settings.source)
    for stream in settings.streams:
        log.info(start_line(stream, state.of(stream.table)))
    readers = _Readers(settings, state, client, pacer, writer, counts)
    try:
        await _read_and_write(readers, writer, counts, warnings)
    except asyncio.CancelledError:
        # Told to stop: what has been written is saved first.
        await writer.save()
        raise
    for line in end_table(counts.values(), elapsed_seconds=time.monotonic() - started_at):
        log.info(line)
    readers.raise_if_failed()


async def _read_and_write(
    readers: "_Readers", writer: Writer, counts: Mapping[str, Counts], warnings: list[str]
) -> None:
    """Reads all streams while what they bring is written."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            reporter = group.create_task(report_progress(counts.values()))
            for text in warnings:
                await writer.queue.put(Notice(text))
            await readers.read_all()
            reporter.cancel()
            for text in readers.notices():
                await writer.queue.put(Notice(text))
            await writer.queue.put(None)
    except* Exception as group_error:
        # One of ours raised; the group has ended the rest. The first is the reason.
        raise _as_failure(_first(group_error)) from None


class _Readers:
    """One reader a stream, and how each has ended."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        client: CourierClient,
        pacer: Pacer,
        writer: Writer,
        counts: Mapping[str, Counts],
    ) -> None:
        self._settings = settings
        self._state = state
        self._client = client
        self._pacer = pacer
        self._writer = writer
        self._counts = counts
        self._endings: Endings = {}
        self._refusal: KeyRefused | None = None

    async def read_all(self) -> None:
        """All streams at once. Returns early, the others cancelled, where the key is refused."""
        try:
            async with asyncio.TaskGroup() as group:
                for stream in self._settings.streams:
                    group.create_task(self._read(stream))
        except* KeyRefused as refusals:
            first = _first(refusals)
            self._refusal = first if isinstance(first, KeyRefused) else None

    async def _read(self, stream: Stream) -> None:
        counts = self._counts[stream.table]
        mapper = RowMapper(stream, redact_secrets=self._settings.redact_secrets)
        reader = StreamReader(
            stream,
            self._state.of(stream.table),
            changes=self._changes(stream, mapper),
            settings=self._settings,
            client=self._client,
            pacer=self._pacer,
            put=self._writer.queue.put,
            counts=counts,
        )
        self._endings[stream.table] = await reader.read()
        counts.redacted = mapper.redacted

    def _changes(self, stream: Stream, mapper: RowMapper) -> Changes:
        """What has been sent before, as a copy: reading is ahead of what is written."""
        state, settings = self._state, self._settings
        keeps = stream.keeps_rows and stream.table not in state.sent_whole
        return Changes(
            stream,
            mapper=mapper,
            salt=salt_of(stream, settings.redact_secrets),
            rows=state.rows_of(stream.table).copy() if keeps else None,
            messages=state.messages.copy() if stream.changes_late else None,
            since_ms=settings.sync_since_ms if stream.time_field is not None else None,
        )

    def notices(self) -> list[str]:
        """A sentence for each stream that was skipped, and for records that were left out."""
        texts = [
            f"{table}: Courier answered {denial.status}, so this stream was skipped; the others "
            "are synced. The plan may not include it, or the key may not read it. To silence "
            "this warning, leave it out of 'streams' in the configuration."
            for table, denial in self._denied().items()
        ]
        return texts + [
            f"{counts.table}: {counts.unusable:,} records came without their key or are no "
            "objects, and were left out. The connector looks for them again for thirty days. "
            "Ask Courier's support about them."
            for counts in self._counts.values()
            if counts.unusable
        ]

    def _denied(self) -> dict[str, Denied]:
        """The streams that are skipped; none where all are denied, which says it is the key."""
        denied = {t: ending for t, ending in self._endings.items() if isinstance(ending, Denied)}
        return denied if len(denied) < len(self._settings.streams) else {}

    def raise_if_failed(self) -> None:
        """Raises SyncFailed with what a person has to know and to do."""
        if self._refusal is not None:
            raise SyncFailed(f"{self._refusal}. {self._refusal.advice}")
        endings, total = self._endings, len(self._settings.streams)
        denials = [ending for ending in endings.values() if isinstance(ending, Denied)]
        if len(denials) == total:
            statuses = ", ".join(str(status) for status in sorted({d.status for d in denials}))
            raise SyncFailed(
                f"Courier refused the key for every stream (it answered {statuses}). {KEY_ADVICE}"
            )
        failures = {
            table: ending
            for table, ending in endings.items()
            if ending is not None and not isinstance(ending, Denied)
        }
        if failures:
            reasons = "; ".join(_by_reason(failures))
            advice = " ".join(dict.fromkeys(error.advice for error in failures.values()))
            raise SyncFailed(
                f"{len(failures)} of {total} streams could not be read to the end. {reasons}. "
                f"What was read is saved, and the next sync continues from there. {advice}"
            )


def _by_reason(failures: Mapping[str, CourierError]) -> list[str]:
    """A text a reason, led by the streams that it concerns: one fault often concerns them all."""
    streams: dict[str, list[str]] = {}
    for name, error in failures.items():
        streams.setdefault(str(error), []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in streams.items()]


def _as_failure(error: BaseException) -> BaseException:
    return SyncFailed(str(error)) if isinstance(error, OperationFailed) else error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf: users otherwise read "unhandled errors in a TaskGroup"."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
