"""One stream at a time holds large answers, and none waits for another without end."""

import asyncio

import pytest

from courier_async.connection_test import ask, trouble_with_streams
from courier_async.large_answers import LARGE_BYTES, LargeAnswers
from courier_async.streams import STREAMS
from courier_async.sync import SyncFailed
from courier_async.transport import Answer
from tests.fake_courier import Account, FakeApi, Reply
from tests.harness import Sink, settings, sync

LARGE = LARGE_BYTES + 1


async def test_another_streams_large_answer_waits_until_the_first_is_released() -> None:
    large, order = LargeAnswers(), []

    async def read(table: str) -> None:
        await large.admit(table, size_bytes=LARGE)
        order.append(f"{table} begins")
        await asyncio.sleep(0.01)
        order.append(f"{table} ends")
        large.release(table)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        for table in ("a", "b", "c"):
            group.create_task(read(table))
    assert order == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_neither_small_answers_nor_those_of_the_same_stream_wait() -> None:
    large = LargeAnswers()
    async with asyncio.timeout(1):
        await large.admit("a", size_bytes=LARGE)
        await large.admit("a", size_bytes=LARGE)
        await large.admit("b", size_bytes=LARGE_BYTES)


async def test_a_release_by_another_stream_releases_nothing() -> None:
    large = LargeAnswers()
    await large.admit("a", size_bytes=LARGE)
    large.release("b")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await large.admit("b", size_bytes=LARGE)


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
