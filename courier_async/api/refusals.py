"""Whom a refusal for too many requests affects: every stream or one, and for how long."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from courier_async.api.pacer import wait_seconds

# A stream gives up once all its requests have been refused for this long.
GIVE_UP_SECONDS: Final = 600.0
# After this many refusals in a row, while other streams are answered, a stream waits alone.
_SHARED_REFUSALS: Final = 2


@dataclass(slots=True)
class _Row:
    """One stream's refusals since its last response of another kind."""

    since: float
    waits_until: float
    refusals: int = 1
    others_answered: bool = False


class Refusals:
    """The limits that each stream has met. Times are on the loop's clock."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        # For each stream, how many requests were answered with anything but a limit.
        self.answers: Counter[str] = Counter()

    def answered(self, table: str) -> None:
        """Records that a request of this stream was answered with anything but a limit."""
        self.answers[table] += 1
        if self._rows:
            self._rows.pop(table, None)
            for row in self._rows.values():
                row.others_answered = True

    def refused(
        self, table: str, *, sent_at: float, now: float, retry_after_seconds: float | None
    ) -> float:
        """Returns how many seconds this stream alone should wait; 0 if all streams should.

        A limit that other streams do not meet is this stream's own and must not delay them.
        """
        row = self._rows.get(table)
        if row is None:
            row = self._rows[table] = _Row(since=now, waits_until=now)
        elif sent_at >= row.waits_until:
            # Requests in flight at the last refusal add no information.
            row.refusals += 1
        wait = wait_seconds(row.refusals - 1, retry_after_seconds=retry_after_seconds)
        row.waits_until = max(row.waits_until, now + wait)
        if row.refusals < _SHARED_REFUSALS or not row.others_answered:
            return 0.0
        return row.waits_until - now

    def gives_up(self, table: str, now: float) -> bool:
        """Whether the stream has met nothing but limits for ten minutes."""
        row = self._rows.get(table)
        return row is not None and now - row.since >= GIVE_UP_SECONDS
