"""One task at a time holds a large answer, and none waits for another without end."""

import asyncio
import time
from typing import Any

import pytest

from courier_async.api.client import CourierClient
from courier_async.api.large_answers import LARGE_BYTES, LargeAnswers
from courier_async.api.pacer import Pacer
from courier_async.api.transport import Answer
from courier_async.catalog.streams import STREAMS
from courier_async.report import Tally
from courier_async.setup.connection_test import ask, trouble_with_streams
from courier_async.sync import SyncFailed
from tests.support.fake_courier import Account, FakeApi, Reply
from tests.support.harness import Sink, settings, sync

LARGE = LARGE_BYTES + 1


async def test_another_tasks_large_answer_waits_until_the_first_asks_again_or_ends() -> None:
    large, order = LargeAnswers(), []

    async def read(name: str, *, asks_again: bool) -> None:
        await large.admit(size_bytes=LARGE)
        order.append(f"{name} begins")
        await asyncio.sleep(0.01)
        order.append(f"{name} ends")
        if asks_again:
            large.release()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(read(name, asks_again=name != "b"))
    assert order == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_neither_small_answers_nor_a_retry_of_the_same_task_wait() -> None:
    large = LargeAnswers()
    async with asyncio.timeout(1):
        await large.admit(size_bytes=LARGE)
        await large.admit(size_bytes=LARGE)
        await asyncio.create_task(large.admit(size_bytes=LARGE_BYTES))


async def test_what_another_task_holds_is_not_released() -> None:
    large = LargeAnswers()

    async def ask() -> None:
        large.release()
        async with asyncio.timeout(0.05):
            await large.admit(size_bytes=LARGE)

    await large.admit(size_bytes=LARGE)
    with pytest.raises(TimeoutError):
        await asyncio.create_task(ask())


async def test_an_answer_without_a_date_is_dated_before_it_waits() -> None:
    class Undated:
        async def get(self, path_and_query: str) -> Answer:
            return Answer(200, {}, b'{"x": "%b"}' % (b"x" * LARGE))

    client = CourierClient(Undated(), Pacer(per_second=1000.0), max_retries=0)

    async def hold() -> None:
        await client.get("/brands", Tally("brand"))
        await asyncio.sleep(1.0)

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0.1)
    asked_ms = time.time() * 1000
    _, server_ms = await client.get("/lists", Tally("list"))
    assert time.time() * 1000 - asked_ms > 700
    assert server_ms - asked_ms < 500
    await holder


async def test_the_lanes_of_one_stream_hold_one_large_answer_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holders: set[Any] = set()
    most = 0
    real_admit, real_release = LargeAnswers.admit, LargeAnswers.release

    async def admit(self: LargeAnswers, *, size_bytes: int) -> None:
        nonlocal most
        # Every page counts as large here.
        await real_admit(self, size_bytes=LARGE)
        task = asyncio.current_task()
        assert task is not None
        holders.add(task)
        most = max(most, len(holders))
        task.add_done_callback(holders.discard)

    def release(self: LargeAnswers) -> None:
        holders.discard(asyncio.current_task())
        real_release(self)

    monkeypatch.setattr(LargeAnswers, "admit", admit)
    monkeypatch.setattr(LargeAnswers, "release", release)
    api = FakeApi(Account(seed=3, sizes={"message": 600}))
    sink = Sink()
    async with asyncio.timeout(20):
        await sync(api, sink=sink, message_lanes=8)
    assert len({row["id"] for row in sink.sent("message")}) == 600
    assert most == 1


@pytest.mark.parametrize("body", [b'["%b"]', b'{"%b": 1}', b"%b"], ids=lambda body: body[:2])
async def test_streams_whose_large_answers_cannot_be_read_do_not_hold_up_one_another(
    body: bytes,
) -> None:
    api = FakeApi(Account(seed=3, sizes={stream.table: 12 for stream in STREAMS}))
    for stream in STREAMS:
        api.script(stream.table, Reply(200, body % (b"x" * LARGE)))
    sink = Sink()
    with pytest.raises(SyncFailed, match=r"^7 of 7 streams could not be read to the end\. brand"):
        async with asyncio.timeout(5):
            await sync(api, sink=sink)
    # The next sync finds nothing held.
    async with asyncio.timeout(5):
        await sync(api, sink.last_state())


async def test_the_setup_forms_test_reads_large_pages_of_all_streams() -> None:
    class Large:
        async def get(self, path_and_query: str) -> Answer:
            return Answer(200, {}, b'{"results": [], "items": [], "x": "%b"}' % (b"x" * LARGE))

    async with asyncio.timeout(5):
        assert trouble_with_streams(settings(), await ask(settings(), Large())) is None
