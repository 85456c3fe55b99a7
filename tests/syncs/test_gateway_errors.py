"""Errors of the gateway in front of Courier: it may not know a route, or block it, for seconds."""

from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.reading import children, message_children, rounds
from tests.support.harness import Tables, expected, expected_of
from tests.support.virtual_sync import virtual_api, virtual_sync
from tests.syncs.house import (
    DAY_MS,
    HOUR_MS,
    MESSAGES,
    MINUTE_MS,
    SMALL,
    House,
    messages_account,
    ready,
    small_account,
    with_rules,
)

# As API Gateway, an ingress, Kong, Spring and NestJS have it, then as RFC 9457 has it and WSO2.
# Courier's own errors have a `type` such as "invalid_request_error".
UNKNOWN_ROUTE: list[dict[str, Any]] = [
    {"status": 404, "body": {"message": "Not Found"}},
    {"status": 404, "body": "default backend - 404"},
    {"status": 404, "body": {"message": "no Route matched with those values"}},
    {"status": 404, "body": {"status": 404, "error": "Not Found", "path": "/"}},
    {"status": 404, "body": {"statusCode": 404, "message": ["no route"], "error": "Not Found"}},
    {"status": 404, "body": {"type": "about:blank", "title": "Not Found", "status": 404}},
    {"status": 404, "body": {"code": "404", "type": "Status report", "message": "Not Found"}},
]
BLOCKED = {"status": 403, "body": {"message": "Forbidden"}}


WITH_EVENTS = (BY_TABLE["message"], BY_TABLE["message_event"])
WITH_USERS = (BY_TABLE["tenant"], BY_TABLE["tenant_user"])
WITH_SUBSCRIPTIONS = (BY_TABLE["list"], BY_TABLE["list_subscription"])


# The most of them last longer than all retries of a request.
@pytest.mark.parametrize("times", [60, 128, 400])
@pytest.mark.parametrize("answer", UNKNOWN_ROUTE, ids=str)
def test_children_of_messages_requested_meanwhile_land(answer: dict[str, Any], times: int) -> None:
    rule = {"stream": "message_event", "after": 20, "times": times, **answer}
    api = virtual_api({"message": 300}, rules=[rule])
    tables, state = Tables(), dict[str, Any]()
    for _ in range(3):
        synced = virtual_sync(api, state, streams=WITH_EVENTS)
        assert synced.error is None
        tables.apply(synced.sink)
        state = synced.sink.last_state()
    assert tables.rows["message_event"] == expected_of(api, "message_event")


@pytest.mark.parametrize("table", ["message_event", "message_provider"])
@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize("syncs", [2, 4])
def test_children_of_messages_land_after_an_outage_of_several_syncs(
    monkeypatch: pytest.MonkeyPatch, syncs: int, rate: float, table: str
) -> None:
    streams = (*WITH_EVENTS, BY_TABLE["message_provider"])
    api = virtual_api({"message": 100})
    monkeypatch.setattr(message_children, "now_ms", api.account.now_ms)
    tables, state = Tables(), dict[str, Any]()
    rule = {"stream": table, "rate": rate, **UNKNOWN_ROUTE[1]}
    for number in range(3 + syncs + 4):
        if number == 3:
            api.account.add("message", 50)
        api.account.advance(11 * MINUTE_MS)
        api.change_options(rules=[rule] if 3 <= number < 3 + syncs else [])
        synced = virtual_sync(api, state, streams=streams)
        assert synced.error is None
        if rate == 1.0 and 3 <= number < 3 + syncs:
            (warning,) = synced.sink.warnings
            assert "returned 404 for every message requested (50)" in warning
        tables.apply(synced.sink)
        state = synced.sink.last_state()
    for each in ("message_event", "message_provider"):
        assert tables.rows[each] == expected_of(api, each)


@pytest.mark.parametrize("hours", [24.0, 720.0])
def test_new_lists_have_their_subscriptions_after_an_outage_of_several_syncs(hours: float) -> None:
    house = House(streams=WITH_SUBSCRIPTIONS, children_refresh_hours=hours)
    house.syncs(2)
    house.account.add("list", 5)
    rule = {"stream": "list_subscription", **UNKNOWN_ROUTE[1]}
    house.syncs(3, after_ms=5 * MINUTE_MS, prepare=with_rules(rule))
    house.syncs(2)
    assert house.wrong == {}


