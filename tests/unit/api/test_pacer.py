"""The shared rate: never above the setting, all of it where there is work, slower when refused."""

import asyncio
import random
import time
from itertools import pairwise

import pytest

from courier_async.api.pacer import Pacer
from tests.support.virtual_time import run_virtual

# What floats may add up to over a second; far less than the time between two requests.
_SLACK_SECONDS = 1e-9


async def let_go(pacer: Pacer, *, seconds: float, workers: int = 8) -> list[float]:
    """When each request was let go, with as many asking at once as there are workers."""
    end = asyncio.get_running_loop().time() + seconds
    moments: list[float] = []

    async def work() -> None:
        while (moment := await pacer.wait_for_turn()) < end:
            moments.append(moment)

    await asyncio.gather(*(work() for _ in range(workers)))
    return sorted(moments)


def most_in_a_window(moments: list[float], *, seconds: float) -> int:
    """The most moments in any half-open window [t, t + seconds)."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds - _SLACK_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("per_second", [1, 10, 50, 200, 1000])
@pytest.mark.parametrize("pause_seconds", [0, 0.3, 7])
def test_no_window_of_a_second_holds_more_than_the_setting(
    per_second: int, pause_seconds: float
) -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=per_second)
        moments = await let_go(pacer, seconds=1.7)
        # A pause must not be saved up for later.
        await asyncio.sleep(pause_seconds)
        return moments + await let_go(pacer, seconds=1.7)

    assert most_in_a_window(run_virtual(main()), seconds=1) <= per_second


@pytest.mark.parametrize("per_second", [0.1, 0.5])
def test_a_rate_below_one_a_second_is_kept_too(per_second: float) -> None:
    async def main() -> list[float]:
        return await let_go(Pacer(per_second=per_second), seconds=100)

    moments = run_virtual(main())
    assert most_in_a_window(moments, seconds=1 / per_second) == 1
    assert len(moments) >= 0.98 * 100 * per_second


@pytest.mark.parametrize("per_second", [1, 10, 50, 200, 1000])
def test_nearly_all_of_the_setting_is_reached_where_there_is_work(per_second: int) -> None:
    async def main() -> list[float]:
        return await let_go(Pacer(per_second=per_second), seconds=5)

    assert len(run_virtual(main())) >= 0.98 * 5 * per_second


@pytest.mark.parametrize("per_second", [0.1, 1, 10, 50, 200, 1000])
def test_nothing_bursts_at_the_start(per_second: float) -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=per_second)
        return [await pacer.wait_for_turn() for _ in range(10)]

    moments = run_virtual(main())
    assert moments[0] < 0.001, "the first need not wait"
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 0.99 / per_second


def test_turns_come_in_the_order_of_asking() -> None:
    async def main() -> list[int]:
        pacer = Pacer(per_second=100)
        seen: list[int] = []

        async def one(number: int) -> None:
            await pacer.wait_for_turn()
            seen.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
        return seen

    assert run_virtual(main()) == list(range(30))


def test_one_that_stops_waiting_keeps_nobody_else_waiting() -> None:
    async def main() -> float:
        pacer = Pacer(per_second=1)
        await pacer.wait_for_turn()
        waiting = [asyncio.create_task(pacer.wait_for_turn()) for _ in range(5)]
        await asyncio.sleep(0.5)
        for task in waiting[:4]:
            task.cancel()
        return await waiting[4]

    assert run_virtual(main()) < 2.1


@pytest.mark.parametrize("per_second", [1, 50, 1000])
def test_a_refusal_holds_everyone_and_then_they_do_not_start_together(per_second: int) -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=per_second)
        sent_at = await pacer.wait_for_turn()
        asking = asyncio.create_task(let_go(pacer, seconds=20))
        await asyncio.sleep(0.01)
        now = asyncio.get_running_loop().time()
        pacer.refused(sent_at=sent_at, retry_after_seconds=10)
        return [moment - now for moment in await asking if moment > now]

    moments = run_virtual(main())
    assert moments[0] >= 10
    assert len(moments) > 1
    # In a hundredth of a second, no more than a hundredth of the setting, and one.
    assert most_in_a_window(moments, seconds=0.01) <= per_second / 100 + 1


def test_a_later_refusal_lengthens_the_hold_and_never_shortens_it() -> None:
    async def main() -> float:
        pacer = Pacer(per_second=50)
        first, second = await pacer.wait_for_turn(), await pacer.wait_for_turn()
        pacer.refused(sent_at=first, retry_after_seconds=10)
        pacer.refused(sent_at=second, retry_after_seconds=30)
        pacer.refused(sent_at=second, retry_after_seconds=1)
        return await pacer.wait_for_turn() - second

    assert run_virtual(main()) == pytest.approx(30, abs=0.3)


def test_a_long_hold_does_not_save_up_a_burst() -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=1000)
        first, second = await pacer.wait_for_turn(), await pacer.wait_for_turn()
        pacer.refused(sent_at=first, retry_after_seconds=1)
        await pacer.wait_for_turn()
        # This one was under way already: it slows nothing down, but it holds everyone again.
        pacer.refused(sent_at=second, retry_after_seconds=5)
        return [await pacer.wait_for_turn() for _ in range(5)]

    moments = run_virtual(main())
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 0.001


def test_a_refusal_halves_the_rate_and_those_under_way_count_once() -> None:
    async def main() -> tuple[float, float]:
        pacer = Pacer(per_second=40)
        under_way = [await pacer.wait_for_turn() for _ in range(8)]
        await asyncio.sleep(0.04)
        for sent_at in under_way:
            pacer.refused(sent_at=sent_at, retry_after_seconds=1)
        at_once = pacer.per_second
        pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        return at_once, pacer.per_second

    assert run_virtual(main()) == (20, 10)


@pytest.mark.parametrize(("per_second", "slowest"), [(50, 1), (1.5, 1), (0.5, 0.5)])
def test_the_rate_never_falls_below_one_a_second_or_the_setting(
    per_second: float, slowest: float
) -> None:
    async def main() -> float:
        pacer = Pacer(per_second=per_second)
        for _ in range(10):
            sent_at = await pacer.wait_for_turn()
            pacer.refused(sent_at=sent_at, retry_after_seconds=0)
        return pacer.per_second

    assert run_virtual(main()) == slowest


def test_waits_double_while_nothing_but_refusals_comes_and_begin_anew_after_an_answer() -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=50)
        waits = []
        sent_at = await pacer.wait_for_turn()
        for turn in range(9):
            if turn == 8:
                pacer.answered()
            pacer.refused(sent_at=sent_at, retry_after_seconds=None)
            refused_at, sent_at = sent_at, await pacer.wait_for_turn()
            waits.append(sent_at - refused_at)
        return waits

    assert run_virtual(main()) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 1], rel=0.1, abs=1.1)


def test_the_rate_comes_back_to_the_setting_and_never_above_it() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        pacer = Pacer(per_second=50)
        pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        released_at = loop.time() + 1
        rates = [pacer.per_second]
        while loop.time() < released_at + 60:
            await pacer.wait_for_turn()
            pacer.answered()
            if loop.time() > released_at + len(rates):
                rates.append(pacer.per_second)
        return rates

    rates = run_virtual(main())
    assert rates[0] == 25
    assert rates == sorted(rates)
    assert rates[2] >= 40, "most of it is back within two seconds"
    assert rates[30] == rates[-1] == 50


def test_a_refusal_at_any_time_leaves_no_window_above_the_setting() -> None:
    async def main(seed: int) -> list[float]:
        chance = random.Random(seed)
        pacer = Pacer(per_second=50)
        moments = []
        while asyncio.get_running_loop().time() < 60:
            moments.append(await pacer.wait_for_turn())
            if chance.random() < 0.03:
                pacer.refused(sent_at=moments[-1], retry_after_seconds=chance.choice([0, 0.2, 2]))
            else:
                pacer.answered()
        return moments

    for seed in range(5):
        assert most_in_a_window(run_virtual(main(seed)), seconds=1) <= 50


def test_a_stream_gives_up_only_after_ten_minutes_of_nothing_but_refusals() -> None:
    async def refusals(*, answer_at_seconds: float | None) -> float:
        loop = asyncio.get_running_loop()
        pacer = Pacer(per_second=50)
        answered = answer_at_seconds is None
        while True:
            sent_at = await pacer.wait_for_turn()
            if not answered and loop.time() >= (answer_at_seconds or 0):
                answered = True
                pacer.answered()
            elif not pacer.refused(sent_at=sent_at, retry_after_seconds=None):
                return loop.time()

    assert 600 <= run_virtual(refusals(answer_at_seconds=None)) < 665
    assert 1_100 <= run_virtual(refusals(answer_at_seconds=500)) < 1_265


class TokenBucket:
    """A server that lets `per_second` through, `burst` of them at once; the rest is refused."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = 0.0

    def takes(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def read_from(
    server: TokenBucket, *, seconds: float, retry_after_seconds: float | None, seed: int
) -> tuple[list[float], int]:
    """Eight workers at a setting of 50, 40 ms away: when each was served, and the refusals."""
    loop = asyncio.get_running_loop()
    chance = random.Random(seed)
    pacer = Pacer(per_second=50)
    served: list[float] = []
    refusals = 0

    async def work() -> None:
        nonlocal refusals
        while loop.time() < seconds:
            sent_at = await pacer.wait_for_turn()
            await asyncio.sleep(chance.uniform(0.015, 0.025))
            now = loop.time()
            taken = server.takes(now)
            await asyncio.sleep(chance.uniform(0.015, 0.025))
            if taken:
                pacer.answered()
                served.append(now)
                continue
            refusals += 1
            goes_on = pacer.refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)
            assert goes_on, "a slow server is a slow sync, not a failed one"

    await asyncio.gather(*(work() for _ in range(8)))
    return served, refusals


