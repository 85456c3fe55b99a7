"""What a walk leaves in the state: how far it read, in what order, and what was unusable."""

from typing import Any

import pytest
from msgspec.structs import replace

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.lane import LiveLane
from courier_async.reading.outcome import (
    ended_state,
    not_too_many,
    with_given_up,
    with_missed,
    with_unusable,
    without_seen,
)
from courier_async.state.plan import INDEX_LAG_MS, Depth
from courier_async.state.position import (
    Lane,
    MissedChildren,
    Missing,
    Reading,
    StreamState,
    Unusable,
)

NOW = 1_794_657_600_000
LOOKBACK = 30 * DAY_MS
DEPTH = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS)
SINCE = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=NOW - 9 * DAY_MS)
MET = Unusable(NOW - 5 * DAY_MS, NOW - DAY_MS)
DOWNWARDS = tuple(NOW - day * DAY_MS for day in range(8))


def head(
    *medians: int, newest: int | None = NOW - 1, reached: int = 0, ended: bool = True
) -> LiveLane:
    """Returns a lane that has read down to `reached`, with pages of these median times."""
    lane = LiveLane(Lane(started_at=NOW, newest=newest), reached=reached, ended=ended)
    for median in medians:
        lane.order.add(median)
    return lane


def ended(
    lane: LiveLane,
    state: StreamState | None = None,
    *,
    table: str = "message",
    depth: Depth = DEPTH,
    records: int = 1,
    unusable_to: int | None = None,
    met: tuple[Unusable, ...] = (),
    children_missed: int | None = None,
    is_resumed: bool = False,
) -> StreamState:
    return ended_state(
        BY_TABLE[table],
        state or StreamState(lanes=(lane.saved,)),
        lane,
        start=NOW,
        depth=depth,
        records=records,
        met=met if unusable_to is None else (Unusable(unusable_to, NOW),),
        children_missed=children_missed,
        is_resumed=is_resumed,
    )


def test_a_walk_to_the_end_is_a_reading_of_everything() -> None:
    lane = head(*DOWNWARDS, newest=NOW - HOUR_MS)
    assert ended(lane) == StreamState(
        read_at=NOW,
        watermark=NOW - HOUR_MS,
        newest_first=True,
        readings=(Reading(NOW, 0),),
        closed=NOW - LOOKBACK,
    )


def test_the_watermark_is_ten_minutes_behind_the_start_at_most_and_never_moves_back() -> None:
    lane = head(*DOWNWARDS, newest=NOW - 1)
    assert ended(lane).watermark == NOW - INDEX_LAG_MS
    assert ended(lane, StreamState(watermark=NOW - DAY_MS)).watermark == NOW - INDEX_LAG_MS
    assert ended(lane, StreamState(watermark=NOW + DAY_MS)).watermark == NOW + DAY_MS


def test_a_walk_to_its_bound_has_read_down_to_there_and_not_below_sync_since() -> None:
    state = StreamState(readings=(Reading(NOW - DAY_MS, 0),), closed=NOW - LOOKBACK - DAY_MS)
    bound = head(*DOWNWARDS, reached=NOW - 3 * DAY_MS, ended=False)
    assert ended(bound, state).readings == (Reading(NOW, bound.reached), *state.readings)
    assert ended(head(*DOWNWARDS), depth=SINCE).readings == (Reading(NOW, SINCE.floor),)


def test_a_part_of_a_first_walk_closes_nothing_that_it_has_not_read() -> None:
    part = Reading(NOW, NOW - DAY_MS)
    assert with_given_up(StreamState(), part, DEPTH).closed == 0
    # What an earlier walk read down to the end is closed as that one has left it.
    before = StreamState(readings=(Reading(NOW - 2 * DAY_MS, 0),), closed=NOW - 60 * DAY_MS)
    assert with_given_up(before, part, DEPTH).closed == NOW - 2 * DAY_MS - LOOKBACK
    # Nothing below `sync_since` is wanted.
    since = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=part.reached)
    assert with_given_up(StreamState(), part, since).closed == NOW - LOOKBACK


