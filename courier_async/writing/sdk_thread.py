"""A dedicated thread for all calls to the SDK.

The SDK's operations block while the destination is slow. On the event loop's thread they would
stall every request. asyncio's own threads would keep the process from exiting while one of them
waits for a consumer that is gone; this one is a daemon.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

_JOIN_SECONDS: Final = 5.0


class Worker(Protocol):
    """Runs jobs one after another, off the event loop."""

    async def run(self, job: Callable[[], T]) -> T:
        """Returns the job's result or raises its error. A job cancelled in time never starts."""
        ...


class SdkThread:
    """Worker on one daemon thread. Use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="courier-writer", daemon=True)

    async def __aenter__(self) -> "SdkThread":
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Jobs that have not started never will: no operation may follow the end of a sync.
        self._closed = True
        self._jobs.put(None)
        # A job that blocks forever is abandoned: its thread dies with the process.
        self._thread.join(_JOIN_SECONDS)

    async def run(self, job: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None and not self._closed:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as caught:  # an SDK may raise anything; the loop must know
                future.set_exception(_presentable(caught))


def _presentable(error: BaseException) -> BaseException:
    """Wraps StopIteration, which a future rejects, and anything that would end the process."""
    is_for_asyncio = isinstance(error, StopIteration | CancelledError)
    if isinstance(error, Exception) and not is_for_asyncio:
        return error
    return RuntimeError(f"{type(error).__name__} in the destination's own code: {error}")
