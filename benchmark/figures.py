"""Figures with their spread, and the files that keep them."""

import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmark" / "results"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. quick: tiny runs, which only show that the benchmark works."""

    repeats: int = 5
    quick: bool = False


@dataclass(slots=True)
class Result:
    """One measurement: the name of each figure, and its value in each repetition."""

    name: str
    note: str
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def as_json(self, command: str) -> dict[str, Any]:
        return {
            "command": command,
            "commit": commit(),
            "machine": machine(),
            "note": self.note,
            "figures": {
                figure: {
                    "median": round(median(values), 4),
                    "min": round(min(values), 4),
                    "max": round(max(values), 4),
                    "repetitions": len(values),
                }
                for figure, values in self.figures.items()
            },
        }

    def write(self, folder: Path, command: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(command), indent=1)
        (folder / f"{self.name}.json").write_text(text + "\n")

    def table(self) -> str:
        wide = max([len(figure) for figure in self.figures], default=0)
        lines = ["", self.name, self.note, f"{'':<{wide}} {'min':>11} {'median':>11} {'max':>11}"]
        for figure, values in self.figures.items():
            low, middle, high = min(values), median(values), max(values)
            lines.append(f"{figure:<{wide}} {low:>11,.3f} {middle:>11,.3f} {high:>11,.3f}")
        return "\n".join(lines)


def machine() -> str:
    """Describes the cores that the figures were measured on, and the Python version."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def commit() -> str:
    """Returns the commit that was measured, with a + if files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "courier_async"], check=False)
    return head.stdout.strip() + ("+" if changed.returncode else "")
