"""Runs seeds, and hunts for planted bugs: `make simulate SEEDS=0-1999`, `make soak`."""

import argparse
import gc
import multiprocessing
import re
import sys
import time
from collections.abc import Iterable

from tests.simulation.planted import EVERY_BUG, Bug
from tests.simulation.seed import SeedFailed, run_seed

CHUNK = 25
# Most objects of a seed live until it ends, so looking for garbage often only costs time.
OBJECTS_PER_COLLECTION = 100_000


def judge(seed: int) -> tuple[int, str, list[str]]:
    """Returns the seed, the reason why it failed ("" if it passed), and the story."""
    try:
        run_seed(seed)
    except SeedFailed as failed:
        return seed, failed.reason, failed.story
    return seed, "", []


def find(name: str, seeds: Iterable[int]) -> tuple[str, int | None, str]:
    """Returns the bug's name, the first seed that finds it (None if none does), and the reason."""
    bug = EVERY_BUG[name.replace(" ", "_")]
    for seed in seeds:
        try:
            # Planted anew for each seed: a patch may keep state, which must not carry over.
            with bug.planted():
                run_seed(seed)
        except SeedFailed as failed:
            if "TypeError(" in failed.reason or "AttributeError(" in failed.reason:
                raise AssertionError(f"{name}: the patch no longer applies: {failed}") from None
            return name, seed, failed.reason
    return name, None, ""


def shortened(story: list[str]) -> Iterable[str]:
    """Returns the account and the last events, with long lines cut."""
    kept = story if len(story) <= 40 else [*story[:2], "    ...", *story[-37:]]
    return (line if len(line) <= 400 else line[:397] + "..." for line in kept)


def search(seeds: range, *, processes: int) -> int:
    """Prints each failing seed with its story, and returns the number of failures."""
    began, failures, done = time.monotonic(), 0, 0
    told = began
    with multiprocessing.Pool(processes, gc.set_threshold, (OBJECTS_PER_COLLECTION,)) as pool:
        for seed, reason, story in pool.imap_unordered(judge, seeds, chunksize=CHUNK):
            done += 1
            if reason:
                failures += 1
                print(f"\nSEED {seed}: {reason}", *shortened(story), sep="\n  ")
                print(f"  repeat with: make simulate SEEDS={seed}", flush=True)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{done:,} of {len(seeds):,} seeds, {failures} failures", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{done:,} seeds in {seconds:.0f} s ({done / seconds:.1f} a second), {failures} failures"
    )
    return failures


def hunt(seeds: range, *, processes: int, names: list[str]) -> int:
    """Prints which seed finds each planted bug, and returns the number of bugs not found.

    Bugs that are known to have no seed yet are not counted.
    """
    missed = 0
    wanted = [
        bug for bug in EVERY_BUG.values() if not names or any(name in bug.name for name in names)
    ]
    print(f"{'planted bug':<52}{'seed':>6}  found by")
    with multiprocessing.Pool(processes) as pool:
        jobs = [(bug, pool.apply_async(find, (bug.name, _in_turn(bug, seeds)))) for bug in wanted]
        for bug, job in jobs:
            name, seed, reason = job.get()
            missed += seed is None and not bug.unproved
            by = "none" if seed is None else str(seed)
            print(f"{name:<52}{by:>6}  {(reason or bug.unproved)[:90]}", flush=True)
    return missed


def _in_turn(bug: Bug, seeds: range) -> list[int]:
    """Returns the seeds, starting with the one known to find the bug, if it is among them."""
    return sorted(seeds, key=lambda seed: seed != bug.seed)


def seeds_of(text: str) -> range:
    """Parses "17" or "0-1999". Raises ArgumentTypeError with an explanation for anything else."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    seeds = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a seed; use 17 or a range such as 0-1999"
        )
    return seeds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=seeds_of, help="a seed such as 17, or a range: 0-1999")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--planted", action="store_true", help="look for the planted bugs")
    parser.add_argument("--only", action="append", default=[], help="part of a planted bug's name")
    arguments = parser.parse_args()
    seeds = arguments.seeds
    if arguments.planted:
        return hunt(seeds, processes=arguments.processes, names=arguments.only)
    return search(seeds, processes=min(arguments.processes, len(seeds)))


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
