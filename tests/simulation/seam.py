"""Connects the real code to the simulation: its transport, and its writer's thread."""

import asyncio
import functools
import os
import queue
import threading
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer, ConnectionTrouble
from tests.simulation.answers import Answers
from tests.simulation.children import MEMBERS
from tests.simulation.claims import Broken
from tests.simulation.destination import Crashed
from tests.support.fake_courier import DEFAULT_KEY, STREAMS, FakeApi
from tests.support.fake_courier.streams import route

T = TypeVar("T")


_BY_ID = {stream.path: name for name, stream in STREAMS.items() if stream.by_id}
_LISTINGS = {stream.path: name for name, stream in STREAMS.items()}


class SimulatedTransport:
    """Sends requests that take virtual time in each direction.

    answers: records what has been answered. before: is called with the number of each request.
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
        answers: Answers,
    ) -> None:
        self._api = api
        self._random = random
        self._latency_seconds = latency_seconds
        self._timeout_seconds = timeout_seconds
        self._most_requests = most_requests
        self._before = before
        self._answers = answers
        self.times: list[float] = []
        self._holds: list[Hold] = []

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        loop = asyncio.get_running_loop()
        self.times.append(loop.time())
        self._holds.append(hold)
        if len(self.times) > self._most_requests:
            raise Broken(f"more than {self._most_requests} requests in one sync")
        self._before(len(self.times))
        path, _, query = path_and_query.partition("?")
        await asyncio.sleep(self._random.random() * self._latency_seconds)
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}", "Host": "localhost"}
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        # Dropped, so that the API serves tenants in pages smaller than the hundred requested.
        parameters.pop("limit", None)
        asked_ms = self._api.account.now_ms()
        reply = self._api.answer(path, parameters, headers)
        seconds = reply.delay_seconds + self._random.random() * self._latency_seconds
        if seconds > self._timeout_seconds:
            await asyncio.sleep(self._timeout_seconds)
            raise ConnectionTrouble("no response in time")
        await asyncio.sleep(seconds)
        if reply.fault is not None:
            raise ConnectionTrouble(reply.fault)
        to = route(path)
        if to is not None and to.stream in MEMBERS:
            cursor = parameters.get("cursor")
            self._answers.children(to.stream, str(to.parent), cursor, reply.status, reply.body)
        parent, _, last = path.rpartition("/")
        if parent in _BY_ID:
            self._answers.by_id(_BY_ID[parent], unquote(last), reply.status, reply.body)
        elif path in _LISTINGS and reply.status == 200:
            cursor = parameters.get("cursor")
            self._answers.page(_LISTINGS[path], cursor, reply.body, asked_ms)
        await hold.grow_to(len(reply.body))
        answer_headers = {name.lower(): value for name, value in reply.headers.items()}
        return Answer(reply.status, answer_headers, reply.body)

    def check_holds(self) -> None:
        """Checks, after a sync that ended by itself, that all memory has been released."""
        held = sum(not hold._released for hold in self._holds)
        if held:
            raise Broken(f"the memory of {held} answers was never released")


class SimulatedWorker:
    """Runs jobs at virtual moments; a job may pause in the middle of an operation.

    Such a job runs on another thread, but never beside the loop: each waits for the other.
    """

    def __init__(self, *, random: Random, slow_seconds: float, pauses: float) -> None:
        self._random = random
        self._slow_seconds = slow_seconds
        self._pauses = pauses
        self._task: asyncio.Task[None] | None = None
        self._job: _Job | None = None

    async def run(self, job: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._task = loop.create_task(self._drive(job, done, after=self._task))
        return await done

    def stand_still(self) -> None:
        """Pauses the job now and then. Called from within an operation."""
        if self._job is not None and self._random.random() < self._pauses:
            self._job.wait(self._random.random() * self._slow_seconds)

    async def join(self, seconds: float) -> None:
        """Waits for the last job, as the real worker does at the end of a sync."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    def kill(self) -> None:
        if self._job is not None:
            self._job.kill()

    async def _drive(
        self, job: Callable[[], T], done: "asyncio.Future[T]", after: "asyncio.Task[None] | None"
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        await asyncio.sleep(self._random.random() * self._slow_seconds)
        result, error = None, None
        try:
            result = await self._step_by_step(job) if self._pauses else job()
        except BaseException as caught:
            error = caught
        if not isinstance(error, asyncio.CancelledError):
            await asyncio.sleep(self._random.random() * self._slow_seconds)
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    async def _step_by_step(self, job: Callable[[], T]) -> T:
        self._job = running = _Job(job)
        try:
            while (seconds := running.go_on()) is not None:  # noqa: ASYNC110
                await asyncio.sleep(seconds)
        finally:
            self._job = None
            running.kill()
        if running.error is not None:
            raise running.error
        return running.result  # type: ignore[no-any-return]


class _Job:
    """A job on another thread that takes turns with the loop's: never both at once."""

    def __init__(self, job: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._job = job
        # Each lock is held until it is its side's turn.
        self._mine, self._loops = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._loops.acquire()
        self._seconds: float | None = None
        self._killed = False
        self._ended = False
        _thread_of(os.getpid()).jobs.put(self._run)

    def go_on(self) -> float | None:
        """Lets the job run; returns how long it then pauses, or None at its end."""
        if self._ended:
            return None
        self._seconds = None
        self._mine.release()
        self._loops.acquire()
        return self._seconds

    def wait(self, seconds: float) -> None:
        self._seconds = seconds
        self._loops.release()
        self._mine.acquire()
        if self._killed:
            raise Crashed

    def kill(self) -> None:
        """Ends the job where it is, as if the process had died."""
        self._killed = True
        while not self._ended:
            self.go_on()

    def _run(self) -> None:
        self._mine.acquire()
        try:
            if not self._killed:
                self.result = self._job()
        except BaseException as error:
            self.error = error
        self._ended = True
        self._loops.release()


class _Thread:
    """One thread for all jobs of a process, because starting one takes longer than most jobs."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.jobs.get()()


@functools.cache
def _thread_of(process_id: int) -> _Thread:
    """Returns this process's thread; a forked process has none of its parent's threads."""
    return _Thread()
