"""Preferences, metrics and the children of messages, as the fake API serves them."""

from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fake_courier import ABSENT, FakeApi, Options
from tests.support.fake_courier.details import HANDED_OVER
from tests.support_tests.walks import AUTH, DAY_MS, NOW_MS, body, fake, truth

SETTLED = "2026-08-11T00:00:00Z"  # three days before now


def get(api: FakeApi, path: str, **query: str) -> dict[str, Any]:
    return body(api.answer(path, query, AUTH))


def log(api: FakeApi, **query: str) -> list[list[dict[str, Any]]]:
    """Returns the pages of the preference log."""
    pages: list[list[dict[str, Any]]] = []
    cursor: dict[str, str] = {}
    while True:
        data = get(api, "/preferences/logs", **query, **cursor)
        pages.append(data["items"])
        if not data["paging"]["more"]:
            assert "cursor" not in data["paging"]
            return pages
        cursor = {"cursor": data["paging"]["cursor"]}


# -- preferences -------------------------------------------------------------------------------


def test_the_preference_log_comes_newest_first_by_pages() -> None:
    api = fake(sizes={"preference_change": 130})
    for limit, sizes in ((None, [25] * 5 + [5]), ("100", [100, 30]), ("900", [100, 30])):
        pages = log(api, **({"limit": limit} if limit else {}))
        assert [len(page) for page in pages] == sizes
        assert [row for page in pages for row in page] == truth(api, "preference_change")
    times = [row["timestamp"] for row in truth(api, "preference_change")]
    assert times == sorted(times, reverse=True)


def test_since_is_inclusive_and_takes_a_date_or_a_time() -> None:
    api = fake(sizes={"preference_change": 130})
    rows = truth(api, "preference_change")
    since = rows[40]["timestamp"]
    read = [row for page in log(api, since=since) for row in page]
    assert read == [row for row in rows if row["timestamp"] >= since]
    read = [row for page in log(api, since="2026-08-01") for row in page]
    assert read == [row for row in rows if row["timestamp"] >= "2026-08-01"]
    assert api.answer("/preferences/logs", {"since": "lately"}, AUTH).status == 400


def test_preference_changes_go_on_coming_some_late() -> None:
    api = fake()
    api.account.advance(5000)
    (new,) = api.account.apply({"do": "add", "stream": "preference_change"})
    assert log(api)[0][0]["id"] == new
    late = {"do": "add_late", "stream": "preference_change", "age_ms": 3 * DAY_MS}
    (old,) = api.account.apply(late)
    read = [row for page in log(api) for row in page]
    assert read == truth(api, "preference_change")
    assert old in [row["id"] for row in read][1:]


def test_sections_hold_their_topics() -> None:
    api = fake()
    sections = get(api, "/preferences/sections")["results"]
    topics = [t | {"section_id": s["id"]} for s in sections for t in s["topics"]]
    by_id = {topic["id"]: topic for topic in truth(api, "subscription_topic")}
    assert {topic["id"]: topic for topic in topics} == by_id
    assert len(topics) == 9
    shown = [{k: v for k, v in s.items() if k != "topics"} for s in sections]
    assert shown == truth(api, "preference_section")


def test_topics_change_move_and_go_with_their_section() -> None:
    api = fake()
    first, second = truth(api, "preference_section")[:2]
    moved = next(t for t in truth(api, "subscription_topic") if t["section_id"] == first["id"])
    api.account.edit("subscription_topic", moved["id"], section_id=second["id"], name="Moved")
    sections = {s["id"]: s for s in get(api, "/preferences/sections")["results"]}
    assert moved["id"] not in [t["id"] for t in sections[first["id"]]["topics"]]
    assert "Moved" in [t["name"] for t in sections[second["id"]]["topics"]]
    api.account.delete("preference_section", second["id"])
    assert second["id"] not in {t["section_id"] for t in truth(api, "subscription_topic")}
    assert len(get(api, "/preferences/sections")["results"]) == 2
    api.account.apply({"do": "delete", "stream": "subscription_topic"})
    api.account.apply({"do": "add", "stream": "subscription_topic"})


# -- metrics -----------------------------------------------------------------------------------


def metrics(api: FakeApi, template: str, **query: str) -> dict[str, Any]:
    return get(api, f"/notifications/{quote(template, safe='')}/metrics", **query)


