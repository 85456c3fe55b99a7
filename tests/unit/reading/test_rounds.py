"""The order in which the parents of a round are read, and how far the round has got."""

import pytest

from courier_async.reading.first_failures import AT_ONCE
from courier_async.reading.rounds import Progress
from courier_async.state.position import Round

IDS = [f"{number:04d}" for number in range(2_000)]


def test_owed_parents_come_first_and_none_comes_twice() -> None:
    work = Progress([IDS[7], "not in this round"], IDS).work()
    assert work[:2] == [IDS[7], "not in this round"]
    assert sorted(work) == sorted([*IDS, "not in this round"])


def test_some_from_all_over_the_round_come_early() -> None:
    early = Progress([], IDS).work()[: 2 * AT_ONCE]
    assert early[:AT_ONCE] == IDS[:AT_ONCE]
    assert all(any(one in early for one in IDS[at : at + 100]) for at in range(0, 2_000, 100))


@pytest.mark.parametrize("parents_a_sync", [1, 20, AT_ONCE, 64])
def test_a_round_moves_on_in_syncs_that_die_early(parents_a_sync: int) -> None:
    current, syncs = Round(began=0), 0
    while not current.over:
        progress = Progress([], [one for one in IDS if one > current.done_to])
        for one in progress.work()[:parents_a_sync]:
            current = progress.advanced(current, one) or current
        syncs += 1
    assert syncs <= 2 * -(-len(IDS) // parents_a_sync)
