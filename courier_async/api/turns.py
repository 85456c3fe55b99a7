"""Places that tasks take in turn: urgent tasks first, otherwise first come, first served."""

import asyncio
from collections import deque


class Turns:
    """A semaphore with two priorities, whose waiters may be cancelled at any moment."""

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self._first: deque[asyncio.Future[None]] = deque()
        self._later: deque[asyncio.Future[None]] = deque()

    async def take(self, *, low_priority: bool = False) -> None:
        """Takes a place. A task that gives way waits until no other task is waiting."""
        if self._free > 0:
            self._free -= 1
            return
        waiters = self._later if low_priority else self._first
        granted = asyncio.get_running_loop().create_future()
        waiters.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                # The place was granted in the same iteration of the loop: pass it on.
                self.give_back()
            raise

    def give_back(self) -> None:
        for waiters in (self._first, self._later):
            while waiters:
                granted = waiters.popleft()
                if not granted.cancelled():
                    granted.set_result(None)
                    return
        self._free += 1
