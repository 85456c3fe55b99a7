"""The virtual clock on which tests of time depend."""

import asyncio
import itertools
import time

import pytest
from aiolimiter import AsyncLimiter

from tests.support.virtual_time import Stalled, run_virtual


def test_a_year_of_sleep_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtual(main()) == pytest.approx(365 * 86_400)
    assert time.monotonic() - began < 5


def test_timers_fire_in_order_of_their_time() -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def note(seconds: int) -> None:
            await asyncio.sleep(seconds)
            seen.append(seconds)

        await asyncio.gather(*(note(seconds) for seconds in (3, 1, 2)))
        return seen

    assert run_virtual(main()) == [1, 2, 3]


def test_two_runs_are_the_same_to_the_microsecond() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        limiter = AsyncLimiter(1.1, 0.11)
        moments: list[float] = []

        async def work() -> None:
            async with limiter:
                moments.append(loop.time())

        await asyncio.gather(*(work() for _ in range(50)))
        return moments

    assert run_virtual(main()) == run_virtual(main())


def test_time_moves_even_while_something_is_always_ready() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.001
        turns = 0
        while loop.time() < end:
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert 500 <= run_virtual(main()) <= 2_000


def test_time_outs_are_virtual() -> None:
    async def main() -> None:
        async with asyncio.timeout(3_600):
            await asyncio.sleep(7_200)

    with pytest.raises(TimeoutError):
        run_virtual(main())


def test_a_wait_without_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        run_virtual(main())


def test_a_wait_without_end_beside_a_timer_that_repeats_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.support.virtual_time._MOST_TURNS", 1_000)

    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(10)

    with pytest.raises(Stalled):
        run_virtual(main())
