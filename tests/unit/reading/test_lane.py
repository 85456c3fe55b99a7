"""Where a lane stands, and when its cursor is renewed."""

from msgspec.structs import replace

from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.state.plan import Depth, Plan
from courier_async.state.position import Lane, Renewal
from tests.unit.reading.judged import judged

NOW = 1_794_657_600_000


def live(cursor: str | None = "c") -> LiveLane:
    return LiveLane(Lane(started_at=NOW, cursor=cursor))


def test_a_lane_stands_where_its_cursor_says_or_else_where_it_has_surely_read() -> None:
    assert live(message_cursor_at(NOW - DAY_MS)).place == NOW - DAY_MS
    opaque = live("opaque")
    assert opaque.place == -1
    opaque.saved = Lane(started_at=NOW, cursor="opaque", oldest=NOW - HOUR_MS)
    assert opaque.place == NOW - HOUR_MS


def test_an_odd_time_on_one_page_does_not_move_a_lane_down() -> None:
    lane = live()
    for hours in (1, 2, 500, 3):
        lane.note_place(judged(["a"], [NOW - hours * HOUR_MS]))
    assert lane.saved.oldest == NOW - 2 * HOUR_MS
    assert lane.saved.newest == NOW - HOUR_MS


def test_a_lane_shortly_above_the_end_of_another_is_not_beyond_it_whatever_its_last_record() -> (
    None
):
    """The last record may stand alone on the last page, with an odd time."""

    def read(keys: list[str], hours: list[int]) -> LiveLane:
        lane = live()
        for key, hour in zip(keys, hours, strict=True):
            lane.note_place(judged([key], [NOW - hour * HOUR_MS]))
            lane.tail.append((key,))
        return lane

    ended = read(["a", "b", "c", "last"], [1, 2, 3, -500])
    assert not read(["a", "b", "c"], [1, 2, 3]).is_beyond(ended)
    assert not read(["above"], [0]).is_beyond(ended)
    assert read(["below"], [4]).is_beyond(ended)
    assert not live().is_beyond(ended)
    assert not ended.is_beyond(live())


def test_a_record_from_the_future_does_not_hide_what_comes_until_then() -> None:
    lane = live()
    lane.note_place(judged(["a"], [NOW + DAY_MS]))
    assert lane.saved.newest == NOW


def test_a_page_covers_as_much_time_as_the_last_few_did() -> None:
    lane = live()
    assert lane.page_ms() is None
    for hour in range(20):
        top = NOW - hour * HOUR_MS
        lane.note_density(judged(["a", "b"], [top, top - HOUR_MS]))
    assert lane.page_ms() == HOUR_MS


def test_a_cursor_of_an_earlier_sync_is_renewed_once_a_day() -> None:
    lane = live()
    lane.is_saved_cursor = True
    assert lane.may_renew(NOW)
    lane.renew_at("other", now=NOW)
    lane.is_saved_cursor = True
    assert not lane.may_renew(NOW + DAY_MS - 1)
    assert lane.may_renew(NOW + DAY_MS)


def test_a_cursor_of_this_sync_is_renewed_while_that_gets_further_down() -> None:
    lane = live(message_cursor_at(NOW))
    assert lane.may_renew(NOW)
    lane.renew_at(message_cursor_at(NOW), now=NOW)
    assert not lane.may_renew(NOW)
    lane.saved = replace(lane.saved, cursor=message_cursor_at(NOW - 1))
    assert lane.may_renew(NOW)
    # The next sync knows about it.
    lane.is_saved_cursor = True
    assert lane.may_renew(NOW + HOUR_MS)


def test_a_saved_cursor_is_renewed_on_the_way_down_to_the_place_that_failed() -> None:
    lane = live(message_cursor_at(NOW))
    lane.saved = replace(lane.saved, renewed=Renewal(NOW, NOW - DAY_MS))
    assert not lane.may_renew(NOW + HOUR_MS)
    lane.is_saved_cursor = True
    assert lane.may_renew(NOW + HOUR_MS)


def two_lanes() -> tuple[LaneSet, LiveLane, LiveLane]:
    """Returns a head lane and one below it, neither of which has read a page."""
    head = live()
    lanes = LaneSet(head, Depth(lookback_ms=0, overlap_ms=0))
    lanes.begin(Plan(lanes=(Lane(started_at=NOW, cursor="d"),), due=(None,), bound=0))
    return lanes, head, lanes.last


def read(lane: LiveLane, *hours: int, keys: list[str] | None = None) -> None:
    """Reads a page of records that are this many hours old."""
    names = keys or [str(hour) for hour in hours]
    page = judged(names, [NOW - hour * HOUR_MS for hour in hours])
    lane.note_density(page)
    lane.note_place(page)
    lane.tail += page.keys


def test_a_lane_whose_last_page_overlaps_the_end_above_it_has_read_older_by_its_last_record() -> (
    None
):
    lanes, head, lower = two_lanes()
    read(head, 8, 9)
    read(lower, *range(1, 10))
    assert not lanes.lower_have_read_older(head)
    read(lower, 10)
    assert lanes.lower_have_read_older(head)


def test_a_last_record_that_is_listed_twice_does_not_hide_that_a_lane_has_read_older_ones() -> (
    None
):
    lanes, head, lower = two_lanes()
    read(head, 8, 9)
    read(lower, 10, 11, 12, keys=["10", "11", "9"])
    assert lanes.lower_have_read_older(head)
