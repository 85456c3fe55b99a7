"""Undocumented envelopes: either an error that names the stream, or read as intended."""

from typing import Any

import pytest

from tests.support.harness import expected
from tests.syncs.house import (
    KEPT,
    MESSAGES,
    SMALL,
    TABLES,
    House,
    messages_account,
    ready,
    small_account,
)

ENDINGS = ["cursor_null", "cursor", "cursor_absent", "paging_null", "paging_empty"]
PAGED = [table for table in TABLES if table != "tenant"]


def changed(paging: str, table: str = "*", **rule: Any) -> dict[str, Any]:
    return {"rules": [{"stream": table, "kind": "listing", "paging": paging, **rule}]}


@pytest.mark.parametrize("table", TABLES)
def test_a_cursor_without_more_is_followed(table: str) -> None:
    house = House(options=changed("more_absent", table))
    house.sync()
    assert house.wrong == {}
    for _ in range(3):
        sink = house.sync(after_ms=25 * 3_600_000)
        assert sink.deleted(table) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_documented_way_to_end_is_an_end(ending: str) -> None:
    house = House(options={"last_page": dict.fromkeys(PAGED, ending)})
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("paging", ["renamed", "absent"])
@pytest.mark.parametrize("table", PAGED)
def test_an_envelope_without_its_paging_object_is_an_error_and_no_last_page(
    table: str, paging: str
) -> None:
    house = ready()
    new = house.account.add(table, 3)
    for _ in range(4):
        sink = house.sync(options=changed(paging, table), fails=True, after_ms=25 * 3_600_000)
        assert f"{table}: the response is missing 'paging'; has the API changed?" in house.error
        assert sink.deleted(table) == []
    assert house.wrong.keys() <= {table}
    house.syncs(2)
    assert house.wrong == {}
    assert set(new) <= {key.partition("\t")[0] for key in house.tables.rows[table]}


def test_a_list_that_has_lost_what_tells_of_a_next_page_is_no_last_page() -> None:
    house = ready(small_account(sizes=SMALL | {"tenant": 230}))
    new = house.account.add("tenant", 3)
    lost = changed("absent", "tenant")
    for _ in range(4):
        sink = house.sync(options=lost, fails=True, after_ms=25 * 3_600_000)
        assert "tenant: the response is missing 'has_more'; has the API changed?" in house.error
        assert sink.deleted("tenant") == []
    house.syncs(2)
    assert house.wrong == {}
    assert set(new) <= house.tables.rows["tenant"].keys()


@pytest.mark.parametrize("table", TABLES)
def test_a_page_with_more_and_no_cursor_fails_after_its_own_rows_were_written(table: str) -> None:
    house = House(options={"more_without_cursor": {table: 1}})
    house.sync(fails=True)
    assert f"{table}: " in house.error
    assert "there is no cursor for it" in house.error
    assert len(house.tables.rows[table]) > 0
    assert house.wrong.keys() <= {table}
    house.options["more_without_cursor"] = {}
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("paging", ["array_null", "array_absent"])
@pytest.mark.parametrize("table", TABLES)
def test_an_envelope_without_its_array_is_an_error_and_not_no_rows(
    table: str, paging: str
) -> None:
    house = ready()
    sink = house.sync(options=changed(paging, table), fails=True)
    assert f"{table}: " in house.error
    assert sink.deleted(table) == []
    house.sync(options=changed(paging, table), fails=True, after_ms=48 * 3_600_000)
    house.sync()
    assert house.wrong == {}


def test_lists_in_an_array_of_either_name_land() -> None:
    house = House(options={"arrays": {"list": "results"}})
    house.sync()
    assert house.wrong == {}


def test_empty_pages_that_say_there_is_more_are_read_past() -> None:
    house = House(options={"empty_page_every": dict.fromkeys(TABLES, 2)})
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("table", TABLES)
def test_a_cursor_that_comes_again_is_an_error_and_not_a_loop(table: str) -> None:
    house = House(options={"repeat_cursor": {table: 2}})
    house.sync(fails=True)
    assert f"{table}: a cursor was repeated" in house.error
    assert house.wrong.keys() <= {table}


def test_a_listing_without_end_is_an_error_after_enough_pages_that_bring_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.reading.endless_guard.MOST_STALE_PAGES", 100)
    house = House(options={"endless": ("brand",)})
    house.sync(fails=True)
    assert "brand: 100 pages in a row contained no new record" in house.error
    assert house.requests("brand") <= 102


@pytest.mark.parametrize("table", KEPT)
def test_an_empty_listing_is_no_sign_that_rows_have_gone_until_a_day_has_passed(
    table: str,
) -> None:
    house = ready()
    empty = changed("false_end", table)
    for _ in range(5):
        sink = house.sync(options=empty)
        assert sink.deleted(table) == []
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_an_empty_listing_of_messages_or_events_is_no_reading(table: str) -> None:
    house = ready()
    before = house.of(table)
    new = house.account.add(table, 4)
    for _ in range(3):
        house.sync(options=changed("false_end", table), after_ms=3 * 24 * 3_600_000)
    after = house.of(table)
    assert after["watermark"] == before["watermark"]
    assert after["readings"] == before["readings"]
    house.sync()
    assert house.missing(table) == 0
    assert len(new) == 4
    assert house.tables.rows[table] == expected(house.account, table)


@pytest.mark.parametrize("made_up", ["honoured", "refused", "empty"])
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("page", [3, 40, 90])
def test_a_false_end_at_a_cursor_loses_no_message_where_made_up_cursors_are_honoured(
    made_up: str, lanes: int, page: int
) -> None:
    house = House(messages_account(1_500, days=60), streams=MESSAGES, message_lanes=lanes)
    false_end = changed("false_end", "message", page=page, cursor="own")
    house.sync(options=false_end | {"made_up_cursors": made_up})
    if made_up == "honoured":
        assert house.missing() == 0
    house.syncs(2, after_ms=25 * 3_600_000)
    if made_up == "honoured":
        assert house.wrong == {}


@pytest.mark.parametrize("lanes", [1, 8])
def test_a_server_that_ends_at_every_made_up_cursor_is_read_by_its_own(lanes: int) -> None:
    house = House(messages_account(1_500, days=60), streams=MESSAGES, message_lanes=lanes)
    house.sync(options={"made_up_cursors": "empty"})
    assert house.missing() == 0


@pytest.mark.parametrize(
    "made_up",
    ["refused", "not_found", "gone", "head", "partly", "gaps", "newer", "backwards", "thin"],
)
def test_made_up_cursors_are_never_believed(made_up: str) -> None:
    house = House(messages_account(1_500, days=60), streams=MESSAGES)
    house.sync(options={"made_up_cursors": made_up})
    assert house.missing() == 0
