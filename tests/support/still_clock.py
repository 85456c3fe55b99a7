"""A clock for loops with real sockets: it stands still but where a test puts it forward.

No time-out can fire because the machine is slow, and none is waited for.
"""

import asyncio
from typing import Final

# Of the loop, for each second: enough for what is on its way to arrive first.
_TURNS_A_SECOND: Final = 10


class StillClock:
    """The clock of the running loop from now on, and so of its timers and time-outs."""

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
