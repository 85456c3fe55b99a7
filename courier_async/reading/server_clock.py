"""The server's time, by which starts and bounds are told."""

import asyncio


class ServerClock:
    """The server's time at a walk's start: the smallest that any of its answers tells."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self.start = 0
        self.now_ms = 0

    def note(self, server_ms: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._first_at is None:
            self._first_at, self.start = now, server_ms
        self.start = min(self.start, server_ms - int((now - self._first_at) * 1000))
        self.now_ms = max(self.now_ms, server_ms)
