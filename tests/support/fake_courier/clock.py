"""The clock of an account: the wall clock, one that stands still, or any function."""

import time
from collections.abc import Callable


def clock_of(now_ms: int | Callable[[], int] | None) -> Callable[[], int]:
    """Returns a clock in epoch ms for a fixed time, a function, or None (the wall clock)."""
    if now_ms is None:
        return lambda: time.time_ns() // 1_000_000
    return now_ms if callable(now_ms) else lambda: now_ms
