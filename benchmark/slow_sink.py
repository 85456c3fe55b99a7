"""3. A slow destination: the sync may take as long as it or the chain, not the two together."""

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector, pages

LATENCY_MS = 50.0


def measure(plan: Plan) -> Result:
    result = Result(
        "slow_sink",
        "A slow destination",
        f"Wall time over max(chain floor, rows x time a row), one lane, {LATENCY_MS:.0f} ms.",
    )
    messages = 300 if plan.quick else 2000
    for row_ms in (1.0,) if plan.quick else (0.1, 1.0, 5.0):
        ratios = []
        with account({"message": messages}, latency_ms=LATENCY_MS) as fake:
            for _ in range(plan.repeats):
                ours = connector(fake, row_ms=row_ms, quota=plan.quota)
                chain = pages("message", messages) * LATENCY_MS / 1000
                ratios.append(ours["wall_seconds"] / max(chain, ours["rows"] * row_ms / 1000))
        goal = "" if plan.quick else "<= 1.05"
        result.add(f"{row_ms:g} ms a row", "wall / max(chain, sink)", ratios, goal)
    return result
