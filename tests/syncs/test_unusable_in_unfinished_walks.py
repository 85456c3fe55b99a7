"""Records that are unusable when first met land once they are usable."""

from typing import Any

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, Message, MessageListing, cursor_behind


def test_a_record_met_as_null_by_a_sync_that_died_lands_though_it_is_beyond_the_lookback() -> None:
    listing = MessageListing()
    listing.add(300, span_ms=90 * DAY_MS)
    lost = listing.newest(155)["id"]

    def with_a_null(cursor: str | None, page: list[Message]) -> tuple[int, Any] | None:
        if lost not in [message["id"] for message in page]:
            return None
        records = [None if message["id"] == lost else message for message in page]
        place = next(p for p, m in listing.messages.items() if m is page[-1])
        return 200, {"results": records, "paging": {"more": True, "cursor": cursor_behind(place)}}

    listing.instead = with_a_null
    destination = Destination(listing)
    destination.sync(crash_at=220)
    assert destination.stream["unusable"]
    listing.instead = None
    for _ in range(3):
        listing.now_ms += DAY_MS + HOUR_MS
        destination.sync()
    assert not destination.missing
