"""What lies below an end is asked for by a made-up cursor, and its answer may tell nothing."""

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.positions import message_cursor_at
from tests.unit.reading.paged import PagedApi, Reader, evenly, is_whole


@pytest.mark.parametrize("times", [1, 3])
def test_an_empty_page_that_leads_on_confirms_no_end(times: int) -> None:
    """It is asked for again, and followed in the end; the probe's is followed at once."""
    api = PagedApi(evenly(600), false_end_page=40)
    made_up, asked = api._made_up, dict[int, int]()

    def often_empty(time: int) -> Page:
        asked[time] = asked.get(time, 0) + 1
        page = made_up(time)
        own = api.cursor_behind(sum(position > time for position in api.positions) - 1)
        return Page([], own) if asked[time] <= times else page

    api._made_up = often_empty  # type: ignore[method-assign]
    reader = Reader(api)
    reader.walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


def test_empty_pages_that_lead_on_for_ever_end_a_walk_all_the_same() -> None:
    api = PagedApi(evenly(600))
    api._made_up = lambda time: Page([], message_cursor_at(time - 1))  # type: ignore[method-assign]
    reader = Reader(api)
    reader.walk()
    assert is_whole(reader), reader.error
    assert len(api.asked) < 200


def test_nothing_below_an_end_is_not_believed_where_lanes_have_read_what_is_older() -> None:
    api = PagedApi(evenly(3_000), false_end_page=100)
    made_up = api._made_up

    def nothing_below(time: int) -> Page:
        confirming = [lane.confirming for lane in reader.last._lanes]
        return Page([], None) if message_cursor_at(time) in confirming else made_up(time)

    api._made_up = nothing_below  # type: ignore[method-assign]
    reader = Reader(api, lanes=8)
    reader.walk()
    assert reader.error is not None or is_whole(reader), len(reader.missing)
