"""The shared rate, measured by the machine's own clock."""

import asyncio
import contextlib
import time

import pytest

from courier_async.api.pacer import Pacer
from courier_async.ending import SyncFailed
from courier_async.settings import Settings
from courier_async.sync import sync
from tests.support.harness import Sink
from tests.support.requests_let_go import let_go, most_in_a_window

SECONDS = 1.5


async def most_late_seconds() -> float:
    """Returns, once cancelled, the most seconds by which a short sleep was late."""
    most = 0.0
    try:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            most = max(most, time.monotonic() - began - 0.005)
    except asyncio.CancelledError:
        return most


@pytest.mark.parametrize("per_second", [200, 1000])
async def test_the_rate_holds_in_real_time(per_second: int) -> None:
    counts = []
    # If another process takes the machine for a while, the try does not count.
    for _ in range(8):
        watch = asyncio.create_task(most_late_seconds())
        spent_before = time.process_time()
        moments = await let_go(Pacer(per_second=per_second), seconds=SECONDS)
        assert time.process_time() - spent_before < SECONDS, "waiting is not spinning"
        # The moments are read after the limiter lets go, so scheduling may add one in a hundred.
        assert most_in_a_window(moments, seconds=1) <= per_second * 1.01
        watch.cancel()
        late_seconds = await watch
        if len(moments) >= 0.98 * SECONDS * per_second:
            break
        if late_seconds < 0.02:
            counts.append(len(moments))
    else:
        assert counts == [], f"of {SECONDS * per_second} no more were let go"


async def test_the_rate_holds_against_a_server_that_drops_every_request() -> None:
    asked_at: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            asked_at.append(time.monotonic())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        settings = Settings(
            api_key="pk_test_X",
            base_url=f"http://127.0.0.1:{port}",
            requests_per_second=5.0,
            max_retries=1,
        )
        with pytest.raises(SyncFailed, match="the connection was dropped"):
            await sync(settings, {}, Sink())
    assert len(asked_at) == 14, "seven streams, each tried twice"
    # Requests may reach the server closer to each other than they left.
    assert most_in_a_window(asked_at, seconds=1) <= 6