def test_a_message_that_is_never_found_is_given_up_after_a_week(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = virtual_api({"message": 100})
    monkeypatch.setattr(message_children, "now_ms", api.account.now_ms)
    state = virtual_sync(api, streams=WITH_EVENTS).sink.last_state()
    (bad,) = api.account.add("message")
    api.change_options(rules=[{"stream": "message_event", "parent": bad, **UNKNOWN_ROUTE[1]}])
    asked = []
    for _ in range(10):
        api.account.advance(DAY_MS)
        before = api.traffic.by_stream["message_event"]
        state = virtual_sync(api, state, streams=WITH_EVENTS).sink.last_state()
        asked.append(api.traffic.by_stream["message_event"] - before)
    assert all(asked[:6])
    assert not any(asked[8:])


def test_a_table_of_messages_that_has_no_route_stays_a_warning() -> None:
    api = virtual_api({"message": 100}, rules=[{"stream": "message_event", **UNKNOWN_ROUTE[0]}])
    state: dict[str, Any] = {}
    for _ in range(6):
        synced = virtual_sync(api, state, streams=WITH_EVENTS)
        assert synced.error is None
        (warning,) = synced.sink.warnings
        assert warning.startswith("message_event: Courier returned 404 for every message")
        state = synced.sink.last_state()
        api.account.add("message", 30)
        api.account.advance(11 * MINUTE_MS)
    assert len(state["streams"]["message_event"].get("due", ())) <= 30


@pytest.mark.parametrize(
    ("parent", "child"), [("list", "list_subscription"), ("tenant", "tenant_user")]
)
def test_a_table_of_rows_that_has_no_route_stays_a_warning(parent: str, child: str) -> None:
    account = small_account(sizes=dict.fromkeys(SMALL, 1) | {parent: 40})
    house = House(account, streams=(BY_TABLE[parent], BY_TABLE[child]))
    warnings = []
    for _ in range(4):
        warnings += house.sync(prepare=with_rules({"stream": child, **UNKNOWN_ROUTE[0]})).warnings
    assert set(warnings) == {
        f"{child}: Courier does not know rows of {parent} that it lists (40). Their children were "
        "left unchanged."
    }
    assert house.requests(child) == 0


def test_tenants_whose_ids_have_no_route_do_not_hold_up_the_others() -> None:
    account = small_account(sizes=dict.fromkeys(SMALL, 1) | {"tenant": 100})
    house = House(account, streams=(BY_TABLE["tenant"], BY_TABLE["tenant_user"]), max_retries=3)
    bad = sorted(expected(account, "tenant"))[30:70]
    rules = [{"stream": "tenant_user", "parent": id_, **UNKNOWN_ROUTE[0]} for id_ in bad]
    for number in range(12):
        if number in (2, 6):
            account.add("tenant", 5)
        house.sync(prepare=with_rules(*rules))
    wanted = {
        key for key, row in expected(account, "tenant_user").items() if row["tenant_id"] not in bad
    }
    assert wanted <= house.tables.rows["tenant_user"].keys()
    assert house.requests("tenant_user") == 0


def test_a_table_that_has_no_route_costs_little() -> None:
    api = virtual_api({"message": 3_000}, rules=[{"stream": "message_event", **UNKNOWN_ROUTE[0]}])
    state: dict[str, Any] = {}
    for most in (3_200, 3_200, 0):
        before = api.traffic.by_stream["message_event"]
        synced = virtual_sync(api, state, streams=WITH_EVENTS)
        state = synced.sink.last_state()
        assert api.traffic.by_stream["message_event"] - before <= most
        assert synced.seconds < 120


@pytest.mark.parametrize("had_users", [False, True])
def test_many_tenants_whose_ids_have_no_route_do_not_stop_the_table(
    monkeypatch: pytest.MonkeyPatch, had_users: bool
) -> None:
    for module in (children, rounds):
        monkeypatch.setattr(module, "MOST_OWED", 100)
    sizes = dict.fromkeys(SMALL, 1) | {"tenant": 400}
    house = House(small_account(sizes=sizes), streams=WITH_USERS)
    tenants = sorted(expected(house.account, "tenant"))
    unrouted, routed = tenants[:200], tenants[200:]
    rules = [{"stream": "tenant_user", "parent": one, **UNKNOWN_ROUTE[0]} for one in unrouted]
    if had_users:
        house.sync()
        for one in routed[:5]:
            house.account.members.add_members("tenant_user", one, 3)
    for _ in range(4):
        house.sync(after_ms=25 * HOUR_MS, prepare=with_rules(*rules))
    wanted = expected(house.account, "tenant_user")
    readable = {key for key, row in wanted.items() if row["tenant_id"] in routed}
    assert readable
    assert readable <= house.tables.rows["tenant_user"].keys()


def test_children_of_lists_requested_meanwhile_land() -> None:
    rule = {"stream": "list_subscription", "after": 5, "times": 10, **UNKNOWN_ROUTE[1]}
    api = virtual_api({"list": 30, "list_subscription": 6}, rules=[rule])
    synced = virtual_sync(api, streams=WITH_SUBSCRIPTIONS)
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


@pytest.mark.parametrize("times", [3, 7, 11, 15, 21, 25, 10**6])
@pytest.mark.parametrize("after", [1, 5, 9])
def test_rows_whose_ids_meet_it_longer_are_not_gone(after: int, times: int) -> None:
    house = ready(small_account(), max_retries=1)
    hidden = house.account.pick("brand", 10)
    for key in hidden:
        house.account.hide("brand", key)
    house.sync()
    rule = {"stream": "brand", "kind": "by_id", "after": after, "times": times}
    rule |= UNKNOWN_ROUTE[0]
    assert house.sync(prepare=with_rules(rule)).deleted("brand") == []
    for key in hidden:
        house.account.delete("brand", key)
    house.syncs(2, after_ms=DAY_MS)
    assert house.wrong == {}


@pytest.mark.parametrize("answer", [UNKNOWN_ROUTE[0], BLOCKED], ids=str)
@pytest.mark.parametrize("listed", [True, False])
def test_rows_whose_ids_returned_200_outlast_an_outage_of_all_ids(
    answer: dict[str, Any], listed: bool
) -> None:
    house = ready(small_account(), max_retries=1)
    hidden = house.account.pick("brand", 10 if listed else SMALL["brand"])
    for key in hidden:
        house.account.hide("brand", key)
    house.syncs(3, after_ms=DAY_MS)
    rule = {"stream": "brand", "kind": "by_id", **answer}
    for _ in range(3):
        assert house.sync(after_ms=DAY_MS, prepare=with_rules(rule)).deleted("brand") == []
    for key in hidden:
        house.account.delete("brand", key)
    house.syncs(3, after_ms=DAY_MS)
    assert house.wrong == {}


def test_rows_whose_ids_are_refused_for_want_of_permission_are_not_gone() -> None:
    house = ready(small_account())
    for key in house.account.pick("brand", 3):
        house.account.hide("brand", key)
    house.sync()
    rule = {"stream": "brand", "kind": "by_id", "after": 1, **BLOCKED}
    for _ in range(4):
        assert house.sync(prepare=with_rules(rule)).deleted("brand") == []


def test_a_key_that_may_not_read_rows_by_id_lets_rows_go_after_a_day() -> None:
    house = ready()
    for key in house.account.pick("brand", 3):
        house.account.delete("brand", key)
    rule = {"stream": "brand", "kind": "by_id", **BLOCKED}
    house.syncs(6, after_ms=6 * HOUR_MS, prepare=with_rules(rule))
    assert house.wrong == {}


@pytest.mark.parametrize("message", [["no cursor"], {"en": "no cursor"}, 7, None], ids=str)
def test_an_error_whose_message_is_not_text_fails_its_stream_alone(message: Any) -> None:
    house = ready()
    house.account.add("message", 3)
    rule = {"stream": "brand", "status": 400, "body": {"statusCode": 400, "message": message}}
    house.sync(fails=True, prepare=with_rules(rule))
    assert house.error.startswith("1 of 7 streams")
    assert house.wrong == {}


def test_a_stream_that_has_no_route_is_skipped_with_a_warning() -> None:
    house = House(max_retries=2)
    sink = house.sync(prepare=with_rules({"stream": "audience", **UNKNOWN_ROUTE[0]}))
    assert [text for text in sink.warnings if text.startswith("audience: Courier answered 404")]
    assert house.requests("audience") == 3
