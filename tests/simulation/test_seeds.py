"""Simulated disasters in virtual time: none loses, invents, resends or wrongly deletes a row."""

from unittest.mock import patch

import pytest

from tests.simulation import modes
from tests.simulation.__main__ import find, shortened
from tests.simulation.planted import BUGS, EVERY_BUG, FOUND_BY, UNPROVED, Bug
from tests.simulation.seed import SeedFailed, run_seed

# Each takes a tenth of a second; `make simulate` runs any others, `make weekly` 100,000.
SEEDS = 120
CHUNK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_seeds_hold_every_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            run_seed(seed)
        except SeedFailed as failed:
            story = "\n".join(shortened(failed.story))
            text = f"{failed}\nrepeat with: make simulate SEEDS={seed}\n{story}"
            pytest.fail(text, pytrace=False)


def test_a_seed_is_the_same_every_time() -> None:
    assert run_seed(3).story == run_seed(3).story


def test_every_planted_bug_has_a_seed_or_a_reason_for_having_none() -> None:
    assert FOUND_BY.keys() | UNPROVED.keys() == EVERY_BUG.keys()
    assert not FOUND_BY.keys() & UNPROVED.keys()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert bug.seed is not None
    if bug.ways is not modes.MODES:
        # The seed must find the bug, not the server's behavior, so it must pass without the bug.
        with patch.object(modes, "MODES", bug.ways):
            run_seed(bug.seed)
    _, seed, _ = find(bug.name, [bug.seed])
    assert seed is not None, f"{bug.name}: seed {bug.seed} no longer finds it"
