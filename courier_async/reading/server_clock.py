"""The server's time, by which starts and bounds are told."""


class ServerClock:
    """The server's time at a walk's start: the smallest that any of its answers tells."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self.start = 0
        self.now_ms = 0

    def note(self, server_ms: int, answered_at: float) -> None:
        """answered_at: in seconds by the loop's clock, since the answer may have waited."""
        if self._first_at is None:
            self._first_at, self.start = answered_at, server_ms
        self.start = min(self.start, server_ms - int((answered_at - self._first_at) * 1000))
        self.now_ms = max(self.now_ms, server_ms)
