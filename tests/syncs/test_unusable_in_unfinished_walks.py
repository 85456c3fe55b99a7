"""Records that are unusable when first met land once they are usable."""

from email.utils import formatdate

import pytest

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing, with_a_null


class ClockBehind(MessageListing):
    """The `Date` of the second page is an hour behind, as from a server with a wrong clock."""

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        answer = await super().get(path_and_query, hold)
        if self.pages == 2:
            date = formatdate((self.now_ms - HOUR_MS) // 1000, usegmt=True)
            return Answer(answer.status, {"date": date}, answer.body)
        return answer


def test_a_record_met_as_null_by_a_sync_that_died_lands_though_it_is_beyond_the_lookback() -> None:
    listing = MessageListing()
    listing.add(300, span_ms=90 * DAY_MS)
    lost = listing.newest(155)["id"]

    listing.instead = with_a_null(listing, lost)
    destination = Destination(listing)
    destination.sync(crash_at=220)
    assert destination.stream["unusable"]
    listing.instead = None
    for _ in range(3):
        listing.now_ms += DAY_MS + HOUR_MS
        destination.sync()
    assert not destination.missing


@pytest.mark.parametrize("lanes", [1, None])
def test_it_lands_though_the_sync_that_finishes_the_walk_meets_a_clock_behind(
    lanes: int | None,
) -> None:
    listing = ClockBehind()
    listing.add(600, span_ms=300 * DAY_MS)
    listing.instead = with_a_null(listing, listing.newest(100)["id"])
    destination = Destination(listing)
    destination.sync(message_lanes=lanes, crash_at=460)
    assert destination.stream["unusable"]
    listing.instead, listing.pages = None, 0
    listing.now_ms += HOUR_MS // 4
    destination.sync(message_lanes=lanes)
    for _ in range(3):
        listing.now_ms += DAY_MS + HOUR_MS
        destination.sync(message_lanes=lanes)
    assert not destination.missing
