"""Rules of the fake API: any answer to any request, at any moment that a test needs."""

import gzip
import json
from typing import Any

import aiohttp
import pytest

from tests.support.fake_courier import Options
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.server import serve
from tests.support_tests.walks import (
    ALL,
    AUTH,
    DAY_MS,
    NOW_MS,
    ask,
    body,
    cursor_at,
    fake,
    page,
    pages,
    truth,
    walk,
)


def ruled(*rules: dict[str, Any], **of_account: Any) -> Any:
    return fake(Options(rules=rules), **of_account)


def statuses(api: Any, stream: str, count: int, **query: str) -> list[int]:
    return [ask(api, stream, **query).status for _ in range(count)]


@pytest.mark.parametrize("status", [408, 409, 422, 425, 501, 505, 520, 524, 529, 530])
def test_any_status_comes_at_any_request(status: int) -> None:
    api = ruled({"stream": "brand", "after": 2, "times": 1, "status": status})
    assert statuses(api, "brand", 5) == [200, 200, status, 200, 200]
    assert statuses(api, "list", 5) == [200] * 5


def test_requests_are_counted_from_the_moment_when_the_rules_were_set() -> None:
    rule = {"every": 3, "status": 500}
    api = ruled(rule)
    assert statuses(api, "brand", 7) == [200, 200, 500, 200, 200, 500, 200]
    api.change_options(rules=[rule])
    assert statuses(api, "brand", 3) == [200, 200, 500]
    api.change_options(rules=[])
    assert statuses(api, "brand", 3) == [200] * 3


def test_an_answer_carries_the_body_and_the_headers_that_a_rule_gives() -> None:
    headers = {"Retry-After": "7", "retry-after-ms": "50", "X-Policy": "p" * 9000}
    api = ruled({"status": 503, "body": {"message": "x"}, "headers": headers})
    reply = ask(api, "brand")
    assert (reply.status, json.loads(reply.body)) == (503, {"message": "x"})
    assert headers.items() <= reply.headers.items()


def test_errors_come_inside_a_200_at_a_rate() -> None:
    api = ruled({"answer": "api_error", "rate": 0.1}, {"answer": "task_timed_out", "rate": 0.1})
    bodies = [json.loads(ask(api, "brand").body) for _ in range(1000)]
    assert set(api.traffic.by_status) == {"200"}
    assert 50 < sum(one.get("type") == "api_error" for one in bodies) < 150
    assert sum("Task timed out after 30.00" in one.get("errorMessage", "") for one in bodies) > 50


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ("slow_down", 403, b"rate_limit_error"),
        ("firewall", 403, b"<html>"),
        ("too_many", 429, b"rate_limit_error"),
        ("bad_key", 401, b"Invalid or missing authentication credentials"),
        ("not_in_plan", 402, b"payment_required"),
        ("no_route", 404, b'{"message":"Not Found"}'),
    ],
)
def test_answers_have_names(answer: str, status: int, text: bytes) -> None:
    reply = ask(ruled({"answer": answer}), "list")
    assert reply.status == status
    assert text in reply.body


def test_a_key_is_withdrawn_in_mid_sync_or_refused_once() -> None:
    api = ruled({"answer": "bad_key", "after": 4})
    assert statuses(api, "brand", 6) == [200] * 4 + [401] * 2
    api.change_options(rules=[{"answer": "bad_key", "status": 403, "after": 1, "times": 1}])
    assert statuses(api, "brand", 3) == [200, 403, 200]


def test_a_limit_holds_for_a_while_on_all_paths_or_one() -> None:
    for stream, others in (("*", 429), ("message", 200)):
        until = NOW_MS + 10_000
        rule = {"stream": stream, "answer": "too_many", "headers": {"Retry-After": "1"}}
        api = ruled(rule | {"from_ms": NOW_MS, "until_ms": until})
        assert [ask(api, name).status for name in ALL if name != "message"] == [others] * 6
        assert ask(api, "message").headers["Retry-After"] == "1"
        api.account.advance(10_000)
        assert {ask(api, name).status for name in ALL} == {200}


