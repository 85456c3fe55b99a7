"""1. Wall time against the longest chain of pages, which no concurrency over streams can beat."""

from typing import Any

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector, pages, serial
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.streams import STREAMS

LATENCIES_MS = (20.0, 100.0, 250.0)
LANES = 8


def measure(plan: Plan) -> Result:
    result = Result(
        "chain",
        "Wall time against the chain floor",
        "Chain floor: the longest chain of pages x latency. span: from the first request to the "
        "last answer, over that floor (one lane). serial: a plain reader's time over the "
        "connector's. lanes: the connector's time in one lane over its time in eight.",
        axes=("seconds", "requests in flight"),
    )
    for name, sizes in _accounts(plan).items():
        for latency_ms in (20.0,) if plan.quick else LATENCIES_MS:
            with account(sizes, latency_ms=latency_ms) as fake:
                _measure(plan, result, fake, f"{name}, {latency_ms:.0f} ms", sizes, latency_ms)
    return result


def _accounts(plan: Plan) -> dict[str, dict[str, int]]:
    if plan.quick:
        return {"one long stream": {"message": 300, "tenant": 20}}
    small = dict.fromkeys(STREAMS, 10)
    return {
        "one long stream": small | {"message": 1000},
        "seven equal streams": dict.fromkeys(STREAMS, 200) | {"tenant": 2000},
        "many tiny streams": dict.fromkeys(STREAMS, 15) | {"tenant": 150},
    }


def _measure(
    plan: Plan,
    result: Result,
    fake: FakeCourierProcess,
    case: str,
    sizes: dict[str, int],
    latency_ms: float,
) -> None:
    floor = max(pages(stream, size) for stream, size in sizes.items()) * latency_ms / 1000
    spans, serials, lanes = [], [], []
    long = sizes["message"] >= 200
    for _ in range(plan.repeats):
        plain = serial(fake, quota=plan.quota)["wall_seconds"]
        fake.reset_stats()
        one = connector(fake, quota=plan.quota)["wall_seconds"]
        spans.append(span(fake.stats(times=True), latency_ms) / floor)
        serials.append(plain / one)
        if long:
            fake.reset_stats()
            many = connector(fake, lanes=LANES, quota=plan.quota)["wall_seconds"]
            lanes.append(one / many)
            result.curves[case] = in_flight(fake.stats(times=True)["times"], latency_ms)
    # Below ten pages it is the start of the connections that is measured.
    goal = "<= 1.08" if floor * 1000 / latency_ms >= 10 and latency_ms >= 80 else ""
    result.add(case, "span / chain", spans, goal)
    result.add(case, "serial / connector", serials)
    if lanes:
        result.add(case, f"1 lane / {LANES} lanes", lanes)


def span(stats: dict[str, Any], latency_ms: float) -> float:
    """Seconds from the first request's coming in to the last one's answer."""
    return float(stats["times"][-1] - stats["times"][0] + latency_ms / 1000)


def in_flight(
    times: list[float], latency_ms: float, *, points: int = 60
) -> list[tuple[float, float]]:
    """Points (seconds, requests that wait for their answer), from when requests came in."""
    first, last = times[0], times[-1] + latency_ms / 1000
    curve = []
    for point in range(points + 1):
        moment = first + (last - first) * point / points
        waiting = sum(moment - latency_ms / 1000 < time <= moment for time in times)
        curve.append((moment - first, float(waiting)))
    return curve
