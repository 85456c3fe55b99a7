"""The memory for answers is bounded, released exactly once, and never causes a deadlock."""

import asyncio
import random

import pytest

from courier_async.api.client import CourierClient
from courier_async.api.memory import LANE_SHARES, OWN_SHARES, SHARE_BYTES, Hold, MemoryBudget
from courier_async.api.pacer import Pacer
from courier_async.api.transport import Answer, ConnectionTrouble
from courier_async.api.turns import Turns
from courier_async.counts import Counts
from courier_async.errors import CourierError
from tests.support.virtual_time import run_virtual

LARGE = SHARE_BYTES + 1


async def is_free(budget: MemoryBudget) -> bool:
    """Returns whether all shares and the large place can be taken at once, without a wait."""
    holds: list[Hold] = []
    try:
        async with asyncio.timeout(0.001):
            holds += [await budget.take("message", lane=True) for _ in range(LANE_SHARES)]
            holds += [await budget.take("message", lane=False) for _ in range(OWN_SHARES)]
            await holds[0].grow_to(LARGE)
    except TimeoutError:
        return False
    finally:
        for hold in holds:
            hold.release()
    return True


def test_ordinary_pages_of_all_lanes_and_on_the_queue_never_wait() -> None:
    async def main() -> float:
        budget = MemoryBudget()
        for _ in range(128 + 64 + 64):
            await (await budget.take("message", lane=True)).grow_to(60 * 1024)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 0.1


def test_lanes_leave_each_other_stream_its_shares() -> None:
    async def main() -> None:
        budget = MemoryBudget()
        for _ in range(LANE_SHARES):
            await budget.take("message", lane=True)
        async with asyncio.timeout(1):
            for table in ("message", "brand", "list"):
                for _ in range(OWN_SHARES):
                    await budget.take(table, lane=False)

    run_virtual(main())


def test_one_large_answer_is_held_at_a_time_and_others_go_before_lanes() -> None:
    async def main() -> list[str]:
        budget, order = MemoryBudget(), []

        async def read(name: str, *, lane: bool) -> None:
            hold = await budget.take(name, lane=lane)
            await hold.grow_to(LARGE)
            await hold.grow_to(2 * LARGE)
            order.append(f"{name} begins")
            await asyncio.sleep(1)
            order.append(f"{name} ends")
            hold.release()

        lanes = [asyncio.create_task(read(f"lane {n}", lane=True)) for n in range(2)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*lanes, read("brand", lane=False))
        return order

    names = ("lane 0", "brand", "lane 1")
    assert run_virtual(main()) == [
        f"{name} {what}" for name in names for what in ("begins", "ends")
    ]


def test_a_hold_that_is_released_twice_gives_back_once() -> None:
    async def main() -> bool:
        budget = MemoryBudget()
        first, second = [await budget.take("message", lane=True) for _ in range(2)]
        await first.grow_to(LARGE)
        first.release()
        await second.grow_to(LARGE)
        first.release()
        third = await budget.take("message", lane=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await third.grow_to(LARGE)
        second.release()
        third.release()
        return await is_free(budget)

    assert run_virtual(main())


@pytest.mark.parametrize("low_priority", [True, False])
def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_it_on(low_priority: bool) -> None:
    async def main() -> None:
        turns = Turns()
        await turns.take()
        waiting = [asyncio.create_task(turns.take(low_priority=low_priority)) for _ in range(3)]
        await asyncio.sleep(0)
        turns.give_back()
        waiting[0].cancel()
        waiting[1].cancel()
        async with asyncio.timeout(1):
            await waiting[2]
        turns.give_back()
        async with asyncio.timeout(1):
            await turns.take()

    run_virtual(main())


@pytest.mark.parametrize("low_priority", [True, False])
def test_a_place_passes_by_a_waiter_that_was_cancelled_before_it_came_free(
    low_priority: bool,
) -> None:
    async def main() -> None:
        turns = Turns()
        await turns.take()
        waiting = [asyncio.create_task(turns.take(low_priority=low_priority)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        turns.give_back()
        ended = await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert [type(error) for error in ended] == [asyncio.CancelledError] * 2
        async with asyncio.timeout(1):
            await waiting[2]

    run_virtual(main())


class RandomWire:
    """Gives answers of any size, some of which fail midway."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        await asyncio.sleep(self._chance.random())
        if self._chance.random() < 0.5:
            await hold.grow_to(LARGE)
            await asyncio.sleep(self._chance.random())
        kind = self._chance.random()
        if kind < 0.1:
            raise ConnectionTrouble("cut")
        code = 200 if kind < 0.7 else self._chance.choice([200, 429, 503, 401, 403, 404])
        return Answer(code, {}, b'{"results": []}' if kind < 0.95 else b"<html>")


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_deadlocked_whatever_fails_or_is_cancelled(seed: int) -> None:
    async def main() -> bool:
        chance, budget = random.Random(seed), MemoryBudget()
        client = CourierClient(
            RandomWire(chance), Pacer(per_second=500), max_retries=1, budget=budget
        )
        queue: asyncio.Queue[Hold] = asyncio.Queue(maxsize=64)

        async def read(lane: bool) -> None:
            while True:
                try:
                    reply = await client.get("/", Counts("message"), lane=lane)
                except CourierError:
                    continue
                try:
                    await queue.put(reply.hold)
                except asyncio.CancelledError:
                    reply.hold.release()
                    raise

        async def write() -> None:
            while True:
                hold = await queue.get()
                await asyncio.sleep(chance.random() / 20)
                hold.release()
                written.append(1)

        written: list[int] = []
        writer = asyncio.create_task(write())
        tasks = [asyncio.create_task(read(n > 3)) for n in range(300)]
        for _ in range(200):
            await asyncio.sleep(chance.random() / 5)
            number = chance.randrange(len(tasks))
            tasks[number].cancel()
            tasks[number] = asyncio.create_task(read(number > 3))
        assert len(written) > 10
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Long enough to empty the queue.
        await asyncio.sleep(10)
        assert queue.empty()
        writer.cancel()
        return await is_free(budget)

    assert run_virtual(main())


def test_a_failed_try_gives_its_memory_back_before_it_waits() -> None:
    class Failing:
        async def get(self, path_and_query: str, hold: Hold) -> Answer:
            await hold.grow_to(LARGE)
            return Answer(429 if path_and_query == "/limited" else 503, {}, b"x" * LARGE)

    async def main() -> None:
        budget = MemoryBudget()
        client = CourierClient(Failing(), Pacer(per_second=50), max_retries=3, budget=budget)
        for path in ("/limited", "/failing"):
            task = asyncio.create_task(client.get(path, Counts("message")))
            await asyncio.sleep(0.5)
            other = await budget.take("brand", lane=False)
            async with asyncio.timeout(0.001):
                await other.grow_to(LARGE)
            other.release()
            task.cancel()
            await asyncio.sleep(0.001)
            assert await is_free(budget)

    run_virtual(main())
