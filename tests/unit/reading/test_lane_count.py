"""How many lanes are active: as many as keep the rate in use."""

import pytest

from courier_async.reading.lane_count import MOST_LANES, LaneCount


def test_a_number_that_is_set_stays() -> None:
    count = LaneCount(3)
    count.answered(per_second=1000, seconds=5)
    assert count.wanted == 3


def test_eight_lanes_begin() -> None:
    assert LaneCount(None).wanted == 8


@pytest.mark.parametrize(
    ("per_second", "seconds", "wanted"), [(50, 0.5, 29), (200, 0.125, 29), (1, 0.1, 3)]
)
def test_the_rate_times_the_time_of_an_answer_and_a_few_more_are_wanted(
    per_second: float, seconds: float, wanted: int
) -> None:
    count = LaneCount(None)
    for _ in range(20):
        count.answered(per_second=per_second, seconds=seconds)
    assert count.wanted == wanted


def test_no_more_than_the_most_are_wanted() -> None:
    count = LaneCount(None)
    count.answered(per_second=1000, seconds=60)
    assert count.wanted == MOST_LANES


def test_a_server_at_its_limit_gets_no_further_lanes() -> None:
    count = LaneCount(None)
    for _ in range(8):
        count.answered(per_second=100, seconds=0.1)
    for _ in range(200):
        count.answered(per_second=100, seconds=10)
    assert count.wanted == 35, "as for three times the first answers"


def test_a_rate_that_is_cut_wants_fewer_lanes_at_once() -> None:
    count = LaneCount(None)
    count.answered(per_second=100, seconds=0.5)
    before = count.wanted
    count.answered(per_second=10, seconds=0.5)
    assert (before, count.wanted) == (56, 8)


def test_one_slow_answer_changes_little() -> None:
    count = LaneCount(None)
    for _ in range(50):
        count.answered(per_second=100, seconds=0.1)
    count.answered(per_second=100, seconds=0.2)
    assert count.wanted == 14