@pytest.mark.parametrize("before", [None, True, False])
def test_the_order_is_learned_only_from_pages_that_tell_it(before: bool | None) -> None:
    state = StreamState(newest_first=before)
    assert ended(head(NOW, NOW - HOUR_MS), state).newest_first is before
    assert ended(head(*DOWNWARDS), state).newest_first is True
    assert ended(head(*reversed(DOWNWARDS)), state).newest_first is False


def test_where_rows_do_not_change_late_a_short_listing_may_look_newest_first_by_chance() -> None:
    def learned(*medians: int) -> bool | None:
        return ended(head(*medians), table="audit_event").newest_first

    pages = [NOW - day * DAY_MS for day in range(10)]
    assert learned(*pages[:9]) is None
    assert learned(*pages) is True
    # However short it is, it has shown that it is not.
    assert learned(*reversed(pages[:9])) is False


def test_a_listing_whose_newest_come_last_is_not_newest_first() -> None:
    pages = [NOW - DAY_MS] * 100 + [NOW]
    assert ended(head(*pages)).newest_first is False
    # A walk down to a bound has not shown the end.
    assert ended(head(*pages, ended=False)).newest_first is None


def test_a_stream_without_readable_times_is_known_as_such_and_claims_nothing() -> None:
    before = StreamState(
        watermark=5, readings=(Reading(NOW - DAY_MS, 0),), lanes=(Lane(started_at=1),)
    )
    left = ended(head(newest=None), before, records=1)
    assert left == replace(before, read_at=NOW, lanes=(), timeless=True)
    assert not ended(head(newest=None), before, records=0).timeless
    assert not ended(head(*DOWNWARDS), left).timeless


def test_a_stream_that_has_no_times_keeps_when_it_was_read() -> None:
    state = StreamState(lanes=(Lane(started_at=NOW),), missing={"a": Missing(1)})
    left = ended(head(newest=None), state, table="list")
    assert left == StreamState(read_at=NOW, missing={"a": Missing(1)})


# -- records that cannot be stored ---------------------------------------------------------------


def left_unusable(
    reached: int, unusable_to: int | None, before: StreamState | None = None, **more: Any
) -> tuple[Unusable, ...]:
    lane = head(*DOWNWARDS, reached=reached, ended=False)
    state = replace(before or StreamState(), unusable=(MET,))
    return ended(lane, state, unusable_to=unusable_to, **more).unusable


def test_a_walk_that_finds_all_usable_down_to_where_one_was_forgets_it() -> None:
    assert left_unusable(MET.time, None) == ()
    assert left_unusable(MET.time + 1, None) == (MET,)


def test_a_page_that_ends_below_all_that_was_ever_wanted_need_not_be_read_that_far() -> None:
    depth = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=MET.time + 1)
    assert left_unusable(depth.floor, None, depth=depth) == ()
    assert left_unusable(depth.floor + 1, None, depth=depth) == (MET,)
    # A place that was once wanted may be wanted again, and then counts as read.
    before = StreamState(readings=(Reading(MET.met_at, MET.time),))
    left_out = MET._replace(newest=MET.time)
    assert left_unusable(depth.floor, None, before, depth=depth) == (left_out,)


def test_a_walk_that_still_meets_some_keeps_where_and_since_when() -> None:
    met_again = NOW - DAY_MS
    looked = MET._replace(looked_at=NOW)
    assert left_unusable(MET.time, met_again) == (looked._replace(time=met_again),)
    assert left_unusable(MET.time - 1, MET.time - 1) == (looked,)
    # Records that it has not reached may still be unusable.
    assert left_unusable(MET.time + 1, met_again) == (MET,)


def test_a_part_that_an_earlier_sync_has_read_proves_nothing_of_them() -> None:
    assert left_unusable(MET.time, None, is_resumed=True) == (MET._replace(looked_at=NOW),)
    assert left_unusable(MET.time + 1, None, is_resumed=True) == (MET,)


