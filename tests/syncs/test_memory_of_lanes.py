"""Measures the memory of a process with 128 lanes."""

import asyncio
import gzip
import json
import sys
from pathlib import Path

import pytest
from aiohttp import web

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
