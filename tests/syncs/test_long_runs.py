"""What only shows after years: growth, and clocks that leap. `make soak` runs it for longer."""

import asyncio
import gc
import os
import threading
from typing import Any

import pytest

from courier_async.sync import sync as sync_over_http
from tests.support.fake_courier import Account, FakeApi
from tests.support.fake_courier.server import serve
from tests.support.harness import Sink, Tables, settings, sync
from tests.syncs.test_invariants import SMALL, api_of, assert_equal, small_account


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def test_many_syncs_in_one_process_leave_nothing_behind() -> None:
    account = small_account()
    async with serve(account, api=api_of(account)) as server:
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


@pytest.mark.parametrize("leap_ms", [3_600_000, -3_600_000])
async def test_a_leap_of_the_servers_clock_during_a_sync_loses_no_row(leap_ms: int) -> None:
    account = small_account()
    tables, state = Tables(), {}
    for _ in range(3):
        api = api_of(account)
        for stream in ("message", "audit_event", "list"):
            api.change_after(stream, 2, {"do": "advance", "ms": leap_ms})
        account.add("message", 5)
        account.add("audit_event", 2)
        sink = await sync(api, state)
        tables.apply(sink)
        state = sink.last_state()
    tables.apply(await sync(api_of(account), state))
    assert_equal(tables, account)


async def test_a_leap_of_this_machines_clock_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = small_account()
    import time

    real = time.time
    shift = 0.0
    monkeypatch.setattr(time, "time", lambda: real() + shift)

    def leap(operation: str, data: Any) -> None:
        nonlocal shift
        shift += 3_600.0 if shift <= 0 else -7_200.0

    tables = Tables()
    sink = await sync(api_of(account), sink=Sink(on_operation=leap))
    tables.apply(sink)
    assert_equal(tables, account)


async def test_the_memory_of_a_walk_does_not_grow_with_the_account() -> None:
    import tracemalloc

    peaks = []
    for size in (1_000, 6_000):
        account = Account(seed=2, sizes=SMALL | {"message": size}, span_days=300.0)

        class Forgetful(Sink):
            def _note(self, operation: tuple[str, Any]) -> None:
                if operation[0] == "checkpoint":
                    self.operations = [operation]

        tracemalloc.start()
        await sync(
            FakeApi(account), sink=Forgetful(), message_lanes=4, checkpoint_interval_seconds=60.0
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000
