"""Unusable records are looked for again, and nothing is deleted because of them."""

from typing import Any

import pytest

from tests.syncs.house import DAY_MS, HOUR_MS, KEPT, SMALL, TABLES, House, ready, small_account

HOW = ["null", "keyless", "key_null", "text"]


def spoilt(
    how: str = "null", share: float = 0.33, table: str = "*", **rule: Any
) -> dict[str, Any]:
    rules = [{"stream": table, "kind": "listing", "records": how, "share": share, **rule}]
    return {"rules": rules}


@pytest.mark.parametrize("how", HOW)
def test_a_third_of_the_records_unusable_in_one_first_sync_lands_in_the_next_days(
    how: str,
) -> None:
    house = House()
    sink = house.sync(options=spoilt(how))
    told = {text.partition(":")[0] for text in sink.warnings}
    assert told >= {"message", "tenant", "audit_event"}
    assert "Later syncs look for them again" in sink.warnings[0]
    assert "unusable" in house.of("message")
    house.sync(after_ms=25 * HOUR_MS)
    house.sync(after_ms=25 * HOUR_MS)
    assert house.wrong == {}
    assert "unusable" not in house.of("message")


@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_records_without_their_key_for_five_days_land_once_they_have_one(table: str) -> None:
    house = ready()
    house.account.add(table, 20)
    for _ in range(5):
        house.sync(after_ms=DAY_MS, options=spoilt("keyless", 0.6, table))
    house.syncs(3, after_ms=DAY_MS)
    assert house.wrong == {}


@pytest.mark.parametrize("table", TABLES)
def test_a_stream_of_which_no_record_is_usable_is_an_error_with_a_name(table: str) -> None:
    house = ready()
    sink = house.sync(options=spoilt("null", 1.0, table), fails=True)
    assert f"{table}: none of the" in house.error
    assert sink.deleted(table) == []
    house.syncs(2)
    assert house.wrong == {}


def test_a_row_that_came_unusable_is_not_deleted() -> None:
    house = ready()
    for _ in range(4):
        sink = house.sync(after_ms=25 * HOUR_MS, options=spoilt("null", 0.3))
        assert {table: sink.deleted(table) for table in KEPT} == {table: [] for table in KEPT}
    house.sync()
    assert house.wrong == {}


def test_a_page_with_an_unusable_record_is_asked_for_once_more() -> None:
    house = House()
    house.sync(options=spoilt("null", 1.0, "tenant", page=2, times=1))
    assert house.wrong == {}
    # At a hundred a page.
    assert house.requests("tenant") == 2 + 1


@pytest.mark.parametrize("days", [7])
def test_nulls_for_days_cost_no_row_in_the_end(days: int) -> None:
    house = House()
    for _ in range(days):
        house.account.add("message", 2)
        house.account.add("audit_event", 1)
        house.sync(after_ms=DAY_MS, options=spoilt("null", 0.2))
    house.syncs(3, after_ms=25 * HOUR_MS)
    assert house.wrong == {}


@pytest.mark.parametrize("days", [20, 31, 40])
@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_records_that_were_null_before_a_long_pause_are_looked_for_after_it(
    table: str, days: int
) -> None:
    house = House(small_account(sizes=SMALL | {table: 300}, span_days=300.0))
    house.sync(options=spoilt("null", 0.5, table, page=20))
    assert house.missing(table)
    house.sync(after_ms=days * DAY_MS)
    assert house.missing(table) == 0


@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_weeks_in_which_every_sync_fails_use_up_none_of_the_thirty_days(table: str) -> None:
    house = House(small_account(sizes=SMALL | {table: 300}, span_days=300.0))
    house.sync(options=spoilt("null", 0.5, table, page=20))
    for _ in range(32):
        house.sync(after_ms=DAY_MS, options={"key": "pk_test_new"}, fails=True)
    house.sync(after_ms=DAY_MS)
    assert house.missing(table) == 0
