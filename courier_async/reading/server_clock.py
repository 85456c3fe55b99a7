"""The server's time, on which starts and bounds are based."""

from typing import Final

# A `Date` header holds whole seconds, so two right ones may imply starts this far apart.
_DATE_MS: Final = 1000


class ServerClock:
    """The server's time now, and at a walk's start: the earliest start that any answer implies."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self.start = self._latest = 0
        self.now_ms = 0

    @property
    def latest_start(self) -> int:
        """The latest start that any answer implies, less a second for rounding."""
        return max(self.start, self._latest - _DATE_MS)

    def note(self, server_ms: int, answered_at: float) -> None:
        """Notes a server time. answered_at: loop seconds at its arrival, as it may have waited."""
        if self._first_at is None:
            self._first_at, self.start = answered_at, server_ms
        implied_start = server_ms - int((answered_at - self._first_at) * 1000)
        self.start = min(self.start, implied_start)
        self._latest = max(self._latest, implied_start)
        self.now_ms = max(self.now_ms, server_ms)
