"""An event loop whose time jumps, so that code that waits only for timers runs at full speed.

Only the order of events is real, so every run is the same.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Code that waits for "level <= capacity" in floats (aiolimiter) may ask for a wait of 1e-17 s,
# which the sum would lose; with a minimum step, time always moves on.
_TURN_SECONDS: Final = 1e-6


# A progress line every ten seconds keeps a loop busy in which all else waits for ever.
_MOST_TURNS: Final = 5_000_000


class Stalled(RuntimeError):
    """The code would wait for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop for timers, tasks and futures only: no sockets, threads or signals.

    `time()` begins at 0 s. It moves only between turns: to the next timer if nothing is ready, and
    always by at least a microsecond.
    """

    def __init__(self) -> None:
        self._now_seconds = 0.0
        self._turns = 0
        super().__init__(_Clockwork(self))

    def time(self) -> float:
        return self._now_seconds

    def _turn(self, timeout: float | None) -> None:
        """Ends a turn, after which a real loop would sleep for `timeout` seconds."""
        if timeout is None:
            raise Stalled("nothing is ready and no timer is set: this would wait forever")
        self._now_seconds += max(timeout, _TURN_SECONDS)
        self._turns += 1
        if self._turns > _MOST_TURNS:
            raise Stalled(
                f"{_MOST_TURNS:,} turns have not ended it: this would go on forever, perhaps "
                "because a task ended with an error that nobody reads, such as a test's time-out"
            )


class _Clockwork(selectors.DefaultSelector):
    """Moves the loop's clock where a real selector would sleep."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop._turn(timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Does what asyncio.run does, in virtual time. Raises Stalled if it would never end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
