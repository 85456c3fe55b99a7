"""The requests that one walk has under way, and their answers in order of arrival."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NamedTuple

import msgspec

from courier_async.api.pages import Page
from courier_async.errors import CourierError
from courier_async.reading.lane import LiveLane


class Asked(NamedTuple):
    """A page, the server's time in epoch milliseconds, and a callback that releases its memory.

    seconds: how long the answer took, without the wait for the limiter.
    """

    page: Page
    server_ms: int
    release: Callable[[], None]
    seconds: float = 0.0


# Requests the page at a cursor (None: the head); the bool says whether other streams go first.
Ask = Callable[[str | None, bool], Awaitable[Asked]]


class Purpose(Enum):
    READ = "read"
    PROBE = "probe"
    CONFIRM = "confirm"


class Arrival(msgspec.Struct):
    """The answer to one of a walk's requests, or the error with which it failed.

    answered_at: when it arrived, by the loop's clock; the walk may take it much later.
    """

    lane: LiveLane
    purpose: Purpose
    answer: Asked | CourierError
    answered_at: float = 0.0


class Fetches:
    """The requests that one walk has under way. They only fetch; the walk decides.

    Use as an asynchronous context manager: on exit, no request is under way and no page is held.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrivals: asyncio.Queue[Arrival | BaseException] = asyncio.Queue()
        self.under_way = 0

    async def __aenter__(self) -> "Fetches":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._arrivals.empty():
            arrival = self._arrivals.get_nowait()
            if isinstance(arrival, Arrival) and isinstance(arrival.answer, Asked):
                arrival.answer.release()

    def start(
        self,
        lane: LiveLane,
        cursor: str | None,
        *,
        purpose: Purpose = Purpose.READ,
        yields: bool = False,
    ) -> None:
        """Requests a page. yields: other streams' requests go first."""
        self.under_way += 1
        lane.asking = lane.asking or purpose is Purpose.READ
        task = asyncio.create_task(self._fetch(lane, cursor, purpose, yields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def next(self) -> Arrival:
        """Returns the next answer for any lane. Raises any error that is not stream-level."""
        arrival = await self._arrivals.get()
        self.under_way -= 1
        if not isinstance(arrival, Arrival):
            raise arrival
        if arrival.purpose is Purpose.READ:
            arrival.lane.asking = False
        return arrival

    async def _fetch(
        self, lane: LiveLane, cursor: str | None, purpose: Purpose, yields: bool
    ) -> None:
        try:
            asked = await self._ask(cursor, yields)
            now = asyncio.get_running_loop().time()
            arrival = Arrival(lane, purpose, asked, answered_at=now)
        except CourierError as error:
            # The traceback's frames hold the answer, and this one the error: a reference cycle.
            arrival = Arrival(lane, purpose, error.with_traceback(None))
        except Exception as error:  # a bug must end the sync, not hang it
            self._arrivals.put_nowait(error)
            return
        self._arrivals.put_nowait(arrival)
