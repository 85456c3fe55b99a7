"""How much of its rate a long reading uses by default, measured exactly in virtual time."""

from typing import Any, Final

from benchmark.figures import Plan, Result
from benchmark.sink import Sink
from courier_async.catalog.streams import BY_TABLE
from tests.support.virtual_sync import VirtualSync, virtual_api, virtual_sync

RATE: Final = 200.0
_OTHERS: Final = {
    "brand": 500,
    "audience": 500,
    "audit_event": 1000,
    "list": 500,
    "notification": 500,
    "tenant": 3000,
}


class Landed(Sink):
    """Keeps the ids of messages: one that two lanes read is sent twice, but is one row."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: set[str] = set()

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        super().upsert(table, data)
        if table == "message":
            self.messages.add(data["id"])


def measure(plan: Plan) -> Result:
    pages = 300 if plan.quick else 6_000
    result = Result(
        "lanes",
        f"A first sync of {pages:,} pages of messages beside six other streams at {RATE:.0f} "
        "requests a second, in virtual time; each repetition is another account. used: requests "
        "over those that the rate allows in that time. requests: those of the messages over "
        "their pages. others: the time until the last other stream ended, over its time alone.",
    )
    for latency_ms in (40,) if plan.quick else (40, 100, 300):
        for share, kind in ((0.0, "even"), (0.98, "98 % in one week")):
            for seed in range(plan.repeats):
                _measure(result, f"{latency_ms} ms, {kind}", pages, latency_ms, share, seed)
    return result


def _measure(
    result: Result, case: str, pages: int, latency_ms: int, share: float, seed: int
) -> None:
    sizes = _OTHERS | {"message": pages * 10}
    account = {"seed": seed, "cluster_share": share}
    alone = virtual_api(_OTHERS, account={"seed": seed}, latency_ms=float(latency_ms))
    others = tuple(BY_TABLE[table] for table in _OTHERS)
    alone_ends = virtual_sync(
        alone, sink=Sink(), streams=others, requests_per_second=RATE
    ).last_answer
    api = virtual_api(sizes, account=account, latency_ms=float(latency_ms))
    sink = Landed()
    synced = virtual_sync(api, sink=sink, requests_per_second=RATE)
    _require_whole(synced, sink, pages * 10)
    requests = api.traffic.by_stream["message"]
    slower = max(synced.last_answer[path] / ends for path, ends in alone_ends.items())
    result.add(f"{case}: used", api.traffic.requests / RATE / synced.seconds)
    result.add(f"{case}: requests", requests / pages)
    result.add(f"{case}: others", slower)


def _require_whole(synced: VirtualSync, sink: Landed, messages: int) -> None:
    if synced.error is not None or len(sink.messages) != messages:
        raise RuntimeError(f"{len(sink.messages):,} of {messages:,} landed: {synced.error}")
