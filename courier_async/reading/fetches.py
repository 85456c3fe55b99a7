"""The requests of one walk under way, and their answers in the order in which they come."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NamedTuple

import msgspec

from courier_async.api.pages import Page
from courier_async.errors import CourierError
from courier_async.reading.lane import LiveLane


class Asked(NamedTuple):
    """A page, the server's time in epoch milliseconds, and what gives its memory back.

    seconds: how long the answer took, the wait for the limiter left out.
    """

    page: Page
    server_ms: int
    release: Callable[[], None]
    seconds: float = 0.0


# Asks for the page at a cursor (None: the head); the second says whether other streams go first.
Ask = Callable[[str | None, bool], Awaitable[Asked]]


class Purpose(Enum):
    """Why a page was asked for."""

    READ = "read"
    PROBE = "probe"
    CONFIRM = "confirm"


class Arrival(msgspec.Struct):
    """An answer to one of a walk's requests, or how it failed.

    answered_at: when it came, by the loop's clock; it may wait long before the walk takes it.
    """

    lane: LiveLane
    purpose: Purpose
    answer: Asked | CourierError
    answered_at: float = 0.0


class Fetches:
    """The requests of one walk under way. They only fetch; the walk alone decides.

    Use as an asynchronous context manager: at its end nothing is under way and nothing is held.
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
        """Asks for a page. yields: other streams' requests go first."""
        self.under_way += 1
        lane.asking = lane.asking or purpose is Purpose.READ
        task = asyncio.create_task(self._fetch(lane, cursor, purpose, yields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def next(self) -> Arrival:
        """The next answer, whichever lane it is for. Raises what no stream's error is."""
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
            # Its frames hold the answer, and this one the error: a cycle.
            arrival = Arrival(lane, purpose, error.with_traceback(None))
        except Exception as error:  # a fault of our own must end the sync, not hang it
            self._arrivals.put_nowait(error)
            return
        self._arrivals.put_nowait(arrival)
