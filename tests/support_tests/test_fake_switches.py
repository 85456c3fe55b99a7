"""Each switch of the fake API does what it says."""

from typing import Any
from urllib.parse import unquote_plus

import pytest

from tests.support.fake_courier import FakeApi, Options
from tests.support_tests.walks import (
    ALL,
    AUTH,
    DAY_MS,
    NOW_MS,
    account,
    ask,
    body,
    fake,
    page,
    pages,
    truth,
    walk,
)


def test_a_wrong_key_is_refused_as_the_option_says() -> None:
    for status in (401, 403):
        api = fake(Options(bad_key_status=status))
        reply = api.answer("/brands", {}, {"Authorization": "Bearer nonsense"})
        assert reply.status == status
        assert b"Invalid or missing authentication credentials" in reply.body
        assert api.answer("/brands", {}, {}).status == status


def test_streams_are_denied_and_down_alone() -> None:
    api = fake(Options(denied={"audit_event": 403, "list": 402}, down=("tenant",)))
    statuses = {stream: ask(api, stream).status for stream in ALL}
    refused = {"audit_event": 403, "list": 402, "tenant": 503}
    assert statuses == dict.fromkeys(ALL, 200) | refused
    api.change_options(down=(), denied={}, denied_by_id={"brand": 403})
    assert walk(api, "tenant") == truth(api, "tenant")
    assert api.answer("/brands/x", {}, AUTH).status == 403
    api.change_options(denied={"message": 403}, denied_from_page=3)
    assert pages_until_refused(api, "message") == 2


def pages_until_refused(api: FakeApi, stream: str) -> int:
    cursor, count = None, 0
    while True:
        reply = ask(api, stream, **({"cursor": cursor} if cursor else {}))
        if reply.status != 200:
            return count
        count += 1
        cursor = page(stream, body(reply))[1]


def test_faults_come_at_their_rate_and_the_same_for_a_seed() -> None:
    def statuses(seed: int) -> list[str]:
        api = fake(Options(fault_rate=0.2, fault_seed=seed))
        replies = [ask(api, "brand") for _ in range(1000)]
        return [reply.fault or str(reply.status) for reply in replies]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert {"500", "502", "503", "504", "429", "drop", "cut"} < set(first)
    assert 100 < sum(kind != "200" for kind in first) < 250


def test_the_bucket_lets_its_rate_through_and_answers_429_beyond() -> None:
    now = [0.0]
    options = Options(allow_per_second=10, burst=2, retry_after="seconds", retry_after_seconds=3)
    api = FakeApi(account(), options, clock=lambda: now[0])
    passed = 0
    for _ in range(320):
        passed += ask(api, "brand").status == 200
        now[0] += 1 / 64
    assert 50 <= passed <= 52
    assert api.traffic.busiest() == 64
    refused = [ask(api, "brand") for _ in range(3)][-1]
    assert (refused.status, refused.headers["Retry-After"]) == (429, "3")
    for form, header in (("date", "Retry-After"), ("ms", "retry-after-ms")):
        api.change_options(retry_after=form, burst=1)
        ask(api, "brand")
        assert header in ask(api, "brand").headers


@pytest.mark.parametrize("stream", ALL)
@pytest.mark.parametrize(
    "options",
    [
        {"empty_page_every": 1},
        {"empty_page_every": 3},
        {"awkward_cursors": True},
        {"last_page": "cursor"},
        {"last_page": "cursor_absent"},
        {"last_page": "cursor_only"},
        {"last_page": "paging_null"},
        {"last_page": "paging_empty"},
        {"last_page": "paging_absent"},
    ],
    ids=str,
)
def test_harmless_oddities_hide_no_row(stream: str, options: dict[str, Any]) -> None:
    (name, value), *_ = options.items()
    given = (stream,) if value is True else {stream: value}
    api = fake(Options().changed({name: given}), sizes={stream: 75})
    assert walk(api, stream) == truth(api, stream)
    if name == "empty_page_every":
        query = {"limit": "20"} if stream == "tenant" else {}
        assert sum(found[0] == [] for found in pages(api, stream, **query)) >= 1
    if value == "cursor":
        last = pages(api, stream)[-1]
        assert last[1] is not None
        assert not last[2]
        assert page(stream, body(ask(api, stream, cursor=last[1])))[0] == []
    if value == "paging_null" and stream != "tenant":
        data = body(ask(api, stream, cursor=pages(api, stream)[-2][1] or ""))
        assert data["paging"] is None


