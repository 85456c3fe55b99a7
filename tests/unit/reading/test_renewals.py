"""Which other cursor continues a lane whose own cursor failed."""

from typing import Any

import pytest
from msgspec.structs import replace

from courier_async.catalog.positions import message_cursor_at, time_in_cursor
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.errors import CourierError, Limited, Refused, Unavailable
from courier_async.handover import Notice
from courier_async.reading import renewals
from courier_async.reading.checks import Checks
from courier_async.reading.fetches import Purpose
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.reading.renewals import Renewals
from courier_async.reading.server_clock import ServerClock
from courier_async.state.plan import Depth, Plan
from courier_async.state.position import Lane, Renewal
from tests.unit.reading.noted import NotedFetches, Request, held_probe, read_probe, refused_probe
from tests.unit.reading.paged import AUDIT_EVENT, MESSAGE, NOW

GONE = Refused(410, "")


class Renewed:
    """A head that continues, and lanes of earlier syncs a day apart below it."""

    def __init__(
        self,
        probe: Probe,
        *,
        below: int = 1,
        stream: Stream = MESSAGE,
        is_rest: bool = False,
    ) -> None:
        self.head = LiveLane(Lane(started_at=NOW, cursor="head"))
        self.lanes = LaneSet(self.head, Depth(lookback_ms=0, overlap_ms=0))
        saved = [
            Lane(
                started_at=NOW - day * DAY_MS,
                cursor=f"saved {day}",
                newest=NOW - day * DAY_MS,
                oldest=NOW - day * DAY_MS - HOUR_MS,
            )
            for day in range(1, below + 1)
        ]
        self.lanes.begin(Plan(lanes=tuple(saved), due=(None,) * below, bound=0))
        self.lower = list(self.lanes)[1:]
        # As when a walk starts: those lanes' requests are in flight.
        while self.lanes.next_resting():
            pass
        self.probe, self.fetches, clock = probe, NotedFetches(), ServerClock()
        clock.note(NOW, 0.0)
        self.renewals = Renewals(
            stream,
            self.lanes,
            probe=probe,
            checks=Checks(self.lanes, probe, self.fetches),
            fetches=self.fetches,
            clock=clock,
            is_rest=is_rest,
        )

    def fail(
        self, lane: LiveLane, error: CourierError = GONE, *, may_renew: bool = True
    ) -> list[Notice]:
        return self.renewals.fail(lane, error, may_renew=may_renew)


# -- by a cursor made up for its place -----------------------------------------------------------


def test_a_lane_goes_on_an_hour_above_its_place_where_made_up_cursors_are_honoured() -> None:
    renewed = Renewed(held_probe())
    lane = renewed.lower[0]
    place = lane.place
    assert renewed.fail(lane) == []
    assert lane.saved.cursor == message_cursor_at(place + HOUR_MS)
    assert lane.saved.renewed == Renewal(NOW, place)
    assert not lane.stuck
    assert renewed.lanes.next_resting() is lane
    assert renewed.renewals.error is None
    assert list(renewed.lanes) == [renewed.head, lane]


def test_a_lane_waits_for_a_probe_that_can_be_made_and_then_goes_on() -> None:
    renewed = Renewed(read_probe(), below=2)
    first, second = renewed.lower
    assert renewed.fail(first) == []
    assert renewed.fail(second) == []
    assert first.stuck
    assert second.stuck
    # One probe serves both.
    assert [request.purpose for request in renewed.fetches.requests] == [Purpose.PROBE]
    renewed.probe.verdict = Verdict.HELD
    second.dropped = True
    assert renewed.renewals.renew_waiting() == []
    assert not first.stuck
    assert time_in_cursor(first.saved.cursor or "") == NOW - DAY_MS
    assert second.stuck
    # This happens only once.
    first.stuck = True
    assert renewed.renewals.renew_waiting() == []
    assert first.stuck


def test_what_waited_for_a_probe_that_is_refused_is_read_from_above() -> None:
    renewed = Renewed(read_probe(), below=2)
    for lane in renewed.lower:
        renewed.fail(lane)
    renewed.probe.verdict = Verdict.REFUSED
    notices = renewed.renewals.renew_waiting()
    assert [str(GONE) in notice.text for notice in notices] == [True, True]
    assert list(renewed.lanes) == [renewed.head]


def test_no_cursor_is_made_up_for_a_lane_whose_place_is_not_known() -> None:
    renewed = Renewed(held_probe())
    lane = renewed.lower[0]
    lane.saved = Lane(started_at=NOW - DAY_MS, cursor="opaque")
    assert lane.place == -1
    assert len(renewed.fail(lane)) == 1
    assert lane.dropped


# -- by the lane above or from the head ----------------------------------------------------------


