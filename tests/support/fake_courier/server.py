"""The fake API on a loopback port, with network faults and routes to control it.

Below /_fake/: GET stats (?times=1), POST stats/reset, POST change (one change or a list, see
Account.apply), POST change-after {stream, requests, change}, PATCH or POST options, POST
forget-cursors, GET truth/<stream> (one record per line).
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.api import FakeApi
from tests.support.fake_courier.options import Options
from tests.support.fake_courier.replies import Reply
from tests.support.fake_courier.streams import EVERY_STREAM

CONTROL = "/_fake/"


@dataclass(frozen=True)
class FakeServer:
    """A running server. url has no trailing slash."""

    url: str
    api: FakeApi

    @property
    def account(self) -> Account:
        return self.api.account


@asynccontextmanager
async def serve(
    account: Account | None = None,
    options: Options | None = None,
    *,
    port: int = 0,
    api: FakeApi | None = None,
) -> AsyncIterator[FakeServer]:
    """Serves an account on 127.0.0.1 (port 0: any free one) until the block ends.

    If `api` is given instead, it continues where an earlier server left off.
    """
    api = api or FakeApi(account or Account(), options)
    runner = web.ServerRunner(_server(api), shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=512)
        await web.SockSite(runner, listener).start()
        yield FakeServer(f"http://127.0.0.1:{listener.getsockname()[1]}", api)
    finally:
        await runner.cleanup()


def _server(api: FakeApi) -> web.Server:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path.startswith(CONTROL):
            return await _control(api, path.removeprefix(CONTROL), dict(parse_qsl(query)), request)
        if request.method != "GET":
            return web.Response(status=405)
        api.traffic.enter()
        try:
            reply = api.answer(path, dict(parse_qsl(query)), request.headers)
            if reply.delay_seconds:
                await asyncio.sleep(reply.delay_seconds)
            return await _send(request, reply)
        finally:
            api.traffic.exit()

    return web.Server(handle, access_log=None)


async def _send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    if reply.fault is None:
        response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        if reply.encoding == "gzip":
            response.enable_compression(web.ContentCoding.gzip)
        if reply.encoding:
            response.enable_chunked_encoding()
        return response
    cut = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.fault == "cut":
        cut.content_length = len(reply.body)
        await cut.prepare(request)
        await cut.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return cut


async def _control(
    api: FakeApi, route: str, query: dict[str, str], request: web.BaseRequest
) -> web.StreamResponse:
    data = json.loads(await request.read() or b"{}")
    try:
        if route.startswith("truth/") and route.removeprefix("truth/") in EVERY_STREAM:
            return await _truth(api, route.removeprefix("truth/"), request)
        return web.json_response(body=msgspec.json.encode(_steer(api, route, query, data)))
    except (ValueError, TypeError, KeyError) as error:
        return web.json_response({"error": str(error)}, status=400)


def _steer(api: FakeApi, route: str, query: dict[str, str], data: Any) -> Any:
    if route == "stats":
        return api.traffic.as_json(times="times" in query)
    if route == "stats/reset":
        api.traffic.reset()
    elif route == "change":
        changes = data if isinstance(data, list) else [data]
        return {"ids": [api.account.apply(change) for change in changes]}
    elif route == "change-after":
        api.change_after(data["stream"], data["requests"], data["change"])
    elif route == "options":
        api.change_options(**data)
    elif route == "forget-cursors":
        api.forget_cursors()
    else:
        raise ValueError(f"no such route: {CONTROL}{route}")
    return {}


async def _truth(api: FakeApi, stream: str, request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    lines: list[bytes] = []
    for record in api.truth(stream):
        lines.append(msgspec.json.encode(record))
        if len(lines) == 500:
            await response.write(b"\n".join(lines) + b"\n")
            lines = []
    if lines:
        await response.write(b"\n".join(lines) + b"\n")
    await response.write_eof()
    return response
