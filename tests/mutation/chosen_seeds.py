"""Simulated seeds for the mutation run, few enough to run for each mutant still alive."""

import pytest

from tests.simulation.seed import run_seed

# The first seeds that find planted bugs (tests/simulation/planted.py).
SEEDS = (0, 1, 2, 3, 4, 5, 7, 9, 11, 24, 27, 35, 50, 80)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_holds_every_invariant(seed: int) -> None:
    run_seed(seed)