def is_from_head(request: Request, *, replaces: LiveLane) -> bool:
    return request.cursor is None and request.lane.replaces == [replaces]


@pytest.mark.parametrize("stream", [MESSAGE, AUDIT_EVENT], ids=lambda stream: stream.table)
def test_a_lane_is_read_on_by_the_one_above_it_which_is_under_way(stream: Stream) -> None:
    renewed = Renewed(refused_probe(), stream=stream)
    lane, place = renewed.lower[0], renewed.lower[0].place
    [notice] = renewed.fail(lane)
    assert notice.text.startswith(f"{stream.table}: Courier no longer accepts the saved cursor")
    assert f"({GONE})" in notice.text
    assert notice.text.endswith("No data is lost.")
    assert list(renewed.lanes) == [renewed.head]
    assert lane.dropped
    taken_over = Renewal(NOW, place)
    assert renewed.head.saved == Lane(started_at=NOW, cursor="head", renewed=taken_over)
    assert renewed.fetches.requests == []


def test_a_lane_is_not_left_to_one_whose_own_cursor_may_have_expired() -> None:
    renewed = Renewed(refused_probe(), below=3)
    untried, failed, lane = renewed.lower
    failed.is_saved_cursor = False
    renewed.renewals.failed_lanes.append(failed)
    renewed.fail(lane)
    assert renewed.head.saved.renewed == Renewal(NOW, lane.place)
    assert untried.saved.renewed is None
    assert failed.saved.renewed is None
    assert list(renewed.lanes) == [renewed.head, untried, failed]


def test_a_lane_is_left_to_a_lane_of_an_earlier_sync_that_has_been_answered() -> None:
    renewed = Renewed(refused_probe(), below=2)
    upper, lane = renewed.lower
    upper.is_saved_cursor = False
    renewed.fail(lane)
    assert upper.saved.renewed == Renewal(NOW, lane.place)
    assert renewed.head.saved.renewed is None


@pytest.mark.parametrize("state", ["stuck", "done"])
def test_a_lane_below_one_that_goes_nowhere_is_read_again_from_the_head(state: str) -> None:
    renewed = Renewed(refused_probe())
    lane, upper = renewed.lower[0], renewed.head
    setattr(upper, state, True)
    assert len(renewed.fail(lane)) == 1
    [request] = renewed.fetches.requests
    assert is_from_head(request, replaces=lane)
    assert request.purpose is Purpose.READ
    head = request.lane
    assert list(renewed.lanes) == [head, upper, lane]
    assert head.saved == Lane(started_at=NOW, renewed=Renewal(NOW, lane.place))
    # None of it is saved before it has read a page, and the lane is kept until then.
    assert renewed.lanes.saved() == (upper.saved, lane.saved)
    assert renewed.lanes.opened_above(upper) is None
    assert lane.stuck
    assert not lane.dropped


def test_the_lane_from_the_head_is_read_again_from_the_head() -> None:
    renewed = Renewed(refused_probe(), below=0)
    renewed.fail(renewed.head)
    [request] = renewed.fetches.requests
    assert is_from_head(request, replaces=renewed.head)


def test_the_head_that_is_awaited_replaces_another_lane_that_fails_meanwhile() -> None:
    renewed = Renewed(refused_probe(), below=1)
    lane = renewed.lower[0]
    renewed.fail(renewed.head)
    renewed.fail(lane)
    [request] = renewed.fetches.requests
    assert request.lane.replaces == [renewed.head, lane]
    # Should the head fail too, nothing is lost.
    assert list(renewed.lanes) == [request.lane, renewed.head, lane]
    assert lane.stuck
    renewed.renewals.drop_replaced(request.lane)
    assert list(renewed.lanes) == [request.lane]


def test_a_lane_that_was_replaced_is_given_up_once_the_head_has_answered() -> None:
    renewed = Renewed(refused_probe(), below=2)
    lane = renewed.lower[0]
    renewed.head.done = True
    renewed.fail(lane)
    head = renewed.lanes.head
    renewed.renewals.drop_replaced(renewed.lower[1])
    assert not lane.dropped
    renewed.renewals.drop_replaced(head)
    assert lane.dropped
    assert head.replaces == []
    assert list(renewed.lanes) == [head, renewed.head, renewed.lower[1]]


@pytest.mark.parametrize("state", ["goes on", "dropped"])
def test_a_lane_that_was_replaced_and_goes_on_or_is_no_more_is_left_alone(state: str) -> None:
    renewed = Renewed(refused_probe())
    lane = renewed.lower[0]
    renewed.head.done = True
    renewed.fail(lane)
    lane.stuck = state == "dropped"
    if state == "dropped":
        renewed.lanes.drop([lane])
    before = list(renewed.lanes)
    renewed.renewals.drop_replaced(renewed.lanes.head)
    assert list(renewed.lanes) == before


