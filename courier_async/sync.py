"""Orchestrates a sync: one reader per stream, one queue, one writer, and the ending."""

import asyncio
import gc
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from courier_async import __version__
from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.transport import HttpTransport, Transport
from courier_async.counts import Counts
from courier_async.ending import SyncFailed, notices, raise_if_failed
from courier_async.errors import StateRefused
from courier_async.handover import Notice
from courier_async.reading.readers import Readers
from courier_async.report import end_table, report_progress, start_lines
from courier_async.settings import Settings
from courier_async.state import saved
from courier_async.writing.sdk_thread import SdkThread, Worker
from courier_async.writing.writer import OperationFailed, Operations, Writer

log = logging.getLogger(__name__)

# Python's garbage collector runs after every 700 new objects, a number that pages in flight
# always reach: that takes a twelfth of the CPU and finds next to nothing.
_GC_THRESHOLD: Final = 10_000


async def sync(settings: Settings, raw_state: Any, op: Operations) -> None:
    """Runs one sync over HTTP. Raises SyncFailed, or whatever the SDK's checkpoint raised."""
    asyncio.get_running_loop().set_exception_handler(_log_error_type)
    gc.set_threshold(_GC_THRESHOLD)
    async with (
        HttpTransport(
            base_url=settings.base_url,
            api_key=settings.api_key,
            timeout_seconds=settings.request_timeout_seconds,
        ) as transport,
        SdkThread() as worker,
    ):
        await run(settings, raw_state, op, transport=transport, worker=worker)


def _log_error_type(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Replaces asyncio's own log lines, which show what was raised: perhaps a row or a header."""
    error = context.get("exception")
    if isinstance(error, Exception):
        log.warning("Unexpected error outside any stream: %s", type(error).__name__)


async def run(
    settings: Settings, raw_state: Any, op: Operations, *, transport: Transport, worker: Worker
) -> None:
    """Runs one sync over any transport and worker."""
    try:
        state, warnings = saved.load(raw_state, source=settings.source)
    except StateRefused as refusal:
        raise SyncFailed(str(refusal)) from None
    state.begin([stream.table for stream in settings.streams])
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
    for line in start_lines(settings.streams, state):
        log.info(line)
    readers = Readers(settings, state, client, pacer, writer.queue.put, counts)
    try:
        await _read_and_write(readers, writer, counts, warnings)
    except asyncio.CancelledError:
        # Told to stop, for example by Ctrl-C: first save what has been written.
        await writer.save()
        raise
    finally:
        for line in end_table(counts.values(), elapsed_seconds=time.monotonic() - started_at):
            log.info(line)
    raise_if_failed(readers.endings, readers.refusal)


async def _read_and_write(
    readers: Readers, writer: Writer, counts: Mapping[str, Counts], warnings: list[str]
) -> None:
    """Runs all readers and the one writer until everything read is written and saved."""
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            reporter = group.create_task(report_progress(counts.values()))
            for text in warnings:
                await writer.queue.put(Notice(text))
            await readers.read_all()
            reporter.cancel()
            for text in notices(readers.endings, counts.values()):
                await writer.queue.put(Notice(text))
            await writer.queue.put(None)
    except* Exception as group_error:
        # One of our tasks raised, and the group cancelled the rest. The first error is the cause.
        failure = _first(group_error)
    # Python 3.11.0 to 3.11.3 wrap what is raised inside `except*`.
    if failure is not None:
        raise SyncFailed(str(failure)) if isinstance(failure, OperationFailed) else failure


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Returns the first error: a group's own text says nothing to users."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
