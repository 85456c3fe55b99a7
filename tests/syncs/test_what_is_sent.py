"""A row is sent if and only if it is new or has changed."""

import pytest

from courier_async.state import sent_rows
from tests.support.fake_courier.changes import add_settled, change_at_age
from tests.support.harness import Sink
from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    KEPT,
    MESSAGES,
    SMALL,
    TABLES,
    House,
    messages_account,
    ready,
    small_account,
)


def test_a_second_sync_sends_nothing_but_the_events_of_the_overlap() -> None:
    house = ready()
    sink = house.sync()
    assert {table: len(sink.sent(table)) for table in [*KEPT, "message"]} == dict.fromkeys(
        [*KEPT, "message"], 0
    )
    # Events are not compared, so three pages of them are sent.
    assert len(sink.sent("audit_event")) <= 21


def test_an_edit_is_sent_and_nothing_beside_it() -> None:
    house = ready()
    edited = {table: sorted(house.account.pick(table, 2)) for table in KEPT}
    for table, ids in edited.items():
        for id_ in ids:
            house.account.edit(table, id_, keep_updated=True, name="other")
    sink = house.sync()
    assert {table: sorted(row["id"] for row in sink.sent(table)) for table in KEPT} == edited
    assert house.wrong == {}


def test_a_setting_that_changes_the_rows_sends_each_of_them_once_more() -> None:
    house = ready()
    sink = house.sync(redact_secrets=False)
    assert {table: len(sink.sent(table)) for table in KEPT} == {t: SMALL[t] for t in KEPT}
    assert house.sync(redact_secrets=False).sent("tenant") == []


def test_thousands_of_new_rows_cost_a_few_checkpoints() -> None:
    house = ready(options={"page_sizes": {}}, checkpoint_interval_seconds=60.0)
    house.account.add("list", 5_000)
    sink = house.sync()
    assert len(sink.sent("list")) == 5_000
    assert len(sink.checkpoints) <= 12
    assert house.wrong == {}


@pytest.mark.parametrize("days_late", [0.5, 2.9, 5, 20])
def test_a_message_that_becomes_visible_late_and_looks_settled_lands(days_late: float) -> None:
    house = ready(messages_account(300, days=40), streams=MESSAGES)
    house.syncs(10, after_ms=8 * HOUR_MS)
    (late,) = add_settled(house.account, 1, round(days_late * DAY_MS))
    house.syncs(30, after_ms=8 * HOUR_MS)
    assert late in house.tables.rows["message"]


def test_below_what_can_be_remembered_only_messages_that_are_not_settled_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 60)
    house = ready(messages_account(300, days=28), streams=MESSAGES)
    (late,) = change_at_age(house.account, 9 * DAY_MS, status="CLICKED")
    landed = False
    for _ in range(30):
        sink = house.sync(after_ms=8 * HOUR_MS)
        landed = landed or late in {row["id"] for row in sink.sent("message")}
    assert landed
    assert house.missing() == 0


@pytest.mark.parametrize("crash_at", [1, 2, 3, 5, 9, 17, 30, 60])
def test_an_edit_sent_by_a_sync_that_dies_and_then_taken_back_lands_as_it_is(
    crash_at: int,
) -> None:
    house = ready()
    edited = [(table, id_) for table in KEPT for id_ in house.account.pick(table, 5)]
    for table, id_ in edited:
        house.account.edit(table, id_, keep_updated=True, name="for a moment")
    house.sync(crash_at=crash_at)
    for table, id_ in edited:
        house.account.revert(table, id_)
    house.sync()
    assert house.wrong == {}
    sink = house.sync()
    assert [table for table in KEPT if sink.sent(table)] == []


def test_a_row_that_lands_in_a_sync_that_dies_is_deleted_once_a_later_sync_has_seen_it() -> None:
    house = ready()
    new = house.account.add("list", 3)
    house.sync(sink=Sink(crash_at=6))
    house.sync()
    for id_ in new:
        house.account.delete("list", id_)
    house.syncs(2)
    assert house.wrong == {}


def test_a_stream_too_large_to_remember_is_sent_whole_and_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_ROWS", 50)
    house = House()
    (told,) = [text for text in house.sync().warnings if text.startswith("tenant: too large")]
    assert "rows deleted in Courier stay in the table" in told
    gone, *_ = house.account.pick("tenant", 1)
    house.account.delete("tenant", gone)
    for _ in range(3):
        sink = house.sync(after_ms=DAY_MS)
        assert sink.warnings == []
        assert len(sink.sent("tenant")) == 129
        assert sink.deleted("tenant") == []
    assert sink.sent("list") == []


def test_records_twice_in_a_listing_are_sent_once() -> None:
    house = House(options={"duplicate_every": dict.fromkeys(TABLES, 1)})
    sink = house.sync()
    for table in KEPT:
        ids = [row["id"] for row in sink.sent(table)]
        assert len(ids) == len(set(ids))
    assert house.wrong == {}


def test_the_times_of_messages_in_another_form_are_read() -> None:
    for form in ("float", "iso", "naive_iso"):
        house = House(small_account(), options={"time_forms": {"message": form}}, streams=MESSAGES)
        house.sync()
        house.account.add("message", 3)
        sink = house.sync()
        assert (len(sink.sent("message")), house.requests() < 8) == (3, True), form


@pytest.mark.parametrize("form", ["seconds", "microseconds", "digits", "nonsense"])
def test_where_no_time_can_be_read_each_sync_reads_and_sends_all_and_says_so_once(
    form: str,
) -> None:
    house = House(options={"time_forms": {"message": form}}, streams=MESSAGES)
    told = [text for text in house.sync().warnings if text.startswith("message: ")]
    assert len(told) == 1
    assert house.missing() == 0
    house.account.add("message", 3)
    sink = house.sync()
    # The last page holds three messages, and comes twice.
    assert len(sink.sent("message")) == 163 + 3
    assert len({row["id"] for row in sink.sent("message")}) == 163
    assert sink.warnings == []