def test_more_without_a_cursor_and_a_repeated_cursor_from_a_page_on() -> None:
    for stream in ("brand", "tenant"):
        api = fake(Options(more_without_cursor={stream: 2}), sizes={stream: 90})
        _, first, _ = page(stream, body(ask(api, stream)))
        records, cursor, more = page(stream, body(ask(api, stream, cursor=first or "")))
        assert (len(records) > 0, cursor, more) == (True, None, True)
        api.change_options(more_without_cursor={}, repeat_cursor={stream: 2})
        assert page(stream, body(ask(api, stream, cursor=first or "")))[1:] == (first, True)


def test_an_endless_stream_has_a_new_cursor_for_the_same_page_each_time() -> None:
    api = fake(Options(endless=("audit_event",)))
    cursors, bodies = [""], []
    for _ in range(50):
        data = body(ask(api, "audit_event", cursor=cursors[-1]))
        records, cursor, more = page("audit_event", data)
        assert more
        cursors.append(cursor or "")
        bodies.append(records)
    assert len(set(cursors)) == 51
    assert all(records == bodies[0] for records in bodies)


def test_spoilt_records_come_on_top_of_the_truth() -> None:
    every = {"message": 2}
    options = Options(keyless_every=every, duplicate_every=every, non_dict_every=every)
    api = fake(options, sizes={"message": 95})
    read = walk(api, "message")
    proper = [row for row in read if isinstance(row, dict) and row.get("id")]
    assert len(read) - len(proper) == 10
    assert len(proper) == 100
    unique = list({row["id"]: row for row in proper}.values())
    assert unique == truth(api, "message")


@pytest.mark.parametrize("size", [0, 1, 29, 30, 31])
def test_the_last_page_is_the_one_that_holds_the_last_row(size: int) -> None:
    api = fake(sizes={"message": size})
    assert len(pages(api, "message")) == max(1, -(-size // 10))


def test_arrays_go_by_another_name() -> None:
    api = fake(Options(arrays={"list": "results", "brand": "records"}))
    assert len(body(ask(api, "list"))["results"]) == 10
    assert set(body(ask(api, "brand"))) == {"paging", "records"}


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("relative", "/tenants?cursor="),
        ("absolute", "http://h:1/tenants?cursor="),
        ("other_origin", "http://127.0.0.1:9/tenants?cursor="),
        ("none", None),
    ],
)
def test_tenants_lead_on_by_next_url(kind: str, start: str | None) -> None:
    api = fake(Options(tenant_cursor=False, tenant_next_url=kind))
    data = body(api.answer("/tenants", {}, {**AUTH, "Host": "h:1"}))
    assert data["has_more"]
    assert "cursor" not in data
    assert ("next_url" in data) == (start is not None)
    if start is not None:
        assert data["next_url"].startswith(start)
        cursor = unquote_plus(data["next_url"].partition("=")[2])
        assert body(ask(api, "tenant", cursor=cursor))["items"] == truth(api, "tenant")[20:40]


def test_tenants_take_a_limit_up_to_a_hundred() -> None:
    api = fake(sizes={"tenant": 150})
    lengths = [len(body(ask(api, "tenant", limit=n))["items"]) for n in ("7", "100", "5000")]
    assert lengths == [7, 100, 100]
    assert ask(api, "tenant", limit="x").status == 400
    assert len(body(ask(api, "message", limit="100"))["results"]) == 10


def test_enqueued_after_is_honoured_ignored_or_refused() -> None:
    bound = NOW_MS - 5 * DAY_MS
    by_ms, by_iso = str(bound), "2026-08-09T09:33:20Z"
    for order in ("newest", "oldest"):
        api = fake(orders={"message": order})
        newer = [row for row in truth(api, "message") if row["enqueued"] > bound]
        for text in (by_ms, by_iso):
            found = pages(api, "message", enqueued_after=text)
            assert [row for one in found for row in one[0]] == newer
    cases = {"ignored": (200, 200), "refused": (400, 400), "refuse_iso": (200, 400)}
    for mode, expected in {**cases, "refuse_ms": (400, 200)}.items():
        api.change_options(enqueued_after=mode)
        statuses = [ask(api, "message", enqueued_after=text).status for text in (by_ms, by_iso)]
        assert tuple(statuses) == expected
