"""The fake Courier API over real HTTP, and in a separate process."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from yarl import URL

from tests.support.fake_courier import STREAMS, FakeApi, Options
from tests.support.fake_courier.changes import CHANGES
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.replies import ANSWERS
from tests.support.fake_courier.rules import Rule
from tests.support.fake_courier.server import serve
from tests.support.fake_courier.streams import EVERY_STREAM
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support_tests.walks import (
    ALL,
    AUTH,
    NOW_MS,
    account,
    ask,
    body,
    ids,
    page,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=AUTH) as session:
        yield session


async def test_a_walk_over_http_reads_exactly_the_truth(http: aiohttp.ClientSession) -> None:
    sizes = dict.fromkeys(ALL, 57)
    async with serve(account(sizes=sizes, orders={"audience": "shuffled"})) as server:
        for stream in ALL:
            read: list[Any] = []
            cursor, more = None, True
            while more:
                query = {"cursor": cursor, "notes": "true"} if cursor else {"notes": "true"}
                url = f"{server.url}{STREAMS[stream].path}?{urlencode(query)}"
                async with http.get(url) as answer:
                    assert answer.status == 200
                    records, cursor, more = page(stream, await answer.json())
                read += records
            assert read == list(server.account.truth(stream))
            assert len(read) == 57
        assert server.api.traffic.by_stream["message"] == 6
        assert server.api.traffic.by_stream["tenant"] == 3
        assert server.api.traffic.records["brand"] == 57


async def test_faults_reach_the_wire(http: aiohttp.ClientSession) -> None:
    # Two drops, because aiohttp's client retries once by itself after the first.
    kinds = (
        "drop",
        "drop",
        "cut",
        "truncated",
        "html",
        "429_retry_after",
        "gateway_timeout",
        "slow",
    )
    options = Options(fault_once={"brand": kinds}, slow_seconds=0.15)
    async with serve(account(), options) as server:
        url = server.url + "/brands"

        async def read() -> Any:
            async with http.get(url) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()

        with pytest.raises(aiohttp.ServerDisconnectedError):
            await read()
        with pytest.raises(aiohttp.ClientPayloadError):
            await read()
        status, _, text = await read()
        assert status == 200
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(text)
        assert "<html>" in (await read())[2]
        assert (await read())[:2] == (429, "1")
        assert await read() == (504, None, '{"message":"Endpoint request timed out"}')
        started = time.monotonic()
        assert (await read())[0] == 200
        assert time.monotonic() - started >= 0.15
        assert server.api.traffic.by_status == {"drop": 2, "cut": 1, "200": 3, "429": 1, "504": 1}


async def test_requests_in_flight_are_counted_at_their_most(http: aiohttp.ClientSession) -> None:
    async with serve(account(), Options(latency_ms=60)) as server:

        async def read() -> None:
            async with http.get(server.url + "/lists") as answer:
                await answer.read()

        await asyncio.gather(*(read() for _ in range(5)))
        assert server.api.traffic.most_in_flight == 5
        assert server.api.traffic.in_flight == 0


async def test_ids_are_found_by_their_encoded_path(http: aiohttp.ClientSession) -> None:
    async with serve(account()) as server:
        wanted = ids("tenant", list(server.account.truth("tenant")))
        assert {"acme/eu", "two words", "%2F", "größe/東京 1", "a+b=c&d?e#f"} < set(wanted)
        for id_ in wanted:
            url = URL(f"{server.url}/tenants/{quote(id_, safe='')}", encoded=True)
            async with http.get(url) as answer:
                assert answer.status == 200
                assert (await answer.json())["id"] == id_
        async with http.get(f"{server.url}/tenants/acme/eu") as answer:
            assert answer.status == 404


async def test_a_raw_plus_in_a_cursor_is_read_as_a_blank_and_refused(
    http: aiohttp.ClientSession,
) -> None:
    async with serve(account()) as server:
        cursor = page("brand", body(ask(server.api, "brand")))[1] or ""
        assert {"+", "/"} < set(cursor)
        for text, status in ((cursor, 400), (quote(cursor, safe=""), 200)):
            url = URL(f"{server.url}/brands?cursor={text}", encoded=True)
            async with http.get(url) as answer:
                assert answer.status == status


@pytest.mark.parametrize("kind", [FakeCourierProcess, FakeCourierThread])
async def test_one_beside_the_test_is_steered_over_http_and_leaves_nothing_behind(
    kind: type[FakeCourierProcess],
) -> None:
    sizes = {"brand": 30, "tenant": 3}
    options = {"last_page": {"brand": "paging_null"}}
    with kind(seed=5, sizes=sizes, now_ms=NOW_MS, options=options) as process:
        same = account(seed=5, sizes=sizes)
        assert list(process.truth("brand")) == list(same.truth("brand"))
        assert process.change("edit", stream="tenant", n=2, fields={"name": "007"})
        assert [row["name"] for row in process.truth("tenant")].count("007") >= 2
        process.change_options(down=["list"])
        async with aiohttp.ClientSession(headers=AUTH) as session:
            async with session.get(process.url + "/lists") as answer:
                assert answer.status == 503
            async with session.get(process.url + "/brands?limit=3&what=ever") as answer:
                assert answer.headers["Date"] == "Fri, 14 Aug 2026 09:33:20 GMT"
        stats = process.stats()
        assert stats["by_stream"] == {"list": 1, "brand": 1}
        assert stats["cursors"] == {"list": [None], "brand": [None]}
        process.reset_stats()
        assert process.stats()["requests"] == 0
        with pytest.raises(RuntimeError, match="not one of"):
            process.change("explode")
        pid = None if kind is FakeCourierThread else process.pid
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", URL(process.url).port or 0), timeout=5)
    if pid is not None:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_thread_that_is_told_nonsense_does_not_start() -> None:
    with pytest.raises(ValueError, match="nonsense"), FakeCourierThread(options={"nonsense": 1}):
        pass


def test_a_server_whose_parent_dies_ends_too() -> None:
    code = (
        "import subprocess, sys, os\n"
        "child = subprocess.Popen([sys.executable, '-m', 'tests.support.fake_courier',"
        " '--exit-with-parent'], stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    pid = int(parent.stdout)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    if _runs(pid):
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the server outlived its parent")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_bad_command_line_is_a_sentence() -> None:
    for argument in ("--option=nonsense=1", "--sizes=brand", "--orders=brand=sideways"):
        command = [sys.executable, "-m", "tests.support.fake_courier", argument]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


def test_the_help_names_every_switch() -> None:
    command = [sys.executable, "-m", "tests.support.fake_courier", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    names = {one.name for kind in (Options, Rule) for one in dataclasses.fields(kind)}
    words = set(re.findall(r"[a-z_]+", shown))
    assert names | set(ANSWERS) | set(CHANGES) <= words


async def test_the_truth_of_every_stream_is_told_over_http() -> None:
    with FakeCourierProcess(now_ms=NOW_MS, sizes={"message": 40}) as process:
        same = FakeApi(account(sizes={"message": 40}))
        for stream in EVERY_STREAM:
            assert list(process.truth(stream)) == list(same.truth(stream))
        assert process.change("add_members", stream="tenant_user", n=2)
        assert len(list(process.truth("tenant_user"))) == len(list(same.truth("tenant_user"))) + 2