# -- an end above what an earlier sync has read --------------------------------------------------


def ended_above(*, read_to: int | None = None, **saved: Any) -> tuple[Renewed, LiveLane]:
    """Returns a head that has ended, after reading down to a time, and the lane below it."""
    renewed = Renewed(refused_probe())
    renewed.head.done = renewed.head.ended = True
    if read_to is not None:
        renewed.head.recent.append(read_to)
    lane = renewed.lower[0]
    lane.saved = replace(lane.saved, **saved)
    return renewed, lane


def is_doubted(renewed: Renewed, lane: LiveLane) -> bool:
    """Whether the end is doubted once the lane below it fails; the lane is dropped otherwise."""
    notices = renewed.fail(lane)
    assert renewed.fetches.requests == []
    assert renewed.renewals.failed_lanes == []
    assert lane.stuck is not lane.dropped
    assert renewed.renewals.error is (None if lane.dropped else GONE)
    assert len(notices) == (not lane.dropped)
    return not lane.dropped


def test_an_end_above_what_a_lane_that_fails_has_read_is_told_and_not_believed_at_first() -> None:
    renewed, lane = ended_above()
    before = lane.saved
    [notice] = renewed.fail(lane)
    assert notice.text.startswith(
        "message: the listing ends above records that an earlier sync read, and Courier no longer"
    )
    assert f"({GONE})" in notice.text
    assert notice.text.endswith("in a day, that is accepted as its end.")
    assert lane.saved == replace(before, contradicted_at=NOW)
    assert lane.stuck
    assert renewed.renewals.error is GONE
    assert list(renewed.lanes) == [renewed.head, lane]


@pytest.mark.parametrize(("age_ms", "kept_ms"), [(DAY_MS - 1, DAY_MS - 1), (-HOUR_MS, 0)])
def test_such_an_end_is_doubted_for_a_day_from_when_it_was_first_met(
    age_ms: int, kept_ms: int
) -> None:
    renewed, lane = ended_above(contradicted_at=NOW - age_ms)
    assert is_doubted(renewed, lane)
    # A time in the future counts as now.
    assert lane.saved.contradicted_at == NOW - kept_ms


def test_such_an_end_is_believed_after_a_day() -> None:
    assert not is_doubted(*ended_above(contradicted_at=NOW - DAY_MS))


def test_an_end_is_believed_where_the_lane_that_fails_has_nothing_older_to_show() -> None:
    assert not is_doubted(*ended_above(newest=None))
    oldest = NOW - DAY_MS - HOUR_MS
    assert not is_doubted(*ended_above(read_to=oldest))
    assert is_doubted(*ended_above(read_to=oldest + 1))
    # Its cursor may lead to a place above what it has read.
    above = message_cursor_at(NOW - HOUR_MS)
    assert not is_doubted(*ended_above(read_to=NOW - DAY_MS, cursor=above))
    assert is_doubted(*ended_above(read_to=NOW - DAY_MS + 1, cursor=above))


def test_a_made_up_lane_of_an_earlier_sync_that_fails_casts_doubt_on_the_end_above_it() -> None:
    def failed(*, is_ended: bool, is_saved_cursor: bool) -> tuple[Renewed, LiveLane]:
        renewed = Renewed(refused_probe(), below=0)
        renewed.head.done = renewed.head.ended = is_ended
        began = NOW - DAY_MS
        saved = Lane(started_at=NOW, cursor="made up", newest=began, oldest=began, begins_at=began)
        lane = LiveLane(saved, is_saved_cursor=is_saved_cursor)
        renewed.lanes.insert_made_up(lane)
        return renewed, lane

    assert is_doubted(*failed(is_ended=True, is_saved_cursor=True))
    # One of this walk, or one below a lane that goes on, waits for the server's answers.
    for is_ended, is_saved_cursor in ((True, False), (False, True)):
        renewed, lane = failed(is_ended=is_ended, is_saved_cursor=is_saved_cursor)
        assert renewed.fail(lane) == []
        assert renewed.renewals.failed_lanes == [lane]
        assert renewed.renewals.error is None


DROPPED = Lane(
    started_at=NOW - 3 * HOUR_MS, cursor="c", newest=NOW - 9 * DAY_MS, oldest=NOW - 10 * DAY_MS
)
# What may have aged out of the listing since, with an hour's tolerance.
AGED_TO = NOW - 10 * DAY_MS + 4 * HOUR_MS


