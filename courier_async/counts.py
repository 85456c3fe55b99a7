"""What a sync counts for each stream."""

from dataclasses import dataclass
from typing import Final

NOT_READ: Final = "not read"


@dataclass(slots=True)
class Counts:
    """The counts of one stream in one sync; report.py formats them.

    complete_to_ms: set at the end, the time up to which the stream is complete.
    stalest_ms: set at the end, when the least recently read place was last read.
    reached_ms, newest_ms, bound_ms: where a newest-first walk is, where it began, where it ends.
    lanes: how many places further back in the history are being read at the same time.
    outcome: how the reading of the stream ended.
    """

    table: str
    read: int = 0
    sent: int = 0
    unchanged: int = 0
    deleted: int = 0
    unusable: int = 0
    redacted: int = 0
    pages: int = 0
    requests: int = 0
    bytes_read: int = 0
    retries: int = 0
    refusals: int = 0
    limiter_seconds: float = 0.0
    reached_ms: int | None = None
    newest_ms: int | None = None
    bound_ms: int | None = None
    complete_to_ms: int | None = None
    stalest_ms: int | None = None
    lanes: int = 0
    outcome: str = NOT_READ
