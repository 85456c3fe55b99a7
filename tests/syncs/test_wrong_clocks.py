"""A server whose clock was wrong for one sync, or in one answer."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from tests.support.message_listing import Destination, MessageListing
from tests.syncs.house import MINUTE_MS, SMALL, House, ready, small_account, with_rules

# The `Date` of one page of the table is this much too early.
EARLY_SECONDS = -2 * 86_400.0


def test_changes_land_in_time_after_a_clock_was_ahead_for_one_sync() -> None:
    listing = MessageListing(clock_ahead_ms=5 * DAY_MS)
    listing.add(300, span_ms=10 * DAY_MS)
    destination = Destination(listing)
    destination.sync()
    listing.clock_ahead_ms = 0
    changed = listing.newest(200)
    for hours in range(1, 60):
        listing.now_ms += HOUR_MS
        listing.add(1, span_ms=HOUR_MS // 2)
        if hours == 2:
            changed |= {"status": "OPENED", "opened": listing.now_ms}
        destination.sync()
    assert destination.landed[changed["id"]]["status"] == "OPENED"


def test_a_reading_from_the_future_does_not_stay_in_the_state() -> None:
    listing = MessageListing(clock_ahead_ms=5 * DAY_MS)
    listing.add(300, span_ms=10 * DAY_MS)
    destination = Destination(listing)
    destination.sync()
    listing.clock_ahead_ms = 0
    listing.now_ms += HOUR_MS
    destination.sync()
    assert max(began for began, _ in destination.stream["readings"]) <= listing.now_ms


@pytest.mark.parametrize("early_in", [1, 2])
def test_an_early_time_in_one_answer_deletes_no_row_before_its_day_is_over(early_in: int) -> None:
    house = ready(small_account())
    hidden = house.account.pick("notification", 3)
    for key in hidden:
        house.account.hide("notification", key)
    early = {"stream": "notification", "times": 1, "date_shift_seconds": EARLY_SECONDS}
    for number in (1, 2, 3):
        rules = [early] if number == early_in else []
        sink = house.sync(after_ms=5 * MINUTE_MS, prepare=with_rules(*rules))
        assert sink.deleted("notification") == []


@pytest.mark.parametrize("early_in", [1, 2])
def test_an_early_time_in_one_answer_deletes_no_child_before_its_hour_is_over(
    early_in: int,
) -> None:
    sizes = dict.fromkeys(SMALL, 1) | {"list": 10, "list_subscription": 4}
    streams = (BY_TABLE["list"], BY_TABLE["list_subscription"])
    house = House(small_account(sizes=sizes), streams=streams, children_refresh_hours=0.0)
    house.sync()
    empty = {"items": [], "paging": {"more": False}}
    away = {"stream": "list_subscription", "status": 200, "body": empty}
    early = {"stream": "list", "times": 1, "date_shift_seconds": EARLY_SECONDS}
    for number in (1, 2, 3):
        rules = [away, early] if number == early_in else [away]
        sink = house.sync(after_ms=5 * MINUTE_MS, prepare=with_rules(*rules))
        assert sink.deleted("list_subscription") == []
