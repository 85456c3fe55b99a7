"""What lanes that are no longer read claim to have read."""

import pytest

from courier_async.catalog.stream import HOUR_MS
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.state.plan import Depth
from courier_async.state.position import Lane, Reading, Renewal

NOW = 1_794_657_600_000
DEPTH = Depth(lookback_ms=0, overlap_ms=HOUR_MS)


@pytest.mark.parametrize(
    ("ages_hours", "claims"), [((5, 6, 7), True), ((7, 7, 7), False), ((1, 2, 3, 9, 8, 7), True)]
)
def test_a_dropped_lane_claims_what_it_read_only_if_its_pages_show_an_order(
    ages_hours: tuple[int, ...], claims: bool
) -> None:
    lane = LiveLane(Lane(started_at=NOW, cursor="c", oldest=NOW - 7 * HOUR_MS))
    for age in ages_hours:
        lane.order.add(NOW - age * HOUR_MS)
    lanes = LaneSet(lane, DEPTH)
    lanes.insert_head(LiveLane(Lane(started_at=NOW)))
    lanes.drop([lane])
    assert lanes.given_up == ([Reading(NOW, NOW - 6 * HOUR_MS)] if claims else [])


@pytest.mark.parametrize(("renewed_at", "becomes"), [(-1, -1), (5, 2), (9, 2), (10, 10)])
def test_an_earlier_start_moves_the_renewals_of_this_walk_back_but_none_from_the_future(
    renewed_at: int, becomes: int
) -> None:
    lane = LiveLane(Lane(started_at=NOW + 9, renewed=Renewal(NOW + renewed_at, NOW)))
    LaneSet(lane, DEPTH).cap_starts(NOW + 2, before=NOW + 9)
    assert lane.saved.started_at == NOW + 2
    assert lane.saved.renewed == Renewal(NOW + becomes, NOW)
