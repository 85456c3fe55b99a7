"""How far down unusable records may stand, judged by the records around them."""

from typing import Any

from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.unusable import UnusableRecords
from courier_async.state.position import Lane, StreamState, Unusable
from tests.unit.reading.judged import judged

NOW = 1_794_657_600_000
OPAQUE = "a cursor that tells no time"
READ = StreamState(read_at=1)


def page(*ages_hours: int | None, **more: Any) -> JudgedPage:
    """Returns a page of records of these ages, newest first. None: one that is unusable."""
    ages = [age for age in ages_hours if age is not None]
    gaps = [
        sum(age is not None for age in ages_hours[:at])
        for at, age in enumerate(ages_hours)
        if age is None
    ]
    times = [NOW - age * HOUR_MS for age in ages]
    return judged([str(age) for age in ages], times, gaps=gaps, **{"next_cursor": OPAQUE, **more})


def a_lane(**fields: Any) -> LiveLane:
    return LiveLane(Lane(started_at=NOW, **fields))


def records(table: str = "message", saved: tuple[Unusable, ...] = ()) -> UnusableRecords:
    return UnusableRecords(BY_TABLE[table], saved)


def hours(age: int) -> int:
    return NOW - age * HOUR_MS


def met(oldest: int, newest: int = 0) -> Unusable:
    """Between records of these ages in hours."""
    return Unusable(hours(oldest), NOW, hours(newest))


ANYWHERE = Unusable(0, NOW, NOW)


def test_in_a_walk_without_an_order_their_neighbours_bound_no_time() -> None:
    unusable = records()
    assert unusable.without_order(READ, NOW) == READ
    state = unusable.note(a_lane(), page(1, None, 2), READ, NOW)
    assert state.unusable == (met(2, 1),)
    state = unusable.without_order(state, NOW)
    assert state.unusable == (met(2, 1), ANYWHERE)
    assert unusable.met == (ANYWHERE,)


def test_pages_without_such_records_are_of_no_concern() -> None:
    unusable, lane = records(), a_lane()
    assert not unusable.affects(lane, page(1))
    assert unusable.affects(lane, page(1, None))
    assert not unusable.met


def test_one_lies_between_its_neighbours_of_which_one_on_each_side_may_be_oddly_dated() -> None:
    unusable, lane = records(), a_lane()
    state = unusable.note(lane, page(1, 5, 6, None, 7, 8, 20), READ, NOW)
    assert state == StreamState(read_at=1, unusable=(met(8, 5),))
    assert unusable.met == (met(8, 5),)
    # The next page has nothing to bound.
    assert not unusable.affects(lane, page(29))
    for odd in (page(5, 900, None, 7, 8), page(5, 6, None, -9, 8)):
        (span,) = records().note(lane, odd, READ, NOW).unusable
        assert span.time <= hours(8)
        assert span.newest >= hours(5)


def test_each_gap_of_a_page_counts_and_those_that_touch_are_one() -> None:
    dense = records().note(a_lane(), page(1, 2, None, None, 3, None, 4, 5), READ, NOW)
    assert dense.unusable == (met(5, 1),)
    sparse = page(10, 20, None, 30, 40, 110, 120, None, 130, 140)
    assert records().note(a_lane(), sparse, READ, NOW).unusable == (met(40, 10), met(140, 110))


def test_one_that_comes_first_is_older_than_what_its_lane_has_read() -> None:
    first = page(None, 7, 8)
    assert records().note(a_lane(), first, READ, NOW).unusable == (met(8),)
    made_up = a_lane(begins_at=hours(6))
    assert records().note(made_up, first, READ, NOW).unusable == (met(8, 6),)
    resumed = a_lane(oldest=hours(5))
    assert records().note(resumed, first, READ, NOW).unusable == (met(8, 5),)
    for read in (page(2, 3), page(3, 4)):
        resumed.note_density(read)
    assert records().note(resumed, first, READ, NOW).unusable == (met(8, 4),)


def test_one_that_comes_first_may_be_as_young_as_the_youngest_on_its_page() -> None:
    lane = a_lane()
    lane.note_density(page(2, 4))
    unordered = page(None, 7, 8, 3)
    assert records().note(lane, unordered, READ, NOW).unusable == (met(8, 3),)


