"""`python -m benchmark`: measure, and tell."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmark import (
    chain,
    cpu,
    grpc_sink,
    half_cpu,
    lanes,
    limiter,
    memory,
    report,
    second_sync,
    slow_sink,
)
from benchmark.figures import Plan, Result

MEASUREMENTS: Final[dict[str, Callable[[Plan], Result]]] = {
    "chain": chain.measure,
    "lanes": lanes.measure,
    "cpu": cpu.measure,
    "slow_sink": slow_sink.measure,
    "grpc_sink": grpc_sink.measure,
    "limiter": limiter.measure,
    "memory": memory.measure,
    "second_sync": second_sync.measure,
    "half_cpu": half_cpu.measure,
}


def main(arguments: list[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    plan = Plan(repeats=given.repeat or (1 if given.quick else 3), quick=given.quick)
    results = []
    for name in given.only or MEASUREMENTS:
        started_at = time.monotonic()
        result = MEASUREMENTS[name](plan)
        results.append(result)
        print(report.table(result), flush=True)
        print(f"({time.monotonic() - started_at:.0f} s)", flush=True)
        if given.results is not None:
            report.write([result], given.results)
    if given.json is not None:
        given.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="Measures the connector against a fake Courier API in a process of its own, "
        "with a sink of our own as the destination. Every figure is a ratio of runs taken side "
        "by side, or says its unit.",
        epilog="All of it takes about an hour, the lanes the most of it; --quick half a minute.",
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=[*MEASUREMENTS], metavar="NAME", help=", ".join(MEASUREMENTS))
    add("--quick", action="store_true", help="tiny runs: they show that it works, and no figure")
    add("--repeat", type=int, metavar="N", help="times that each figure is taken (default 3)")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--results", type=Path, metavar="FOLDER", help="write a chart and a JSON a measurement")
    return parser


if __name__ == "__main__":
    main()
