"""Whom a refusal for too many requests concerns: every stream or one, and for how long."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from courier_async.api.pacer import wait_seconds

# So long may a stream's every request be refused before it gives up.
GIVE_UP_SECONDS: Final = 600.0
# After so many refusals in a row, others answered meanwhile, a stream waits alone.
_SHARED_REFUSALS: Final = 2


@dataclass(slots=True)
class _Row:
    """One stream's refusals since its last answer of another kind."""

    since: float
    waits_until: float
    refusals: int = 1
    others_answered: bool = False


class Refusals:
    """The limits that each stream has met. Times are of the loop's clock."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        # Of each stream, how many requests were answered with anything but a limit.
        self.answers: Counter[str] = Counter()

    def answered(self, table: str) -> None:
        """A request of this stream was answered with anything but a limit."""
        self.answers[table] += 1
        if self._rows:
            self._rows.pop(table, None)
            for row in self._rows.values():
                row.others_answered = True

    def refused(self, table: str, *, sent_at: float, now: float, told: float | None) -> float:
        """Seconds for which this stream alone should wait; 0 where all should.

        A limit that others do not meet is this stream's own, and must not hold them up.
        """
        row = self._rows.get(table)
        if row is None:
            row = self._rows[table] = _Row(since=now, waits_until=now)
        elif sent_at >= row.waits_until:
            # Those under way at the last refusal tell nothing new.
            row.refusals += 1
        wait = wait_seconds(row.refusals - 1, told=told)
        row.waits_until = max(row.waits_until, now + wait)
        if row.refusals < _SHARED_REFUSALS or not row.others_answered:
            return 0.0
        return row.waits_until - now

    def gives_up(self, table: str, now: float) -> bool:
        """Whether the stream has met nothing but limits for ten minutes."""
        row = self._rows.get(table)
        return row is not None and now - row.since >= GIVE_UP_SECONDS
