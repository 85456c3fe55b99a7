"""Late changes of messages land in time, and cost little compared with reading the whole log."""

import random
from datetime import datetime
from typing import Any

import pytest

from courier_async.state import sent_rows
from tests.support.fake_courier.changes import change_at_age
from tests.support.message_listing import Destination, MessageListing
from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    MESSAGES,
    MINUTE_MS,
    NOW_MS,
    House,
    messages_account,
    ready,
)


def test_a_day_of_syncs_every_quarter_of_an_hour_asks_for_at_most_a_thousand_pages() -> None:
    """With twenty pages of messages a day."""
    house = ready(messages_account(3_000, days=15), streams=MESSAGES)
    asked = 0
    for number in range(96):
        house.account.add("message", 2 + number % 12 // 11)
        house.sync(after_ms=15 * MINUTE_MS)
        asked += house.requests()
    assert house.missing() == 0
    assert asked <= 1_000


def test_forty_days_of_syncs_every_six_hours_miss_no_change_at_any_age(seed: int) -> None:
    draw = random.Random(seed)
    house = ready(messages_account(500, days=45), streams=MESSAGES)
    waiting: dict[str, int] = {}
    worst, landed = 0.0, 0
    for _ in range(160):
        house.account.add("message", 3)
        age = draw.uniform(0.1, 29.9) if len(waiting) < 40 else 0.1
        changed_at = house.account.now_ms()
        for id_ in change_at_age(house.account, round(age * DAY_MS), status="CLICKED"):
            enqueued = house.account.get("message", id_)
            if enqueued and changed_at - enqueued["enqueued"] < 29.9 * DAY_MS:
                waiting.setdefault(id_, changed_at)
        sink = house.sync(after_ms=6 * HOUR_MS)
        for row in sink.sent("message"):
            if row["id"] in waiting:
                record = house.account.get("message", row["id"])
                assert record is not None
                late = house.account.now_ms() - waiting.pop(row["id"]) - 6 * HOUR_MS
                worst = max(worst, late / (house.account.now_ms() - record["enqueued"]))
                landed += 1
    assert landed > 60
    assert worst <= 0.25
    # Changes that have not landed yet must not be late yet.
    for id_, changed_at in waiting.items():
        record = house.account.get("message", id_)
        assert record is not None
        late = house.account.now_ms() - changed_at - 6 * HOUR_MS
        assert late <= 0.25 * (house.account.now_ms() - record["enqueued"])


def test_nothing_older_than_the_lookback_is_read_again() -> None:
    house = ready(messages_account(900, days=90), streams=MESSAGES, message_lookback_days=3.0)
    for _ in range(20):
        house.sync(after_ms=6 * HOUR_MS)
        # There are ten messages a day.
        assert house.requests() <= 8


def test_a_lookback_that_grows_lets_older_changes_land() -> None:
    house = ready(messages_account(300, days=30), streams=MESSAGES, message_lookback_days=1.0)
    house.syncs(12, after_ms=6 * HOUR_MS)
    (id_,) = change_at_age(house.account, 15 * DAY_MS, status="CLICKED")
    house.syncs(12, after_ms=6 * HOUR_MS)
    assert house.tables.rows["message"][id_]["status"] != "CLICKED"
    house.sync(message_lookback_days=30.0)
    assert house.tables.rows["message"][id_]["status"] == "CLICKED"


@pytest.mark.parametrize("moved_to", [NOW_MS - 30 * DAY_MS, None], ids=["moved back", "removed"])
@pytest.mark.parametrize("lanes", [1, None])
def test_what_sync_since_left_out_lands_once_it_moves_back(
    moved_to: int | None, lanes: int | None
) -> None:
    house = House(message_lanes=lanes)
    since: dict[str, Any] = {"sync_since_ms": NOW_MS - 10 * DAY_MS}
    house.sync(**since)
    assert house.missing() > 0
    assert house.missing("audit_event") > 0
    house.syncs(4, after_ms=DAY_MS, **since)
    house.sync(sync_since_ms=moved_to)
    if moved_to is None:
        assert house.wrong == {}
    for table, name in (("message", "enqueued"), ("audit_event", "timestamp")):
        for record in house.account.truth(table):
            key = str(record.get("id") or record.get("auditEventId"))
            is_wanted = moved_to is None or _ms(record[name]) >= moved_to
            assert (key in house.tables.rows[table]) == is_wanted
    # Only once: the next sync reads little again.
    house.sync(sync_since_ms=moved_to)
    assert house.requests() < 12


def _ms(value: int | str) -> int:
    if isinstance(value, int):
        return value
    return int(datetime.fromisoformat(value).timestamp() * 1000)


def test_a_sync_since_newer_than_the_newest_message_costs_a_few_pages_a_sync() -> None:
    account = messages_account(600, days=30)
    account.advance(20 * DAY_MS)
    house = House(account, streams=MESSAGES, sync_since_ms=NOW_MS + 19 * DAY_MS)
    # Messages are only presumed to come newest first until a sync has seen it.
    assert house.sync().sent("message") == []
    for _ in range(4):
        assert house.sync().sent("message") == []
        assert house.requests() <= 3
    (new,) = account.add("message")
    assert [row["id"] for row in house.sync().sent("message")] == [new]


@pytest.mark.parametrize("remembered", [50_000, 300])
def test_a_burst_is_not_read_again_in_each_sync_of_the_quiet_days_that_follow(
    monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """Also if it is too large to be remembered."""
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", remembered)
    listing = MessageListing()
    listing.add(300, span_ms=60 * DAY_MS)
    listing.add(1_000, span_ms=50 * MINUTE_MS)
    destination = Destination(listing)
    destination.sync(message_lanes=None)
    listing.now_ms += 2 * DAY_MS
    destination.sync(message_lanes=None)
    listing.pages = 0
    for _ in range(24):
        listing.now_ms += 15 * MINUTE_MS
        destination.sync(message_lanes=None)
    assert not destination.missing
    # Messages two days old are due once in twelve hours.
    assert listing.pages < 200


def test_a_change_sent_once_is_not_sent_again() -> None:
    house = ready(messages_account(300, days=20), streams=MESSAGES)
    (id_,) = change_at_age(house.account, HOUR_MS)
    assert [row["id"] for row in house.sync().sent("message")] == [id_]
    for _ in range(6):
        assert house.sync(after_ms=8 * HOUR_MS).sent("message") == []


@pytest.mark.parametrize("lanes", [1, None])
def test_a_change_within_the_lookback_lands_though_the_first_reading_took_two_syncs(
    lanes: int | None,
) -> None:
    listing = MessageListing()
    began = listing.now_ms
    listing.add(1_440, span_ms=60 * DAY_MS)
    destination = Destination(listing)
    # It dies after forty days, having read a message that changes at an age of 29.5 days.
    destination.sync(message_lanes=lanes, crash_at=1_050)
    changing = listing.newest(684)
    assert changing["id"] in destination.landed
    changing |= {"status": "OPENED", "opened": began + DAY_MS}
    listing.now_ms += round(3.9 * DAY_MS)
    destination.sync(message_lanes=lanes)
    for _ in range(40):
        listing.now_ms += DAY_MS
        listing.add(24, span_ms=DAY_MS)
        destination.sync(message_lanes=lanes)
    assert not destination.missing
    assert destination.landed[changing["id"]]["status"] == "OPENED"
