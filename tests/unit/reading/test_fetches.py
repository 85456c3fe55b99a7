"""Requests in flight leave nothing behind, and their answers are taken one by one."""

import asyncio
import random

import pytest

from courier_async.api.pages import Page
from courier_async.errors import CourierError, Unavailable
from courier_async.reading.fetches import Asked, Fetches
from courier_async.reading.lane import LiveLane
from courier_async.state.position import Lane
from tests.support.virtual_time import run_virtual

NOW = 1_794_657_600_000


def live(cursor: str | None = "c") -> LiveLane:
    return LiveLane(Lane(started_at=NOW, cursor=cursor))


class Server:
    """Answers after a while, or fails, and counts what is held and in flight."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.held = 0
        self.under_way = 0

    async def ask(self, cursor: str | None, yields: bool) -> Asked:
        self.under_way += 1
        try:
            await asyncio.sleep(self.chance.random())
        finally:
            self.under_way -= 1
        if self.chance.random() < 0.2:
            raise Unavailable("no answer")
        self.held += 1
        return Asked(Page([], cursor), NOW, self._release)

    def _release(self) -> None:
        self.held -= 1


def test_nothing_is_under_way_or_held_after_a_walk_that_is_cancelled(seed: int) -> None:
    async def walk(server: Server) -> None:
        async with Fetches(server.ask) as fetches:
            for number in range(8):
                fetches.start(live(), str(number))
            while True:
                arrival = await fetches.next()
                if isinstance(arrival.answer, Asked):
                    arrival.answer.release()
                fetches.start(arrival.lane, "again")
                await asyncio.sleep(server.chance.choice([0, 0, 0.3]))

    async def main(server: Server) -> None:
        task = asyncio.create_task(walk(server))
        await asyncio.sleep(server.chance.random() * 5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    for number in range(50):
        server = Server(seed + number)
        run_virtual(main(server))
        assert (server.held, server.under_way) == (0, 0)


def test_a_lane_is_asking_until_its_answer_is_taken() -> None:
    async def main() -> None:
        lane, server = live(), Server(1)
        async with Fetches(server.ask) as fetches:
            fetches.start(lane, "a")
            assert not lane.can_go_on
            assert fetches.under_way == 1
            assert (await fetches.next()).lane is lane
            assert lane.can_go_on
            assert fetches.under_way == 0

    run_virtual(main())


def test_a_failure_does_not_hold_the_frames_in_which_it_was_met() -> None:
    async def ask(cursor: str | None, yields: bool) -> Asked:
        raise Unavailable("no answer")

    async def main() -> None:
        async with Fetches(ask) as fetches:
            fetches.start(live(), None)
            error = (await fetches.next()).answer
            assert isinstance(error, CourierError)
            assert error.__traceback__ is None

    run_virtual(main())


def test_a_fault_of_our_own_is_raised_and_not_waited_for() -> None:
    async def ask(cursor: str | None, yields: bool) -> Asked:
        raise ZeroDivisionError

    async def main() -> None:
        async with Fetches(ask) as fetches:
            fetches.start(live(), None)
            with pytest.raises(ZeroDivisionError):
                await fetches.next()

    run_virtual(main())
