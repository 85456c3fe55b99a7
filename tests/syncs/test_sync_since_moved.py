"""Messages that `sync_since` leaves out are not due, even if they were read before it was set."""

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing


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
