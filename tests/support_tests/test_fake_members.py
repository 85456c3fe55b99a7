"""Members of lists, audiences and tenants, as the fake API serves and changes them."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fake_courier import FakeApi, Options
from tests.support.fake_courier.streams import EVERY_STREAM, MEMBER_STREAMS
from tests.support_tests.walks import AUTH, body, fake, truth

KEYS = {
    "list_subscription": ("list_id", "recipientId"),
    "audience_member": ("audience_id", "member_id"),
    "tenant_user": ("tenant_id", "user_id"),
}
every_member_stream = pytest.mark.parametrize("stream", MEMBER_STREAMS)


def path(stream: str, parent: str) -> str:
    return EVERY_STREAM[stream].path.replace("{id}", quote(parent, safe=""))


def read(api: FakeApi, stream: str, parent: str) -> list[dict[str, Any]]:
    """Returns every page of one parent's rows, with the parent's id added if missing."""
    rows: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        data = body(api.answer(path(stream, parent), query, AUTH))
        rows += [{KEYS[stream][0]: parent, **row} for row in data["items"] or []]
        paging = data.get("paging") or data
        if not paging.get("more", paging.get("has_more")):
            return rows
        query = {"cursor": paging["cursor"]}


def read_all(api: FakeApi, stream: str) -> list[dict[str, Any]]:
    return [row for parent in api.account.parents(stream) for row in read(api, stream, parent)]


def keys(stream: str, rows: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {tuple(row[name] for name in KEYS[stream]) for row in rows}


@every_member_stream
@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_the_pages_of_all_parents_are_the_truth(stream: str, order: str) -> None:
    parent_stream = EVERY_STREAM[stream].parent or ""
    api = fake(sizes={parent_stream: 30, stream: 25}, orders={stream: order})
    rows = read_all(api, stream)
    assert rows == truth(api, stream)
    assert len(keys(stream, rows)) == len(rows) > 400
    assert {"acme/eu", "two words", "größe/東京 1"} < set(api.account.parents(stream))
    assert {"user/7", "größe 東京"} < {user for _, user in keys(stream, rows)}
    assert api.traffic.by_stream[stream] > 45


@every_member_stream
def test_the_seed_decides_who_is_a_member(stream: str) -> None:
    first, again, other = (truth(fake(seed=seed), stream) for seed in (3, 3, 4))
    assert first == again != other


def test_a_thousand_parents_cost_only_those_that_are_asked_for() -> None:
    api = fake(sizes={"list": 100_000, "list_subscription": 9000})
    parent = api.account.pick("list", 1)[0]
    assert len(body(api.answer(path("list_subscription", parent), {}, AUTH))["items"]) == 10


@every_member_stream
def test_a_parent_that_goes_is_404_and_comes_back_with_its_members(stream: str) -> None:
    api = fake()
    parent_stream = EVERY_STREAM[stream].parent or ""
    before = truth(api, stream)
    gone = before[0][KEYS[stream][0]]
    api.account.delete(parent_stream, gone)
    assert api.answer(path(stream, gone), {}, AUTH).status == 404
    assert api.answer(path(stream, "never was"), {}, AUTH).status == 404
    left = [row for row in before if row[KEYS[stream][0]] != gone]
    assert truth(api, stream) == read_all(api, stream) == left
    api.account.restore(parent_stream, gone)
    assert truth(api, stream) == read_all(api, stream) == before


@every_member_stream
def test_members_come_go_change_and_move(stream: str) -> None:
    api = fake()
    apply = api.account.apply
    parent, other = api.account.parents(stream)[:2]
    before = keys(stream, truth(api, stream))
    new = apply({"do": "add_members", "stream": stream, "parent": parent, "n": 3})
    assert keys(stream, truth(api, stream)) == before | {(parent, user) for user in new}
    assert len(new) == 3
    apply({"do": "remove_members", "stream": stream, "parent": parent, "users": new[:1]})
    assert (parent, new[0]) not in keys(stream, read(api, stream, parent))
    apply({"do": "move_members", "stream": stream, "parent": parent, "users": new[1:2],
           "to": other})  # fmt: skip
    assert (parent, new[1]) not in keys(stream, read(api, stream, parent))
    assert (other, new[1]) in keys(stream, read(api, stream, other))
    change = {"do": "edit_members", "stream": stream, "parent": parent, "users": new[2:]}
    apply(change | {"fields": {"note": "x"}})
    edited = [row for row in read(api, stream, parent) if row.get("note") == "x"]
    assert keys(stream, edited) == {(parent, new[2])}
    apply({"do": "move_members", "stream": stream, "parent": other, "users": new[1:2],
           "to": parent})  # fmt: skip
    assert (parent, new[1]) in keys(stream, read(api, stream, parent))
    assert read_all(api, stream) == truth(api, stream)


@every_member_stream
def test_members_anywhere_change_many_times_and_the_truth_holds(stream: str) -> None:
    api = fake(seed=9)
    for number in range(60):
        api.account.advance(1000)
        do = ("add_members", "move_members", "remove_members", "move_members")[number % 4]
        assert api.account.apply({"do": do, "stream": stream, "n": 2})
    rows = read_all(api, stream)
    assert rows == truth(api, stream)
    assert len(keys(stream, rows)) == len(rows)


def test_one_parent_fails_alone() -> None:
    api = fake()
    bad, good = api.account.parents("list_subscription")[2:4]
    api.change_options(rules=[{"stream": "list_subscription", "parent": bad, "status": 500}])
    assert api.answer(path("list_subscription", bad), {}, AUTH).status == 500
    assert api.answer(path("list_subscription", good), {}, AUTH).status == 200
    assert api.answer(path("list_subscription", bad), {}, AUTH).status == 500
    api.change_options(rules=[{"path": path("list_subscription", bad), "answer": "no_route"}])
    assert api.answer(path("list_subscription", bad), {}, AUTH).status == 404


@every_member_stream
def test_a_route_is_missing_or_refused_as_a_whole(stream: str) -> None:
    for options, status in (
        (Options(denied={stream: 402}), 402),
        (Options(down=(stream,)), 503),
        (Options(rules=({"stream": stream, "answer": "no_route"},)), 404),
    ):
        api = fake(options)
        assert api.answer(path(stream, api.account.parents(stream)[0]), {}, AUTH).status == status
        assert api.answer("/lists", {}, AUTH).status == 200


def test_the_switches_of_pages_hold_for_members_too() -> None:
    api = fake(Options(empty_page_every={"tenant_user": 2}), sizes={"tenant_user": 60})
    assert read_all(api, "tenant_user") == truth(api, "tenant_user")
    parent = truth(api, "tenant_user")[0]["tenant_id"]
    api.change_options(page_sizes={"tenant_user": 1}, empty_page_every={})
    assert len(body(api.answer(path("tenant_user", parent), {}, AUTH))["items"]) == 1
    rows = body(api.answer(path("tenant_user", parent), {"limit": "100"}, AUTH))["items"]
    assert len(rows) == min(100, len(read(api, "tenant_user", parent)))
    cursor = body(api.answer(path("tenant_user", parent), {}, AUTH))["cursor"]
    api.forget_cursors()
    assert api.answer(path("tenant_user", parent), {"cursor": cursor}, AUTH).status == 400


def test_users_of_a_tenant_lead_on_by_their_own_url_and_may_be_null() -> None:
    api = fake(sizes={"tenant": 40, "tenant_user": 60})
    pages = {}
    for parent in api.account.parents("tenant_user"):
        pages[parent] = body(api.answer(path("tenant_user", parent), {}, AUTH))
    assert pages["acme/eu"]["url"] == "/tenants/acme%2Feu/users"
    leading_on = [one for one in pages.values() if one["has_more"]]
    assert leading_on
    assert all(one["next_url"].startswith(one["url"] + "?cursor=") for one in leading_on)
    api = fake(sizes={"tenant_user": 0})
    assert body(api.answer(path("tenant_user", "acme/eu"), {}, AUTH))["items"] is None
