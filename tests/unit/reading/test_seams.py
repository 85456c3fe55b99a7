"""Where made-up cursors are probed, where two lanes meet, and where another lane helps."""

from base64 import b64encode

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.reading.lane import LiveLane
from courier_async.reading.seams import (
    SCATTERED,
    SEAM_RECORDS,
    Gap,
    Trail,
    first_names,
    follow,
    has_passed,
    holds,
    places,
    probe_of,
    widest_gap,
    worthwhile_pages,
)
from courier_async.state.position import Lane
from courier_async.state.sent_rows import short_hash
from tests.unit.reading.judged import judged

NOW = 1_794_657_600_000
MINUTE_MS = 60_000


def ids(first: int, count: int) -> list[str]:
    return [f"m{number}" for number in range(first, first + count)]


def minutes(first: int, count: int) -> list[int]:
    return [NOW - number * MINUTE_MS for number in range(first, first + count)]


def trail_of(count: int, *, ended: bool = False, times: list[int] | None = None) -> Trail:
    trail = Trail()
    page = judged(ids(0, count), times or minutes(0, count), next_cursor=None if ended else "n")
    trail.add(page)
    return trail


# -- the probe -----------------------------------------------------------------------------------


def test_a_cursor_is_tried_at_the_latest_place_of_a_whole_page() -> None:
    expected = probe_of(trail_of(20))
    assert expected is not None
    assert expected.time_ms == NOW - 9 * MINUTE_MS
    assert expected.keys == [(id_,) for id_ in ids(9, 11)]
    assert expected.more


def test_a_trail_that_has_ended_needs_no_record_behind_the_page() -> None:
    expected = probe_of(trail_of(20, ended=True))
    assert expected is not None
    assert expected.time_ms == NOW - 10 * MINUTE_MS
    assert not expected.more


def test_a_short_trail_has_no_place_for_a_probe() -> None:
    assert probe_of(trail_of(SEAM_RECORDS + 1)) is None
    assert probe_of(trail_of(SEAM_RECORDS + 2)) is not None


def test_no_cursor_is_tried_amid_records_of_one_time_or_out_of_order() -> None:
    one_time = minutes(0, 5) + [NOW - 9 * MINUTE_MS] * 15
    expected = probe_of(trail_of(20, times=one_time))
    assert expected is not None
    assert expected.keys == [(id_,) for id_ in ids(5, 15)]
    newest_last = [*minutes(1, 19), NOW]
    assert probe_of(trail_of(20, times=newest_last)) is None


def test_a_record_dated_back_keeps_no_cursor_from_being_tried_below_it() -> None:
    dated_back = [NOW, NOW - 40 * DAY_MS, *minutes(2, 18)]
    expected = probe_of(trail_of(20, times=dated_back))
    assert expected is not None
    assert expected.time_ms == NOW - 9 * MINUTE_MS


def test_a_record_that_stands_on_two_pages_keeps_no_cursor_from_being_believed() -> None:
    trail = Trail()
    trail.add(judged(ids(0, 10), minutes(0, 10)))
    trail.add(judged(ids(9, 11), minutes(9, 11)))
    expected = probe_of(trail)
    assert expected is not None
    assert expected.keys == [(id_,) for id_ in ids(9, 11)]
    assert holds(expected, judged([*ids(9, 5), *ids(13, 7)]))


def test_a_seam_is_met_though_one_of_its_records_stands_on_two_pages() -> None:
    upper, lower = upper_lane(), lower_lane()
    upper.seam_met = follow(upper, lower, judged(ids(45, 8), minutes(45, 8)))
    met = follow(upper, lower, judged(ids(52, 10), minutes(52, 10)))
    assert met == SEAM_RECORDS


def test_no_cursor_is_tried_where_records_come_oldest_first() -> None:
    assert probe_of(trail_of(20, times=[NOW + n * 2 * HOUR_MS for n in range(20)])) is None


def test_only_the_last_records_of_a_walk_are_kept_as_its_trail() -> None:
    trail = Trail()
    for page in range(30):
        trail.add(judged(ids(page * 10, 10), minutes(page * 10, 10)))
    assert trail.keys == [(id_,) for id_ in ids(240, 60)]
    assert trail.times == minutes(240, 60)


