"""Rows are deleted once they are certainly gone, and never before."""

from typing import Any
from urllib.parse import quote

import pytest

from courier_async.catalog.streams import BY_TABLE
from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    KEPT,
    MINUTE_MS,
    SMALL,
    House,
    ready,
    small_account,
)

WITH_IDS = [table for table in KEPT if table != "notification"]
ERROR = {"type": "invalid_request_error", "message": "List not found"}


def deleted(house: House, table: str, **given: Any) -> list[str]:
    return house.sync(**given).deleted(table)


@pytest.mark.parametrize("table", WITH_IDS)
def test_a_row_goes_once_two_walks_an_hour_apart_have_missed_it_and_its_id_is_unknown(
    table: str,
) -> None:
    house = ready()
    (gone,) = house.account.pick(table, 1)
    house.account.delete(table, gone)
    assert deleted(house, table) == []
    assert list(house.of(table)["missing"]) == [gone]
    assert deleted(house, table, after_ms=59 * MINUTE_MS) == []
    assert deleted(house, table, after_ms=MINUTE_MS) == [gone]
    assert house.wrong == {}
    assert "missing" not in house.of(table)
    assert deleted(house, table) == []


def test_a_template_goes_after_a_day_since_its_id_tells_nothing() -> None:
    house = ready()
    (gone,) = house.account.pick("notification", 1)
    house.account.archive(gone)
    assert deleted(house, "notification") == []
    assert deleted(house, "notification", after_ms=23 * HOUR_MS) == []
    assert deleted(house, "notification", after_ms=HOUR_MS) == [gone]
    assert house.wrong == {}


@pytest.mark.parametrize("drafts_by_id", [True, False])
def test_a_living_draft_that_misses_one_listing_stays(drafts_by_id: bool) -> None:
    house = ready(options={"drafts_by_id": drafts_by_id})
    drafts = [r["id"] for r in house.account.truth("notification") if r.get("state") == "DRAFT"]
    assert drafts
    for id_ in drafts:
        house.account.hide("notification", id_)
    assert deleted(house, "notification", after_ms=2 * HOUR_MS) == []
    for id_ in drafts:
        house.account.restore("notification", id_)
    for _ in range(3):
        assert deleted(house, "notification", after_ms=DAY_MS) == []
    assert house.wrong == {}


@pytest.mark.parametrize("table", WITH_IDS)
def test_rows_hidden_from_the_listing_but_answered_by_id_stay(table: str) -> None:
    house = ready()
    hidden = house.account.pick(table, 6)
    for id_ in hidden:
        house.account.hide(table, id_)
    for _ in range(6):
        assert deleted(house, table, after_ms=10 * HOUR_MS) == []
    # An id that answered 200 is requested again after a day, not in each sync.
    assert house.api.traffic.by_id[table] <= 7
    for id_ in hidden:
        house.account.restore(table, id_)
    house.sync()
    assert "missing" not in house.of(table)
    assert house.wrong == {}


@pytest.mark.parametrize("table", WITH_IDS)
def test_a_row_that_looks_like_an_error_by_its_id_is_alive(table: str) -> None:
    house = ready()
    (hidden,) = house.account.pick(table, 1)
    (record,) = [record for record in house.account.truth(table) if record["id"] == hidden]
    house.account.hide(table, hidden)
    path = f"{BY_TABLE[table].path}/{quote(hidden, safe='')}"
    by_id = {"rules": [{"kind": "by_id", "path": path, "body": record | ERROR}]}
    for _ in range(14):
        assert deleted(house, table, options=by_id, after_ms=18 * HOUR_MS) == []
    house.account.restore(table, hidden)
    house.sync()
    assert house.wrong == {}


def test_a_row_that_is_seen_again_is_not_half_way_to_deletion() -> None:
    house = ready()
    (id_,) = house.account.pick("list", 1)
    house.account.delete("list", id_)
    assert deleted(house, "list") == []
    house.account.restore("list", id_)
    assert deleted(house, "list", capture_deletes=False) == []
    house.account.delete("list", id_)
    assert deleted(house, "list", after_ms=30 * MINUTE_MS) == []
    assert deleted(house, "list") == [id_]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_any_refusal_of_an_id_says_that_its_row_has_gone(status: int) -> None:
    """Courier documents only 400 for an unknown tenant."""
    house = ready()
    (gone,) = house.account.pick("tenant", 1)
    house.account.delete("tenant", gone)
    unknown = {"stream": "tenant", "kind": "by_id", "answered": 404, "status": status}
    house.sync(options={"rules": [unknown]})
    assert deleted(house, "tenant", options={"rules": [unknown]}) == [gone]


