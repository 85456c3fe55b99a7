"""`make weekly`: the long runs; writes their figures, date and commit to docs/reliability.md."""

import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tools.stage import ROOT

RELIABILITY: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- make weekly writes from here -->"
END: Final = "<!-- to here -->"
SEEDS_A_WEEK: Final = 100_000
LONGEST_OUTCOME: Final = 160


class Outcome(NamedTuple):
    """How a long run ended. said: the last line that it printed."""

    command: str
    status: int
    seconds: float
    said: str


def commands(today: date) -> list[list[str]]:
    """Returns the long runs. The seeds advance each week, so that no two weeks run the same."""
    week = today.toordinal() // 7 % 10_000
    first = week * SEEDS_A_WEEK
    python = sys.executable
    return [
        [python, "-m", "tests.simulation", f"{first}-{first + SEEDS_A_WEEK - 1}"],
        [python, "-m", "tests.simulation", "0-1999", "--planted"],
        [python, "-m", "tests.support.kills", "--syncs", "25"],
        [python, "-m", "tests.support.soak"],
        ["make", "--no-print-directory", "mutants"],
    ]


def run(command: Sequence[str]) -> Outcome:
    """Does one long run, and prints its output as it comes."""
    began, said = time.monotonic(), ""
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            said = line.strip() or said
    shown = " ".join(["python", *command[1:]] if command[0] == sys.executable else command)
    return Outcome(shown, running.returncode, time.monotonic() - began, said)


def table(outcomes: Sequence[Outcome], *, when: datetime, commit: str) -> str:
    """Formats the figures for docs/reliability.md."""
    lines = [
        f"{when:%Y-%m-%d %H:%M} UTC, commit {commit}, Python {platform.python_version()}.",
        "",
        "| command | ended | seconds | last line |",
        "|---|---|---|---|",
    ]
    for outcome in outcomes:
        ended = "ok" if outcome.status == 0 else f"**status {outcome.status}**"
        said = outcome.said.replace("|", "\\|")[:LONGEST_OUTCOME]
        lines.append(f"| `{outcome.command}` | {ended} | {outcome.seconds:,.0f} | {said} |")
    return "\n".join(lines)


def written_into(document: str, figures: str) -> str:
    """Puts the figures between the document's two marks. Raises ValueError if it lacks them."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"the document lacks the markers {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{figures}\n{END}", document)


def main(path: Path = RELIABILITY) -> int:
    """Returns 1 if a run failed, else 0."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    when = datetime.now(UTC)
    outcomes = [run(command) for command in commands(when.date())]
    figures = table(outcomes, when=when, commit=commit)
    path.write_text(written_into(path.read_text(encoding="utf-8"), figures), encoding="utf-8")
    print(f"\n{figures}")
    return int(any(outcome.status for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
