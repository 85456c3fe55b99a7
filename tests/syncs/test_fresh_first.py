"""New records land in every sync, whatever is wrong further back."""

from typing import Any

import pytest

from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    MESSAGES,
    NOW_MS,
    House,
    messages_account,
    ready,
)

STATUSES = [400, 402, 403, 404, 405, 409, 410, 412, 422, 500]


def failing_page(days_back: float, **answer: Any) -> dict[str, Any]:
    """Makes pages that hold a message of that hour fail."""
    at = NOW_MS - round(days_back * DAY_MS)
    rule = {"stream": "message", "holds_from_ms": at, "holds_until_ms": at + HOUR_MS}
    return {"rules": [rule | (answer or {"status": 500})]}


@pytest.mark.parametrize("lanes", [1, None])
def test_a_page_far_back_that_always_fails_lets_new_messages_land_on_each_day(
    lanes: int | None,
) -> None:
    account = messages_account(800, days=40)
    broken = failing_page(20)
    house = House(account, streams=MESSAGES, message_lanes=lanes)
    house.sync(options=broken, fails=True)
    assert house.error.startswith("1 of 1 streams could not be read to the end. message: ")
    for _ in range(6):
        new = account.add("message", 12)
        house.sync(after_ms=DAY_MS, options=broken, fails=True)
        assert set(new) <= house.tables.rows["message"].keys()
    house.syncs(2, after_ms=25 * HOUR_MS)
    assert house.missing() == 0


@pytest.mark.parametrize("made_up", ["honoured", "refused"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_saved_cursor_that_is_refused_stops_nothing_whatever_the_status(
    status: int, made_up: str
) -> None:
    account = messages_account(400, days=20)
    house = House(account, streams=MESSAGES, options={"made_up_cursors": made_up})
    house.sync(crash_at=150, message_lanes=1)
    (lane,) = house.of("message")["lanes"]
    refused = {"stream": "message", "cursor_is": lane["cursor"], "status": status}
    new = account.add("message", 5)
    house.sync(options={"rules": [refused]})
    assert set(new) <= house.tables.rows["message"].keys()
    assert house.missing() == 0
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("answer", ["api_error", "task_timed_out"])
def test_a_saved_cursor_answered_with_an_error_inside_a_200_stops_nothing(answer: str) -> None:
    account = messages_account(400, days=20)
    house = House(account, streams=MESSAGES)
    house.sync(crash_at=150, message_lanes=1)
    (lane,) = house.of("message")["lanes"]
    house.sync(
        options={"rules": [{"stream": "message", "cursor_is": lane["cursor"], "answer": answer}]}
    )
    assert house.missing() == 0


@pytest.mark.parametrize("table", ["brand", "list", "tenant", "audit_event"])
@pytest.mark.parametrize("status", [400, 403, 410, 422, 500])
def test_a_saved_cursor_of_a_stream_without_order_is_replaced_by_the_head(
    table: str, status: int
) -> None:
    house = House(checkpoint_interval_seconds=0.0)
    crash_at = 1
    while not house.of(table).get("lanes") if house.state else True:
        crash_at += 7
        house.sync(crash_at=crash_at, after_ms=0)
        assert crash_at < 3_000
    cursor = house.of(table)["lanes"][0]["cursor"]
    rule = {"stream": table, "cursor_is": cursor, "status": status, "times": 1}
    house.sync(options={"rules": [rule]})
    assert house.wrong == {}


def test_a_backlog_longer_than_a_syncs_life_gets_through() -> None:
    account = messages_account(2_000, days=40)
    house = House(account, streams=MESSAGES, message_lanes=1)
    for _ in range(12):
        new = account.add("message", 3)
        house.sync(crash_at=260)
        assert set(new) <= house.tables.rows["message"].keys()
    house.sync()
    assert house.missing() == 0


@pytest.mark.parametrize("lives", [{"cursor_requests": 40}, {"cursor_seconds": 60.0}])
@pytest.mark.parametrize("table", ["message"])
def test_cursors_that_live_for_a_short_time_only_cost_no_message(
    table: str, lives: dict[str, Any]
) -> None:
    account = messages_account(1_000, days=40)
    house = House(account, streams=MESSAGES, options=lives, message_lanes=1)
    for _ in range(4):
        house.sync(crash_at=150)
    house.sync()
    assert house.missing(table) == 0


def test_an_unfinished_first_reading_is_told_at_the_start_and_ends_complete() -> None:
    house = House(messages_account(400, days=20), streams=MESSAGES, message_lanes=1)
    house.sync(crash_at=150)
    assert "watermark" not in house.of("message")
    house.sync()
    assert "lanes" not in house.of("message")
    assert "watermark" in house.of("message")
    readings = house.of("message")["readings"]
    assert readings[-1][1] == 0


def test_after_an_outage_of_one_stream_the_others_have_landed_and_it_catches_up() -> None:
    house = ready()
    house.account.add("message", 25)
    house.account.add("tenant", 2)
    house.sync(options={"down": ("message",)}, fails=True)
    assert "message: no usable response after 1 attempt" in house.error
    assert house.wrong == {"message": (25, 0, 0)}
    house.sync()
    assert house.wrong == {}
