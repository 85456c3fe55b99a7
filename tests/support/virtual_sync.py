"""Whole syncs in virtual time: fast, with exact requests and waits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer
from courier_async.settings import Settings
from courier_async.sync import run
from tests.support.fake_courier import DEFAULT_KEY, STREAMS, Account, FakeApi, Options
from tests.support.harness import DirectTransport, Sink, copied
from tests.support.virtual_time import run_virtual

T = TypeVar("T")

NOW_MS: Final = 1_790_000_000_000


@dataclass
class VirtualSync:
    """The result of a sync. last_answer: path -> the virtual second of its last answer."""

    sink: Any
    seconds: float = 0.0
    last_answer: dict[str, float] = field(default_factory=dict)
    error: Exception | None = None


def virtual_api(
    sizes: dict[str, int], *, account: dict[str, Any] | None = None, **options: Any
) -> FakeApi:
    """Returns a fake API on the loop's time, with pages of ten, empty except for `sizes`."""
    return FakeApi(
        Account(
            sizes=dict.fromkeys(STREAMS, 0) | sizes,
            now_ms=lambda: NOW_MS + int(_loop_seconds() * 1000),
            **{"span_days": 365.0} | (account or {}),
        ),
        Options(**{"page_sizes": dict.fromkeys(STREAMS, 10)} | options),
        _loop_seconds,
    )


def virtual_sync(
    api: FakeApi, state: dict[str, Any] | None = None, *, sink: Any = None, **settings: Any
) -> VirtualSync:
    """Runs one sync of `api`, with default settings unless given. Keeps an error it raises."""
    result = VirtualSync(sink if sink is not None else Sink())
    chosen = Settings(**{"api_key": DEFAULT_KEY, "base_url": "http://127.0.0.1:1"} | settings)

    async def sync() -> None:
        transport, worker = _NotingTransport(api, result.last_answer), _InlineWorker()
        saved = copied(state or {})
        try:
            await run(chosen, saved, result.sink, transport=transport, worker=worker)
        except Exception as error:
            result.error = error
        result.seconds = asyncio.get_running_loop().time()

    run_virtual(sync())
    return result


class _NotingTransport(DirectTransport):
    def __init__(self, api: FakeApi, last_answer: dict[str, float]) -> None:
        super().__init__(api)
        self._last_answer = last_answer

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        answer = await super().get(path_and_query, hold)
        self._last_answer[path_and_query.partition("?")[0]] = _loop_seconds()
        return answer


class _InlineWorker:
    """Runs each job at once, on the loop, because virtual time has no threads."""

    async def run(self, job: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return job()


def _loop_seconds() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # between syncs
        return 0.0
