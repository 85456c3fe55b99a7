"""An empty listing of messages that had rows proves nothing and costs nothing."""

from typing import Any

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.support.message_listing import Destination, Message, MessageListing

EMPTY = 200, {"results": [], "paging": {"more": False}}


def empty(_: str | None, __: list[Message]) -> tuple[int, Any]:
    return EMPTY


@pytest.mark.parametrize("crash_at", [None, 60])
def test_an_empty_listing_leaves_the_state_as_it_was(crash_at: int | None) -> None:
    listing = MessageListing()
    listing.add(200, span_ms=5 * DAY_MS)
    destination = Destination(listing)
    destination.sync(crash_at=crash_at)
    before = destination.stream
    listing.instead = empty
    destination.sync()
    assert destination.stream == before
    listing.instead = None
    listing.now_ms += HOUR_MS
    sink = destination.sync()
    assert not sink.warnings
    assert not destination.missing


def test_after_an_empty_listing_only_what_is_due_is_read_again() -> None:
    listing = MessageListing()
    listing.add(200, span_ms=5 * DAY_MS)
    destination = Destination(listing)
    destination.sync()
    listing.instead = empty
    destination.sync()
    listing.instead, listing.pages = None, 0
    listing.now_ms += HOUR_MS
    assert not destination.sync().sent("message")
    assert listing.pages < 6
