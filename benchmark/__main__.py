"""`python -m benchmark`: measures, prints the figures, and saves them in benchmark/results."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmark import cpu, lanes, syncs
from benchmark.figures import RESULTS, Plan, Result

MEASUREMENTS: Final[dict[str, Callable[[Plan], Result]]] = {
    "first_sync": syncs.first_sync,
    "second_sync": syncs.second_sync,
    "half_core": syncs.half_core,
    "memory": syncs.memory,
    "cpu": cpu.measure,
    "lanes": lanes.measure,
}


def main(arguments: list[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    plan = Plan(repeats=1 if given.quick else given.repeat, quick=given.quick)
    for name in given.only or MEASUREMENTS:
        began = time.monotonic()
        result = MEASUREMENTS[name](plan)
        print(result.table(), f"({time.monotonic() - began:.0f} s)", sep="\n", flush=True)
        folder = given.results or (None if given.quick else RESULTS)
        if folder is not None:
            result.write(folder, f"make benchmark ONLY={name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="Measures the connector against a fake Courier API, with a sink of our own "
        "as the destination. What it costs in rows and requests: python -m benchmark.cost.",
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=[*MEASUREMENTS], metavar="NAME", help=", ".join(MEASUREMENTS))
    add("--quick", action="store_true", help="tiny runs that only show that it works")
    add("--repeat", type=int, default=5, metavar="N", help="repetitions of each figure (5)")
    add("--results", type=Path, metavar="FOLDER", help="where to write (benchmark/results)")
    return parser


if __name__ == "__main__":
    main()
