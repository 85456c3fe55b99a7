"""Messages whose times do not match their places in the listing cause no loss."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing
from tests.syncs.house import ready, with_rules


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


@pytest.mark.parametrize("table", ["message", "audit_event"])
@pytest.mark.parametrize("share", [0.2, 1.0])
@pytest.mark.parametrize("how", ["timeless", "early"])
def test_rows_whose_time_comes_in_another_form_for_one_sync_are_right_afterwards(
    how: str, share: float, table: str
) -> None:
    house = ready()
    spoil = {"stream": table, "kind": "listing", "records": how, "share": share}
    house.sync(prepare=with_rules(spoil))
    assert table in house.wrong
    house.syncs(40, after_ms=DAY_MS)
    assert house.wrong == {}
