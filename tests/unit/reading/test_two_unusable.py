"""Records that become unusable weeks apart: each is looked for during its own days."""

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.unit.reading.paged import AUDIT_EVENT, NOW, PagedApi, Reader, evenly


class House:
    """Audit events, twelve more each day, some of which come as null."""

    def __init__(self, *spoilt: int, since_ms: int = 0) -> None:
        self.api = api = PagedApi(evenly(200, every_ms=2 * HOUR_MS), stream=AUDIT_EVENT)
        self.spoilt = {api.id_of(api.records[at]) for at in spoilt}
        page_from = api.page_from

        def with_nulls(at: int) -> Page:
            page = page_from(at)
            page.records[:] = [None if api.id_of(r) in self.spoilt else r for r in page.records]
            return page

        api.page_from = with_nulls  # type: ignore[method-assign]
        self.reader = Reader(api, since_ms=since_ms).walk()

    def spoil_one_more(self) -> str:
        newest = self.api.insert(self.api.now_ms)
        self.spoilt.add(newest)
        return newest

    def pass_day(self) -> None:
        for _ in range(12):
            self.api.now_ms += 2 * HOUR_MS
            self.api.insert(self.api.now_ms - HOUR_MS)

    def syncs(self, days: int) -> None:
        for _ in range(days):
            self.pass_day()
            self.reader.walk()


@pytest.mark.parametrize("days", [20, 29, 40])
def test_one_that_never_becomes_usable_does_not_keep_a_later_one_away(days: int) -> None:
    house = House(50)
    never = set(house.spoilt)
    house.syncs(days)
    assert house.reader.missing == never
    last = house.spoil_one_more()
    house.syncs(5)
    assert house.reader.missing == house.spoilt
    house.spoilt.remove(last)
    house.syncs(3)
    assert house.reader.missing == never


def test_a_later_one_does_not_keep_those_away_that_were_met_before() -> None:
    """Even if the walk that meets it dies before it reaches them."""
    house = House(50)
    never = set(house.spoilt)
    house.syncs(10)
    second = house.spoil_one_more()
    house.syncs(5)
    third = house.spoil_one_more()
    house.pass_day()
    house.reader.walk(die_after=2)
    house.syncs(1)
    house.spoilt -= {second, third}
    house.syncs(3)
    assert house.reader.missing == never


def test_a_later_one_does_not_keep_those_away_that_stand_deeper() -> None:
    """As after `sync_since` has moved back shortly before."""
    house = House(50, since_ms=NOW - 8 * DAY_MS)
    never = set(house.spoilt)
    house.syncs(13)
    house.reader.since_ms = 0
    deep = house.api.id_of(house.api.records[-50])
    house.spoilt.add(deep)
    house.syncs(2)
    third = house.spoil_one_more()
    house.syncs(2)
    house.spoilt -= {deep, third}
    house.syncs(3)
    assert house.reader.missing == never


def test_one_on_the_page_at_which_sync_since_lies_is_not_looked_for_once_it_has_come() -> None:
    times = evenly(200, every_ms=2 * HOUR_MS)
    house = House(93, since_ms=times[95])
    house.spoilt.clear()
    house.syncs(2)
    assert not house.reader.state.unusable
    house.syncs(1)
    assert len(house.api.asked) < 8