def test_one_that_comes_last_is_as_old_as_the_cursor_behind_it() -> None:
    unusable, lane = records(), a_lane()
    told = page(1, None, next_cursor=message_cursor_at(hours(8)))
    assert unusable.note(lane, told, READ, NOW).unusable == (met(8, 1),)
    assert unusable.met == (met(8, 1),)
    assert not unusable.affects(lane, page(9))


def test_one_at_the_end_of_the_listing_may_be_of_any_age() -> None:
    (span,) = records().note(a_lane(), page(1, None, next_cursor=None), READ, NOW).unusable
    assert span == Unusable(0, NOW, hours(1))


def test_one_that_comes_last_is_else_bounded_by_the_next_page_of_its_lane() -> None:
    unusable, lane, other = records(), a_lane(), a_lane()
    state = unusable.note(lane, page(2, None), READ, NOW)
    # If the sync died now, its state would have no bound.
    assert state.unusable == (ANYWHERE,)
    lane.note_density(page(2))
    assert not unusable.affects(other, page(3))
    assert not unusable.affects(lane, page())
    assert unusable.affects(lane, page(5, 9))
    state = unusable.note(lane, page(5, 9), state, NOW)
    assert state.unusable == (met(9, 2),)
    assert unusable.met == (met(9, 2),)
    assert not unusable.affects(lane, page(10))


def test_while_one_lane_waits_for_its_next_page_no_bound_is_known() -> None:
    unusable, lane, other = records(), a_lane(), a_lane()
    state = unusable.note(lane, page(2, None), READ, NOW)
    state = unusable.note(other, page(20, None), state, NOW)
    lane.note_density(page(2))
    state = unusable.note(lane, page(5), state, NOW)
    assert state.unusable == (met(5, 2), ANYWHERE)
    # A walk that has ended no longer waits for any of them.
    behind = Unusable(hours(20) - 1, NOW, hours(20))
    assert unusable.bounded(state).unusable == (met(5, 2), behind)


def test_a_page_may_bound_the_one_before_it_and_end_with_another() -> None:
    unusable, lane = records(), a_lane()
    state = unusable.note(lane, page(2, None), READ, NOW)
    lane.note_density(page(2))
    state = unusable.note(lane, page(5, 7, None), state, NOW)
    assert unusable.affects(lane, page(8))
    assert state.unusable == (met(7, 2), ANYWHERE)
    # No page follows.
    behind = met(7, 2)._replace(time=hours(7) - 1)
    assert unusable.bounded(state).unusable == (behind,)


def test_one_behind_the_last_page_of_a_walk_is_the_same_as_with_the_page_that_follows() -> None:
    known = Unusable(hours(30), NOW - 20 * DAY_MS, hours(20))
    unusable, lane = records(saved=(known,)), a_lane()
    state = unusable.note(lane, page(10, 20, None), READ, NOW)
    assert unusable.bounded(state).unusable == (known,)


def test_what_an_earlier_sync_has_met_is_kept() -> None:
    known = Unusable(hours(50), NOW - DAY_MS)
    unusable = records(saved=(known,))
    assert unusable.bounded(READ).unusable == (known,)
    state = unusable.note(a_lane(), page(2, None, 3), READ, NOW)
    assert state.unusable == (known,)
    assert unusable.met == (met(3, 2),)


def test_a_neighbour_dated_ahead_makes_none_younger_than_now() -> None:
    unusable = records()
    state = unusable.note(a_lane(), page(-300, None, 5), READ, NOW)
    assert state.unusable == (Unusable(hours(5), NOW, NOW),)
    unusable = records()
    state = unusable.note(a_lane(), page(2, -300, None), READ, NOW)
    assert unusable.bounded(state).unusable == (Unusable(hours(2) - 1, NOW, NOW),)


def test_of_a_stream_without_times_they_may_be_as_young_as_now() -> None:
    unusable, lane = records("list"), a_lane()
    state = unusable.note(lane, judged(["a"], gaps=[1]), READ, NOW)
    assert state.unusable == (met(0),)
    assert not unusable.affects(lane, judged(["b"]))
