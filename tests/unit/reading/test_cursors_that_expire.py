"""The server's own cursors that expire with the sync that received them."""

from dataclasses import dataclass, field

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import HOUR_MS
from courier_async.errors import CourierError, Refused
from tests.unit.reading.paged import MINUTE_MS, PagedApi, Reader, evenly, is_whole


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
