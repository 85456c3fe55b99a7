"""A destination that only counts, in place of the SDK's `op`."""

from collections import Counter
from typing import Any


class Sink:
    """Counts rows and checkpoints, and keeps the last state."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.deletes = 0
        self.checkpoints = 0
        self.state: dict[str, Any] = {}

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.rows[table] += 1

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        self.deletes += 1

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.checkpoints += 1
        self.state = state

    def warning(self, message: str) -> None:
        raise AssertionError(f"a benchmark must not warn: {message}")
