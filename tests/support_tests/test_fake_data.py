"""The account of the fake API: seeded, in order, with every known shape."""

import gc
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.support.fake_courier import STREAMS
from tests.support.fake_courier.names import AWKWARD
from tests.support_tests.walks import (
    ALL,
    DAY_MS,
    NOW_MS,
    account,
    ask,
    body,
    cursor_at,
    fake,
    ids,
    pages,
    truth,
    walk,
)

TOPIC_FIELDS = ("topic_id", "subscription_topic_id")


@pytest.mark.parametrize("order", ["newest", "nearly_newest", "oldest", "shuffled"])
@pytest.mark.parametrize("stream", ALL)
def test_every_page_size_and_order_yields_each_row_once(stream: str, order: str) -> None:
    api = fake(sizes={stream: 101}, orders={stream: order})
    api.account.add(stream, 3)
    moved = api.account.pick(stream, 4)
    for id_ in moved[:2]:
        api.account.touch(stream, id_)
    api.account.touch(stream, moved[2], move="tail")
    api.account.delete(stream, moved[3])
    expected = truth(api, stream)
    assert len(set(ids(stream, expected))) == 103 == api.account.count(stream)
    for size in (1, 7, 200):
        api.change_options(page_sizes={stream: size})
        assert walk(api, stream) == expected
    assert ids(stream, expected)[-1] == moved[2]
    assert ids(stream, expected)[:2] == moved[1::-1]


def test_listings_have_the_order_that_they_are_given() -> None:
    times = {
        order: [row["enqueued"] for row in account(orders={"message": order}).truth("message")]
        for order in ("newest", "nearly_newest", "oldest", "shuffled")
    }
    assert times["newest"] == sorted(times["newest"], reverse=True)
    assert times["oldest"] == sorted(times["oldest"])
    assert times["newest"] == times["oldest"][::-1]
    swaps = sum(a < b for a, b in pairwise(times["nearly_newest"]))
    assert 0 < swaps <= 250
    falls = sum(a > b for a, b in pairwise(times["shuffled"]))
    assert 100 < falls < 400


def test_the_seed_decides_everything() -> None:
    for stream in ALL:
        first, again, other = (list(account(seed=n).truth(stream)) for n in (3, 3, 4))
        assert first == again
        assert first != other


def test_a_million_messages_start_at_once_and_cost_little() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        started = time.process_time()
        api = fake(sizes={"message": 1_000_000}, cluster_share=0.98)
        body(ask(api, "message"))
        assert time.process_time() - started < 1
        for day in range(30):
            body(ask(api, "message", cursor=cursor_at(NOW_MS - day * DAY_MS)))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert api.account.count("message") == 1_000_000


def test_a_cluster_holds_its_share_in_one_week() -> None:
    made = account(sizes={"message": 3000}, span_days=365, cluster_share=0.98)
    times = [row["enqueued"] for row in made.truth("message")]
    most = max(sum(0 <= start - at < 7 * DAY_MS for at in times) for start in times[::20])
    assert 0.97 * 3000 < most < 0.99 * 3000
    assert times[0] - times[-1] > 350 * DAY_MS


def test_messages_agree_with_their_times_and_omit_what_is_unset() -> None:
    steps = ("sent", "delivered", "opened", "clicked")
    messages = list(account(sizes={"message": 3000}).truth("message"))
    assert {row["status"] for row in messages} >= {"ENQUEUED", "SENT", "CLICKED", "UNROUTABLE"}
    for row in messages:
        assert None not in row.values()
        assert int(row["id"][2:10], 16) == row["enqueued"] // 1000
        reached = [row[step] for step in steps if step in row]
        assert [row["enqueued"], *reached] == sorted([row["enqueued"], *reached])
        assert all(at <= NOW_MS for at in reached)
        if row["status"].lower() in ("sent", "delivered", "opened", "clicked"):
            assert [step for step in steps if step in row][-1] == row["status"].lower()
    recipients = {row["recipient"] for row in messages}
    assert {"true", "1e5", "007", "2024-01-01"} < recipients
    assert any(text.isdigit() and len(text) == 11 for text in recipients)
    assert any("event" not in row for row in messages)
    sizes_of_ties = Counter(Counter(row["enqueued"] for row in messages).values())
    assert set(sizes_of_ties) == {1, 3, 8}