def test_metrics_of_all_templates_are_the_truth() -> None:
    api = fake()
    rows = []
    for template in truth(api, "notification"):
        data = metrics(api, template["id"])
        assert (data["notificationId"], data["granularity"]) == (template["id"], "DAY")
        assert len(data["series"]) == 31
        for bucket in data["series"]:
            key = {"notification_id": template["id"], "granularity": "DAY"}
            rows += [key | {"period": bucket["period"], **row} for row in bucket["data"]]
    assert rows == list(api.truth("notification_metric"))
    assert len(rows) > 200
    for row in rows:
        nested = [row[name] for name in ("sent", "delivered", "opened", "clicked")]
        assert nested == sorted(nested, reverse=True)


def test_days_settle_after_three_days() -> None:
    api = fake()
    before = list(api.truth("notification_metric"))
    api.account.advance(6 * 3_600_000)
    after = list(api.truth("notification_metric"))
    changed = [row["period"] for row in after if row not in before]
    assert changed
    assert min(changed) >= SETTLED
    assert [r for r in before if r["period"] < SETTLED] == [
        r for r in after if r["period"] < SETTLED
    ]


def test_metrics_come_in_buckets_of_any_size() -> None:
    api = fake()
    template = next(t["id"] for t in truth(api, "notification") if "title" in t)
    assert len(metrics(api, template, granularity="HOUR", lookback="PT12H")["series"]) == 13
    weeks = metrics(api, template, granularity="WEEK", lookback="P4W")["series"]
    assert weeks[0]["period"] == "2026-07-12T00:00:00Z"  # a Sunday
    months = metrics(api, template, granularity="MONTH", lookback="P30D")["series"]
    assert [month["period"][:7] for month in months] == ["2026-07", "2026-08"]
    window = {"start": "2026-08-01T02:00:00+02:00", "end": "2026-08-03T00:00:00Z"}
    data = metrics(api, template, **window)
    assert (data["start"], data["end"]) == ("2026-08-01T00:00:00Z", "2026-08-03T00:00:00Z")
    assert len(data["series"]) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"lookback": "P31D"}, 402),
        ({"lookback": "P91D"}, 400),
        ({"lookback": "soon"}, 400),
        ({"lookback": "P0D"}, 400),
        ({"granularity": "HOUR", "lookback": "P8D"}, 400),
        ({"granularity": "YEAR"}, 400),
        ({"start": "2026-08-01T00:00:00Z"}, 400),
        ({"start": "2026-08-01T00:00:00", "end": "2026-08-02T00:00:00Z"}, 400),
        ({"lookback": "P29D"}, 200),
    ],
)
def test_a_window_is_refused_or_beyond_the_plan(query: dict[str, str], status: int) -> None:
    assert fake().answer("/notifications/x/metrics", query, AUTH).status == status


def test_metrics_of_no_template_or_a_draft_are_empty() -> None:
    api = fake()
    draft = next(t["id"] for t in truth(api, "notification") if t.get("state") == "DRAFT")
    for template in ("nobody", draft):
        assert all(bucket["data"] == [] for bucket in metrics(api, template)["series"])


