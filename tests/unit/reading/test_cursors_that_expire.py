"""The server's own cursors that expire with the sync that received them."""

import asyncio
from dataclasses import dataclass, field

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import HOUR_MS
from courier_async.errors import CourierError, Refused, Unavailable
from courier_async.reading.fetches import Asked
from tests.unit.reading.paged import AUDIT_EVENT, MINUTE_MS, PagedApi, Reader, evenly, is_whole


@dataclass
class ShortLived(PagedApi):
    """`expire` makes it refuse all cursors given out so far."""

    given: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fails = self._refuse

    def expire(self) -> None:
        self.given.clear()

    def _refuse(self, kind: str, cursor: str | None) -> CourierError | None:
        return Refused(410, "") if kind == "own" and cursor not in self.given else None

    def page_from(self, at: int) -> Page:
        page = super().page_from(at)
        if page.next_cursor is not None:
            self.given.add(page.next_cursor)
        return page


@pytest.mark.parametrize("lanes", [1, None])
@pytest.mark.parametrize("deaths", [2, 5])
def test_a_backlog_gets_through_where_syncs_die_and_cursors_expire(
    lanes: int | None, deaths: int
) -> None:
    api = ShortLived(evenly(3_000, every_ms=30 * MINUTE_MS))
    reader = Reader(api, lanes=lanes, blocks=(0.0,))
    for number in range(deaths + 1):
        api.expire()
        api.now_ms += HOUR_MS
        api.insert(api.now_ms)
        reader.walk(die_after=60 if number < deaths else None)
    # The first uninterrupted sync reads the rest.
    assert is_whole(reader), reader.error


@pytest.mark.parametrize("error", [Refused(400, ""), Unavailable("Courier answered 502")], ids=str)
@pytest.mark.parametrize("head_seconds", [(1, 60, 1), (1, 1, 60)])
def test_two_cursors_that_fail_while_the_head_is_read_again_do_not_stop_the_walk(
    error: CourierError, head_seconds: tuple[int, int, int]
) -> None:
    api = PagedApi(evenly(300, every_ms=5 * HOUR_MS), stream=AUDIT_EVENT)
    reader = Reader(api, blocks=(0.0,), lanes=2).walk()
    assert is_whole(reader)
    api.now_ms += HOUR_MS
    api.insert(api.now_ms - 1)
    reader.walk(die_after=1)
    [saved] = [lane.cursor for lane in reader.state.lanes]
    for number in range(1, 5):
        api.insert(api.now_ms + number * HOUR_MS)
    api.now_ms += 8 * HOUR_MS
    ask, heads, failed = api.ask, 0, 0

    async def answer(cursor: str | None, yields: bool) -> Asked:
        nonlocal heads, failed
        if cursor is None:
            heads += 1
            await asyncio.sleep(head_seconds[heads - 1])
        elif failed < 2:
            # An outage: the requests under way fail, and those for the head are retried.
            failed += 1
            await asyncio.sleep(4 if cursor == saved else 3)
            raise error
        return await ask(cursor, yields)

    api.ask = answer  # type: ignore[method-assign]
    reader.walk()
    assert failed == 2
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("first", ["upper", "lower"])
def test_no_lane_is_lost_if_two_fail_and_then_the_head_that_is_read_again(first: str) -> None:
    api = PagedApi(evenly(300, every_ms=5 * HOUR_MS), stream=AUDIT_EVENT)
    reader = Reader(api, blocks=(0.0,), lanes=2).walk()
    for pages in (12, 10):
        api.now_ms += 1_100 * HOUR_MS
        for number in range(200, 0, -1):
            api.insert(api.now_ms - HOUR_MS - number * 5 * HOUR_MS)
        reader.walk(die_after=pages)
    upper, lower = [lane.cursor for lane in reader.state.lanes]
    api.now_ms += HOUR_MS
    ask = api.ask

    async def answer(cursor: str | None, yields: bool) -> Asked:
        if cursor in (upper, lower):
            await asyncio.sleep(300 if (cursor == upper) == (first == "upper") else 310)
            raise Unavailable("Courier answered 502")
        if cursor is None and api.asked:
            await asyncio.sleep(30)
            raise Unavailable("Courier answered 502")
        return await ask(cursor, yields)

    api.ask = answer  # type: ignore[method-assign]
    reader.walk()
    assert {upper, lower} <= {lane.cursor for lane in reader.state.lanes}
    assert reader.error is not None
