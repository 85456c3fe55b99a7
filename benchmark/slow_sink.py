"""3. A slow destination: the sync may take as long as it or the chain, not the two together."""

from typing import Final

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector, pages

# (time a row, latency): the chain decides, the sink decides, and both take as long.
CASES: Final = ((0.1, 80.0), (1.0, 80.0), (5.0, 20.0), (5.0, 50.0))


def measure(plan: Plan) -> Result:
    result = Result(
        "slow_sink",
        "A slow destination",
        "Wall time over max(chain floor, rows x time a row), one lane.",
    )
    messages = 300 if plan.quick else 1500
    for row_ms, latency_ms in CASES[1:2] if plan.quick else CASES:
        ratios = []
        with account({"message": messages}, latency_ms=latency_ms) as fake:
            for _ in range(plan.repeats):
                ours = connector(fake, row_ms=row_ms, quota=plan.quota)
                chain = pages("message", messages) * latency_ms / 1000
                ratios.append(ours["wall_seconds"] / max(chain, ours["rows"] * row_ms / 1000))
        goal = "" if plan.quick else "<= 1.05"
        case = f"{row_ms:g} ms a row, {latency_ms:.0f} ms latency"
        result.add(case, "wall / max(chain, sink)", ratios, goal)
    return result