def test_metrics_tell_their_rate_and_hold_to_it() -> None:
    now = [5.0]
    api = FakeApi(fake().account, Options(metrics_per_second=2), clock=lambda: now[0])
    replies = [api.answer("/notifications/x/metrics", {}, AUTH) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [reply.headers["RateLimit-Remaining"] for reply in replies] == ["1", "0", "0"]
    assert {reply.headers["RateLimit-Limit"] for reply in replies} == {"2"}
    assert replies[2].headers["Retry-After"] == "1"
    now[0] += 1
    assert api.answer("/notifications/x/metrics", {}, AUTH).status == 200


def test_there_are_no_metrics_outside_the_us() -> None:
    api = fake(Options(region="EU"))
    assert api.answer("/notifications/x/metrics", {}, AUTH).status == 404
    assert api.answer("/notifications", {}, AUTH).status == 200


# -- messages ----------------------------------------------------------------------------------


def test_messages_and_their_histories_are_the_truth() -> None:
    api = fake(sizes={"message": 300})
    attempts, events = [], []
    for message in truth(api, "message"):
        detail = get(api, f"/messages/{message['id']}")
        rows = detail.pop("providers")
        assert detail == message
        key = {"message_id": message["id"]}
        attempts += [key | {"position": at, **row} for at, row in enumerate(rows)]
        history = get(api, f"/messages/{message['id']}/history")["results"]
        events += [key | {"position": at, **row} for at, row in enumerate(history)]
        assert all(a["ts"] <= b["ts"] for a, b in pairwise(history))
        assert bool(rows) <= (message["status"] in HANDED_OVER)
        if "sent" in message:
            assert rows[-1]["status"] == message["status"]
            assert {e["ts"] for e in history if e["type"] == "SENT"} == {message["sent"]}
        if "opened" in message:
            assert max(e["ts"] for e in history if e["type"] == "OPENED") == message["opened"]
    assert attempts == list(api.truth("message_provider"))
    assert events == list(api.truth("message_event"))
    assert {e["type"] for e in events} > {"PROFILE_LOADED", "CLICKED", "UNROUTABLE", "MAPPED"}
    assert any("merged_profile" in event for event in events)
    assert any(row["position"] == 1 for row in attempts)
    assert any("error" in row for row in attempts)


def test_a_message_that_was_opened_without_having_been_sent_has_a_history() -> None:
    api = fake()
    for message in truth(api, "message")[:40]:
        now_ms = api.account.now_ms()
        api.account.edit("message", message["id"], opened=now_ms, sent=ABSENT, delivered=ABSENT)
        assert get(api, f"/messages/{message['id']}/history")["results"]


def test_an_unknown_message_has_neither_detail_nor_history() -> None:
    api = fake()
    for path in ("/messages/1-5f-00", "/messages/1-5f-00/history"):
        assert api.answer(path, {}, AUTH).status == 404
    id_ = truth(api, "message")[-1]["id"]
    api.account.retention(NOW_MS)
    assert api.answer(f"/messages/{id_}", {}, AUTH).status == 404
    assert api.answer(f"/messages/{id_}/history", {}, AUTH).status == 404


def test_a_message_that_is_opened_again_keeps_its_earlier_events() -> None:
    api = fake()
    id_ = next(row["id"] for row in truth(api, "message") if row["status"] == "OPENED")
    before = get(api, f"/messages/{id_}/history")["results"]
    for _ in range(2):
        api.account.advance(60_000)
        api.account.edit("message", id_, opened=api.account.now_ms())
        after = get(api, f"/messages/{id_}/history")["results"]
        assert after[: len(before)] == before
        assert len(after) == len(before) + 1
        before = after


def test_events_show_late() -> None:
    api = fake(Options(history_delay_seconds=600))
    (id_,) = api.account.add("message")
    assert get(api, f"/messages/{id_}/history")["results"] == []
    api.account.advance(599_999)
    assert get(api, f"/messages/{id_}/history")["results"] == []
    api.account.advance(60_000)
    assert get(api, f"/messages/{id_}/history")["results"]


def test_events_expire_one_by_one_and_then_the_history_is_gone() -> None:
    api = fake()
    message = next(m for m in truth(api, "message") if m.get("opened", 0) > m["enqueued"] + DAY_MS)
    path = f"/messages/{message['id']}/history"
    usual = get(api, path)["results"]
    age_ms = NOW_MS - message["enqueued"] - 3_600_000
    api.change_options(history_days=age_ms / DAY_MS)
    left = get(api, path)["results"]
    assert 0 < len(left) < len(usual)
    assert left == usual[-len(left) :]
    api.account.advance(40 * DAY_MS)
    assert api.answer(path, {}, AUTH).status == 404
    assert api.answer(f"/messages/{message['id']}", {}, AUTH).status == 200


def test_a_history_is_asked_for_one_type() -> None:
    api = fake()
    id_ = next(row["id"] for row in truth(api, "message") if "sent" in row)
    events = get(api, f"/messages/{id_}/history", type="SENT")["results"]
    assert {event["type"] for event in events} == {"SENT"}


def test_faults_and_rules_reach_the_children_of_one_message() -> None:
    rules = ({"stream": "message_event", "times": 2, "status": 503},)
    api = fake(Options(rules=rules, denied={"message_provider": 403}))
    id_ = truth(api, "message")[0]["id"]
    paths = (f"/messages/{id_}/history",) * 3 + (f"/messages/{id_}", "/messages")
    assert [api.answer(path, {}, AUTH).status for path in paths] == [503, 503, 200, 403, 200]
