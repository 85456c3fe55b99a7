"""Messages that `sync_since` leaves out are not due, even if they were read before it was set."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.state import sent_rows
from tests.support.message_listing import Destination, MessageListing, with_a_null


def test_what_a_later_sync_since_leaves_out_does_not_make_every_sync_read_down_to_it() -> None:
    listing = MessageListing()
    listing.add(400, span_ms=40 * DAY_MS)
    destination = Destination(listing)
    destination.sync()
    since = listing.now_ms - 20 * DAY_MS
    listing.now_ms += 12 * DAY_MS
    destination.sync(sync_since_ms=since)
    listing.pages = 0
    listing.now_ms += HOUR_MS
    destination.sync(sync_since_ms=since)
    assert listing.pages < 6


def test_a_null_below_a_later_sync_since_does_not_make_each_day_read_down_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    listing = MessageListing()
    listing.add(600, span_ms=300 * DAY_MS)
    listing.instead = with_a_null(listing, listing.newest(500)["id"])
    destination = Destination(listing)
    destination.sync(message_lanes=1)
    listing.instead = None
    since = listing.now_ms - 200 * DAY_MS
    listing.pages = 0
    for _ in range(10):
        listing.now_ms += DAY_MS + HOUR_MS
        listing.add(2, span_ms=DAY_MS)
        destination.sync(sync_since_ms=since)
    # It looked down to there once at most, at 40 pages.
    assert listing.pages < 100
    for _ in range(2):
        listing.now_ms += DAY_MS + HOUR_MS
        destination.sync()
    assert not destination.missing


@pytest.mark.parametrize("hidden_days", [20, 35, 100])
def test_a_message_that_was_null_lands_however_long_sync_since_has_hidden_it(
    hidden_days: int,
) -> None:
    listing = MessageListing()
    listing.add(400, span_ms=90 * DAY_MS)
    since = listing.now_ms - 50 * DAY_MS
    lost = [m for m in listing.messages.values() if m["enqueued"] < since][-30]["id"]
    listing.instead = with_a_null(listing, lost)
    destination = Destination(listing)
    destination.sync()
    listing.instead = None
    assert destination.missing == {lost}
    for _ in range(hidden_days):
        listing.now_ms += DAY_MS
        destination.sync(sync_since_ms=since)
    for _ in range(2):
        listing.now_ms += DAY_MS
        destination.sync()
    assert not destination.missing
