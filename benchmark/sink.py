"""A destination of our own in place of the SDK's `op`: it counts, and takes as long as told."""

import time
from collections import Counter
from typing import Any, Final

# What a sink may catch up on: timers wake late, and the lateness must not add up.
_CATCH_UP_SECONDS: Final = 0.02
_SHORTEST_SLEEP_SECONDS: Final = 0.0005


class Sink:
    """row_ms: how long the destination takes a row, on average over a few rows."""

    def __init__(self, *, row_ms: float = 0.0) -> None:
        self.rows: Counter[str] = Counter()
        self.deletes = 0
        self.checkpoints = 0
        self.state: dict[str, Any] = {}
        self._row_seconds = row_ms / 1000
        self._free_at = 0.0

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.rows[table] += 1
        if self._row_seconds:
            now = time.perf_counter()
            self._free_at = max(self._free_at, now - _CATCH_UP_SECONDS) + self._row_seconds
            if self._free_at - now > _SHORTEST_SLEEP_SECONDS:
                time.sleep(self._free_at - now)

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        self.deletes += 1

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.checkpoints += 1
        self.state = state

    def warning(self, message: str) -> None:
        raise AssertionError(f"a benchmark must not warn: {message}")
