"""The log lines of a sync: where it resumes, regular progress, and a final table."""

import asyncio
import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from courier_async.catalog.stream import Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import NOT_READ, Counts
from courier_async.state.position import StreamState
from courier_async.state.saved import State

log = logging.getLogger(__name__)

PROGRESS_INTERVAL_SECONDS: Final = 10.0
# Sooner than the others, to show that the sync has begun.
FIRST_PROGRESS_SECONDS: Final = 2.0


def start_lines(streams: Collection[Stream], state: State) -> list[str]:
    """Returns where each stream resumes; streams that start the same way share a line."""
    tables: dict[str, list[str]] = {}
    for stream in streams:
        tables.setdefault(_start(stream, state), []).append(stream.table)
    return [f"{', '.join(names)}: {text}" for text, names in tables.items()]


def _start(stream: Stream, state: State) -> str:
    own = state.of(stream.table)
    if stream.parent is not None and BY_TABLE[stream.parent].changes_late:
        text = "reads the children of new and changed messages"
        was_added = own == StreamState() and state.of(stream.parent) != StreamState()
        earlier = f"{text}; to read those of earlier ones, re-sync {stream.parent}"
        return earlier if was_added else text
    if own.lanes:
        return f"continues a walk that began {utc(own.lanes[0].started_at)}"
    if own.watermark is not None:
        return f"complete up to {utc(own.watermark)}"
    if own.read_at is not None:
        return f"last read {utc(own.read_at)}"
    return "first sync, reads everything"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 page", "2 pages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


async def report_progress(counts: Collection[Counts]) -> None:
    """Regularly logs a line per stream that has moved or ended, to tell slow from stuck."""
    started_at = time.monotonic()
    told = {stream.table: (0, NOT_READ) for stream in counts}
    await asyncio.sleep(FIRST_PROGRESS_SECONDS)
    while True:
        for stream in counts:
            now = (stream.requests, stream.outcome)
            if now != told[stream.table]:
                told[stream.table] = now
                log.info(progress_line(stream, time.monotonic() - started_at))
        await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)


def progress_line(counts: Counts, elapsed_seconds: float) -> str:
    """Returns records, pages, rate and how far back a newest-first stream is, or its outcome."""
    line = f"{counts.table}: {counted(counts.read, 'record')}, {counted(counts.pages, 'page')}"
    if counts.outcome != NOT_READ:
        return f"{line}, {'done' if counts.outcome == 'complete' else counts.outcome}"
    rate = counts.requests / elapsed_seconds if elapsed_seconds > 0 else 0.0
    line += f", {rate:.1f} requests/s"
    if counts.reached_ms is not None:
        line += f", back to {utc(counts.reached_ms)}{_share(counts)}"
    if counts.lanes > 0:
        line += f", {counts.lanes} lanes further back"
    return line


def _share(counts: Counts) -> str:
    """Returns how much of the time from newest to bound has been read; "" without a bound."""
    if counts.newest_ms is None or counts.bound_ms is None or counts.reached_ms is None:
        return ""
    span = counts.newest_ms - counts.bound_ms
    if span <= 0:
        return ""
    share = min(1.0, (counts.newest_ms - counts.reached_ms) / span)
    return f" ({share:.0%} of the way to {utc(counts.bound_ms)})"


def utc(epoch_ms: int) -> str:
    """Formats epoch milliseconds as "2026-08-14 09:31 UTC"."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{epoch_ms} ms"


_NUMBERS: Final = (
    ("read", 11),
    ("sent", 11),
    ("unchanged", 10),
    ("deleted", 8),
    ("pages", 8),
    ("requests", 9),
    ("retries", 8),
    ("waited", 8),
)


def end_table(counts: Collection[Counts], *, elapsed_seconds: float) -> list[str]:
    """Returns the last lines of a sync: remarks, then one row per stream.

    complete_to is the time up to which everything visible has been read.
    """
    width = max((len(stream.table) for stream in counts), default=0) + 1
    heading = "stream".ljust(width) + "".join(name.rjust(size) for name, size in _NUMBERS)
    lines = [*_remarks(counts), heading + "  " + "complete_to".ljust(19) + "outcome"]
    for stream in counts:
        numbers = (
            stream.read,
            stream.sent,
            stream.unchanged,
            stream.deleted,
            stream.pages,
            stream.requests,
            stream.retries + stream.refusals,
        )
        cells = "".join(
            f"{number:,}".rjust(size)
            for number, (_, size) in zip(numbers, _NUMBERS[:-1], strict=True)
        )
        waited = f"{stream.limiter_seconds:.1f}s".rjust(_NUMBERS[-1][1])
        complete = "-" if stream.complete_to_ms is None else _minute(stream.complete_to_ms)
        lines.append(f"{stream.table:<{width}}{cells}{waited}  {complete:<19}{stream.outcome}")
    lines.append(f"elapsed: {elapsed_seconds:.1f} s")
    return lines


def _minute(epoch_ms: int) -> str:
    return utc(epoch_ms).replace(" UTC", "Z").replace(" ", "T")


def _remarks(counts: Collection[Counts]) -> list[str]:
    remarks = []
    for stream in counts:
        if stream.stalest_ms is not None:
            remarks.append(
                f"{stream.table}: every message within the lookback was last read at "
                f"{utc(stream.stalest_ms)} or later"
            )
        if stream.redacted:
            remarks.append(f"{stream.table}: {stream.redacted:,} secret values redacted")
    return remarks