def test_a_page_that_holds_a_record_fails_wherever_it_stands_until_it_heals() -> None:
    api = fake(sizes={"message": 60})
    bad = truth(api, "message")[34]
    low, high = bad["enqueued"], bad["enqueued"] + 1
    for rule in ({"holds": bad["id"]}, {"holds_from_ms": low, "holds_until_ms": high}):
        for _ in range(2):
            api.change_options(rules=[rule | {"status": 422}])
            before: list[dict[str, Any]] = []
            cursor: dict[str, str] = {}
            while (reply := ask(api, "message", **cursor)).status == 200:
                records, text, _ = page("message", body(reply))
                before += records
                cursor = {"cursor": text or ""}
            assert reply.status == 422
            assert bad not in before
            assert len(before) >= 30
            api.account.add("message", 3)
            api.change_options(rules=[])
            assert walk(api, "message") == truth(api, "message")


def test_by_id_routes_are_missing_or_answer_what_is_gone_with_another_status() -> None:
    api = ruled({"kind": "by_id", "answer": "no_route"})
    id_ = truth(api, "brand")[0]["id"]
    assert api.answer(f"/brands/{id_}", {}, AUTH).body == b'{"message":"Not Found"}'
    assert ask(api, "brand").status == 200
    api = ruled({"stream": "tenant", "kind": "by_id", "answered": 404, "status": 400})
    alive = next(row["id"] for row in truth(api, "tenant") if row["id"].isascii())
    assert api.answer("/tenants/gone", {}, AUTH).status == 400
    assert api.answer("/brands/gone", {}, AUTH).status == 404
    assert api.answer(f"/tenants/{alive.replace(' ', '%20')}", {}, AUTH).status == 200


def test_rules_tell_the_head_own_made_up_and_old_cursors_apart() -> None:
    api = fake()
    own = page("message", body(ask(api, "message")))[1] or ""
    asked = {"none": {}, "own": {"cursor": own}, "made_up": {"cursor": cursor_at(NOW_MS - DAY_MS)}}
    for kind in asked:
        api.change_options(rules=[{"cursor": kind, "status": 409}])
        for other, query in asked.items():
            assert (ask(api, "message", **query).status == 409) == (kind == other)
    api.change_options(rules=[{"cursor": "given", "status": 409}])
    assert [ask(api, "message", **query).status for query in asked.values()] == [200, 409, 409]
    api.change_options(rules=[{"cursor": "old", "status": 412}])
    assert ask(api, "message", cursor=own).status == 200
    api.forget_cursors()
    assert ask(api, "message", cursor=own).status == 412
    api.change_options(rules=[{"cursor_is": own, "status": 418}])
    assert ask(api, "message", cursor=own).status == 418


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("absent", set()),
        ("null", None),
        ("empty", {}),
        ("renamed", set()),
        ("more_absent", {"cursor"}),
        ("cursor_absent", {"more"}),
    ],
)
def test_paging_comes_otherwise_beside_the_same_rows(change: str, left: Any) -> None:
    api = fake()
    usual = body(ask(api, "brand"))
    api.change_options(rules=[{"paging": change}])
    data = body(ask(api, "brand"))
    assert data["results"] == usual["results"]
    assert ("paging" in data) == (change not in ("absent", "renamed"))
    assert ("pagination" in data) == (change == "renamed")
    if "paging" in data:
        assert data["paging"] == (left and {name: usual["paging"][name] for name in left})


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("absent", set()),
        ("renamed", {"more", "cursor", "next_url"}),
        ("more_absent", {"cursor", "next_url"}),
        ("cursor_absent", {"has_more"}),
    ],
)
def test_a_list_object_leads_on_otherwise_beside_the_same_rows(
    change: str, left: set[str]
) -> None:
    api = fake()
    usual = body(ask(api, "tenant"))
    api.change_options(rules=[{"paging": change}])
    data = body(ask(api, "tenant"))
    assert data["items"] == usual["items"]
    assert set(data) == {"type", "url", "items"} | left