@pytest.mark.parametrize("status", [404, 400])
def test_where_no_id_is_answered_moved_rows_stay_and_gone_ones_go_after_a_day(
    status: int,
) -> None:
    """As behind a gateway without the routes by id."""
    gateway = {"rules": [{"kind": "by_id", "status": status}]}
    house = ready(options=gateway)
    (gone,) = house.account.pick("list", 1)
    house.account.delete("list", gone)
    assert deleted(house, "list") == []
    assert deleted(house, "list", after_ms=22 * HOUR_MS) == []
    # A row that moves to the head while the listing is read is found there.
    *_, moved = [row["id"] for row in house.account.truth("list")]
    change = {"do": "move", "stream": "list", "id": moved, "to": "head"}
    result = house.sync(
        after_ms=2 * HOUR_MS, prepare=lambda api: api.change_after("list", 2, change)
    )
    assert result.deleted("list") == [gone]
    assert house.wrong == {}


@pytest.mark.parametrize("status", [401, 500, 503])
def test_ids_that_answer_nothing_delete_nothing(status: int) -> None:
    house = ready()
    (gone,) = house.account.pick("list", 1)
    house.account.delete("list", gone)
    silent = {"rules": [{"kind": "by_id", "status": status, "stream": "list"}]}
    for _ in range(3):
        house.sync(options=silent, after_ms=30 * HOUR_MS)
    assert gone in house.tables.rows["list"]
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("answer", [{"status": 503}, {"body": ERROR}])
def test_an_id_that_answers_nothing_for_a_week_counts_as_one_that_tells_nothing(
    answer: dict[str, Any],
) -> None:
    house = ready()
    (gone,) = house.account.pick("list", 1)
    house.account.delete("list", gone)
    silent = {"rules": [{"kind": "by_id", "path": f"/lists/{quote(gone, safe='')}"} | answer]}
    found = [deleted(house, "list", options=silent, after_ms=18 * HOUR_MS) for _ in range(12)]
    assert found.count([gone]) == 1
    assert found.index([gone]) >= 10
    assert house.wrong == {}


def test_many_rows_missing_at_once_are_told_and_wait_for_a_day() -> None:
    house = ready()
    gone = house.account.pick("tenant", 90)
    for id_ in gone:
        house.account.delete("tenant", id_)
    (told,) = house.sync().warnings
    assert told.startswith("tenant: 90 of 130 rows are missing from Courier's responses at once.")
    again = house.sync(after_ms=20 * HOUR_MS)
    assert (again.deleted("tenant"), again.warnings) == ([], [])
    assert sorted(deleted(house, "tenant", after_ms=4 * HOUR_MS)) == sorted(gone)
    assert house.wrong == {}


def test_at_most_five_hundred_ids_are_asked_for_in_a_sync() -> None:
    sizes = SMALL | {"tenant": 1_700, "message": 10, "audit_event": 10}
    house = ready(small_account(sizes=sizes), options={"page_sizes": {}})
    for id_ in house.account.pick("tenant", 700):
        house.account.delete("tenant", id_)
    house.sync()
    first, second = deleted(house, "tenant"), deleted(house, "tenant")
    assert (len(first), len(second)) == (500, 200)
    assert house.wrong == {}


def test_without_capture_deletes_nothing_is_deleted_and_what_was_known_stays_known() -> None:
    house = ready()
    (gone,) = house.account.pick("list", 1)
    house.account.delete("list", gone)
    for _ in range(3):
        sink = house.sync(after_ms=DAY_MS, capture_deletes=False)
        assert sink.deleted("list") == []
        assert sink.sent("list") == []
    house.sync()
    assert deleted(house, "list") == [gone]


def test_messages_and_audit_events_that_have_left_the_api_stay() -> None:
    house = ready()
    before = len(house.tables.rows["message"])
    house.account.retention(house.account.now_ms() - 20 * DAY_MS)
    for id_ in house.account.pick("audit_event", 5):
        house.account.delete("audit_event", id_)
    for _ in range(3):
        sink = house.sync(after_ms=DAY_MS)
        assert sink.deleted("message") == sink.deleted("audit_event") == []
    assert len(house.tables.rows["message"]) == before


def test_a_walk_that_did_not_come_to_its_end_proves_nothing() -> None:
    house = ready()
    broken = {"rules": [{"stream": "list", "page": 3, "status": 503}]}
    for _ in range(3):
        sink = house.sync(options=broken, fails=True, after_ms=DAY_MS)
        assert sink.deleted("list") == []
    assert "missing" not in house.of("list")


@pytest.mark.parametrize("table", KEPT)
def test_a_listing_that_has_really_become_empty_empties_the_table_after_a_day(
    table: str,
) -> None:
    house = ready()
    for record in list(house.account.truth(table)):
        house.account.delete(table, record["id"])
    assert deleted(house, table) == []
    assert deleted(house, table, after_ms=20 * HOUR_MS) == []
    house.sync(after_ms=5 * HOUR_MS)
    assert house.wrong == {}
    assert house.tables.rows[table] == {}
