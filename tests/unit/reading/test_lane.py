"""Lanes that get nowhere, where a lane stands, and requests that leave nothing behind."""

import asyncio
import random

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import BadAnswer, Unavailable
from courier_async.reading.lane import (
    MOST_STALE_PAGES,
    Asked,
    EndlessGuard,
    Fetches,
    LiveLane,
)
from courier_async.state.position import Lane
from tests.support.virtual_time import run_virtual
from tests.unit.reading.judged import judged

NOW = 1_794_657_600_000


def live(cursor: str | None = "c") -> LiveLane:
    return LiveLane(Lane(started_at=NOW, cursor=cursor))


# -- endless listings ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("before", [0, 5])
def test_a_circle_of_cursors_is_found_within_a_few_rounds(length: int, before: int) -> None:
    guard = EndlessGuard()
    for step in range(4 * (length + before) + 2):
        at = step if step < before else before + (step - before) % length
        trouble = guard.trouble(judged([f"new {step}"], next_cursor=str(at)))
        if trouble is not None:
            assert "go round in a circle" in str(trouble)
            assert step >= before + length
            return
    pytest.fail("never found")


def test_pages_that_bring_nothing_new_end_after_a_thousand() -> None:
    guard = EndlessGuard()
    pages = [judged(["a"], next_cursor=str(step)) for step in range(MOST_STALE_PAGES + 1)]
    *before, last = [guard.trouble(page) for page in pages]
    assert before == [None] * MOST_STALE_PAGES
    assert isinstance(last, BadAnswer)


def test_empty_pages_that_say_there_is_more_bring_nothing_new() -> None:
    guard = EndlessGuard()
    pages = [judged([], next_cursor=str(step)) for step in range(MOST_STALE_PAGES)]
    *before, last = [guard.trouble(page) for page in pages]
    assert not any(before)
    assert last is not None


def test_a_long_listing_with_a_new_record_now_and_then_goes_on() -> None:
    guard = EndlessGuard()
    for step in range(3 * MOST_STALE_PAGES):
        ids = [f"new {step}"] if step % (MOST_STALE_PAGES - 1) == 0 else []
        assert guard.trouble(judged(ids, next_cursor=str(step))) is None


def test_a_last_page_is_no_trouble() -> None:
    guard = EndlessGuard()
    for _ in range(2 * MOST_STALE_PAGES):
        assert guard.trouble(judged(["a"], next_cursor=None)) is None


# -- where a lane stands -------------------------------------------------------------------------


def test_a_lane_stands_where_its_cursor_says_or_else_where_it_has_surely_read() -> None:
    assert live(message_cursor_at(NOW - DAY_MS)).place == NOW - DAY_MS
    opaque = live("opaque")
    assert opaque.place == -1
    opaque.saved = Lane(started_at=NOW, cursor="opaque", oldest=NOW - HOUR_MS)
    assert opaque.place == NOW - HOUR_MS


def test_an_odd_time_on_one_page_does_not_move_a_lane_down() -> None:
    lane = live()
    for hours in (1, 2, 500, 3):
        lane.note_place(judged(["a"], [NOW - hours * HOUR_MS]))
    assert lane.saved.oldest == NOW - 2 * HOUR_MS
    assert lane.saved.newest == NOW - HOUR_MS


def test_a_record_from_the_future_does_not_hide_what_comes_until_then() -> None:
    lane = live()
    lane.note_place(judged(["a"], [NOW + DAY_MS]))
    assert lane.saved.newest == NOW


def test_a_page_covers_as_much_time_as_the_last_few_did() -> None:
    lane = live()
    assert lane.page_ms() is None
    for hour in range(20):
        top = NOW - hour * HOUR_MS
        lane.note_density(judged(["a", "b"], [top, top - HOUR_MS]))
    assert lane.page_ms() == HOUR_MS


def test_a_cursor_of_an_earlier_sync_is_renewed_once_a_day() -> None:
    lane = live()
    lane.is_saved_cursor = True
    assert lane.may_renew(NOW)
    lane.renew_at("other", now=NOW)
    lane.is_saved_cursor = True
    assert not lane.may_renew(NOW + DAY_MS - 1)
    assert lane.may_renew(NOW + DAY_MS)


def test_a_cursor_of_this_sync_is_renewed_while_that_gets_further_down() -> None:
    lane = live(message_cursor_at(NOW))
    assert lane.may_renew(NOW)
    lane.renew_at(message_cursor_at(NOW), now=NOW)
    assert not lane.may_renew(NOW)
    lane.saved = Lane(started_at=NOW, cursor=message_cursor_at(NOW - 1))
    assert lane.may_renew(NOW)


# -- requests under way --------------------------------------------------------------------------


class Server:
    """Answers after a while, or fails, and counts what is held and under way."""

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
                if arrival.asked is not None:
                    arrival.asked.release()
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


def test_a_fault_of_our_own_is_raised_and_not_waited_for() -> None:
    async def ask(cursor: str | None, yields: bool) -> Asked:
        raise ZeroDivisionError

    async def main() -> None:
        async with Fetches(ask) as fetches:
            fetches.start(live(), None)
            with pytest.raises(ZeroDivisionError):
                await fetches.next()

    run_virtual(main())
