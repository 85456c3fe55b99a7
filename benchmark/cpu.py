"""2. CPU seconds a record against the parse floor, and where they go."""

from typing import Final

from benchmark.figures import Plan, Result
from benchmark.floors import split
from benchmark.runner import account, connector, floor, message_cursors

LANES: Final = (1, 8, 16)
LATENCY_MS: Final = 10.0


def measure(plan: Plan) -> Result:
    pages = 60 if plan.quick else 1000
    result = Result(
        "cpu",
        "CPU a record against the parse floor",
        f"The floor reads the same {pages:,} pages of messages over the same aiohttp in as many "
        "lanes, parses them with the same orjson, and does nothing else. Start-up and imports "
        "are left out. Runs of the two alternate. Shares by stage are cProfile's, by CPU time "
        "a thread; it makes small functions look dearer than they are. Left out from "
        "Python 3.12 on.",
    )
    with account({"message": pages * 10}, latency_ms=LATENCY_MS) as fake:
        cursors = message_cursors(fake, pages)
        for lanes in LANES[-1:] if plan.quick else LANES:
            ratios, micros = [], []
            for _ in range(plan.repeats):
                base = floor(fake, split(cursors, lanes=lanes), quota=plan.quota)
                ours = connector(fake, lanes=lanes, streams=["message"], quota=plan.quota)
                cost = ours["cpu_seconds"] / ours["rows"]
                ratios.append(cost / (base["cpu_seconds"] / base["rows"]))
                micros.append(cost * 1e6)
            goal = "" if plan.quick else "<= 2.5"
            result.add(f"lanes: {lanes}", "CPU / parse floor", ratios, goal)
            result.add(f"lanes: {lanes}", "microseconds a record", micros)
        shares = connector(fake, lanes=LANES[1], streams=["message"], profile=True)["stages"]
        for stage, share in shares.items():
            result.add(f"stage: {stage}", "share of CPU, %", [share * 100])
    return result
