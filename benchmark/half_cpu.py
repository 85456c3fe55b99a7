"""7. The same under half a core, which is what production gives, and where it stops scaling."""

from dataclasses import replace
from typing import Final

from benchmark import chain, cpu, limiter, slow_sink
from benchmark.figures import Plan, Result
from benchmark.runner import account, connector

QUOTA: Final = 0.5
LATENCY_MS: Final = 100.0
DAY_SECONDS: Final = 86_400


def measure(plan: Plan) -> Result:
    result = Result(
        "half_cpu",
        "Under half a core",
        "The connector's process is kept to one core, and stopped (SIGSTOP) for the rest of "
        "each 100 ms in which it has used 50 ms of CPU, as a control group's quota does; the "
        f"fake API is not. Messages a day: those of a first sync at {LATENCY_MS:.0f} ms latency.",
        axes=("lanes", "messages a second"),
    )
    _scaling(plan, result)
    half = replace(plan, quota=QUOTA, repeats=1 if plan.quick else plan.repeats)
    for part in (cpu,) if plan.quick else (chain, cpu, slow_sink, limiter):
        for figure in part.measure(half).figures:
            if not figure.case.startswith("stage"):
                result.figures.append(replace(figure, goal=""))
    return result


def _scaling(plan: Plan, result: Result) -> None:
    curve = []
    with account({"message": 600 if plan.quick else 16_000}, latency_ms=LATENCY_MS) as fake:
        for lanes in (8,) if plan.quick else (4, 8, 16, 32):
            rates = []
            for _ in range(1 if plan.quick else plan.repeats):
                ours = connector(fake, lanes=lanes, streams=["message"], quota=QUOTA)
                rates.append(ours["rows"] / ours["wall_seconds"])
            curve.append((float(lanes), sorted(rates)[len(rates) // 2]))
            result.add(f"lanes: {lanes}", "messages a second", rates)
            result.add(
                f"lanes: {lanes}",
                "million messages a day",
                [rate * DAY_SECONDS / 1e6 for rate in rates],
            )
    result.curves["messages a second by lanes"] = curve
