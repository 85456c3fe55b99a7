"""A server whose clock was wrong for one sync."""

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing


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
