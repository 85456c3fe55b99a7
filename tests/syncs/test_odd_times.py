"""Messages whose times do not match their places in the listing cause no loss."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing


@pytest.mark.parametrize("back_dated", [1, 29])
def test_back_dated_messages_in_an_unfinished_lane_do_not_hide_what_it_has_not_read(
    back_dated: int,
) -> None:
    listing = MessageListing()
    listing.add(100, span_ms=5 * DAY_MS)
    destination = Destination(listing)
    destination.sync()
    listing.now_ms += DAY_MS
    listing.add(300, span_ms=DAY_MS)
    for number in range(5, 5 + back_dated):
        listing.newest(number)["enqueued"] -= 40 * DAY_MS
    # Fifteen pages are read; everything below is still to come.
    destination.sync(crash_at=165)
    assert destination.stream["lanes"]
    assert len(destination.missing) > 100
    listing.now_ms += HOUR_MS
    destination.sync()
    assert not destination.missing