def test_the_small_streams_hold_every_shape_that_is_known() -> None:
    made = account(sizes=dict.fromkeys(ALL, 300))
    rows = {stream: list(made.truth(stream)) for stream in ALL}
    updated = [row.get("updated", "absent") for row in rows["brand"]]
    assert None in updated
    assert "absent" in updated
    assert any("published" not in row for row in rows["brand"])
    assert any("settings" not in row for row in rows["brand"])
    filters = [row.get("filter", {}) for row in rows["audience"]]
    assert any("path" in one for one in filters)
    assert any("filters" in inner for one in filters for inner in one.get("filters", ()))
    assert {"operator" in row for row in rows["audience"]} == {True, False}
    targets = {str(type(row.get("target"))) for row in rows["audit_event"]}
    assert len(targets) == 3
    assert any(row.get("target") == {} for row in rows["audit_event"])
    assert any(row.get("created", "") is None for row in rows["list"])
    assert {"title" in row for row in rows["notification"]} == {True, False}
    assert {"acme/eu", "two words", "größe/東京 1", "007", "true"} < set(ids("list", rows["list"]))
    assert any(isinstance(row["properties"].get("tags"), list) for row in rows["tenant"])
    for target, kind in (("string", str), ("object", dict), ("empty", dict)):
        one = account(targets=target)
        assert all(isinstance(row["target"], kind) for row in one.truth("audit_event"))
    assert not any("target" in row for row in account(targets="absent").truth("audit_event"))


def test_records_refer_to_others_that_are_there() -> None:
    made = account(hostile_names=False)
    rows = {
        stream: list(made.truth(stream))
        for stream in ("audience", "audit_event", "brand", "notification", "subscription_topic")
    }
    found = {stream: {row.get("id") for row in listed} for stream, listed in rows.items()}
    named = {row.get(f) for row in rows["notification"] for f in TOPIC_FIELDS} - {None}
    assert len(named) > 3
    assert named <= found["subscription_topic"]
    digests = [row["digest"] for row in rows["subscription_topic"] if "digest" in row]
    assert {digest["template_id"] for digest in digests} <= found["notification"]
    assert {digest["audience_id"] for digest in digests if "audience_id" in digest}
    assert {digest.get("audience_id") for digest in digests} - {None} <= found["audience"]
    for kind, stream in (("notification:published", "notification"), ("brand:updated", "brand")):
        events = [row for row in rows["audit_event"] if row["type"] == kind and row.get("target")]
        targets = [row["target"] for row in events]
        assert targets
        assert {t["id"] if isinstance(t, dict) else t for t in targets} <= found[stream]


def test_notes_come_only_when_asked_for() -> None:
    api = fake()
    without = [row for found in pages(api, "notification") for row in found[0]]
    assert not any("note" in row for row in without)
    assert any("note" in row for row in walk(api, "notification"))


def test_plain_names_are_those_that_people_recognise() -> None:
    made = account(sizes=dict.fromkeys(ALL, 60), hostile_names=False)
    texts = set()
    for stream in ALL:
        rows = list(made.truth(stream))
        assert len({row[STREAMS[stream].key] for row in rows}) == 60
        texts |= {value for row in rows for value in leaves(row) if isinstance(value, str)}
        for row in rows:
            assert made.id_at(stream, made.find(stream, row[STREAMS[stream].key]))
    assert texts.isdisjoint(AWKWARD)
    assert {"Acme", "Globex 2", "acme", "globex-2", "Welcome email", "Beta testers"} < texts
    assert all(text.isprintable() and "/" not in text for text in texts if " " in text)


def leaves(value: Any) -> Iterator[Any]:
    """Yields the values in an object or a list, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for inner in value:
        yield from leaves(inner)
