"""A listing that ends above what an earlier sync has read is doubted, made-up cursors or not."""

from typing import Any

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, MessageListing, cursor_behind


class Strict(MessageListing):
    """Accepts only the cursors that it has given out since it last forgot them.

    end_at: the page that holds this time says that it is the last; None: no page does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.given: set[str] = set()
        self.end_at: int | None = None

    def _answer(self, cursor: str | None) -> tuple[int, Any]:
        if cursor is not None and cursor not in self.given:
            return 400, {"type": "invalid_request_error", "message": "Invalid cursor"}
        status, body = super()._answer(cursor)
        times = [message["enqueued"] for message in body["results"]]
        if self.end_at is not None and times and times[-1] <= self.end_at <= times[0]:
            body["paging"] = {"more": False, "cursor": None}
        if body["paging"]["cursor"]:
            self.given.add(body["paging"]["cursor"])
        return status, body


def listing_of(days: int) -> Strict:
    listing = Strict()
    listing.add(2 * days, span_ms=days * DAY_MS)
    return listing


def read_half(destination: Destination, listing: MessageListing, **settings: Any) -> None:
    """Runs a sync that dies in the middle of the history, and an hour passes."""
    destination.sync(crash_at=500, **settings)
    assert destination.stream["lanes"]
    listing.now_ms += HOUR_MS


def heal(destination: Destination, listing: Strict, **settings: Any) -> None:
    listing.end_at = None
    for _ in range(4):
        listing.now_ms += 30 * HOUR_MS
        destination.sync(**settings)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("lanes", [1, None])
@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize("syncs", [1, 3])
def test_an_end_above_what_an_unfinished_sync_read_is_not_believed(
    syncs: int, expires: bool, lanes: int | None, is_first: bool
) -> None:
    listing = listing_of(300)
    destination = Destination(listing)
    if not is_first:
        destination.sync(message_lanes=lanes, sync_since_ms=listing.now_ms - 20 * DAY_MS)
        listing.now_ms += HOUR_MS
    read_half(destination, listing, message_lanes=lanes)
    if expires:
        listing.given.clear()
    listing.end_at = listing.now_ms - 60 * DAY_MS
    for _ in range(syncs):
        destination.sync(message_lanes=lanes)
        listing.now_ms += HOUR_MS
    heal(destination, listing, message_lanes=lanes)
    assert not destination.missing


def test_it_is_not_believed_though_sync_since_has_moved_back() -> None:
    listing = listing_of(300)
    destination = Destination(listing)
    read_half(destination, listing, sync_since_ms=listing.now_ms - 290 * DAY_MS)
    listing.end_at = listing.now_ms - 60 * DAY_MS
    for _ in range(3):
        destination.sync()
        listing.now_ms += HOUR_MS
    heal(destination, listing)
    assert not destination.missing


@pytest.mark.parametrize("lanes", [1, None])
def test_it_is_believed_after_a_day(lanes: int | None) -> None:
    listing = listing_of(300)
    destination = Destination(listing)
    read_half(destination, listing, message_lanes=lanes)
    listing.given.clear()
    listing.end_at = listing.now_ms - 60 * DAY_MS
    failed = 0
    for _ in range(10):
        destination.sync(message_lanes=lanes)
        failed += destination.failed
        listing.now_ms += 6 * HOUR_MS
    assert 0 < failed < 10
    assert not destination.failed
    assert "lanes" not in destination.stream


def test_what_has_aged_out_of_the_listing_since_is_no_reason_for_doubt() -> None:
    listing = listing_of(60)
    destination = Destination(listing)
    destination.sync(crash_at=110)
    listing.now_ms += 10 * DAY_MS
    listing.given.clear()
    # Courier keeps sixty days now, so the oldest ten of then are gone.
    listing.end_at = listing.now_ms - 60 * DAY_MS
    destination.sync()
    assert not destination.failed


@pytest.mark.parametrize("lanes", [1, None])
def test_an_end_within_the_first_hour_is_not_believed_either(lanes: int | None) -> None:
    listing = listing_of(150)
    listing.add(100, span_ms=HOUR_MS // 2)
    destination = Destination(listing)
    destination.sync(crash_at=300, message_lanes=lanes)
    listing.now_ms += HOUR_MS // 4
    listing.given.clear()
    listing.end_at = listing.newest(25)["enqueued"]
    destination.sync(message_lanes=lanes)
    heal(destination, listing, message_lanes=lanes)
    assert not destination.missing


def test_a_last_record_dated_ahead_alone_on_its_page_is_no_reason_for_doubt() -> None:
    listing = Strict()
    listing.add(301, span_ms=300 * DAY_MS)
    listing.newest(300)["enqueued"] = listing.now_ms - DAY_MS
    destination = Destination(listing)
    destination.sync(crash_at=200)
    listing.now_ms += HOUR_MS
    listing.given.clear()
    destination.sync()
    assert not destination.failed
    assert not destination.missing


class EmptyLast(Strict):
    """Each full page says that there is more, so an empty page may come last."""

    def _answer(self, cursor: str | None) -> tuple[int, Any]:
        status, body = super()._answer(cursor)
        if status == 200 and len(body["results"]) == 10 and not body["paging"]["more"]:
            last = body["results"][-1]
            cursor = cursor_behind((last["enqueued"], last["id"]))
            body["paging"] = {"more": True, "cursor": cursor}
            self.given.add(cursor)
        return status, body


def test_a_lane_that_meets_only_an_empty_last_page_is_no_reason_for_doubt() -> None:
    listing = EmptyLast()
    listing.add(300, span_ms=300 * DAY_MS)
    destination = Destination(listing)
    # It dies just before the empty page, whose cursor stays valid.
    destination.sync(crash_at=330)
    valid = set(listing.given)
    listing.now_ms += 3 * DAY_MS
    listing.add(100, span_ms=3 * DAY_MS - HOUR_MS)
    destination.sync(crash_at=50)
    listing.now_ms += HOUR_MS
    listing.given = valid
    for _ in range(3):
        destination.sync()
        assert not destination.failed
        listing.now_ms += 4 * HOUR_MS
    assert not destination.missing


def test_the_last_messages_of_a_sparse_listing_may_age_out_of_it() -> None:
    listing = Strict()
    # One in three days. The sync dies shortly before the end.
    listing.add(120, span_ms=360 * DAY_MS)
    destination = Destination(listing)
    destination.sync(crash_at=121)
    listing.now_ms += 5 * HOUR_MS
    listing.given.clear()
    for place in sorted(listing.messages)[:11]:
        del listing.messages[place]
    destination.sync()
    assert not destination.failed
