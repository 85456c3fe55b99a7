"""Order is learned, and judged by pages; a wrong clock costs pages but no rows."""

from random import Random
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from tests.support.fake_courier import FakeApi
from tests.support.fake_courier.changes import change_at_age
from tests.support.harness import Crash, Sink
from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    MESSAGES,
    MINUTE_MS,
    SMALL,
    House,
    messages_account,
    ready,
    small_account,
)

AUDIT = (BY_TABLE["audit_event"],)


@pytest.mark.parametrize("order", ["shuffled", "oldest"])
@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_streams_in_no_useful_order_are_read_to_the_end_each_time(table: str, order: str) -> None:
    house = ready(small_account(orders={table: order}))
    assert house.of(table)["newest_first"] is False
    for _ in range(3):
        house.account.add(table, 3)
        house.sync(after_ms=DAY_MS)
        assert house.wrong == {}
    assert house.requests(table) >= 10


@pytest.mark.parametrize("order", ["oldest", "shuffled"])
@pytest.mark.parametrize("count", [2, 11, 25, 60])
def test_a_small_listing_that_comes_oldest_first_is_not_taken_for_newest_first(
    order: str, count: int
) -> None:
    account = small_account(sizes=SMALL | {"message": count}, orders={"message": order})
    house = House(account, streams=MESSAGES)
    for _ in range(5):
        house.account.add("message", 4)
        house.sync(after_ms=DAY_MS)
        assert house.missing() == 0


@pytest.mark.parametrize("lives", [(60,), (60, 3)], ids=["equal", "one short"])
@pytest.mark.parametrize("order", ["oldest", "shuffled"])
def test_a_first_reading_in_no_useful_order_gets_on_though_every_sync_dies(
    order: str, lives: tuple[int, ...]
) -> None:
    account = messages_account(1_500, days=60.0, orders={"message": order})
    house = House(account, streams=MESSAGES, message_lanes=1, checkpoint_interval_seconds=0.0)

    pages = 0

    def dies_in_time(name: str, data: Any) -> None:
        if house.requests() > pages:
            raise Crash

    for number in range(6 * len(lives)):
        if number:
            account.add("message", 2)
        pages = lives[number % len(lives)]
        house.sync(sink=Sink(crash_at=10**9, on_operation=dies_in_time))
    assert house.missing() < 10


def test_neighbours_out_of_order_cost_nothing_more() -> None:
    house = ready(
        small_account(orders={"message": "nearly_newest", "audit_event": "nearly_newest"})
    )
    house.account.add("message", 3)
    house.sync()
    assert house.requests() <= 6
    assert house.of("message")["newest_first"] is True
    assert house.wrong == {}


@pytest.mark.parametrize("odd_days", [40, 400, -3, 9_000])
def test_one_message_with_an_odd_time_at_the_head_costs_a_page_or_two(odd_days: int) -> None:
    """Whether it is back-dated or ahead of the clock."""
    house, plain = (ready(messages_account(1_500, days=30), streams=MESSAGES) for _ in range(2))
    house.account.add_late(1, odd_days * DAY_MS, behind_ms=-odd_days * DAY_MS)
    for _ in range(4):
        for each in (house, plain):
            each.account.add("message", 2)
            each.sync()
        assert house.requests() <= plain.requests() + 2
        assert house.missing() == 0
    assert house.of("message")["newest_first"] is True


def test_a_back_dated_burst_at_the_head_hides_nothing_new() -> None:
    house = ready(messages_account(1_000, days=30), streams=MESSAGES)
    new = house.account.add("message", 40)
    house.account.add_late(19, 25 * DAY_MS, behind_ms=-25 * DAY_MS)
    house.sync()
    assert set(new) <= house.tables.rows["message"].keys()


@pytest.mark.parametrize("minutes", [30, 24 * 60])
def test_a_clock_behind_the_watermark_costs_pages_and_not_the_whole_log(minutes: int) -> None:
    house = ready(messages_account(3_000, days=300), streams=MESSAGES)
    house.sync()
    house.account.add("message", 5)
    sink = house.sync(options={"date_shift_seconds": -60 * minutes})
    assert house.missing() == 0
    # Thirty days hold three hundred messages.
    assert house.requests() <= 40
    assert len(sink.sent("message")) == 5