def test_a_probe_holds_where_the_very_same_records_come() -> None:
    expected = probe_of(trail_of(20))
    assert expected is not None
    assert holds(expected, judged(ids(9, 10)))
    assert holds(expected, judged(ids(9, 25)))


def test_a_probe_holds_where_a_few_records_have_become_visible_since() -> None:
    expected = probe_of(trail_of(20))
    assert expected is not None
    assert holds(expected, judged([*ids(9, 4), "late", *ids(13, 5)]))
    assert holds(expected, judged(["late", *ids(9, 9)]))
    # Entirely different records, or every third one.
    assert not holds(expected, judged([*ids(9, 4), *ids(500, 6)]))
    assert not holds(expected, judged(ids(9, 30)[::3]))


@pytest.mark.parametrize(
    ("first", "count", "next_cursor"),
    [(0, 10, "n"), (8, 10, "n"), (9, 9, "n"), (9, 10, None)],
    ids=["the head", "one too high", "too few", "no more"],
)
def test_a_probe_does_not_hold_where_anything_else_comes(
    first: int, count: int, next_cursor: str | None
) -> None:
    expected = probe_of(trail_of(20))
    assert expected is not None
    assert not holds(expected, judged(ids(first, count), next_cursor=next_cursor))


def test_a_probe_holds_where_some_of_its_records_come_unusable() -> None:
    expected = probe_of(trail_of(20))
    assert expected is not None
    # The missing records had been read, or were unusable then too.
    assert holds(expected, judged([*ids(9, 4), *ids(14, 5)], gaps=[0]))
    assert holds(expected, judged(ids(9, 9), gaps=[0]))
    assert holds(expected, judged(ids(9, 5), gaps=[0] * 5))
    assert holds(expected, judged([*ids(9, 10)], gaps=[0], next_cursor="n"))
    # Too few, more records missing than unusable, or nearly all unusable.
    assert not holds(expected, judged(ids(9, 8), gaps=[0]))
    assert not holds(expected, judged([*ids(9, 4), *ids(15, 5)], gaps=[0]))
    assert not holds(expected, judged(ids(9, 4), gaps=[0] * 6))
    assert not holds(expected, judged(ids(9, 9), gaps=[0], next_cursor=None))


# -- where two lanes meet ------------------------------------------------------------------------


def lower_lane() -> LiveLane:
    """Returns a lane from a cursor made up for the record m50."""
    first = first_names(judged(ids(50, 10)), ())
    begins_at = NOW - 50 * MINUTE_MS
    return LiveLane(Lane(started_at=NOW, begins_at=begins_at, newest=begins_at, first=first))


def upper_lane(seam_met: int = 0) -> LiveLane:
    return LiveLane(Lane(started_at=NOW, cursor="c"), seam_met=seam_met)


def test_the_first_names_of_a_lane_are_gathered_over_its_first_pages() -> None:
    names = first_names(judged(ids(0, 4)), ())
    assert names == tuple(b64encode(short_hash((id_,))).decode() for id_ in ids(0, 4))
    assert len(first_names(judged(ids(4, 10)), names)) == SEAM_RECORDS


def test_lanes_meet_where_the_first_records_follow_one_another_over_two_pages() -> None:
    upper, lower = upper_lane(), lower_lane()
    upper.seam_met = follow(upper, lower, judged(ids(46, 10), minutes(46, 10)))
    assert upper.seam_met == 6
    assert follow(upper, lower, judged(ids(56, 10), minutes(56, 10))) == SEAM_RECORDS


def test_a_record_in_between_begins_the_meeting_anew() -> None:
    upper, lower = upper_lane(seam_met=6), lower_lane()
    page = judged(["other", *ids(56, 4)], minutes(56, 5))
    assert follow(upper, lower, page) == 0
    page = judged(["other", *ids(50, 3)], minutes(50, 4))
    assert follow(upper, lower, page) == 3


def test_a_lane_whose_first_records_are_too_few_is_met_by_nothing() -> None:
    upper, lower = upper_lane(), lower_lane()
    lower.saved = Lane(started_at=NOW, begins_at=NOW, first=lower.saved.first[:-1])
    assert follow(upper, lower, judged(ids(50, 10), minutes(50, 10))) == 0


