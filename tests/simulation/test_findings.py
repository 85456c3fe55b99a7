"""Bugs that the simulation has found, each as a plain test case."""

from typing import Any

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.changes import Selected
from courier_async.reading.course import Course
from courier_async.reading.judge import JudgedPage, judge_page
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe
from courier_async.state import saved
from courier_async.state.plan import Depth, plan_walk
from courier_async.state.position import Lane, Reading, StreamState
from tests.simulation.seed import Simulation, run_seed
from tests.simulation.source import Source
from tests.support.fake_courier import Account, FakeApi
from tests.support.harness import settings, sync

NOW_MS = 1_786_700_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MESSAGES: dict[str, Any] = {"streams": (BY_TABLE["message"],)}


def account_of(messages: int, span_days: float = 5.0) -> tuple[Account, FakeApi]:
    account = Account(now_ms=NOW_MS, sizes={"message": messages}, span_days=span_days)
    return account, FakeApi(account)


async def test_an_empty_listing_of_messages_leaves_a_state_that_can_be_read() -> None:
    account, api = account_of(30)
    state = (await sync(api, **MESSAGES)).last_state()
    account.advance(HOUR_MS)
    api.change_options(rules=[{"stream": "message", "paging": "false_end"}])
    sink = await sync(api, state, **MESSAGES)
    _, warnings = saved.load(sink.last_state(), source=settings().source)
    assert warnings == []


def test_a_lane_that_left_out_what_is_wanted_now_is_read_again() -> None:
    lane = Lane(
        started_at=NOW_MS - HOUR_MS,
        cursor="c",
        newest=NOW_MS - HOUR_MS,
        oldest=NOW_MS - 3 * DAY_MS,
        floor=NOW_MS - 2 * DAY_MS,
    )
    state = StreamState(watermark=NOW_MS - 9 * DAY_MS, lanes=(lane,))
    depth = Depth(lookback_ms=30 * DAY_MS, overlap_ms=HOUR_MS, floor=NOW_MS - 9 * DAY_MS)
    assert plan_walk(state, NOW_MS, depth).lanes == ()
    same = Depth(lookback_ms=30 * DAY_MS, overlap_ms=HOUR_MS, floor=NOW_MS - 2 * DAY_MS)
    assert plan_walk(state, NOW_MS, same).lanes == (lane,)


def test_what_lies_between_two_readings_is_read_once_the_floor_is_below_it() -> None:
    readings = (Reading(NOW_MS - HOUR_MS, NOW_MS - DAY_MS), Reading(NOW_MS - 5 * DAY_MS, 0))
    state = StreamState(watermark=NOW_MS - 2 * HOUR_MS, readings=readings, closed=0)
    depth = Depth(lookback_ms=0, overlap_ms=HOUR_MS)
    assert plan_walk(state, NOW_MS, depth).bound < NOW_MS - 5 * DAY_MS
    as_before = Depth(lookback_ms=0, overlap_ms=HOUR_MS, floor=NOW_MS - DAY_MS)
    assert plan_walk(state, NOW_MS, as_before).bound == NOW_MS - 3 * HOUR_MS


def page_of_hours(hours: range) -> JudgedPage:
    """Returns a page of messages that are this many hours old."""
    records = [{"id": f"m{hour}", "enqueued": NOW_MS - hour * HOUR_MS} for hour in hours]
    return judge_page(BY_TABLE["message"], Page(records, "next"), now_ms=NOW_MS)


def test_lanes_that_open_too_late_to_be_met_prove_nothing_against_made_up_cursors() -> None:
    depth = Depth(lookback_ms=30 * DAY_MS, overlap_ms=HOUR_MS)
    head = LiveLane(Lane(started_at=NOW_MS, cursor="c"))
    lanes = LaneSet(head, depth)
    stream = BY_TABLE["message"]
    course = Course(
        stream,
        lanes,
        Probe(stream),
        depth=depth,
        recent=None,
        watermark=None,
        may_stop=True,
        is_learned=True,
    )

    def read(lane: LiveLane, hours: range) -> None:
        page = page_of_hours(hours)
        course.move(lane, page)
        course.place(lane, page, Selected())

    for first_hour in (10, 50, 90, 130):
        begins_at = NOW_MS - (first_hour + 5) * HOUR_MS
        cursor = message_cursor_at(begins_at)
        lane = LiveLane(Lane(started_at=NOW_MS, begins_at=begins_at, cursor=cursor), opened=False)
        lanes.insert_made_up(lane)
        read(head, range(first_hour, first_hour + 10))
        assert not course.is_of_use(lane, page_of_hours(range(first_hour + 5, first_hour + 15)))
        assert lane.dropped
    assert not course.lanes_refused


async def test_a_saved_cursor_and_one_of_this_sync_may_fail_at_once() -> None:
    _, api = account_of(120)
    state = (await sync(api, **MESSAGES)).last_state()
    part = state["streams"]["message"]
    began = NOW_MS - HOUR_MS // 3
    lane = {"started_at": began, "newest": began, "oldest": began - 60 * HOUR_MS}
    part["lanes"] = [lane | {"cursor": "gone", "pages": 3, "in_order": 3}]
    part["readings"], part["no_lanes_until"] = [], NOW_MS + DAY_MS
    rule = {"stream": "message", "cursor": "own", "status": 400, "times": 1}
    api.change_options(rules=[rule])
    sink = await sync(api, state, **MESSAGES)
    assert "lanes" not in sink.last_state()["streams"]["message"]


def test_a_place_that_fails_is_where_its_record_stands_whatever_time_the_record_has() -> None:
    # By its own time the record would stand below all others. So those were expected to land,
    # although the head had failed.
    simulation = Simulation(701410)
    add_odd(simulation.source)
    past = simulation.source.past["message"]
    head, *others = [past[id_] for _, id_, _ in simulation.source.listing("message")]
    assert simulation._page_above(head.time_ms, head.time_ms + 1) is None
    pages = 2 * simulation.plan.options["page_sizes"]["message"]
    bad, far_above = others[30].time_ms, others[30 - pages].time_ms
    assert simulation._page_above(bad, bad + 1) == far_above


def test_what_came_unusable_is_looked_for_where_it_stands_whatever_its_time() -> None:
    simulation = Simulation(701410)
    source = simulation.source
    oldest, *_ = source.listing("message")[-1]
    add_odd(source)
    # The state says that records down to the oldest of the others may be unusable.
    part = {"readings": [[NOW_MS + HOUR_MS, 0]], "unusable": [[oldest, NOW_MS]]}
    simulation.oracle.claims.check({"streams": {"message": part}})


def test_a_page_that_a_reader_discards_does_not_make_its_rows_present_again() -> None:
    # Four lists had failed, so the reader stopped, with the page of a fifth still waiting.
    run_seed(10705522)


def add_odd(source: Source) -> None:
    """Adds a message at the head that claims to be forty days old, older than all others."""
    odd = source.add_late(1, 40 * DAY_MS, behind_ms=-40 * DAY_MS)
    source.note("message", odd, moved=True)
    assert source.listing("message")[0][1] == odd[0]
