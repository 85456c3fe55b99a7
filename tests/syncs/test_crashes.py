"""A sync that dies at any operation claims nothing that has not been handed over."""

import asyncio
import random
import threading
from typing import Any

import pytest

from courier_async.catalog.stream import DAY_MS
from tests.support.fake_courier.changes import change_at_age
from tests.support.harness import Crash, Sink, sync
from tests.syncs.house import (
    HOUR_MS,
    KEPT,
    MESSAGES,
    PAGES,
    House,
    messages_account,
    ready,
    small_account,
)

TINY = {
    "message": 45,
    "audit_event": 15,
    "tenant": 12,
    "list": 9,
    "brand": 8,
    "audience": 3,
    "notification": 8,
}


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("rows", ["lost", "kept"])
def test_a_first_sync_that_dies_at_any_operation_loses_nothing(lanes: int, rows: str) -> None:
    """Rows after the last checkpoint may have landed or not."""
    whole = House(small_account(sizes=TINY), message_lanes=lanes).sync()
    for crash_at in range(0, len(whole.operations), 7 if rows == "lost" else 9):
        house = House(small_account(sizes=TINY), message_lanes=lanes)
        sink = Sink(crash_at=crash_at)
        if rows == "lost":
            before = house.tables
            house.tables = type(before)()
            house.sync(sink=sink)
            kept = len(sink.operations)
            while kept and sink.operations[kept - 1][0] != "checkpoint":
                kept -= 1
            before.apply(sink, until=kept)
            house.tables = before
        else:
            house.sync(sink=sink)
        house.sync()
        assert house.wrong == {}, crash_at


def test_deaths_at_random_operations_while_everything_changes_lose_nothing(seed: int) -> None:
    draw = random.Random(seed)
    house = House(message_lanes=draw.choice([1, 4, None]))
    for _ in range(20):
        house.sync(crash_at=draw.randint(1, 300), after_ms=draw.randint(1, 30) * HOUR_MS // 4)
        house.account.add("message", draw.randint(0, 5))
        house.account.add("audit_event", draw.randint(0, 2))
        table = draw.choice(KEPT)
        house.account.add(table)
        (id_,) = house.account.pick(table, 1)
        if draw.random() < 0.5:
            house.account.edit(table, id_, keep_updated=True, name="other")
        else:
            house.account.delete(table, id_)
        for age in (0.1, 5, 25):
            change_at_age(house.account, round(age * DAY_MS), status="OPENED")
    # A lane that was just renewed is left alone for a day, and a template for two walks.
    house.syncs(8, after_ms=26 * HOUR_MS)
    house.syncs(2, after_ms=10 * DAY_MS)
    wrong = house.wrong
    # A row of a sync that died may stay if it was deleted before a later sync (reliability.md).
    assert all(missing == stale == 0 for missing, stale, _ in wrong.values()), wrong
    assert sum(extra for _, _, extra in wrong.values()) <= 3


def test_a_checkpoint_never_claims_a_message_that_was_not_sent() -> None:
    house = House(messages_account(300, days=30), streams=MESSAGES, message_lanes=8)
    by_time = {r["id"]: r["enqueued"] for r in house.account.truth("message")}
    sent: set[str] = set()
    claims = 0

    def check(operation: str, data: Any) -> None:
        nonlocal claims
        if operation == "upsert":
            sent.add(data[1]["id"])
            return
        for lane in data["streams"].get("message", {}).get("lanes", ()):
            if "oldest" not in lane:
                continue
            claims += 1
            claimed = {i for i, t in by_time.items() if lane["oldest"] < t <= lane["newest"]}
            assert claimed <= sent

    house.sync(sink=Sink(on_operation=check))
    assert claims > 30


def test_a_sync_that_dies_at_any_checkpoint_resumes_all_its_lanes() -> None:
    whole = House(messages_account(900, days=40), streams=MESSAGES, message_lanes=6).sync()
    most_lanes = 0
    for index, (name, state) in enumerate(whole.operations):
        if name != "checkpoint" or index % 7:
            continue
        house = House(messages_account(900, days=40), streams=MESSAGES, message_lanes=6)
        house.tables.apply(whole, until=index)
        house.state = state
        most_lanes = max(most_lanes, len(house.of("message").get("lanes", ())))
        house.sync(after_ms=2 * HOUR_MS)
        assert house.missing() == 0
    assert most_lanes >= 3


def test_nothing_follows_a_checkpoint_that_raises() -> None:
    for crash_at in range(0, 40, 3):
        told: list[str] = []

        def fail(operation: str, _: Any, *, told: list[str] = told, at: int = crash_at) -> None:
            told.append(operation)
            if operation == "checkpoint" and len(told) > at:
                raise Crash

        House(small_account(sizes=TINY)).sync(sink=Sink(crash_at=10**9, on_operation=fail))
        assert told[-1] == "checkpoint"


async def test_all_operations_are_called_on_one_thread_that_is_not_the_loops() -> None:
    house = House(small_account(sizes=TINY))
    sink = await sync(house.api)
    assert len(sink.threads) == 1
    assert threading.current_thread().name not in sink.threads


async def test_no_operation_is_called_once_a_sync_that_was_cancelled_has_ended() -> None:
    go_on = threading.Event()

    def block(operation: str, data: Any) -> None:
        if operation == "upsert":
            go_on.wait(2)

    sink = Sink(on_operation=block)
    task = asyncio.create_task(sync(House(small_account(sizes=TINY)).api, sink=sink))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.sleep(0.1)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    done = len(sink.operations)
    await asyncio.sleep(0.2)
    assert len(sink.operations) == done


async def test_a_sync_that_is_told_to_stop_saves_what_has_been_written() -> None:
    house = await asyncio.to_thread(ready, small_account(sizes=TINY))
    written = threading.Event()
    sink = Sink(on_operation=lambda name, _: written.set() if name == "upsert" else None)
    house.account.add("message", 5)
    task = asyncio.create_task(
        sync(house.api, house.state, sink=sink, hold_seconds=0.2, checkpoint_interval_seconds=60)
    )
    assert await asyncio.to_thread(written.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [name for name, _ in sink.operations][-1] == "checkpoint"


async def test_a_slow_destination_holds_the_reading_up() -> None:
    house = House(
        messages_account(4_000, days=300), options={"page_sizes": PAGES}, streams=MESSAGES
    )
    quick = threading.Event()

    def wait(operation: str, data: Any) -> None:
        if operation == "upsert":
            quick.wait(0.001)

    sink = Sink(on_operation=wait)
    task = asyncio.create_task(
        sync(
            house.api,
            sink=sink,
            message_lanes=1,
            streams=MESSAGES,
            max_retries=0,
            checkpoint_interval_seconds=60.0,
        )
    )
    await asyncio.sleep(0.5)
    asked = house.api.traffic.requests
    quick.set()
    await task
    # Two full queues may wait, plus what was written, but not all four hundred pages.
    assert asked < 250
