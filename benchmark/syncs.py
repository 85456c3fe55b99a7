"""What users ask first: how long the first sync takes, what the second costs, what half a core
can do, and how much memory it needs."""

from typing import Final

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector
from tests.support.fake_courier.streams import STREAMS

_SMALL: Final = dict.fromkeys(STREAMS, 200)


def first_sync(plan: Plan) -> Result:
    """Measures a first sync by rate and latency, with defaults otherwise."""
    messages = 300 if plan.quick else 20_000
    result = Result(
        "first_sync",
        f"A first sync of {messages:,} messages and 200 rows in each other stream. used: its "
        "requests over those that the rate allows in its time.",
    )
    for rate, latency_ms in ((50, 100), (200, 40), (200, 100), (200, 300)):
        with account(_SMALL | {"message": messages}, latency_ms=latency_ms) as fake:
            for _ in range(plan.repeats):
                fake.reset_stats()
                ours = connector(fake, requests_per_second=float(rate))
                requests = fake.stats()["requests"]
                case = f"{rate} requests a second, {latency_ms} ms"
                result.add(f"{case}: used", requests / rate / ours["wall_seconds"])
                result.add(f"{case}: messages a second", messages / ours["wall_seconds"])
    return result


def second_sync(plan: Plan) -> Result:
    """Measures what it costs if nothing, or one row in a hundred, has changed."""
    messages = 1_000 if plan.quick else 20_000
    result = Result(
        "second_sync",
        f"Requests and rows of a second sync in % of the first: {messages:,} messages of a year "
        "and 200 rows in each other stream. The requests are those of the small streams, which "
        "are read whole, and of the newest messages.",
    )
    for _ in range(plan.repeats):
        with account(_SMALL | {"message": messages}) as fake:
            first = connector(fake, requests_per_second=1000.0)
            first_requests, state = fake.stats()["requests"], first["state"]
            for case in ("nothing changed", "1 % of the rows changed"):
                if case != "nothing changed":
                    for stream in ("brand", "audience", "list", "notification", "tenant"):
                        fake.change("edit", stream=stream, n=2)
                    fake.change("progress_messages", n=messages // 100)
                fake.reset_stats()
                second = connector(fake, state=state, requests_per_second=1000.0)
                state, requests = second["state"], fake.stats()["requests"]
                result.add(f"{case}: requests, %", 100 * requests / first_requests)
                result.add(f"{case}: rows, %", 100 * second["rows"] / first["rows"])
    return result


def half_core(plan: Plan) -> Result:
    """Measures a sync on half a core. Production gives half a core and 1 GB."""
    messages = 600 if plan.quick else 120_000
    result = Result(
        "half_core",
        f"A first sync of {messages:,} messages at 100 ms per response and 1,000 requests a "
        "second. The connector's process is kept to one core and stopped for the rest of each 100 "
        "ms in which it has used 50 ms of CPU, as a control group's quota does; the fake API is "
        "not.",
    )
    with account({"message": messages}, latency_ms=100.0) as fake:
        for _ in range(plan.repeats):
            ours = connector(fake, quota=0.5, streams=["message"], requests_per_second=1000.0)
            result.add("messages a second", messages / ours["wall_seconds"])
            result.add("peak MB", ours["peak_mb"])
    return result


def memory(plan: Plan) -> Result:
    """Measures the whole process, by the size of the source and of its pages."""
    result = Result(
        "memory",
        "The highest memory of the whole process, interpreter included, in MB (10^6 bytes). Large "
        "pages: 128 lanes, 256 responses of that size, one after another.",
    )
    for size in (2_000,) if plan.quick else (20_000, 200_000):
        with account({"message": size}) as fake:
            for _ in range(plan.repeats):
                ours = connector(fake, streams=["message"], requests_per_second=1000.0)
                result.add(f"{size:,} messages: peak MB", ours["peak_mb"])
    for megabytes in (4, 12):
        for encoding in ("gzip", "chunked"):
            for _ in range(plan.repeats):
                peak = _peak_with_large_pages(megabytes, encoding, quick=plan.quick)
                result.add(f"pages of {megabytes} MB, {encoding}: peak MB", peak)
    return result


def _peak_with_large_pages(megabytes: int, encoding: str, *, quick: bool) -> float:
    rule = {
        "stream": "message",
        "after": 20 if quick else 600,
        "times": 8 if quick else 256,
        "pad_bytes": megabytes * 1_000_000,
        "encoding": encoding,
    }
    messages = 600 if quick else 40_000
    with account({"message": messages}, latency_ms=20.0, options={"rules": [rule]}) as fake:
        ours = connector(fake, streams=["message"], requests_per_second=1000.0, message_lanes=128)
    if ours["rows"] != messages:
        raise RuntimeError(f"{ours['rows']:,} of {messages:,} messages landed")
    return float(ours["peak_mb"])
