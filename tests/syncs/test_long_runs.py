"""Problems that show only after years: growth, and clock jumps. `make soak` runs longer."""

import asyncio
import gc
import os
import threading
import time
import tracemalloc
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.sync import sync as sync_over_http
from tests.support.fake_courier import Account, FakeApi, Options
from tests.support.fake_courier.server import serve
from tests.support.harness import Sink, settings, sync
from tests.syncs.house import House, small_account


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def test_many_syncs_in_one_process_leave_nothing_behind() -> None:
    account = small_account()
    async with serve(account) as server:
        state: dict[str, Any] = {}
        for number in range(12):
            sink = Sink()
            await sync_over_http(settings(base_url=server.url, max_retries=1), state, sink)
            state = sink.last_state()
            if number == 3:
                gc.collect()
                before = (descriptors(), threading.active_count(), len(asyncio.all_tasks()))
        await asyncio.sleep(0.05)
        gc.collect()
        after = (descriptors(), threading.active_count(), len(asyncio.all_tasks()))
    # The server's side of a connection may close a moment later than ours.
    assert after[0] <= before[0] + 8
    assert after[1:] <= before[1:]


async def test_a_sync_looks_for_cycles_seldom() -> None:
    before, met = gc.get_threshold(), set[int]()
    gc.set_threshold(700)
    sink = Sink(on_operation=lambda *_: met.add(gc.get_threshold()[0]))
    try:
        async with serve(small_account()) as server:
            await sync_over_http(settings(base_url=server.url), {}, sink)
    finally:
        gc.set_threshold(*before)
    assert met == {10_000}


def test_a_leap_of_this_machines_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    real = time.time
    shift = 0.0
    monkeypatch.setattr(time, "time", lambda: real() + shift)

    def leap(operation: str, data: Any) -> None:
        nonlocal shift
        shift += 3_600.0 if shift <= 0 else -7_200.0

    house.sync(sink=Sink(on_operation=leap))
    assert house.wrong == {}


class Forgetful(Sink):
    """Keeps only the last checkpoint."""

    def _note(self, operation: tuple[str, Any]) -> None:
        if operation[0] == "checkpoint":
            self.operations = [operation]


async def test_the_memory_of_a_walk_does_not_grow_with_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The entries of messages grow up to their own bound.
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_MESSAGES", 500)
    peaks = []
    for size in (1_000, 6_000):
        account = Account(seed=2, sizes={"message": size}, span_days=300.0)
        tracemalloc.start()
        await sync(
            FakeApi(account), sink=Forgetful(), message_lanes=4, checkpoint_interval_seconds=60.0
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000


@pytest.mark.parametrize("table", ["tenant", "list_subscription"])
async def test_the_memory_of_a_table_too_large_to_remember_does_not_grow_with_it(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 500)
    streams = tuple(BY_TABLE[name] for name in ("list", table))
    peaks = []
    for size in (1_000, 6_000):
        account = small_account(sizes={"list": 1, "tenant": size})
        (parent,) = account.parents("list_subscription")
        account.members.add_members("list_subscription", parent, size)
        api = FakeApi(account, Options(page_sizes={table: 100}))
        tracemalloc.start()
        await sync(api, sink=Forgetful(), streams=streams, checkpoint_interval_seconds=60.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert api.traffic.by_stream[table] >= size // 100
    assert peaks[1] < peaks[0] + 1_000_000
