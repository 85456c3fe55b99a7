"""What is counted of a stream in one sync."""

from dataclasses import dataclass
from typing import Final

NOT_READ: Final = "not read"


@dataclass(slots=True)
class Counts:
    """The counts of one stream in one sync; report.py makes lines of them.

    complete_to_ms, stalest_ms: at the end, up to when the stream is complete, and when the
    place that was longest not read again was last read.
    reached_ms, newest_ms, bound_ms: where a newest-first walk stands, began and means to end.
    lanes: places further back in the history at which a long reading goes on as well.
    outcome: how the reading of the stream has ended.
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
