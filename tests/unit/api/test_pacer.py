"""The shared rate: never above the setting, fully used, and slower after refusals."""

import asyncio
import random
from itertools import pairwise

import pytest

from courier_async.api.pacer import Pacer
from tests.support.requests_let_go import let_go, most_in_a_window
from tests.support.virtual_time import run_virtual


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
    # In a hundredth of a second, at most a hundredth of the setting, plus one.
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
        # This one was already in flight: it does not slow the rate, but it holds everyone again.
        pacer.refused(sent_at=second, retry_after_seconds=5)
        return [await pacer.wait_for_turn() for _ in range(5)]

    moments = run_virtual(main())
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 0.001


def test_one_throttle_is_one_cut() -> None:
    """Requests in flight, and the probes after each hold, only lengthen it."""

    async def main() -> tuple[float, float, float]:
        pacer = Pacer(per_second=40)
        under_way = [await pacer.wait_for_turn() for _ in range(8)]
        await asyncio.sleep(0.04)
        for sent_at in under_way:
            pacer.refused(sent_at=sent_at, retry_after_seconds=1)
        for _ in range(9):
            pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        in_throttle = pacer.per_second
        probes = [await pacer.wait_for_turn() for _ in range(3)]
        pacer.answered(sent_at=probes[0])
        pacer.refused(sent_at=probes[1], retry_after_seconds=1)
        with_probes = pacer.per_second
        pacer.answered(sent_at=await pacer.wait_for_turn())
        pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        return in_throttle, with_probes, pacer.per_second

    in_throttle, with_probes, in_the_next = run_virtual(main())
    assert (in_throttle, with_probes) == (20, 20)
    assert in_the_next < 20, "a refusal after an answer is a throttle of its own"


def test_an_answer_to_what_was_let_go_before_the_hold_ends_no_throttle() -> None:
    async def main() -> float:
        pacer = Pacer(per_second=40)
        first, second = await pacer.wait_for_turn(), await pacer.wait_for_turn()
        pacer.refused(sent_at=second, retry_after_seconds=1)
        pacer.answered(sent_at=first)
        pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        return pacer.per_second

    assert run_virtual(main()) == 20


@pytest.mark.parametrize("retry_after_seconds", [None, 1])
def test_ten_seconds_of_refusals_cost_little_more_than_they_last(
    retry_after_seconds: float | None,
) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        pacer = Pacer(per_second=50)
        left = 10_000

        async def work() -> None:
            nonlocal left
            while left > 0:
                sent_at = await pacer.wait_for_turn()
                await asyncio.sleep(0.1)
                if 20 <= loop.time() < 30:
                    pacer.refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)
                else:
                    left -= 1
                    pacer.answered(sent_at=sent_at)

        await asyncio.gather(*(work() for _ in range(8)))
        return loop.time()

    assert run_virtual(main()) < 225


@pytest.mark.parametrize(("per_second", "slowest"), [(50, 1), (1.5, 1), (0.5, 0.5)])
def test_the_rate_never_falls_below_one_a_second_or_the_setting(
    per_second: float, slowest: float
) -> None:
    async def main() -> float:
        pacer = Pacer(per_second=per_second)
        slowest_seen = per_second
        for _ in range(60):
            sent_at = await pacer.wait_for_turn()
            pacer.refused(sent_at=sent_at, retry_after_seconds=0)
            slowest_seen = min(slowest_seen, pacer.per_second)
            pacer.answered(sent_at=await pacer.wait_for_turn())
        return slowest_seen

    assert run_virtual(main()) == slowest


@pytest.mark.parametrize("cuts", [1, 12])
def test_the_rate_is_back_at_the_setting_after_about_a_minute_of_quiet(cuts: int) -> None:
    async def main() -> float:
        pacer = Pacer(per_second=50)
        for _ in range(cuts):
            pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
            pacer.answered(sent_at=await pacer.wait_for_turn())
        end = asyncio.get_running_loop().time() + 70
        while asyncio.get_running_loop().time() < end:
            pacer.answered(sent_at=await pacer.wait_for_turn())
        return pacer.per_second

    assert run_virtual(main()) == 50


def test_lanes_give_way_to_all_other_requests() -> None:
    async def main() -> list[str]:
        pacer = Pacer(per_second=100)
        seen: list[str] = []

        async def one(name: str, *, lane: bool) -> None:
            await pacer.wait_for_turn(lane=lane)
            seen.append(name)

        lanes = [asyncio.create_task(one(f"lane {n}", lane=True)) for n in range(4)]
        await asyncio.sleep(0.001)
        others = [asyncio.create_task(one(f"other {n}", lane=False)) for n in range(3)]
        await asyncio.gather(*lanes, *others)
        return seen

    seen = run_virtual(main())
    # The second lane was already in the limiter when the others arrived.
    assert seen == ["lane 0", "lane 1", "other 0", "other 1", "other 2", "lane 2", "lane 3"]


def test_a_server_may_say_what_rate_it_bears() -> None:
    async def main() -> tuple[int, float]:
        pacer = Pacer(per_second=1)
        await pacer.wait_for_turn()
        pacer.set_per_second(20)
        fast = len(await let_go(pacer, seconds=5))
        pacer.refused(sent_at=await pacer.wait_for_turn(), retry_after_seconds=1)
        pacer.set_per_second(30)
        return fast, pacer.per_second

    fast, after_refusal = run_virtual(main())
    assert 95 <= fast <= 100
    assert after_refusal == 10, "a setting takes no cut back"


def test_holds_double_while_nothing_but_refusals_comes_and_begin_anew_after_an_answer() -> None:
    async def main() -> list[float]:
        pacer = Pacer(per_second=50)
        waits = []
        sent_at = await pacer.wait_for_turn()
        for turn in range(9):
            if turn == 8:
                pacer.answered(sent_at=sent_at)
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
            pacer.answered(sent_at=await pacer.wait_for_turn())
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
                pacer.answered(sent_at=moments[-1])
        return moments

    for seed in range(5):
        assert most_in_a_window(run_virtual(main(seed)), seconds=1) <= 50


class TokenBucket:
    """A server that accepts `per_second` requests, `burst` at once, and refuses the rest."""

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
    """Runs eight workers at a setting of 50, 40 ms away; returns times served, and refusals."""
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
                pacer.answered(sent_at=sent_at)
                served.append(now)
                continue
            refusals += 1
            pacer.refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)

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
    """If one request in a hundred is refused whatever the rate."""

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
                pacer.answered(sent_at=sent_at)
                served += 1
        return served

    assert run_virtual(main()) >= 120 * 8
