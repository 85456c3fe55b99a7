"""Bugs that a careless change could make, each as a small patch of the real code.

A simulation that finds none of them proves nothing. `BUGS` names each; for which seed is known
to find it see FOUND_BY; tests/simulation/test_seeds.py holds the simulation to that.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulation import planted_reading, planted_requests, planted_state

Patches = Iterator[Any]
# The seed that is tried first; without one, or where it finds nothing, the others follow.
FOUND_BY: dict[str, int] = {}


@dataclass(frozen=True)
class Bug:
    """name: as issues call it. plant: patches to be entered. seeds: one of them finds it."""

    name: str
    plant: Callable[[], Patches]
    first: int | None = None

    @property
    def seeds(self) -> list[int]:
        first = [] if self.first is None else [self.first]
        return [*first, *(seed for seed in range(200) if seed != self.first)]

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for one in self.plant():
                stack.enter_context(one)
            yield


BUGS = tuple(
    Bug(name.replace("_", " "), plant, FOUND_BY.get(name))
    for module in (planted_state, planted_reading, planted_requests)
    for name, plant in vars(module).items()
    if callable(plant)
    and getattr(plant, "__annotations__", {}).get("return") is planted_state.Patches
    and not name.startswith("_")
)