@pytest.mark.parametrize("stream", ["message", "tenant"])
def test_a_false_end_comes_to_every_nth_cursor(stream: str) -> None:
    rule = {"stream": stream, "cursor": "own", "every": 2, "paging": "false_end"}
    api = ruled(rule, sizes={stream: 100})
    assert len(pages(api, stream)) == 3
    assert pages(api, stream)[-1][0] == []
    assert len(walk(api, stream)) < 100


def test_a_listing_is_empty_for_a_while() -> None:
    api = ruled({"stream": "list", "paging": "false_end", "until_ms": NOW_MS + 1000})
    assert walk(api, "list") == []
    assert api.account.count("list") == 25
    api.account.advance(1000)
    assert walk(api, "list") == truth(api, "list")


def test_records_are_null_or_without_their_key_at_a_rate() -> None:
    api = ruled({"records": "null", "share": 0.3}, sizes={"message": 500})
    assert 100 < walk(api, "message").count(None) < 200
    for stream, key in (("audit_event", "auditEventId"), ("tenant", "id")):
        api.change_options(rules=[{"stream": stream, "records": "keyless"}])
        assert not any(key in record for record in walk(api, stream))
        api.change_options(rules=[{"stream": stream, "records": "key_null"}])
        assert {record[key] for record in walk(api, stream)} == {None}


def test_the_date_header_is_behind_or_ahead() -> None:
    api = ruled({"stream": "brand", "date_shift_seconds": -1800})
    assert ask(api, "brand").headers["Date"] == "Fri, 14 Aug 2026 09:03:20 GMT"
    assert ask(api, "list").headers["Date"] == "Fri, 14 Aug 2026 09:33:20 GMT"
    api.change_options(date_shift_seconds=3600)
    assert ask(api, "list").headers["Date"] == "Fri, 14 Aug 2026 10:33:20 GMT"


def test_a_path_takes_its_time_alone() -> None:
    api = ruled({"path": "/messages", "latency_ms": 300}, {"stream": "brand", "fault": "slow"})
    delays = [ask(api, stream).delay_seconds for stream in ("message", "brand", "list")]
    assert delays == [0.3, 2.0, 0.0]
    api.change_options(rules=[{"stream": "list", "times": 1, "fault": "drop"}])
    assert [ask(api, "list").fault for _ in range(2)] == ["drop", None]


async def test_large_pages_come_packed_or_in_chunks() -> None:
    size = 12_000_000
    options = Options(rules=({"pad_bytes": size, "encoding": "gzip", "times": 1},
                             {"pad_bytes": size, "encoding": "chunked", "after": 1}))  # fmt: skip
    async with (
        serve(None, options) as server,
        aiohttp.ClientSession(headers=AUTH, auto_decompress=False) as http,
    ):
        for encoding in ("gzip", None):
            async with http.get(server.url + "/brands") as answer:
                read = await answer.read()
                assert answer.headers.get("Content-Encoding") == encoding
                assert "Content-Length" not in answer.headers
                text = gzip.decompress(read) if encoding else read
                assert len(text) == size
                assert len(json.loads(text)["results"]) == 10


def test_rules_are_set_over_http() -> None:
    with FakeCourierProcess(options={"rules": [{"stream": "list", "status": 529}]}) as process:
        process.change_options(rules=[{"stream": "brand", "headers": {"RateLimit-Limit": "5"}}])
        with pytest.raises(RuntimeError, match="not one of"):
            process.change_options(rules=[{"colour": 1}])


@pytest.mark.parametrize(
    "rule",
    [{"colour": 1}, {"kind": "x"}, {"answer": "x"}, {"stream": "brands"}, {"paging": "odd"}],
    ids=str,
)
def test_a_rule_has_only_fields_and_values_that_there_are(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not one of"):
        Options(rules=(rule,))
