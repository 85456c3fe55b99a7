"""Adding one of Courier's other listings takes an entry in the catalog, and no code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from courier_async.api.transport import HttpTransport
from courier_async.catalog.schema import schema_of
from courier_async.catalog.stream import Column, Stream, Type
from courier_async.catalog.streams import BY_TABLE
from courier_async.sync import run
from tests.support.harness import Sink, settings
from tests.syncs.house import Inline

WEBHOOK = Stream(
    table="webhook",
    about="An address that is told of events.",
    path="/webhooks",
    arrays=("webhooks",),
    key=("webhookId",),
    columns=(
        Column(
            name="webhook_id",
            path=("webhookId",),
            type=Type.STRING,
            meaning="Its id.",
            source="this test",
        ),
        Column(
            name="url",
            path=("target", "url"),
            type=Type.STRING,
            meaning="Where it leads.",
            source="this test",
        ),
        Column(
            name="created",
            path=("created",),
            type=Type.UTC_DATETIME,
            meaning="When it was made.",
            source="this test",
        ),
    ),
)
PER_PAGE = 4


def webhook(number: int) -> dict[str, Any]:
    target = {"url": f"https://example.com/{number}"}
    return {"webhookId": f"w{number}", "target": target, "created": 1_794_657_600_000}


@asynccontextmanager
async def serving(records: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Serves that one listing; its cursors are record numbers."""

    async def page(request: web.Request) -> web.Response:
        begin = int(request.query.get("cursor", "0"))
        end = begin + PER_PAGE
        paging = {"more": end < len(records), "cursor": str(end)}
        return web.json_response({"webhooks": records[begin:end], "paging": paging})

    async def one(request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        known = any(record["webhookId"] == wanted for record in records)
        return web.json_response({}, status=200 if known else 404)

    app = web.Application()
    app.add_routes([web.get("/webhooks", page), web.get("/webhooks/{id}", one)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def sync(url: str, state: dict[str, Any]) -> Sink:
    sink = Sink()
    own = settings(base_url=url, streams=(WEBHOOK,))
    async with HttpTransport(
        base_url=url, api_key=own.api_key, timeout_seconds=own.request_timeout_seconds
    ) as transport:
        await run(own, state, sink, transport=transport, worker=Inline())
    return sink


async def test_a_stream_is_added_by_its_entry_in_the_catalog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BY_TABLE, WEBHOOK.table, WEBHOOK)
    records = [webhook(number) for number in range(3 * PER_PAGE - 1)]
    async with serving(records) as url:
        first = await sync(url, {})
        rows = first.sent("webhook")
        assert [row["webhook_id"] for row in rows] == [f"w{n}" for n in range(len(records))]
        assert {column for row in rows for column in row} == set(
            schema_of([WEBHOOK])[0]["columns"]
        )
        assert rows[3]["url"] == "https://example.com/3"

        records[2]["target"]["url"] = "https://example.com/moved"
        records.append(webhook(100))
        second = await sync(url, first.last_state())
        assert [row["webhook_id"] for row in second.sent("webhook")] == ["w2", "w100"]
        assert second.warnings == []
