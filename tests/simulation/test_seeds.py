"""Simulated disasters, in virtual time: none loses, invents, resends or wrongly deletes a row."""

import pytest

from tests.simulation.__main__ import find, shortened
from tests.simulation.planted import BUGS, Bug
from tests.simulation.seed import SeedFailed, run_seed

# About a third of a second each; `make simulate` runs any others.
SEEDS = 240
CHUNK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_seeds_hold_every_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            run_seed(seed)
        except SeedFailed as failed:
            story = "\n".join(shortened(failed.story))
            pytest.fail(f"{failed}\nagain: make simulate SEEDS={seed}\n{story}", pytrace=False)


def test_a_seed_is_the_same_every_time() -> None:
    assert run_seed(3).story == run_seed(3).story


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    name, seed, _ = find(bug.name, bug.seeds)
    assert seed is not None, f"{name}: found by none of the first 200 seeds"
