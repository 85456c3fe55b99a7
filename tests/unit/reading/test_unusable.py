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


def page(*ages_hours: int, unusable: int = 0, **more: Any) -> JudgedPage:
    """Returns a page of records of these ages, newest first."""
    times = [NOW - age * HOUR_MS for age in ages_hours]
    ids = [str(age) for age in ages_hours]
    return judged(ids, times, unusable=unusable, **{"next_cursor": OPAQUE, **more})


def a_lane() -> LiveLane:
    return LiveLane(Lane(started_at=NOW))


def records(table: str = "message", saved: tuple[Unusable, ...] = ()) -> UnusableRecords:
    return UnusableRecords(BY_TABLE[table], saved)


def hours(age: int) -> int:
    return NOW - age * HOUR_MS


def met(time: int) -> Unusable:
    """On a first page, which may hold anything up to now."""
    return Unusable(time, NOW, NOW + HOUR_MS)


def test_in_a_walk_without_an_order_their_neighbours_bound_no_time() -> None:
    unusable = records()
    assert unusable.without_order(READ, NOW) == READ
    state = unusable.note(a_lane(), page(1, 2, unusable=1), READ, NOW)
    assert state.unusable == (met(hours(2)),)
    state = unusable.without_order(state, NOW)
    assert state.unusable == (met(0),)
    assert unusable.met == (met(0),)


def test_pages_without_such_records_are_of_no_concern() -> None:
    unusable, lane = records(), a_lane()
    assert not unusable.affects(lane, page(1))
    assert unusable.affects(lane, page(1, unusable=1))
    assert not unusable.met


def test_one_among_others_is_as_old_as_the_oldest_of_its_page() -> None:
    unusable, lane = records(), a_lane()
    state = unusable.note(lane, page(1, 5, 3, unusable=1), READ, NOW)
    assert state == StreamState(read_at=1, unusable=(met(hours(5)),))
    assert unusable.met == (met(hours(5)),)
    # The next page has nothing to bound.
    assert not unusable.affects(lane, page(9))
    # The oldest time is kept, and the time when the first was met.
    for age in (6, 4):
        state = unusable.note(lane, page(age, unusable=1), state, NOW)
    assert state.unusable == (met(hours(6)),)
    assert unusable.met == (met(hours(6)),)


def test_one_that_comes_last_is_as_old_as_the_cursor_behind_it() -> None:
    unusable, lane = records(), a_lane()
    told = page(1, unusable=1, ends_unusable=True, next_cursor=message_cursor_at(hours(8)))
    assert unusable.note(lane, told, READ, NOW).unusable == (met(hours(8)),)
    assert unusable.met == (met(hours(8)),)
    assert not unusable.affects(lane, page(9))


def test_one_at_the_end_of_the_listing_may_be_of_any_age() -> None:
    last = page(1, unusable=1, ends_unusable=True, next_cursor=None)
    assert records().note(a_lane(), last, READ, NOW).unusable == (met(0),)


def test_one_that_comes_last_is_else_bounded_by_the_next_page_of_its_lane() -> None:
    unusable, lane, other = records(), a_lane(), a_lane()
    state = unusable.note(lane, page(2, unusable=1, ends_unusable=True), READ, NOW)
    # If the sync died now, its state would have no bound.
    assert state.unusable == (met(0),)
    assert not unusable.affects(other, page(3))
    assert not unusable.affects(lane, page())
    assert unusable.affects(lane, page(5, 9))
    state = unusable.note(lane, page(5, 9), state, NOW)
    assert state.unusable == (met(hours(5)),)
    assert unusable.met == (met(hours(5)),)
    assert not unusable.affects(lane, page(10))


def test_while_one_lane_waits_for_its_next_page_no_bound_is_known() -> None:
    unusable, lane, other = records(), a_lane(), a_lane()
    ends = page(2, unusable=1, ends_unusable=True)
    state = unusable.note(lane, ends, READ, NOW)
    state = unusable.note(other, ends, state, NOW)
    state = unusable.note(lane, page(5), state, NOW)
    assert state.unusable == (met(0),)
    # A walk that has ended no longer waits for any of them.
    assert unusable.bounded(state).unusable == (met(hours(5)),)
    state = unusable.note(other, page(4), state, NOW)
    assert state.unusable == (met(hours(5)),)


def test_a_page_may_bound_the_one_before_it_and_end_with_another() -> None:
    unusable, lane = records(), a_lane()
    ends = page(2, unusable=1, ends_unusable=True)
    state = unusable.note(lane, ends, READ, NOW)
    state = unusable.note(lane, page(5, 7, unusable=1, ends_unusable=True), state, NOW)
    assert unusable.affects(lane, page(8))
    assert unusable.bounded(state).unusable == (met(hours(7)),)


def test_what_an_earlier_sync_has_met_is_kept() -> None:
    known = Unusable(hours(50), NOW - DAY_MS)
    unusable = records(saved=(known,))
    assert unusable.bounded(READ).unusable == (known,)
    state = unusable.note(a_lane(), page(2, unusable=1), READ, NOW)
    assert state.unusable == (known,)
    assert unusable.met == (met(hours(2)),)


def test_of_a_stream_without_times_they_may_be_as_young_as_now() -> None:
    unusable, lane = records("list"), a_lane()
    ends = judged(["a"], unusable=1, ends_unusable=True)
    assert unusable.note(lane, ends, READ, NOW).unusable == (met(NOW),)
    assert not unusable.affects(lane, judged(["b"]))
