"""What the last checkpoint claims if a sync is told to stop while the destination is busy."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.handover import Batch, Entry
from courier_async.state.position import StreamState
from courier_async.state.saved import State
from courier_async.writing.sdk_thread import SdkThread
from courier_async.writing.writer import Writer
from tests.support.harness import Sink

LIST = BY_TABLE["list"]


def batch(*ids: str, read_at: int) -> Batch:
    return Batch(
        stream=LIST,
        rows=[{"id": one} for one in ids],
        entries=[Entry((one,), b"", b"123456") for one in ids],
        state=StreamState(read_at=read_at),
    )


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("following", [(), ("d",)])
async def test_the_last_checkpoint_claims_no_row_that_was_not_sent(
    following: tuple[str, ...], is_last: bool
) -> None:
    busy, released = threading.Event(), threading.Event()

    def hold_back(operation: str, data: Any) -> None:
        if operation == "upsert" and data[1]["id"] == "a":
            busy.set()
            released.wait(5)

    sink = Sink(on_operation=hold_back)
    async with SdkThread() as worker:
        writer = Writer(
            op=sink,
            worker=worker,
            state=State("x"),
            counts={"list": Counts("list")},
            streams=[LIST],
            checkpoint_interval_seconds=60.0,
        )
        await writer.queue.put(batch("a", "b", "c", read_at=1))
        await writer.queue.put(batch(*following, read_at=2))
        if is_last:
            await writer.queue.put(None)
        running = asyncio.create_task(writer.run())
        await asyncio.to_thread(busy.wait, 5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        saving = asyncio.create_task(writer.save())
        await asyncio.sleep(0.05)
        released.set()
        await saving
    sent = {row["id"] for row in sink.sent("list")}
    saved = sink.last_state()["streams"]["list"]
    assert sink.operations[-1][0] == "checkpoint"
    assert sent == {"a"}
    assert saved == {"open": True}
