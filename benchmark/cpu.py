"""CPU time per record, over what any Python reader of the same pages spends."""

import asyncio
import time
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from benchmark.figures import Plan, Result
from benchmark.sink import Sink
from courier_async.api.decode import decode
from courier_async.api.memory import Hold
from courier_async.api.transport import Answer
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from courier_async.sync import run
from courier_async.writing.sdk_thread import SdkThread
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi, Options
from tests.support.fake_courier.streams import STREAMS

_MESSAGE: Final = BY_TABLE["message"]
_NOW_MS: Final = 1_790_000_000_000

Bodies = dict[str | None, Answer]


def measure(plan: Plan) -> Result:
    messages = 500 if plan.quick else 10_000
    result = Result(
        "cpu",
        f"CPU time of a sync of {messages:,} messages without HTTP, over its floor: a plain loop "
        "that parses the same bodies, makes the same rows and hands them to the same sink. The "
        "two alternate.",
    )
    bodies = _bodies(messages)
    for _ in range(plan.repeats):
        floor = _floor_seconds(bodies)
        ours = _sync_seconds(bodies)
        result.add("microseconds a record", ours / messages * 1e6)
        result.add("floor: microseconds a record", floor / messages * 1e6)
        result.add("over the floor", ours / floor)
    return result


def _bodies(messages: int) -> Bodies:
    """Returns every page of the listing, by its cursor."""
    account = Account(
        sizes=dict.fromkeys(STREAMS, 0) | {"message": messages}, now_ms=_NOW_MS, span_days=300.0
    )
    api, bodies, cursor = FakeApi(account, Options()), Bodies(), None
    while cursor not in bodies:
        query: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        reply = api.answer("/messages", query, {"Authorization": f"Bearer {DEFAULT_KEY}"})
        headers = {name.lower(): value for name, value in reply.headers.items()}
        bodies[cursor] = Answer(reply.status, headers, reply.body)
        cursor = decode(reply.body)["paging"].get("cursor")
    return bodies


def _floor_seconds(bodies: Bodies) -> float:
    mapper, sink = RowMapper(_MESSAGE, redact_secrets=True), Sink()
    began = time.process_time()
    for answer in bodies.values():
        for record in decode(answer.body)["results"]:
            sink.upsert("message", mapper.row(record))
    return time.process_time() - began


def _sync_seconds(bodies: Bodies) -> float:
    settings = Settings(
        api_key=DEFAULT_KEY,
        base_url="http://127.0.0.1:1",
        streams=(_MESSAGE,),
        requests_per_second=1e6,
        message_lanes=1,
    )

    async def sync() -> float:
        async with SdkThread() as worker:
            began = time.process_time()
            await run(settings, {}, Sink(), transport=_Replay(bodies), worker=worker)
            return time.process_time() - began

    return asyncio.run(sync())


class _Replay:
    """A transport that answers from memory, and refuses cursors that it never gave out."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._refusal = Answer(400, {}, b"{}")

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        await asyncio.sleep(0)
        query = dict(parse_qsl(urlsplit(path_and_query).query))
        return self._bodies.get(query.get("cursor"), self._refusal)
