"""Runs real syncs against a fake API that records its responses and their times, for pictures."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import connector
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi, Options
from tests.support.fake_courier.replies import Reply
from tests.support.fake_courier.server import serve

HOUR_MS: Final = 3_600_000


@dataclass
class Run:
    """One sync, in seconds from its start. requests: (path, began, ended)."""

    requests: list[tuple[str, float, float]] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)
    rows: int = 0

    @property
    def seconds(self) -> float:
        return max((ended for _, _, ended in self.requests), default=0.0)


@dataclass(frozen=True)
class Reread:
    """How far back one sync read messages; both in hours, `reached` before `at`."""

    at: float
    reached: float


class RecordingApi(FakeApi):
    """The fake API; `answers` holds (moment, path, seconds taken, oldest time in the page)."""

    def __init__(self, account: Account, options: Options) -> None:
        super().__init__(account, options)
        self.answers: list[tuple[float, str, float, int | None]] = []

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        reply = super().answer(path, query, headers)
        oldest = _oldest_ms(reply.body) if path == "/messages" else None
        self.answers.append((time.monotonic(), path, reply.delay_seconds, oldest))
        return reply


class Destination:
    """Replaces the SDK's operations; each row takes `row_seconds`. Keeps the last state."""

    def __init__(self, *, row_seconds: float = 0.0) -> None:
        self._row_seconds = row_seconds
        self.rows = 0
        self.checkpoints: list[float] = []
        self.state: dict[str, Any] = {}

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.rows += 1
        time.sleep(self._row_seconds)

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        """Nothing to remove."""

    def warning(self, message: str) -> None:
        """Nobody to warn."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.checkpoints.append(time.monotonic())
        self.state = json.loads(json.dumps(state))


def record_sync(
    *, sizes: Mapping[str, int], latency_ms: float, row_seconds: float, settings: Mapping[str, str]
) -> Run:
    """Records a first sync of a small account."""
    api = RecordingApi(
        Account(seed=4, sizes=sizes, span_days=60.0), Options(latency_ms=latency_ms)
    )
    with _served(api) as url:
        destination = Destination(row_seconds=row_seconds)
        began = time.monotonic()
        _sync({"api_key": DEFAULT_KEY, "base_url": url, **settings}, destination)
    return Run(
        requests=[(path, at - began, at - began + delay) for at, path, delay, _ in api.answers],
        checkpoints=[at - began for at in destination.checkpoints],
        rows=destination.rows,
    )


def record_rereads(*, days: int, hours_between: float, messages: int) -> list[Reread]:
    """Records how far back syncs, `hours_between` apart on the API's clock, read messages."""
    api = RecordingApi(Account(seed=4, sizes={"message": messages}, span_days=40.0), Options())
    began_ms = api.account.now_ms()
    rereads: list[Reread] = []
    with _served(api) as url:
        destination = Destination()
        settings = {"api_key": DEFAULT_KEY, "base_url": url, "streams": "message"}
        settings["requests_per_second"] = "1000"
        for _ in range(round(days * 24 / hours_between)):
            api.answers.clear()
            _sync(settings, destination)
            oldest = min(ms for *_, ms in api.answers if ms is not None)
            now_ms = api.account.now_ms()
            at = (now_ms - began_ms) / HOUR_MS
            rereads.append(Reread(at, at - (now_ms - oldest) / HOUR_MS))
            api.account.advance(round(hours_between * HOUR_MS))
            api.account.apply({"do": "add", "stream": "message", "n": 1})
    return rereads


def _sync(configuration: dict[str, str], destination: Destination) -> None:
    # The SDK sets up its operations and its log only for its own runs.
    module: Any = connector
    real = module.op, module._forward_logs
    module.op, module._forward_logs = destination, lambda: None
    try:
        module.update(configuration, destination.state)
    finally:
        module.op, module._forward_logs = real


@contextmanager
def _served(api: FakeApi) -> Iterator[str]:
    """Serves the API in another thread until the block ends; yields its address."""
    ready: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(api=api) as server:
            ready.append(server.url)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _oldest_ms(body: bytes) -> int | None:
    """Returns the oldest time of the messages in a page, or None if there is none."""
    records = json.loads(body).get("results") or []
    return min((record["enqueued"] for record in records if "enqueued" in record), default=None)
