"""What a person sees while a sync runs: counts a stream, a line now and then, a last table."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

PROGRESS_INTERVAL_SECONDS: Final = 10.0


@dataclass(slots=True)
class Tally:
    """The counts of one stream in one sync."""

    table: str
    read: int = 0
    sent: int = 0
    unchanged: int = 0
    deleted: int = 0
    unusable: int = 0
    pages: int = 0
    requests: int = 0
    bytes_read: int = 0
    retries: int = 0
    refusals: int = 0
    limiter_seconds: float = 0.0
    # Where a newest-first walk stands, and where it began and means to end; epoch ms.
    reached_ms: int | None = None
    newest_ms: int | None = None
    stop_at_ms: int | None = None
    # Places further back in the history at which a long reading goes on as well.
    lanes: int = 0
    outcome: str = "under way"
    _told: int = field(default=0, repr=False)

    def news(self, elapsed_seconds: float) -> str | None:
        """A line on what has moved since the last call, or None where nothing has."""
        if self.requests == self._told:
            return None
        self._told = self.requests
        rate = self.requests / elapsed_seconds if elapsed_seconds > 0 else 0.0
        line = (
            f"{self.table}: {self.read:,} records on {self.pages:,} pages, {rate:.1f} requests/s"
        )
        if self.reached_ms is not None:
            line += f", has reached {utc(self.reached_ms)}"
            line += self._share()
        if self.lanes > 0:
            line += f"; goes on at {self.lanes} more places further back"
        return line

    def _share(self) -> str:
        """How much of the time between newest and bound is read, where there is a bound."""
        if self.newest_ms is None or self.stop_at_ms is None or self.reached_ms is None:
            return ""
        span = self.newest_ms - self.stop_at_ms
        if span <= 0:
            return ""
        share = min(1.0, (self.newest_ms - self.reached_ms) / span)
        return f" ({share:.0%} of the way back to {utc(self.stop_at_ms)})"


def utc(epoch_ms: int) -> str:
    """Epoch milliseconds as "2026-08-14 09:31 UTC"."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{epoch_ms} ms"


_COLUMNS: Final = (
    ("stream", 12),
    ("read", 11),
    ("sent", 11),
    ("unchanged", 10),
    ("deleted", 8),
    ("pages", 8),
    ("requests", 9),
    ("retries", 8),
    ("waited", 8),
)


def table(tallies: Iterable[Tally], *, started_at: float) -> list[str]:
    """The last lines of a sync: a row a stream, at most 100 columns wide.

    `started_at` is a reading of time.monotonic().
    """
    heading = "".join(
        name.ljust(width) if name == "stream" else name.rjust(width) for name, width in _COLUMNS
    )
    lines = [heading + "  outcome"]
    for tally in tallies:
        counts = (
            tally.read,
            tally.sent,
            tally.unchanged,
            tally.deleted,
            tally.pages,
            tally.requests,
            tally.retries + tally.refusals,
        )
        cells = "".join(
            f"{count:,}".rjust(width)
            for count, (_, width) in zip(counts, _COLUMNS[1:-1], strict=True)
        )
        waited = f"{tally.limiter_seconds:.1f}s".rjust(_COLUMNS[-1][1])
        lines.append(f"{tally.table:<12}{cells}{waited}  {tally.outcome}")
    lines.append(f"elapsed: {time.monotonic() - started_at:.1f} s")
    return lines
