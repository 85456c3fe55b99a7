"""What a measurement hands back: ratios, each taken several times, and at times a curve."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """values: one a repetition. goal: what the project asks of it, as "<= 1.08"; "" for none."""

    case: str
    what: str
    values: tuple[float, ...]
    goal: str = ""

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the goal; None where there is none."""
        if not self.goal:
            return None
        sign, _, bound = self.goal.partition(" ")
        return self.middle <= float(bound) if sign == "<=" else self.middle >= float(bound)


@dataclass(slots=True)
class Result:
    """One measurement. curves: name -> points (x, y), drawn as a chart of their own."""

    name: str
    title: str
    note: str
    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    axes: tuple[str, str] = ("", "")

    def add(self, case: str, what: str, values: list[float], goal: str = "") -> None:
        self.figures.append(Figure(case, what, tuple(values), goal))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. quota: share of one core that the measured process may use."""

    repeats: int = 3
    quick: bool = False
    quota: float | None = None


def machine() -> str:
    """The cores that the figures were taken on, and the Python that ran on them."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