def test_children_that_were_missed_are_looked_for_until_a_walk_down_there_has_noted_all() -> None:
    known = MissedChildren(NOW - 9 * DAY_MS, met_at=NOW - DAY_MS)
    looks = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, reads_missed=True)

    def left(
        reached: int,
        missed: int | None = None,
        *,
        known: MissedChildren = known,
        depth: Depth = looks,
        is_resumed: bool = False,
    ) -> MissedChildren | None:
        lane = head(*DOWNWARDS, reached=reached, ended=False)
        state = StreamState(children_missed=known)
        given: dict[str, Any] = {"children_missed": missed, "is_resumed": is_resumed}
        return ended(lane, state, depth=depth, **given).children_missed

    assert left(known.time) is None
    assert left(known.time + 1) == known
    assert left(known.time, NOW - DAY_MS) == known._replace(time=NOW - DAY_MS)
    # A later `sync_since` has left some of them out.
    since = known.time + 1
    above = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=since, reads_missed=True)
    assert left(since, depth=above) == known._replace(newest=known.time)
    assert left(since, since, depth=above) == known
    assert left(since + 1, depth=above) == known
    # If nobody has looked for them, nothing is known about them.
    assert left(known.time, depth=DEPTH) == known
    # An earlier sync that began the walk may have met some.
    assert left(known.time, is_resumed=True) is None
    met_on_the_way = known._replace(met_at=NOW)
    assert left(known.time, known=met_on_the_way, is_resumed=True) == met_on_the_way


def test_missed_children_are_noted_from_the_oldest_message_on_and_with_the_last_walk() -> None:
    first = with_missed(StreamState(read_at=5), NOW - DAY_MS, NOW - HOUR_MS)
    missed = MissedChildren(NOW - DAY_MS, met_at=NOW - HOUR_MS)
    assert first == StreamState(read_at=5, children_missed=missed)
    newer = with_missed(first, NOW - 1, NOW)
    assert newer == replace(first, children_missed=missed._replace(met_at=NOW))
    older = with_missed(first, NOW - 2 * DAY_MS, NOW)
    assert older.children_missed == MissedChildren(NOW - 2 * DAY_MS, met_at=NOW)


def test_of_a_stream_without_times_a_whole_walk_tells() -> None:
    state = StreamState(unusable=(MET,))
    assert ended(head(newest=None), state, table="list", unusable_to=None).unusable == ()
    assert ended(head(newest=None), state, table="list", unusable_to=0).unusable == (MET,)


def test_of_a_stream_without_unusable_records_nothing_is_kept() -> None:
    assert ended(head(*DOWNWARDS), unusable_to=5).unusable == ()


def unusable_between(first_day: float, last_day: float, *, met_day: float = 0.0) -> Unusable:
    """Days are before NOW, except for `met_day`, which is after it."""
    newest = NOW - round(last_day * DAY_MS)
    return Unusable(NOW - round(first_day * DAY_MS), NOW + round(met_day * DAY_MS), newest)


def test_pages_that_overlap_are_kept_as_one_with_the_time_when_the_first_was_met() -> None:
    first, second = unusable_between(5, 4), unusable_between(4.5, 3, met_day=15)
    assert with_unusable((), first) == (first,)
    assert with_unusable((first,), second) == (unusable_between(5, 3),)
    apart = unusable_between(2, 1, met_day=15)
    assert with_unusable((first,), apart) == (first, apart)
    # One that reaches further back moves only those that it overlaps.
    earlier = unusable_between(6, 4.5, met_day=15)
    assert with_unusable((apart, first), earlier) == (apart, unusable_between(6, 4))


def test_a_record_that_never_becomes_usable_gets_no_more_days() -> None:
    known = (unusable_between(5, 4),)
    for days in ((5, 4), (4.8, 4.2), (4.5, 3), (6, 4.5), (5, -1), (5, 5), (4, 4)):
        assert with_unusable(known, unusable_between(*days, met_day=16)) == known


def test_one_that_came_long_after_another_was_met_has_days_of_its_own() -> None:
    known = (unusable_between(5, 4),)
    # Places that only touch have a usable record between them.
    for days in ((3, 2), (7, 6), (4, 3), (6, 5)):
        later = unusable_between(*days, met_day=16)
        assert with_unusable(known, later) == (*known, later)


