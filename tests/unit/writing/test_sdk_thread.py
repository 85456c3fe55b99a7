"""The one thread on which the SDK is called."""

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import Never

import pytest

from courier_async.writing.sdk_thread import SdkThread

ROOT = Path(__file__).parents[3]


async def test_jobs_run_one_after_another_in_the_order_they_came() -> None:
    seen: list[int] = []
    under_way = 0
    most_under_way = 0

    def job(number: int) -> int:
        nonlocal under_way, most_under_way
        under_way += 1
        most_under_way = max(most_under_way, under_way)
        time.sleep(0.001)
        seen.append(number)
        under_way -= 1
        return number * 2

    async with SdkThread() as worker:
        results = await asyncio.gather(*(worker.run(partial(job, number)) for number in range(50)))
    assert seen == list(range(50))
    assert results == [number * 2 for number in range(50)]
    assert most_under_way == 1


async def test_every_job_runs_on_one_thread_that_is_not_the_loops() -> None:
    async with SdkThread() as worker:
        threads = {await worker.run(threading.get_ident) for _ in range(10)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_job_that_blocks_leaves_the_loop_free() -> None:
    let_go = threading.Event()
    async with SdkThread() as worker:
        task = asyncio.create_task(worker.run(lambda: let_go.wait(10)))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not task.done()
        let_go.set()
        assert await task is True


async def test_the_thread_ends_with_the_context() -> None:
    async with SdkThread() as worker:
        await worker.run(lambda: None)
    assert "courier-writer" not in {thread.name for thread in threading.enumerate()}


class Odd(Exception):
    pass


async def test_an_exception_of_a_job_is_raised_where_it_was_asked_for() -> None:
    raised = Odd("why")

    def job() -> Never:
        raise raised

    async with SdkThread() as worker:
        with pytest.raises(Odd) as caught:
            await worker.run(job)
        assert caught.value is raised
        assert await worker.run(lambda: "still there") == "still there"


@pytest.mark.parametrize(
    "raised",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(7),
        GeneratorExit(),
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        BaseExceptionGroup("several", [SystemExit(1)]),
    ],
    ids=repr,
)
async def test_what_would_end_the_process_or_be_lost_comes_as_an_ordinary_error(
    raised: BaseException,
) -> None:
    def job() -> Never:
        raise raised

    async with SdkThread() as worker:
        with pytest.raises(RuntimeError, match=type(raised).__name__):
            await asyncio.wait_for(worker.run(job), 5)
        assert await worker.run(lambda: "still there") == "still there"


async def test_a_cancelled_wait_leaves_the_job_to_end_and_the_worker_to_go_on() -> None:
    begun, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        let_go.wait(10)
        ended.set()

    async with SdkThread() as worker:
        task = asyncio.create_task(worker.run(job))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        let_go.set()
        assert await worker.run(lambda: "next") == "next"
    assert ended.is_set()


async def test_a_job_whose_wait_was_cancelled_before_it_began_does_not_run() -> None:
    let_go = threading.Event()
    ran: list[str] = []
    async with SdkThread() as worker:
        first = asyncio.create_task(worker.run(lambda: let_go.wait(10)))
        second = asyncio.create_task(worker.run(lambda: ran.append("second")))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        let_go.set()
        await first
        await worker.run(lambda: ran.append("third"))
    assert ran == ["third"]


def run_script(script: str) -> tuple[str, float]:
    """Runs a script in a separate process; returns its output and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout, time.monotonic() - began


def test_a_job_that_blocks_for_ever_does_not_keep_the_process_from_ending() -> None:
    printed, seconds = run_script(
        """
        import asyncio, threading
        from courier_async.writing import sdk_thread
        sdk_thread._JOIN_SECONDS = 0.5

        async def main():
            async with sdk_thread.SdkThread() as one:
                asking = asyncio.create_task(one.run(threading.Event().wait))
                await asyncio.sleep(0.1)
                asking.cancel()

        asyncio.run(main())
        print("ended")
        """
    )
    assert printed == "ended\n"
    assert seconds < 10


def test_a_job_that_ends_after_its_loop_is_closed_says_nothing() -> None:
    printed, _ = run_script(
        """
        import asyncio, threading, time
        from courier_async.writing import sdk_thread
        sdk_thread._JOIN_SECONDS = 0.1
        let_go = threading.Event()

        async def main():
            async with sdk_thread.SdkThread() as one:
                asking = asyncio.create_task(one.run(let_go.wait))
                await asyncio.sleep(0.1)
                asking.cancel()

        asyncio.run(main())
        let_go.set()
        until = time.monotonic() + 30
        while threading.active_count() > 1 and time.monotonic() < until:
            time.sleep(0.01)
        print([thread.name for thread in threading.enumerate()])
        """
    )
    assert printed == "['MainThread']\n"


def test_no_job_begins_once_the_context_has_been_left() -> None:
    """An abandoned thread must not call the SDK."""
    printed, _ = run_script(
        """
        import asyncio, contextlib, threading, time
        from courier_async.writing import sdk_thread
        sdk_thread._JOIN_SECONDS = 0.1
        let_go = threading.Event()

        async def main():
            async with sdk_thread.SdkThread() as one:
                first = asyncio.create_task(one.run(let_go.wait))
                second = asyncio.create_task(one.run(lambda: print("a late call")))
                await asyncio.sleep(0.1)

        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(main())
        let_go.set()
        time.sleep(0.2)
        print("ended")
        """
    )
    assert printed == "ended\n"
