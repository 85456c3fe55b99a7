"""Kills real `fivetran debug` runs at moments that a seed chooses, while data changes.

`.venv/bin/python -m tests.support.kills --syncs 25` prints one line per run and one of totals, and
exits 1 if the warehouse ends up different from the source. `--seed` repeats the same data,
settings and moments; what the operating system does in between varies.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from courier_async.catalog.stream import HOUR_MS
from tests.support.end_to_end import DebugFolder, differences, succeeded
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.warehouse import KEYS

SIZES = dict.fromkeys(KEYS, 14) | {"message": 900, "audit_event": 40}
KEPT = ("brand", "audience", "list", "notification", "tenant")


class Phase(NamedTuple):
    """A part of a run. after: what is printed when it begins; "": it begins with the run."""

    name: str
    after: str
    longest_seconds: float


PHASES = (
    Phase("walking", "calling update()", 1.5),
    Phase("start-up", "", 0.9),
    # Printed after the sync's last checkpoint; the runner's own last commit follows.
    Phase("end", " connector elapsed: ", 0.1),
)


class Kill(NamedTuple):
    """seconds: from the beginning of the phase. settings: those of this run."""

    phase: Phase
    seconds: float
    settings: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """died: phase -> runs that the kill ended. The others had already ended."""

    syncs: int
    died: Counter[str]
    requests: int
    rows: int
    seconds: float
    differences: list[str]

    def line(self) -> str:
        phases = ", ".join(f"{phase.name} {self.died[phase.name]}" for phase in PHASES)
        ended = "equal" if not self.differences else f"{len(self.differences)} differences"
        return (
            f"{self.syncs} real syncs, {self.died.total()} killed ({phases}), "
            f"{self.syncs - self.died.total()} had already ended; {self.requests:,} requests, "
            f"{self.rows:,} rows, {self.seconds:.0f} s: {ended}"
        )


def folder_for(folder: Path, fake: FakeCourierThread, **settings: str) -> DebugFolder:
    """Returns a project whose sync takes a second or two."""
    usual = {
        "requests_per_second": "100",
        "checkpoint_interval_seconds": "1",
        "message_lanes": "2",
    }
    return DebugFolder(folder, {"api_key": fake.key, "base_url": fake.url} | usual | settings)


def planned(syncs: int, seed: int) -> list[Kill]:
    """Returns the kills of a seed, with the phases in turn."""
    choose = random.Random(seed)
    kills = []
    for number in range(syncs):
        phase = PHASES[number % len(PHASES)]
        settings = {"message_lanes": choose.choice(("1", "2", "8"))}
        if phase.name == "end":
            settings |= {"requests_per_second": "1000"}
        else:
            # 0 saves after every page: then most of the time goes to checkpoints.
            settings |= {"checkpoint_interval_seconds": choose.choice(("0", "1"))}
        kills.append(Kill(phase, choose.uniform(0.0, phase.longest_seconds), settings))
    return kills


def kill_again_and_again(folder: Path, *, syncs: int, seed: int, tell: bool = False) -> Outcome:
    """Runs the killed syncs, then two undisturbed ones, and returns the outcome.

    Raises AssertionError with its output if one of the last two fails.
    """
    began, died = time.monotonic(), Counter[str]()
    with FakeCourierThread(seed=seed, sizes=SIZES, latency_ms=10) as fake:
        project = folder_for(folder, fake)
        # A row first seen by a killed sync may stay in the warehouse if it is deleted before the
        # next sync sees it, so only rows from the beginning are deleted.
        first_ids = {table: [str(row["id"]) for row in fake.truth(table)] for table in KEPT}
        for number, kill in enumerate(planned(syncs, seed), 1):
            # These come while the sync walks, those below at its beginning or before the run.
            fake.change_after("message", 20, "add", stream="message", n=5)
            fake.change_after("brand", 1, "edit", stream="brand", n=3)
            is_early = not kill.phase.after
            is_known = first_reading_is_over(project)
            change = partial(change_everything, fake, first_ids if is_known else {})
            if is_early:
                change()
            run = project.sync(
                kill_after_seconds=kill.seconds,
                after=kill.phase.after,
                meanwhile=None if is_early else change,
                changes=kill.settings,
            )
            died[kill.phase.name] += run.status == -signal.SIGKILL
            if tell:
                print(f"{number:4} {kill.phase.name} + {kill.seconds:.3f} s: exit {run.status}")
        # Deletes take two complete readings; for templates, a day apart.
        for _ in range(2):
            succeeded(project.sync(changes={"requests_per_second": "1000"}))
            fake.change("advance", ms=25 * HOUR_MS)
        return Outcome(
            syncs=syncs,
            died=died,
            requests=fake.stats()["requests"],
            rows=sum(len(project.warehouse.rows(table)) for table in KEYS),
            seconds=time.monotonic() - began,
            differences=differences(project, fake),
        )


def first_reading_is_over(project: DebugFolder) -> bool:
    """Whether all streams with deletes were read once; before that, what has landed is unknown."""
    streams = project.state.get("streams", {})
    return all("read_at" in streams.get(table, {}) for table in KEPT)


def change_everything(
    fake: FakeCourierThread, deletable: Mapping[str, list[str]], _: int = 0
) -> None:
    """Edits, deletes and adds rows, and progresses messages young enough to be read again."""
    for stream in KEPT:
        fake.change("edit", stream=stream, n=2, keep_updated=True)
        if deletable.get(stream):
            fake.change("delete", stream=stream, ids=[deletable[stream].pop()])
    for stream in KEYS:
        fake.change("add", stream=stream, n=2)
    fake.change("progress_messages", n=10, newest=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--syncs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"real kills, --seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_again_and_again(
            Path(folder), syncs=arguments.syncs, seed=arguments.seed, tell=True
        )
    print("\n".join([*outcome.differences, outcome.line()]))
    return int(bool(outcome.differences))


if __name__ == "__main__":
    sys.exit(main())
