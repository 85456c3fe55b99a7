"""The server's time, on which starts and bounds are based."""


class ServerClock:
    """The server's time now, and at a walk's start: the earliest start that any answer implies."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self.start = 0
        self.now_ms = 0

    def note(self, server_ms: int, answered_at: float) -> None:
        """Notes a server time. answered_at: loop seconds at its arrival, as it may have waited."""
        if self._first_at is None:
            self._first_at, self.start = answered_at, server_ms
        self.start = min(self.start, server_ms - int((answered_at - self._first_at) * 1000))
        self.now_ms = max(self.now_ms, server_ms)
