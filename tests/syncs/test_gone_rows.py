"""Rows that only seem to be gone: none of them may be deleted."""

from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.ending import SyncFailed
from tests.support.fake_courier import Account, FakeApi, Options
from tests.support.harness import Sink, Tables, expected, sync

HOUR_MS = 3_600_000
NOW_MS = 1_794_657_600_000
SIZES = {
    "brand": 30,
    "list": 60,
    "notification": 60,
    "tenant": 60,
    "preference_section": 2,
    "subscription_topic": 6,
}


class House:
    """An account with one table, and the rows landed so far."""

    def __init__(self, table: str, **options: Any) -> None:
        self.table = table
        self.account = Account(seed=7, sizes=SIZES, now_ms=NOW_MS)
        self.api = FakeApi(self.account, Options(page_sizes={table: 10}, **options))
        self.tables = Tables()
        self.state: dict[str, Any] = {}

    async def sync(self, hours: float = 25.0) -> Sink:
        self.account.advance(int(hours * HOUR_MS))
        sink = Sink()
        try:
            await sync(self.api, self.state, sink=sink, streams=(BY_TABLE[self.table],))
        finally:
            self.tables.apply(sink)
            self.state = sink.last_state() or self.state
        return sink

    async def deleted(self, syncs: int = 4) -> list[str]:
        """Returns what some syncs, a day apart, delete, even if they fail."""
        keys = []
        for _ in range(syncs):
            try:
                keys += (await self.sync()).deleted(self.table)
            except SyncFailed as failure:
                assert self.table in str(failure)  # noqa: PT017
        return keys

    def rules(self, *rules: dict[str, Any]) -> None:
        self.api.change_options(rules=rules)

    def is_equal(self) -> bool:
        return self.tables.rows[self.table] == expected(self.account, self.table)


EMPTY = {"results": [], "items": [], "paging": {"more": False}, "has_more": False, "type": "list"}


@pytest.mark.parametrize("table", ["brand", "list", "tenant"])
async def test_an_empty_listing_deletes_no_row_that_answers_to_its_id(table: str) -> None:
    house = House(table)
    await house.sync()
    house.rules({"stream": table, "kind": "listing", "body": EMPTY})
    assert await house.deleted() == []
    house.rules()
    await house.sync()
    assert house.is_equal()


@pytest.mark.parametrize("by_id", [{}, {"denied_by_id": {"brand": 404}}])
async def test_the_last_rows_of_a_listing_go(by_id: dict[str, Any]) -> None:
    house = House("brand", **by_id)
    await house.sync()
    for key in house.account.pick("brand", 30):
        house.account.delete("brand", key)
    await house.sync()
    assert await house.deleted(1)
    assert house.is_equal()


async def test_a_row_that_answers_to_its_id_stays_though_the_first_listed_one_goes_just_then() -> (
    None
):
    house = House("list")
    await house.sync()
    first, hidden, *_ = sorted(row["id"] for row in house.account.truth("list"))
    house.account.hide("list", hidden)
    assert await house.deleted(2) == []
    # The first row, which the walk has held, shows whether ids tell anything.
    pages = 6
    house.api.change_after("list", pages, {"do": "delete", "stream": "list", "id": first})
    assert await house.deleted(1) == []
    assert await house.deleted(3) == [first]
    house.account.restore("list", hidden)
    await house.sync()
    assert house.is_equal()


async def test_rows_that_come_as_null_stay_where_ids_tell_nothing() -> None:
    house = House("list", denied_by_id={"list": 404})
    await house.sync()
    house.rules({"stream": "list", "kind": "listing", "records": "null", "share": 0.3})
    assert await house.deleted() == []


async def test_topics_that_a_listing_lacks_now_and_then_stay() -> None:
    house = House("subscription_topic")
    await house.sync()
    for _ in range(3):
        house.api.change_options(
            rules=({"path": "/preferences", "paging": "no_records", "times": 1},)
        )
        assert await house.deleted(1) == []


async def test_a_head_that_cannot_be_read_on_proves_no_row_gone() -> None:
    house = House("notification")
    await house.sync()
    key = next(iter(house.account.truth("notification")))["id"]
    house.account.archive(key)
    await house.sync()
    # It returns to the head, but only after the walk has passed, and behind an empty page.
    pages = 6
    house.api.change_after(
        "notification", pages, {"do": "restore", "stream": "notification", "id": key}
    )
    empty = {"results": [], "paging": {"more": True, "cursor": ""}}
    house.rules(
        {"stream": "notification", "cursor": "none", "after": 1, "times": 1, "body": empty}
    )
    assert await house.deleted(1) == []
