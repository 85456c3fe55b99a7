"""A clock for loops with real sockets, which moves only when a test moves it.

A slow machine cannot cause a timeout, and tests do not wait for one.
"""

import asyncio
from typing import Final

# Loop turns per second moved: enough for data on its way to arrive first.
_TURNS_A_SECOND: Final = 10


class StillClock:
    """Replaces the running loop's clock, and so that of its timers and timeouts."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.passed_seconds = 0
        loop.time = lambda: began + self.passed_seconds  # type: ignore[method-assign]

    async def forward(self, seconds: int) -> None:
        for _ in range(seconds):
            self.passed_seconds += 1
            for _ in range(_TURNS_A_SECOND):
                await asyncio.sleep(0)
