"""1b. One long stream read in several lanes, even and with nearly all of it in one week."""

from typing import Final

from benchmark.chain import span
from benchmark.figures import Plan, Result
from benchmark.runner import account, connector

LATENCY_MS: Final = 80.0
# What the project asks for: lanes -> times as fast as one.
GOALS: Final = {8: ">= 6.5", 16: ">= 11"}


def measure(plan: Plan) -> Result:
    pages = 60 if plan.quick else 5000
    latency_ms = 20.0 if plan.quick else LATENCY_MS
    result = Result(
        "lanes",
        f"{pages:,} pages of messages in lanes, {latency_ms:.0f} ms latency",
        "speed-up: the requests' span in one lane over that in more. requests: those that more "
        "lanes ask over those that one does. Messages span a year; clustered: 98 % in one week.",
    )
    for name, share in {"even": 0.0, "clustered": 0.98}.items():
        speed: dict[int, list[float]] = {lanes: [] for lanes in GOALS}
        extra: dict[int, list[float]] = {lanes: [] for lanes in GOALS}
        with account(
            {"message": pages * 10}, latency_ms=latency_ms, cluster_share=share, span_days=365
        ) as fake:
            for _ in range(1 if plan.quick else plan.repeats):
                spans, requests = {}, {}
                for lanes in (1, *GOALS):
                    fake.reset_stats()
                    connector(fake, lanes=lanes, streams=["message"], quota=plan.quota)
                    stats = fake.stats(times=True)
                    spans[lanes], requests[lanes] = span(stats, latency_ms), stats["requests"]
                for lanes in GOALS:
                    speed[lanes].append(spans[1] / spans[lanes])
                    extra[lanes].append(requests[lanes] / requests[1])
        for lanes, goal in GOALS.items():
            case = f"{name}, {lanes} lanes"
            result.add(case, "speed-up", speed[lanes], "" if plan.quick else goal)
            result.add(case, "requests", extra[lanes], "" if plan.quick else "<= 1.03")
    return result
