"""What the simulation has found, each as a plain case."""

from typing import Any

from courier_async.catalog.streams import BY_TABLE
from courier_async.state import saved
from courier_async.state.plan import Depth, plan_walk
from courier_async.state.position import Lane, Reading, StreamState
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