@pytest.mark.parametrize("days", [5, -5])
def test_changes_land_in_time_after_one_sync_by_a_wrong_clock(days: int) -> None:
    house = ready(messages_account(300, days=30), streams=MESSAGES)
    house.syncs(4, after_ms=6 * HOUR_MS)
    house.sync(options={"date_shift_seconds": days * 86_400})
    new = house.account.add("message", 5)
    changed = [
        id_
        for age in (0.3, 2, 9)
        for id_ in change_at_age(house.account, round(age * DAY_MS), status="CLICKED")
    ]
    house.sync(after_ms=6 * HOUR_MS)
    assert set(new) <= house.tables.rows["message"].keys()
    house.syncs(12, after_ms=6 * HOUR_MS)
    for id_ in changed:
        assert house.tables.rows["message"][id_]["status"] == "CLICKED"


@pytest.mark.parametrize("leap_ms", [HOUR_MS, -HOUR_MS, 26 * HOUR_MS])
def test_a_leap_of_the_servers_clock_during_a_sync_loses_no_row(leap_ms: int) -> None:
    def leap(api: FakeApi) -> None:
        for table in ("message", "audit_event", "list"):
            api.change_after(table, 2, {"do": "advance", "ms": leap_ms})

    house = House()
    for _ in range(3):
        house.account.add("message", 5)
        house.account.add("audit_event", 2)
        house.sync(prepare=leap)
    house.sync(after_ms=2 * DAY_MS)
    assert house.wrong == {}


def test_the_watermark_stays_ten_minutes_behind_the_servers_time_at_the_walks_start() -> None:
    house = ready()
    house.account.add("message", 3)
    house.sync(after_ms=0)
    started_at = house.account.now_ms()
    assert house.of("message")["watermark"] <= started_at - 10 * MINUTE_MS


def test_messages_that_come_while_a_sync_reads_land_with_the_next_one() -> None:
    house = ready()
    for _ in range(4):
        house.sync(
            prepare=lambda api: api.change_after(
                "message", 2, {"do": "add", "stream": "message", "n": 7}
            )
        )
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("late_minutes", [1, 9, 45])
def test_records_that_become_visible_late_land(late_minutes: int) -> None:
    house = ready()
    for _ in range(6):
        house.account.add_late(3, late_minutes * MINUTE_MS)
        house.sync(after_ms=10 * MINUTE_MS)
    assert house.wrong == {}


@pytest.mark.parametrize("pages", [3, 4, 5])
def test_a_short_audit_trail_without_an_order_is_not_taken_for_newest_first(pages: int) -> None:
    for seed in range(6):
        account = small_account(
            seed=seed, sizes=SMALL | {"audit_event": 1}, orders={"audit_event": "shuffled"}
        )
        house = House(account, streams=AUDIT, options={"page_sizes": {"audit_event": 20}})
        random = Random(seed)
        for _ in range(20 * pages - 10):
            # Each at a random place of the listing.
            account.add_late(1, random.randrange(365 * DAY_MS), stream="audit_event")
        for _ in range(10):
            account.add("audit_event", 1)
            house.sync(after_ms=DAY_MS)
            assert house.missing("audit_event") == 0


def test_an_audit_trail_that_now_comes_oldest_first_is_read_to_its_end() -> None:
    house = House(
        small_account(sizes=SMALL | {"audit_event": 200}),
        streams=AUDIT,
        options={"page_sizes": {"audit_event": 20}},
    )
    # Its first events lie within an hour, which fits either order.
    house.account.add_late(50, 366 * DAY_MS, stream="audit_event")
    house.syncs(2)
    assert house.of("audit_event")["newest_first"] is True
    table = house.account.table("audit_event")
    table.order, table.step = "oldest", 1
    for _ in range(5):
        house.account.add("audit_event", 1)
        house.sync(after_ms=DAY_MS)
        assert house.missing("audit_event") == 0


def test_a_sync_since_after_the_newest_audit_event_costs_nothing_more() -> None:
    account = small_account(sizes=SMALL | {"audit_event": 600})
    house = ready(account, streams=AUDIT, options={"page_sizes": {"audit_event": 20}})
    house.sync()
    usual = house.requests("audit_event")
    house.syncs(3, sync_since_ms=account.now_ms())
    assert house.requests("audit_event") <= usual