def test_a_page_wholly_newer_than_where_a_lane_begins_does_not_meet_it() -> None:
    upper, lower = upper_lane(), lower_lane()
    too_new = [NOW + 2 * HOUR_MS] * 10
    assert follow(upper, lower, judged(ids(50, 10), too_new)) == 0


def test_a_lane_has_been_passed_once_a_page_lies_an_hour_below_its_beginning() -> None:
    lower = lower_lane()
    lower.opened = True
    border = NOW - 50 * MINUTE_MS - HOUR_MS
    assert not has_passed(upper_lane(), lower, judged(["a"], [border]))
    assert has_passed(upper_lane(), lower, judged(["a"], [border - 1]))
    assert not has_passed(upper_lane(seam_met=1), lower, judged(["a"], [border - 1]))
    assert not has_passed(upper_lane(), lower, judged(["a"]))


# -- where another lane is of use ----------------------------------------------------------------


def lane_at(top_days: float, bottom_days: float, *, begins: bool = False) -> LiveLane:
    """Returns a lane that has read from one age down to another, an hour a page."""
    top, bottom = NOW - round(top_days * DAY_MS), NOW - round(bottom_days * DAY_MS)
    begins_at = top if begins else None
    lane = LiveLane(
        Lane(started_at=NOW, cursor="c", newest=top, oldest=bottom, begins_at=begins_at)
    )
    for number in range(3):
        newest = bottom + (3 - number) * HOUR_MS
        lane.note_density(judged(["a", "b"], [newest, newest - HOUR_MS]))
    return lane


def test_the_widest_gap_is_the_one_with_the_most_pages() -> None:
    lanes = [lane_at(0, 1), lane_at(3, 4, begins=True)]
    gap = widest_gap(lanes, NOW - 9 * DAY_MS, 24)
    assert gap is not None
    assert (gap.top, gap.bottom) == (NOW - 4 * DAY_MS, NOW - 9 * DAY_MS)
    assert gap.pages == pytest.approx(120)
    gap = widest_gap(lanes, NOW - 5 * DAY_MS, 24)
    assert gap is not None
    assert (gap.top, gap.bottom) == (NOW - DAY_MS, NOW - 3 * DAY_MS)
    assert gap.pages == pytest.approx(48)


def test_a_gap_that_is_not_worth_a_lane_gets_none() -> None:
    lanes = [lane_at(0, 1)]
    assert widest_gap(lanes, NOW - 2 * DAY_MS, 24) is not None
    assert widest_gap(lanes, NOW - 2 * DAY_MS, 25) is None


@pytest.mark.parametrize("ends", ["done", "stuck"])
def test_below_a_lane_that_goes_no_further_there_is_no_gap(ends: str) -> None:
    lane = lane_at(0, 1)
    setattr(lane, ends, True)
    assert widest_gap([lane], NOW - 9 * DAY_MS, 1) is None


def test_a_lane_without_a_known_density_has_no_gap_yet() -> None:
    lane = LiveLane(Lane(started_at=NOW, cursor="c", oldest=NOW))
    assert widest_gap([lane], NOW - 9 * DAY_MS, 1) is None


def test_small_gaps_get_a_lane_only_where_much_has_been_read() -> None:
    assert worthwhile_pages(120, 4) == 36
    assert worthwhile_pages(121, 4) == 3
    assert worthwhile_pages(320, 32) == 24


def test_a_short_reading_gets_no_lane_at_all() -> None:
    assert worthwhile_pages(3, 0) == 40


def test_a_lane_begins_in_the_middle_of_a_gap() -> None:
    gap = Gap(NOW - 10 * DAY_MS, NOW - 20 * DAY_MS, 100)
    assert places(gap, NOW) == [NOW - 15 * DAY_MS]


def test_in_a_vast_gap_several_lanes_begin_each_as_many_times_older() -> None:
    top, bottom = NOW - DAY_MS, NOW - 512 * DAY_MS
    ages = [NOW - place for place in places(Gap(top, bottom, 1000), NOW)]
    assert len(ages) == SCATTERED
    assert [round(age / DAY_MS) for age in ages] == [2, 4, 8, 16, 32, 64, 128, 256]
