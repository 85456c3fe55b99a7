"""What Fivetran would hold: tables, the last checkpoint, and what was sent after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from tests.simulation.claims import Broken

Row = dict[str, Any]


class SinkRaised(Exception):
    """The destination's own error, like one that the SDK would raise."""


class Crashed(BaseException):
    """The process has died: nothing it does from here on takes effect."""


@dataclass(slots=True)
class Operation:
    table: str
    key: str
    row: Row | None  # None: the row is marked deleted


class Destination:
    """The `op` of a sync, across all syncs of a seed.

    called: the newest row (None: deleted) passed to an operation, on top of what has landed; a
    checkpoint may claim it. landed: what is certainly in the tables.
    """

    def __init__(self, keys: Mapping[str, tuple[str, ...]], random: Random) -> None:
        self._keys = keys
        self._random = random
        self.landed: dict[str, dict[str, Row | None]] = {table: {} for table in keys}
        self.called: dict[str, dict[str, Row | None]] = {table: {} for table in keys}
        # Rows from syncs that died, unknown to any checkpoint since: their deletion is not
        # guaranteed.
        self.untracked: dict[str, set[str]] = {table: set() for table in keys}
        self.saved: bytes = b"{}"
        self._pending: list[Operation] = []
        self._over = True
        self.raised = False
        self.dead = False
        self.warnings: list[str] = []
        self.counts: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        # Hooks of one sync: before an operation (its name and number), and at a checkpoint.
        self.before: Callable[[str, int], None] = lambda name, number: None
        self.on_delete: Callable[[str, str], None] = lambda table, key: None
        self.on_checkpoint: Callable[[dict[str, Any]], None] = lambda state: None
        self.on_saved: Callable[[], None] = lambda: None

    # -- the life of a sync ------------------------------------------------------------------

    def begin(self) -> Any:
        """Begins a sync and returns the state that it is given."""
        self._over = self.raised = self.dead = False
        self.counts = dict.fromkeys(("upsert", "delete", "checkpoint"), 0)
        self.sent = {}
        self.warnings = []
        return msgspec.json.decode(self.saved)

    def over(self) -> None:
        """Ends the sync. An operation from now on is an error."""
        self._over = True

    def ended(self, *, normally: bool) -> None:
        """Checks, once everything the sync started is over, that no operation is left unsaved."""
        if normally and self._pending:
            raise Broken(
                f"{len(self._pending)} operations followed the last checkpoint of a sync that "
                "ended by itself"
            )

    def settle(self) -> int:
        """Lands the first few unsaved rows of each table, after a sync that died."""
        landed = 0
        for table in sorted({operation.table for operation in self._pending}):
            mine = [operation for operation in self._pending if operation.table == table]
            many = self._random.choice((0, len(mine), self._random.randint(0, len(mine))))
            for operation in mine[:many]:
                self.landed[table][operation.key] = operation.row
                self.untracked[table].add(operation.key)
            landed += many
        self._pending.clear()
        self.called = {table: dict(rows) for table, rows in self.landed.items()}
        return landed

    # -- operations --------------------------------------------------------------------------

    def upsert(self, table: str, data: Row) -> None:
        self._enter("upsert")
        key = self._key(table, data)
        self.sent[table] = self.sent.get(table, 0) + 1
        self._pending.append(Operation(table, key, dict(data)))
        self.called[table][key] = self._pending[-1].row
        self._leave()

    def delete(self, table: str, keys: Row) -> None:
        self._enter("delete")
        key = self._key(table, keys)
        self.on_delete(table, key)
        self._pending.append(Operation(table, key, None))
        self.called[table][key] = None
        self._leave()

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._enter("checkpoint")
        try:
            text = msgspec.json.encode(state)
        except TypeError as error:
            raise Broken(f"a state that is not JSON: {error}") from None
        self.on_checkpoint(state)
        try:
            self._leave()
        except (SinkRaised, Crashed):
            if self._random.random() < 0.5:  # the checkpoint arrived, and only its answer was lost
                self.commit(text)
            raise
        self.commit(text)

    def warning(self, message: str) -> None:
        self._enter("warning")
        self.warnings.append(message)

    def commit(self, text: bytes) -> None:
        """Saves a checkpoint, and with it everything before it."""
        self.saved = text
        self.on_saved()
        for operation in self._pending:
            self.landed[operation.table][operation.key] = operation.row
        self._pending.clear()

    def _key(self, table: str, row: Row) -> str:
        parts = [row.get(name) for name in self._keys[table]]
        if any(part is None or part == "" for part in parts):
            raise Broken(f"{table}: a row without its key")
        return "\t".join(map(str, parts))

    def _enter(self, name: str) -> None:
        if self.dead:
            raise Crashed
        if self._over:
            raise Broken(f"{name} after the sync was over")
        if self.raised:
            raise Broken(f"{name} after an operation that raised")
        if name in self.counts:
            self.counts[name] += 1
            self._now = name

    def _leave(self) -> None:
        """Strikes once the operation is recorded: the destination may already have the data."""
        try:
            self.before(self._now, sum(self.counts.values()))
        except SinkRaised:
            self.raised = True
            raise
