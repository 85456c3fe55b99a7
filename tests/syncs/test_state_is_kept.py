"""Another account, a newer version or a broken state never replaces the state by mistake."""

import copy
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.state.saved import VERSION
from tests.support.fake_courier import Account
from tests.support.fake_courier.changes import change_at_age
from tests.support.harness import Sink
from tests.syncs.house import DAY_MS, NOW_MS, House, ready

OTHER_SOURCES: dict[str, dict[str, Any]] = {
    "another region": {"base_url": "https://api.eu.courier.com"},
    "a host that does not resolve": {"base_url": "https://nowhere.invalid"},
    "a key of another kind": {"api_key": "pk_prod_FAKE0123456789"},
    "a key of no kind": {"api_key": "secret"},
}


@pytest.mark.parametrize("name", OTHER_SOURCES)
def test_a_sync_with_a_setting_of_another_account_asks_and_saves_nothing(name: str) -> None:
    house = ready()
    before = copy.deepcopy(house.state)
    (gone,) = house.account.pick("list", 1)
    house.account.delete("list", gone)
    sink = house.sync(fails=True, **OTHER_SOURCES[name])
    assert sink.operations == []
    assert house.api.traffic.requests == 0
    for part in ("127.0.0.1 pk_test", "correct region, base_url or api_key", "new connection"):
        assert part in house.error
    assert house.state == before
    # With the right setting again, nothing is sent twice and no delete is missed.
    first, second = house.sync(), house.sync()
    assert not first.sent("list")
    assert gone in first.deleted("list") + second.deleted("list")
    assert house.wrong == {}


def test_a_state_of_a_newer_version_is_left_as_it_is() -> None:
    house = ready()
    house.state["version"] = VERSION + 1
    before = copy.deepcopy(house.state)
    sink = house.sync(fails=True)
    assert sink.operations == []
    assert house.api.traffic.requests == 0
    assert "newer version of this connector" in house.error
    assert house.state == before


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"version": 1, "source": "127.0.0.1 pk_test", "streams": {}}, "an older version"),
        ({"messages_cursor": "abc", "brands_last_updated": "2026"}, "not from this connector"),
    ],
)
def test_a_state_of_another_form_is_read_afresh_with_a_warning(
    state: dict[str, Any], told: str
) -> None:
    house = House()
    house.state = state
    (warning, *_) = house.sync().warnings
    assert told in warning
    assert house.wrong == {}


def damage(house: House, table: str, **fields: Any) -> None:
    house.state["streams"][table] = house.of(table) | fields


@pytest.mark.parametrize(
    "lanes",
    [
        [{"started_at": 5, "cursor": 7}],
        [{"started_at": 5, "cursor": "\ud800"}],
        [{"started_at": 5, "cursor": "x" * 70_000}],
        [{"cursor": "MTc="}],
        [{"started_at": 5, "cursor": "nonsense"}],
        [{"started_at": 2**52, "cursor": "nonsense", "newest": 2**52, "oldest": 2**52}],
        [{"started_at": 5, "cursor": "a", "newest": -7, "oldest": -9, "pages": 10**9}],
        [{"started_at": 5, "begins_at": 5, "first": ["x"] * 10, "cursor": "a", "oldest": 4}],
        [{"started_at": 5, "cursor": "a", "oldest": 9}] * 40,
    ],
    ids=lambda lanes: str(lanes)[:60],
)
@pytest.mark.parametrize("table", ["message", "list"])
def test_no_lane_in_a_state_keeps_a_row_away_or_every_later_sync_from_ending(
    table: str, lanes: list[dict[str, Any]]
) -> None:
    house = ready()
    damage(house, table, lanes=lanes)
    house.account.add(table, 3)
    house.sync()
    house.sync(after_ms=25 * 3_600_000)
    assert house.wrong == {}


def test_a_watermark_and_readings_of_the_future_hide_no_row() -> None:
    house = ready()
    ahead = house.account.now_ms() + 400 * DAY_MS
    for table in ("message", "audit_event"):
        damage(house, table, watermark=ahead, readings=[[ahead, ahead - DAY_MS], [ahead - 5, 0]])
    house.account.add("message", 15)
    house.account.add("audit_event", 15)
    (changed,) = change_at_age(house.account, 5 * DAY_MS, status="CLICKED")
    house.sync()
    assert house.missing("message") == house.missing("audit_event") == 0
    house.syncs(3, after_ms=DAY_MS)
    assert house.tables.rows["message"][changed]["status"] == "CLICKED"


def test_streams_that_are_not_selected_are_not_asked_for_and_keep_their_state() -> None:
    house = ready()
    before = house.of("list")
    house.sync(streams=(BY_TABLE["brand"],))
    assert house.requests("list") == 0
    assert house.requests("brand") > 0
    assert house.of("list") == before


def test_a_stream_that_was_left_open_and_then_left_out_is_sent_whole_once_it_is_back() -> None:
    house = ready()
    (edited,) = house.account.pick("tenant", 1)
    house.account.edit("tenant", edited, name="for a moment")
    house.sync(sink=Sink(crash_at=4))
    house.account.revert("tenant", edited)
    house.sync(streams=(BY_TABLE["brand"],))
    house.sync()
    assert house.wrong == {}


def test_the_last_state_of_a_sync_holds_nothing_that_another_account_could_not() -> None:
    """Of the key only its kind, and no record."""
    house = ready(Account(seed=5, now_ms=NOW_MS))
    text = str(house.state)
    assert "FAKE0123456789" not in text
    assert house.state["source"] == "127.0.0.1 pk_test"
