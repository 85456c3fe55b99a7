"""An event loop whose time jumps: whatever waits only for timers runs as fast as it computes.

Nothing of it is real but the order of things, so that a run is the same every time.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Code that waits for "level <= capacity" in floats (aiolimiter) may ask for a wait of 1e-17 s,
# which is lost in the sum; time that always moves a little lets it get on.
_TURN_SECONDS: Final = 1e-6


class Stalled(RuntimeError):
    """Nothing is ready and no timer is set: what runs would wait for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop for timers, tasks and futures alone: no sockets, no threads, no signals.

    `time()` begins at 0 s. It moves only between turns: to the next timer where nothing is
    ready, and by a microsecond at least.
    """

    def __init__(self) -> None:
        self._now_seconds = 0.0
        super().__init__(_Clockwork(self))

    def time(self) -> float:
        return self._now_seconds

    def _turn(self, timeout: float | None) -> None:
        """One turn has passed, after which the loop would have slept for `timeout` seconds."""
        if timeout is None:
            raise Stalled("nothing is ready and no timer is set: this would wait for ever")
        self._now_seconds += max(timeout, _TURN_SECONDS)


class _Clockwork(selectors.DefaultSelector):
    """Where a loop sleeps until something happens, this one moves its clock."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop._turn(timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """What asyncio.run does, in virtual time. Raises Stalled where it would never end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