def test_of_too_many_pages_those_met_within_half_a_month_are_joined() -> None:
    known: tuple[Unusable, ...] = ()
    for day in range(24):
        known = with_unusable(known, unusable_between(60 - day, 59.5 - day, met_day=day))
    assert len(known) == 24
    joined = with_unusable(known, unusable_between(3, 2, met_day=24))
    assert joined == (
        unusable_between(60, 44.5, met_day=0),
        unusable_between(44, 2, met_day=16),
    )


def test_too_many_are_joined_in_the_order_in_which_they_were_met_wherever_they_lie() -> None:
    # Every other one was met half a month and a day later.
    spans = [unusable_between(60 - day, 59.5 - day, met_day=16 * (day % 2)) for day in range(25)]
    assert not_too_many(tuple(spans)) == (
        unusable_between(60, 35.5),
        unusable_between(59, 36.5, met_day=16),
    )


def test_of_too_many_those_that_are_no_longer_looked_for_are_left_out_first() -> None:
    def met_on(day: int) -> Unusable:
        return unusable_between(900 - day, 899.5 - day, met_day=day)

    # Too far apart to be joined.
    looked_for = [met_on(16 * number) for number in range(24)]
    # Met after all the others, but a walk has looked there later than thirty days after that.
    over = met_on(600)._replace(looked_at=NOW + 631 * DAY_MS)
    assert not_too_many((*looked_for, over)) == tuple(looked_for)


def test_a_walk_narrows_the_places_that_it_has_read_again() -> None:
    spans = (unusable_between(9, 4), unusable_between(3, 2))

    def left(*met: Unusable) -> tuple[Unusable, ...]:
        lane = head(*DOWNWARDS, reached=spans[0].time, ended=False)
        still = ended(lane, StreamState(unusable=spans), met=met).unusable
        assert {span.looked_at for span in still} <= {NOW}
        return tuple([span._replace(looked_at=None) for span in still])

    assert left() == ()
    assert left(unusable_between(7, 6, met_day=1)) == (unusable_between(7, 6),)
    assert left(unusable_between(2.5, 1, met_day=1)) == (unusable_between(2.5, 2),)
    apart = unusable_between(8, 7.5), unusable_between(6, 5)
    assert left(*apart) == apart
    assert left(*spans) == spans


@pytest.mark.parametrize("is_resumed", [False, True])
def test_what_sync_since_leaves_out_has_not_been_looked_at(is_resumed: bool) -> None:
    span = unusable_between(9, 4)
    floor = NOW - 6 * DAY_MS
    depth = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=floor)
    below, above = span._replace(newest=floor - 1), span._replace(time=floor, looked_at=NOW)

    def left(reached: int, known: Unusable = span) -> tuple[Unusable, ...]:
        state = StreamState(unusable=(known,), readings=(Reading(NOW - 9 * DAY_MS, 0),))
        lane = head(*DOWNWARDS, reached=reached, ended=False)
        return ended(lane, state, depth=depth, met=(span,), is_resumed=is_resumed).unusable

    assert set(left(floor)) == {above, below}
    assert left(floor, below) == (below,)
    reaches_it = span._replace(newest=floor)
    assert set(left(floor, reaches_it)) == {above._replace(newest=floor), below}
    assert left(floor + 1) == (span,)
    assert left(span.time) == (span._replace(looked_at=NOW),)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_the_state_never_holds_more_than_24_spans_however_often_sync_since_splits_them(
    is_resumed: bool,
) -> None:
    state = StreamState(unusable=(unusable_between(40, 4),))
    for day in range(39, 5, -1):
        depth = Depth(lookback_ms=LOOKBACK, overlap_ms=HOUR_MS, floor=NOW - day * DAY_MS)
        lane = head(*DOWNWARDS, reached=depth.floor, ended=False)
        met = (unusable_between(40, 4),)
        state = ended(lane, state, depth=depth, met=met, is_resumed=is_resumed)
    assert 1 < len(state.unusable) <= 24


# -- rows that may have gone ---------------------------------------------------------------------


def test_a_row_that_is_seen_again_is_not_missing() -> None:
    state = StreamState(missing={"a": Missing(1), "b": Missing(2)})
    assert without_seen(state, [("a",), ("c",)]).missing == {"b": Missing(2)}
    assert without_seen(state, [("c",)]) == state
