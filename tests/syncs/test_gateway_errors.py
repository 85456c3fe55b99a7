"""Errors of the gateway in front of Courier: it may not know a route, or block it, for seconds."""

from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from tests.support.harness import Tables, expected, expected_of
from tests.support.virtual_sync import virtual_api, virtual_sync
from tests.syncs.house import MESSAGES, House, messages_account, ready, small_account

UNKNOWN_ROUTE = [
    {"status": 404, "body": "default backend - 404"},
    {"status": 404, "body": "<html><h1>404 Not Found</h1></html>"},
    {"status": 404, "body": {"message": "Not Found"}},
]
BLOCKED = {"status": 403, "body": {"message": "Forbidden"}}


def with_rules(*rules: dict[str, Any]) -> Any:
    return lambda api: api.change_options(rules=rules)


@pytest.mark.parametrize("answer", UNKNOWN_ROUTE, ids=str)
def test_children_of_messages_requested_meanwhile_land(answer: dict[str, Any]) -> None:
    rule = {"stream": "message_event", "after": 20, "times": 60, **answer}
    api = virtual_api({"message": 200}, rules=[rule])
    streams = (BY_TABLE["message"], BY_TABLE["message_event"])
    synced = virtual_sync(api, streams=streams)
    assert synced.error is None
    tables = Tables()
    tables.apply(synced.sink)
    assert tables.rows["message_event"] == expected_of(api, "message_event")


def test_children_of_lists_requested_meanwhile_land() -> None:
    rule = {"stream": "list_subscription", "after": 5, "times": 10, **UNKNOWN_ROUTE[0]}
    api = virtual_api({"list": 30, "list_subscription": 6}, rules=[rule])
    synced = virtual_sync(api, streams=(BY_TABLE["list"], BY_TABLE["list_subscription"]))
    assert synced.error is None
    tables = Tables()
    tables.apply(synced.sink)
    assert tables.rows["list_subscription"] == expected(api.account, "list_subscription")


@pytest.mark.parametrize("answer", [*UNKNOWN_ROUTE, BLOCKED], ids=str)
def test_the_heads_of_all_streams_are_requested_again(answer: dict[str, Any]) -> None:
    house = ready(max_retries=3)
    house.sync(prepare=with_rules({"stream": "*", "times": 7, **answer}))
    assert house.wrong == {}


@pytest.mark.parametrize("answer", [*UNKNOWN_ROUTE, BLOCKED], ids=str)
def test_one_such_answer_to_the_probe_costs_no_lanes(answer: dict[str, Any]) -> None:
    house = House(messages_account(6_000, days=60.0), streams=MESSAGES, max_retries=3)
    rule = {"stream": "message", "cursor": "made_up", "times": 1, **answer}
    house.sync(prepare=with_rules(rule))
    assert house.missing() == 0
    assert "no_lanes_until" not in house.of("message")


def test_a_block_amid_a_first_sync_fails_nothing() -> None:
    house = House(messages_account(3_000, days=60.0), streams=MESSAGES, max_retries=3)
    house.sync(prepare=with_rules({"stream": "message", "after": 60, "times": 30, **BLOCKED}))
    assert house.missing() == 0


@pytest.mark.parametrize("answer", UNKNOWN_ROUTE, ids=str)
def test_rows_whose_ids_meet_it_are_not_gone(answer: dict[str, Any]) -> None:
    house = ready(small_account(), max_retries=3)
    for key in house.account.pick("brand", 3):
        house.account.hide("brand", key)
    house.sync()
    # The first request by id is for a row that is listed.
    rule = {"stream": "brand", "kind": "by_id", "after": 1, "times": 3, **answer}
    assert house.sync(prepare=with_rules(rule)).deleted("brand") == []


def test_rows_whose_ids_are_refused_for_want_of_permission_are_not_gone() -> None:
    house = ready(small_account())
    for key in house.account.pick("brand", 3):
        house.account.hide("brand", key)
    house.sync()
    rule = {"stream": "brand", "kind": "by_id", "after": 1, **BLOCKED}
    for _ in range(4):
        assert house.sync(prepare=with_rules(rule)).deleted("brand") == []


def test_a_stream_that_has_no_route_is_skipped_with_a_warning() -> None:
    house = House(max_retries=2)
    sink = house.sync(prepare=with_rules({"stream": "audience", **UNKNOWN_ROUTE[2]}))
    assert [text for text in sink.warnings if text.startswith("audience: Courier answered 404")]
    assert house.requests("audience") == 3
