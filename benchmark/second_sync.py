"""6. What a second sync costs where nothing, one row or one row in a hundred has changed."""

from typing import Any

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.streams import STREAMS

WATCHED = ("brand", "audience", "list", "notification", "tenant")


def measure(plan: Plan) -> Result:
    size = 100 if plan.quick else 500
    messages = 1_000 if plan.quick else 20_000
    result = Result(
        "second_sync",
        "A second sync over a first one",
        f"Requests, bytes and rows of the second over those of the first, in %. {messages:,} "
        f"messages and audit events over 300 days, {size} rows in each other stream. The rest "
        "is the lookback of messages (3 days), the overlap of audit events and the reading of "
        "the small streams. A day later: the deep lookback is due.",
    )
    sizes = dict.fromkeys(STREAMS, size) | {"message": messages}
    cases: dict[str, list[dict[str, float]]] = {}
    for _ in range(1 if plan.quick else plan.repeats):
        with account(sizes, orders=dict.fromkeys(STREAMS, "newest")) as fake:
            first, state = _sync(fake, None)
            for case, change in _cases(size, messages).items():
                for each in change:
                    fake.change(**each)
                second, state = _sync(fake, state)
                shares = {name: 100 * second[name] / first[name] for name in first}
                cases.setdefault(case, []).append(shares)
    for case, runs in cases.items():
        for name in runs[0]:
            result.add(case, f"{name}, %", [shares[name] for shares in runs])
    return result


def _cases(size: int, messages: int) -> dict[str, list[dict[str, Any]]]:
    hundredth = [{"do": "edit", "stream": stream, "n": size // 100} for stream in WATCHED]
    return {
        "nothing changed": [],
        "one row changed": [{"do": "edit", "stream": "brand"}],
        "1 % changed": [*hundredth, {"do": "progress_messages", "n": messages // 100}],
        "a day later": [{"do": "advance", "ms": 86_400_000}],
    }


def _sync(
    fake: FakeCourierProcess, state: dict[str, Any] | None
) -> tuple[dict[str, float], dict[str, Any]]:
    fake.reset_stats()
    ours = connector(fake, lanes=8, state=state)
    stats = fake.stats()
    figures = {
        "requests": float(stats["requests"]),
        "bytes": float(stats["body_bytes"]),
        "rows": float(ours["rows"]),
    }
    return figures, ours["state"]