@pytest.mark.parametrize("retry_after_seconds", [None, 0, 1])
def test_a_server_of_ten_a_second_is_used_well_and_refuses_little(
    retry_after_seconds: float | None,
) -> None:
    for seed in range(3):
        served, refusals = run_virtual(
            read_from(
                TokenBucket(per_second=10, burst=1),
                seconds=60,
                retry_after_seconds=retry_after_seconds,
                seed=seed,
            )
        )
        used = {span: sum(at < span for at in served) / (10 * span) for span in (20, 30, 60)}
        assert used[60] >= 0.70, used
        assert used[30] >= 0.62, used
        assert used[20] >= 0.55, used
        assert refusals <= 15


def test_a_refusal_now_and_then_does_not_bring_a_fast_server_to_a_crawl() -> None:
    """One request in a hundred is refused whatever the rate."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        chance = random.Random(4)
        pacer = Pacer(per_second=50)
        served = 0
        while loop.time() < 120:
            sent_at = await pacer.wait_for_turn()
            if chance.random() < 0.01:
                pacer.refused(sent_at=sent_at, retry_after_seconds=None)
            else:
                pacer.answered()
                served += 1
        return served

    assert run_virtual(main()) >= 120 * 8


@pytest.mark.parametrize("per_second", [200, 1000])
async def test_the_rate_holds_in_real_time(per_second: int) -> None:
    # Another process may take the machine for a while: once in eight must reach it.
    for _ in range(8):
        spent_before = time.process_time()
        moments = await let_go(Pacer(per_second=per_second), seconds=1.5)
        assert time.process_time() - spent_before < 1.5, "waiting is not spinning"
        # The moments are read after the limiter let go, so scheduling may add one in a hundred.
        assert most_in_a_window(moments, seconds=1) <= per_second * 1.01
        if len(moments) >= 0.98 * 1.5 * per_second:
            return
    pytest.fail(f"only {len(moments)} of {1.5 * per_second} were let go")
