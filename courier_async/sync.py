"""The orchestrator: a walk a stream, one queue, one writer, and how a sync ends."""

import asyncio
import logging
import time
from typing import Any

from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.transport import HttpTransport, Transport
from courier_async.catalog.streams import Stream
from courier_async.errors import KEY_ADVICE, CourierError, Denied, KeyRefused
from courier_async.reading.stream_reader import Reader
from courier_async.reading.walk import Batch
from courier_async.report import PROGRESS_INTERVAL_SECONDS, Tally, table, utc
from courier_async.settings import Settings
from courier_async.state import saved as states
from courier_async.state.saved import State
from courier_async.state.sent_rows import KnownRows
from courier_async.writing.sdk_thread import ThreadWorker, Worker
from courier_async.writing.writer import Item, Operations, Writer

log = logging.getLogger(__name__)


class SyncFailed(Exception):
    """How a sync failed, in sentences for the person who has to act."""


async def sync(settings: Settings, raw_state: Any, op: Operations) -> None:
    """One sync over HTTP. Raises SyncFailed, or what an operation of the SDK raised."""
    asyncio.get_running_loop().set_exception_handler(_tell_kind)
    async with (
        HttpTransport(
            base_url=settings.base_url,
            api_key=settings.api_key,
            timeout_seconds=settings.request_timeout_seconds,
        ) as transport,
        ThreadWorker() as worker,
    ):
        await run(settings, raw_state, op, transport=transport, worker=worker)


def _tell_kind(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """In place of asyncio's own lines, which show what was raised: a row, perhaps, or a header."""
    error = context.get("exception")
    if isinstance(error, Exception):
        log.warning("Outside of any reading: %s", type(error).__name__)


async def run(
    settings: Settings, raw_state: Any, op: Operations, *, transport: Transport, worker: Worker
) -> None:
    """One sync over any transport and worker."""
    state, warnings = states.load(raw_state, source=settings.source)
    tallies = {stream.table: Tally(stream.table) for stream in settings.streams}
    writer = Writer(
        op=op,
        worker=worker,
        state=state,
        tallies=tallies,
        checkpoint_interval_seconds=settings.checkpoint_interval_seconds,
        clock=asyncio.get_running_loop().time,
    )
    client = CourierClient(
        transport,
        Pacer(per_second=settings.requests_per_second),
        max_retries=settings.max_retries,
    )
    for stream in settings.streams:
        log.info(_start_line(stream, state))
    started_at = time.monotonic()
    endings: dict[str, CourierError | None] = {}
    refusal: KeyRefused | None = None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            reporter = group.create_task(_report(tallies))
            for text in warnings:
                await writer.queue.put(Item(settings.streams[0], Batch([], None, warning=text)))
            refusal = await _walk_all(settings, state, client, writer, tallies, endings)
            reporter.cancel()
            for stream, denial in _denied(settings, endings):
                text = _denied_text(stream, denial)
                await writer.queue.put(Item(stream, Batch([], None, warning=text)))
            await writer.queue.put(None)
    except* Exception as group_error:
        # One of ours raised; the group has ended the rest. The first is the reason.
        raise _first(group_error) from None
    for line in table(tallies.values(), started_at=started_at):
        log.info(line)
    _raise_if_failed(settings, endings, refusal)


async def _walk_all(
    settings: Settings,
    state: State,
    client: CourierClient,
    writer: Writer,
    tallies: dict[str, Tally],
    endings: dict[str, CourierError | None],
) -> KeyRefused | None:
    """All walks at once. Returns early, the others cancelled, where the key is refused."""

    async def one(stream: Stream) -> None:
        reader = Reader(
            stream=stream,
            state=state.of(stream),
            known=state.rows_of(stream) if stream.keeps_rows else KnownRows(),
            settings=settings,
            client=client,
            writer=writer,
            tally=tallies[stream.table],
        )
        endings[stream.table] = await reader.read()

    refusal: KeyRefused | None = None
    try:
        async with asyncio.TaskGroup() as walks:
            for stream in settings.streams:
                walks.create_task(one(stream))
    except* KeyRefused as refusals:
        refusal = _first_of(refusals)
    return refusal


def _denied(
    settings: Settings, endings: dict[str, CourierError | None]
) -> list[tuple[Stream, Denied]]:
    """The streams that are skipped; none where all are denied, which says that it is the key."""
    denied = [
        (stream, ending)
        for stream in settings.streams
        if isinstance(ending := endings.get(stream.table), Denied)
    ]
    return denied if len(denied) < len(settings.streams) else []


def _denied_text(stream: Stream, denial: Denied) -> str:
    return (
        f"{stream.table}: Courier answered {denial.status}, so this stream was skipped; the "
        "others are synced. The plan may not include it, or the key may not read it. To be rid "
        "of this warning, leave it out of 'streams' in the configuration."
    )


def _raise_if_failed(
    settings: Settings, endings: dict[str, CourierError | None], refusal: KeyRefused | None
) -> None:
    if refusal is not None:
        raise SyncFailed(f"{refusal}. {KEY_ADVICE}")
    denials = [ending for ending in endings.values() if isinstance(ending, Denied)]
    if len(denials) == len(settings.streams):
        statuses = ", ".join(str(status) for status in sorted({d.status for d in denials}))
        raise SyncFailed(
            f"Courier refused the key for every stream (it answered {statuses}). {KEY_ADVICE}"
        )
    failures = {
        stream.table: ending
        for stream in settings.streams
        if (ending := endings.get(stream.table)) is not None and not isinstance(ending, Denied)
    }
    if failures:
        reasons = "; ".join(_by_reason(failures))
        # One fault for all is more likely the way there than seven faults.
        advice = f" {KEY_ADVICE}" if len(failures) == len(settings.streams) > 1 else ""
        raise SyncFailed(
            f"{len(failures)} of {len(settings.streams)} streams could not be read to the end. "
            f"{reasons}. All that was read is saved, and the next sync goes on from there.{advice}"
        )


def _by_reason(failures: dict[str, CourierError]) -> list[str]:
    """A text a reason, led by the streams that it concerns: one fault often concerns them all."""
    streams: dict[str, list[str]] = {}
    for name, error in failures.items():
        streams.setdefault(str(error), []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in streams.items()]


async def _report(tallies: dict[str, Tally]) -> None:
    """A line a stream that moved, every ten seconds, so that slow can be told from stuck."""
    started_at = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)
        for tally in tallies.values():
            line = tally.news(time.monotonic() - started_at)
            if line:
                log.info(line)


def _start_line(stream: Stream, state: State) -> str:
    known = state.of(stream)
    if known.walk is not None:
        return f"{stream.table}: goes on with a reading begun {utc(known.walk.frame.started_at)}"
    if known.watermark is not None:
        return f"{stream.table}: complete up to {utc(known.watermark)}"
    return f"{stream.table}: reads all pages"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf: users otherwise read "unhandled errors in a TaskGroup"."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first_of(group: BaseExceptionGroup[KeyRefused]) -> KeyRefused:
    error = _first(group)
    assert isinstance(error, KeyRefused)  # noqa: S101
    return error
