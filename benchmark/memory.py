"""5. Memory: what the size of the source adds to it."""

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector

SIZES = (20_000, 200_000, 1_000_000)


def measure(plan: Plan) -> Result:
    result = Result(
        "memory",
        "Peak memory of the whole process",
        "VmHWM in MB (10^6 bytes), interpreter and imports included, 16 lanes, no latency.",
    )
    repeats = plan.repeats
    peaks: dict[int, list[float]] = {}
    for size in (2_000, 5_000) if plan.quick else SIZES:
        with account({"message": size}) as fake:
            # A million messages take minutes, and memory does not vary with the machine's load.
            peaks[size] = [
                connector(fake, lanes=16, streams=["message"])["peak_mb"]
                for _ in range(1 if size > 200_000 else repeats)
            ]
        result.add(f"{size:,} messages", "peak MB", peaks[size], "" if plan.quick else "<= 120")
    smallest, largest = min(peaks), max(peaks)
    growth = [max(peaks[largest]) - min(peaks[smallest])]
    case = f"{smallest:,} to {largest:,}"
    result.add(case, "growth in MB", growth, "" if plan.quick else "<= 5")
    return result