def restored(
    *dropped: Lane,
    oldest: int | None = None,
    pages_to: tuple[int, ...] = (),
    cursor: str | None = None,
) -> tuple[Lane, ...]:
    """Returns which dropped lanes are restored below a head that ends after reading so far."""
    renewed = Renewed(refused_probe(), below=0)
    for saved in dropped:
        renewed.renewals.note_dropped(saved)
    renewed.head.saved = replace(renewed.head.saved, oldest=oldest, cursor=cursor)
    renewed.head.recent.extend(pages_to)
    renewed.renewals.restore_below(renewed.head)
    head, *lanes = renewed.lanes
    assert head is renewed.head
    assert all(lane.stuck for lane in lanes)
    # This happens only once.
    renewed.renewals.restore_below(renewed.head)
    assert list(renewed.lanes) == [head, *lanes]
    return tuple([lane.saved for lane in lanes])


def test_dropped_lanes_that_have_read_below_the_end_are_restored_and_cast_doubt_on_it() -> None:
    doubted = replace(DROPPED, contradicted_at=NOW)
    assert restored(DROPPED) == (doubted,)
    assert restored(DROPPED, oldest=AGED_TO + 1) == (doubted,)
    assert restored(DROPPED, oldest=AGED_TO) == ()
    older = replace(DROPPED, newest=NOW - 20 * DAY_MS, oldest=NOW - 30 * DAY_MS)
    assert restored(older, DROPPED) == (doubted, replace(older, contradicted_at=NOW))


def test_what_the_pages_at_the_end_span_may_have_aged_out_of_the_listing_too() -> None:
    end = AGED_TO + HOUR_MS
    assert restored(DROPPED, pages_to=(end + HOUR_MS + 1, end + 1)) != ()
    assert restored(DROPPED, pages_to=(end + HOUR_MS, end)) == ()
    # The last page may hold one record with an odd time.
    assert restored(DROPPED, oldest=AGED_TO, pages_to=(NOW, NOW)) == ()
    # If all of the last pages do, the cursor to the last one still tells how far down it is.
    for time, is_doubted in ((AGED_TO, False), (AGED_TO + 1, True)):
        kept = restored(DROPPED, oldest=NOW, cursor=message_cursor_at(time))
        assert bool(kept) == is_doubted


def test_dropped_lanes_are_restored_for_a_day_from_when_the_end_was_first_met() -> None:
    def doubted_since(age_ms: int) -> tuple[Lane, ...]:
        return restored(replace(DROPPED, contradicted_at=NOW - age_ms))

    assert doubted_since(DAY_MS - 1) == (replace(DROPPED, contradicted_at=NOW - DAY_MS + 1),)
    assert doubted_since(DAY_MS) == ()
    # A time in the future counts as now.
    assert doubted_since(-HOUR_MS) == (replace(DROPPED, contradicted_at=NOW),)


def test_lanes_that_do_not_show_how_far_down_the_listing_went_are_not_restored() -> None:
    assert restored(replace(DROPPED, begins_at=NOW - DAY_MS)) == ()
    assert restored(replace(DROPPED, newest=None)) == ()


# -- where nothing helps --------------------------------------------------------------------------


def test_a_made_up_lane_that_fails_waits_until_a_cursor_of_the_servers_own_is_answered() -> None:
    renewed = Renewed(held_probe())
    lane = LiveLane(Lane(started_at=NOW, cursor="made up", begins_at=NOW - HOUR_MS))
    renewed.lanes.insert_made_up(lane)
    assert renewed.fail(lane) == []
    assert lane.stuck
    assert renewed.renewals.failed_lanes == [lane]
    assert renewed.renewals.error is None
    assert lane.saved.cursor == "made up"


@pytest.mark.parametrize("why", ["limited", "may not", "rest", "renewed a moment ago"])
def test_a_failure_that_no_other_cursor_makes_good_leaves_the_lane_where_it_is(why: str) -> None:
    renewed = Renewed(held_probe(), below=2, is_rest=why == "rest")
    first, second = renewed.lower
    if why == "renewed a moment ago":
        first.renew_at("saved 1", now=NOW)
        first.is_saved_cursor = True
    error = Limited("429") if why == "limited" else GONE
    assert renewed.fail(first, error, may_renew=why != "may not") == []
    assert first.stuck
    assert first.saved.cursor == "saved 1"
    assert renewed.renewals.error is error
    # Only the first such failure is reported.
    renewed.fail(second, Unavailable("down"), may_renew=False)
    assert renewed.renewals.error is error


def test_after_so_many_renewals_in_one_walk_the_next_sync_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewals, "_MOST_RENEWALS", 2)
    renewed = Renewed(held_probe(), below=3)
    for lane in renewed.lower[:2]:
        renewed.fail(lane)
    assert renewed.renewals.error is None
    renewed.fail(renewed.lower[2])
    assert renewed.renewals.error is GONE
    assert renewed.lower[2].stuck
