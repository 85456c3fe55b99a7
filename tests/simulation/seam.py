"""Where the real code meets the simulation: its transport, and the thread of its writer."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar
from urllib.parse import parse_qsl

from courier_async.transport import Answer, ConnectionTrouble
from tests.fake_courier import DEFAULT_KEY, STREAMS, FakeApi, Options
from tests.fake_courier.api import _route as route
from tests.simulation.oracle import Broken

T = TypeVar("T")


class SmallPages(FakeApi):
    """The fake API, whose tenants too come on pages of the size that the options set."""

    def begin(self, options: Options) -> None:
        """The options of a sync; what the sync before had still before it does not happen."""
        self._use(options)
        self._scheduled.clear()

    def _page_size(self, stream: str, query: object) -> int:
        return self.options.page_sizes.get(stream, STREAMS[stream].page_size)


class SimulatedTransport:
    """Requests that take virtual time to get there and back.

    answered: is told the status of each answer by id.
    """

    def __init__(
        self,
        api: FakeApi,
        *,
        random: Random,
        latency_seconds: float,
        timeout_seconds: float,
        most_requests: int,
        before: Callable[[int], None],
        answered: dict[tuple[str, str], int],
    ) -> None:
        self._api = api
        self._random = random
        self._latency_seconds = latency_seconds
        self._timeout_seconds = timeout_seconds
        self._most_requests = most_requests
        self._before = before
        self.times: list[float] = []
        self._answered = answered

    async def get(self, path_and_query: str) -> Answer:
        loop = asyncio.get_running_loop()
        self.times.append(loop.time())
        if len(self.times) > self._most_requests:
            raise Broken(f"more than {self._most_requests} requests in one sync")
        self._before(len(self.times))
        path, _, query = path_and_query.partition("?")
        await asyncio.sleep(self._random.random() * self._latency_seconds)
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}", "Host": "localhost"}
        reply = self._api.answer(path, dict(parse_qsl(query, keep_blank_values=True)), headers)
        seconds = reply.delay_seconds + self._random.random() * self._latency_seconds
        if seconds > self._timeout_seconds:
            await asyncio.sleep(self._timeout_seconds)
            raise ConnectionTrouble("no answer in time")
        await asyncio.sleep(seconds)
        if reply.fault is not None:
            raise ConnectionTrouble(reply.fault)
        stream, id_ = route(path)
        if stream is not None and id_ is not None:
            self._answered[stream, id_] = reply.status
        answer_headers = {name.lower(): value for name, value in reply.headers.items()}
        return Answer(reply.status, answer_headers, reply.body)


class SimulatedWorker:
    """Jobs that run at a virtual moment, some time after they were handed over."""

    def __init__(self, *, random: Random, slow_seconds: float) -> None:
        self._random = random
        self._slow_seconds = slow_seconds

    async def run(self, job: Callable[[], T]) -> T:
        await asyncio.sleep(self._random.random() * self._slow_seconds)
        result = job()
        await asyncio.sleep(self._random.random() * self._slow_seconds)
        return result
