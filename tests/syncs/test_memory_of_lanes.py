"""Measures the memory of a process with 128 lanes, and finds pages that a sync keeps too long."""

import asyncio
import contextlib
import gc
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from courier_async.api.memory import Hold
from courier_async.api.pages import Page
from courier_async.api.transport import Answer
from courier_async.catalog.streams import BY_TABLE
from courier_async.handover import Batch
from courier_async.reading.judge import JudgedPage
from courier_async.sync import run
from tests.support.harness import Sink, settings
from tests.support.virtual_time import run_virtual

T = TypeVar("T")

STATUS = Path("/proc/self/status")
LANES = 128
# One round of all lanes; more pages would only take longer.
PAGES = LANES + 8

# Reads pages in all lanes through a queue of 64, and prints its peak in MB.
READER = """
import asyncio, json, sys
from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.transport import HttpTransport
from courier_async.counts import Counts

async def main(url, lanes, pages):
    queue, left, counts = asyncio.Queue(64), list(range(pages)), Counts("message")
    async with HttpTransport(base_url=url, api_key="key", timeout_seconds=60) as transport:
        client = CourierClient(transport, Pacer(per_second=1000), max_retries=0)

        async def lane(is_lane):
            while left:
                left.pop()
                reply = await client.get("/messages", counts, lane=is_lane)
                await queue.put((reply.body["results"], reply.hold))
                del reply

        async def write():
            for _ in range(pages):
                records, hold = await queue.get()
                rows = [dict(record) for record in records]
                del records, rows
                hold.release()

        await asyncio.gather(write(), *(lane(number > 0) for number in range(lanes)))
    status = open("/proc/self/status").read()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def page(size_bytes: int) -> bytes:
    record = {
        "id": "1-6b04a08e-000000000000000000002851",
        "status": "DELIVERED",
        "enqueued": 1_795_465_358_457,
        "recipient": "anon_17234",
        "error": None,
        "tags": ["a", "b"],
        "share": 1.5,
    }
    records = [record] * (size_bytes // len(json.dumps(record)))
    return json.dumps({"results": records, "paging": {"more": False}}).encode()


async def peak_mb(body: bytes, *, packed: bool, chunked: bool) -> float:
    sent = gzip.compress(body, 1) if packed else body
    headers = {"Content-Encoding": "gzip"} if packed else {}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if not chunked:
            return web.Response(body=sent, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, len(sent), 65_536):
            await response.write(sent[start : start + 65_536])
        return response

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", READER, f"http://{host}:{port}", str(LANES), str(PAGES)),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    finally:
        await runner.cleanup()
    assert process.returncode == 0
    return float(printed)


@pytest.mark.skipif(not STATUS.exists(), reason="skipped: /proc is not available for measuring")
@pytest.mark.parametrize("packed_and_chunked", [False, True])
async def test_large_pages_of_128_lanes_take_little_more_than_one(
    packed_and_chunked: bool,
) -> None:
    # Pages of 1 MB become 10 MB of objects each. All of them at once take more than 1 GB.
    body = page(2**20)
    assert await peak_mb(body, packed=packed_and_chunked, chunked=packed_and_chunked) < 150


MARK = "of-a-page-to-let-go"
PARENT = {"id": "l", "name": MARK}
UNUSABLE = {"name": MARK}


class FirstPages:
    """A transport that answers each path once. Whatever else is requested gets no answer.

    is_usable: whether the records of all pages that are not the last can be stored.
    """

    def __init__(self, *, is_usable: bool) -> None:
        odd = [] if is_usable else [UNUSABLE]
        more = {"paging": {"more": True, "cursor": "next"}}
        last = {"paging": {"more": False}}
        event = {"type": "ENQUEUED", "ts": 1_794_657_600_000, "reason": MARK}
        message = {"id": "m", "enqueued": 1_794_657_600_000, "recipient": MARK}
        self._pages = {
            "/brands": {"results": [{"id": "b", "name": MARK}, *odd], **more},
            "/lists": {"items": [PARENT], **last},
            "/lists/l/subscriptions": {"items": [{"recipientId": MARK}, *odd], **more},
            "/messages": {"results": [message], **more},
            "/messages/m/history": {"results": [event, event]},
        }

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        page = self._pages.pop(urlsplit(path_and_query).path, None)
        if page is None:
            await asyncio.Event().wait()
        return Answer(200, {}, json.dumps(page).encode())


class Inline:
    """Runs the writer's jobs where they are handed over."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()


@pytest.mark.parametrize("is_usable", [True, False])
def test_a_page_whose_memory_is_given_back_is_let_go_while_the_next_one_is_awaited(
    is_usable: bool,
) -> None:
    tables = ("brand", "list", "message", "list_subscription", "message_event")
    chosen = settings(streams=tuple(BY_TABLE[table] for table in tables))
    sink = Sink()

    async def kept_while_waiting() -> list[str]:
        transport = FirstPages(is_usable=is_usable)
        syncing = asyncio.create_task(run(chosen, {}, sink, transport=transport, worker=Inline()))
        await asyncio.sleep(5)
        kept = [
            type(one).__name__
            for one in gc.get_objects()
            if type(one) in (Page, JudgedPage, Batch) and MARK in repr(one)
        ]
        syncing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await syncing
        return kept

    assert run_virtual(kept_while_waiting()) == []
    landed = {table: len(sink.sent(table)) for table in tables}
    first = int(is_usable)
    assert landed == {
        "brand": first,
        "list": 1,
        "message": 1,
        "list_subscription": first,
        "message_event": 2,
    }
