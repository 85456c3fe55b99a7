"""What the simulation has found, each as a plain case."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from courier_async.api.transport import Answer
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.walk import Batch
from courier_async.report import Tally
from courier_async.settings import Settings
from courier_async.state.saved import Frame, Lane, PageRead, State, WalkEnded
from courier_async.sync import run
from courier_async.writing.writer import Item, Writer
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi
from tests.support.virtual_time import run_virtual

DAY_MS = 86_400_000
NOW_MS = 1_786_700_000_000


class Sink:
    """Keeps the last state and the rows."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.warnings: list[str] = []

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.rows[data[BY_TABLE[table].key]] = data

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        del self.rows[keys[BY_TABLE[table].key]]

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.state = state

    def warning(self, message: str) -> None:
        self.warnings.append(message)


class Carrier:
    """A transport that takes a tenth of a second and counts what is asked."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.asked: Counter[str] = Counter()

    async def get(self, path_and_query: str) -> Answer:
        self.asked[path_and_query] += 1
        path, _, query = path_and_query.partition("?")
        await asyncio.sleep(0.1)
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
        reply = self.api.answer(path, dict(parse_qsl(query)), headers)
        return Answer(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.body)


class Inline:
    """A worker whose jobs take no time."""

    async def run(self, job: Any) -> Any:
        return job()


def sync(api: FakeApi, sink: Sink, *tables: str, **settings: Any) -> Carrier:
    carrier = Carrier(api)
    chosen = Settings(
        api_key="pk_test_x", streams=tuple(BY_TABLE[table] for table in tables), **settings
    )
    run_virtual(run(chosen, sink.state, sink, transport=carrier, worker=Inline()))
    return carrier


def test_a_lane_that_finds_nothing_older_is_not_opened_again() -> None:
    account = Account(now_ms=NOW_MS, sizes={"message": 600}, span_days=5)
    api, sink = FakeApi(account), Sink()
    sync(api, sink, "message")
    account.advance(2 * DAY_MS)

    # A deep read whose bound lies a year before the oldest message.
    carrier = sync(api, sink, "message", message_deep_lookback_days=365.0)

    assert max(carrier.asked.values()) == 1
    assert carrier.asked.total() < 90


def test_a_new_row_behind_the_end_of_the_first_walk_is_known_before_it_is_sent() -> None:
    """Else it can land in a sync that dies, and nobody would ever delete it."""
    tenant, order = BY_TABLE["tenant"], []

    class Watch(Sink):
        def upsert(self, table: str, data: dict[str, Any]) -> None:
            order.append("upsert")

        def checkpoint(self, state: dict[str, Any]) -> None:
            part = state["streams"]["tenant"]
            order.append(("checkpoint", "deep_read_at" in part, "acme" in str(part.get("rows"))))

    async def write() -> None:
        writer = Writer(
            op=Watch(),
            worker=Inline(),
            state=State(source="x"),
            tallies={"tenant": Tally("tenant")},
            checkpoint_interval_seconds=0.0,
        )
        frame = Frame(started_at=NOW_MS)
        # The end of a resumed walk, and the first page of the one from the head, in one batch.
        ended = WalkEnded(frame, Lane(), several_pages=True, reached_end=True)
        first = PageRead(frame, Lane(cursor="next"))
        for batch in (Batch([], ended), Batch([{"id": "acme"}], first)):
            await writer.queue.put(Item(tenant, batch))
        await writer.queue.put(None)
        await writer.run()

    run_virtual(write())

    before = order[: order.index("upsert")]
    assert ("checkpoint", True, False) not in before
