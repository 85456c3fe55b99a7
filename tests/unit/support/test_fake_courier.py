"""The fake Courier API tells the truth, and each of its switches does what it says."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode

import aiohttp
import pytest
from yarl import URL

from tests.support.fake_courier import (
    ABSENT,
    DEFAULT_KEY,
    STREAMS,
    Account,
    FakeApi,
    Options,
    Reply,
)
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.server import serve

ROOT = Path(__file__).parents[3]
NOW_MS = 1_786_700_000_000
DAY_MS = 86_400_000
AUTH = {"Authorization": f"Bearer {DEFAULT_KEY}"}
ALL = tuple(STREAMS)
BY_ID = tuple(name for name, stream in STREAMS.items() if stream.by_id)
Page = tuple[list[Any], str | None, bool]


def account(**options: Any) -> Account:
    return Account(**{"now_ms": NOW_MS, **options})


def fake(options: Options | None = None, **of_account: Any) -> FakeApi:
    return FakeApi(account(**of_account), options)


def ask(api: FakeApi, stream: str, **query: str) -> Reply:
    return api.answer(STREAMS[stream].path, query, AUTH)


def body(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    return dict(json.loads(reply.body))


def page(stream: str, data: dict[str, Any]) -> Page:
    """Records, next cursor, whether there is more: by the rules of the two envelope families."""
    records = data[STREAMS[stream].array]
    if stream == "tenant":
        return records, data.get("cursor"), data["has_more"]
    paging = data.get("paging") or {}
    return records, paging.get("cursor"), paging.get("more", False)


def pages(api: FakeApi, stream: str, **query: str) -> list[Page]:
    """Every page of a walk; in process."""
    found: list[Page] = []
    while not found or found[-1][2]:
        cursor = {"cursor": found[-1][1] or ""} if found else {}
        found.append(page(stream, body(ask(api, stream, **query, **cursor))))
        assert len(found) < 1000
    return found


def walk(api: FakeApi, stream: str) -> list[Any]:
    query = {"notes": "true"} if stream == "notification" else {}
    return [record for found in pages(api, stream, **query) for record in found[0]]


def truth(api: FakeApi, stream: str) -> list[dict[str, Any]]:
    return list(api.account.truth(stream))


def ids(stream: str, records: list[Any]) -> list[str]:
    return [record[STREAMS[stream].key] for record in records]


def cursor_at(ms: int, id_: str = "1-ffffffff-ffffffffffffffffffffffff") -> str:
    return b64encode(f"{ms},{id_}".encode()).decode()


# -- over real HTTP ----------------------------------------------------------------------------


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=AUTH) as session:
        yield session


async def test_a_walk_over_http_reads_exactly_the_truth(http: aiohttp.ClientSession) -> None:
    sizes = dict.fromkeys(ALL, 57)
    async with serve(account(sizes=sizes, orders={"audience": "shuffled"})) as server:
        for stream in ALL:
            read: list[Any] = []
            cursor, more = None, True
            while more:
                query = {"cursor": cursor, "notes": "true"} if cursor else {"notes": "true"}
                url = f"{server.url}{STREAMS[stream].path}?{urlencode(query)}"
                async with http.get(url) as answer:
                    assert answer.status == 200
                    records, cursor, more = page(stream, await answer.json())
                read += records
            assert read == list(server.account.truth(stream))
            assert len(read) == 57
        assert server.api.traffic.by_stream["message"] == 6
        assert server.api.traffic.by_stream["tenant"] == 3
        assert server.api.traffic.records["brand"] == 57


async def test_faults_reach_the_wire(http: aiohttp.ClientSession) -> None:
    # Two drops: aiohttp's client asks once more by itself after the first.
    kinds = (
        "drop",
        "drop",
        "cut",
        "truncated",
        "html",
        "429_retry_after",
        "gateway_timeout",
        "slow",
    )
    options = Options(fault_once={"brand": kinds}, slow_seconds=0.15)
    async with serve(account(), options) as server:
        url = server.url + "/brands"

        async def read() -> Any:
            async with http.get(url) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()

        with pytest.raises(aiohttp.ServerDisconnectedError):
            await read()
        with pytest.raises(aiohttp.ClientPayloadError):
            await read()
        status, _, text = await read()
        assert status == 200
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(text)
        assert "<html>" in (await read())[2]
        assert (await read())[:2] == (429, "1")
        assert await read() == (504, None, '{"message":"Endpoint request timed out"}')
        started = time.monotonic()
        assert (await read())[0] == 200
        assert time.monotonic() - started >= 0.15
        assert server.api.traffic.by_status == {"drop": 2, "cut": 1, "200": 3, "429": 1, "504": 1}


async def test_requests_in_flight_are_counted_at_their_most(http: aiohttp.ClientSession) -> None:
    async with serve(account(), Options(latency_ms=60)) as server:

        async def read() -> None:
            async with http.get(server.url + "/lists") as answer:
                await answer.read()

        await asyncio.gather(*(read() for _ in range(5)))
        assert server.api.traffic.most_in_flight == 5
        assert server.api.traffic.in_flight == 0


async def test_ids_are_found_by_their_encoded_path(http: aiohttp.ClientSession) -> None:
    async with serve(account()) as server:
        wanted = ids("tenant", list(server.account.truth("tenant")))
        assert {"acme/eu", "two words", "%2F", "größe/東京 1", "a+b=c&d?e#f"} < set(wanted)
        for id_ in wanted:
            url = URL(f"{server.url}/tenants/{quote(id_, safe='')}", encoded=True)
            async with http.get(url) as answer:
                assert answer.status == 200
                assert (await answer.json())["id"] == id_
        async with http.get(f"{server.url}/tenants/acme/eu") as answer:
            assert answer.status == 404


async def test_a_raw_plus_in_a_cursor_is_read_as_a_blank_and_refused(
    http: aiohttp.ClientSession,
) -> None:
    async with serve(account()) as server:
        cursor = page("brand", body(ask(server.api, "brand")))[1] or ""
        assert {"+", "/"} < set(cursor)
        for text, status in ((cursor, 400), (quote(cursor, safe=""), 200)):
            url = URL(f"{server.url}/brands?cursor={text}", encoded=True)
            async with http.get(url) as answer:
                assert answer.status == status


async def test_a_process_is_steered_over_http_and_leaves_nothing_behind() -> None:
    sizes = {"brand": 30, "tenant": 3}
    options = {"last_page": {"brand": "paging_null"}}
    with FakeCourierProcess(seed=5, sizes=sizes, now_ms=NOW_MS, options=options) as process:
        same = account(seed=5, sizes=sizes)
        assert list(process.truth("brand")) == list(same.truth("brand"))
        assert process.change("edit", stream="tenant", n=2, fields={"name": "007"})
        assert [row["name"] for row in process.truth("tenant")].count("007") >= 2
        process.change_options(down=["list"])
        async with aiohttp.ClientSession(headers=AUTH) as session:
            async with session.get(process.url + "/lists") as answer:
                assert answer.status == 503
            async with session.get(process.url + "/brands?limit=3&what=ever") as answer:
                assert answer.headers["Date"] == "Fri, 14 Aug 2026 09:33:20 GMT"
        stats = process.stats()
        assert stats["by_stream"] == {"list": 1, "brand": 1}
        assert stats["cursors"] == {"list": [None], "brand": [None]}
        process.reset_stats()
        assert process.stats()["requests"] == 0
        with pytest.raises(RuntimeError, match="not one of"):
            process.change("explode")
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_whose_parent_dies_ends_too() -> None:
    code = (
        "import subprocess, sys, os\n"
        "child = subprocess.Popen([sys.executable, '-m', 'tests.support.fake_courier',"
        " '--exit-with-parent'], stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    pid = int(parent.stdout)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    if _runs(pid):
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the server outlived its parent")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_bad_command_line_is_a_sentence() -> None:
    for argument in ("--option=nonsense=1", "--sizes=brand", "--orders=brand=sideways"):
        command = [sys.executable, "-m", "tests.support.fake_courier", argument]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


# -- the data ----------------------------------------------------------------------------------


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
        started = time.perf_counter()
        api = fake(sizes={"message": 1_000_000}, cluster_share=0.98)
        body(ask(api, "message"))
        assert time.perf_counter() - started < 1
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


def test_notes_come_only_when_asked_for() -> None:
    api = fake()
    without = [row for found in pages(api, "notification") for row in found[0]]
    assert not any("note" in row for row in without)
    assert any("note" in row for row in walk(api, "notification"))


# -- changes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ALL)
def test_new_rows_are_listed_where_the_order_puts_them(stream: str) -> None:
    api = fake(orders={stream: "newest"})
    api.account.advance(5000)
    new = api.account.add(stream, 2)
    assert set(ids(stream, walk(api, stream)[:2])) == set(new)
    api.account.set_now(NOW_MS + 9000)
    newest = api.account.add(stream)
    assert ids(stream, truth(api, stream))[:1] == newest


def test_a_late_message_takes_its_place_among_the_older_ones() -> None:
    api = fake()
    (late,) = api.account.add_late(1, 3 * DAY_MS)
    rows = truth(api, "message")
    at = ids("message", rows).index(late)
    assert at > 10
    assert rows[at]["enqueued"] == NOW_MS - 3 * DAY_MS
    times = [row["enqueued"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert walk(api, "message") == rows


@pytest.mark.parametrize("stream", BY_ID)
def test_an_edit_is_seen_and_taken_back_to_the_letter(stream: str) -> None:
    api = fake()
    before = truth(api, stream)
    for move in (None, "head"):
        (id_,) = api.account.pick(stream, 1)
        api.account.advance(1000)
        api.account.edit(stream, id_, move=move)
        after = truth(api, stream)
        changed = [row for row in after if row not in before]
        assert [row["id"] for row in changed] == [id_]
        assert (ids(stream, after)[0] == id_) == (move == "head")
        original = next(row for row in before if row["id"] == id_)
        differing = {name for name in changed[0] if changed[0][name] != original.get(name)}
        assert differing & {"name", "title"}
        assert bool(differing & {"updated", "updated_at"}) == (stream != "tenant")
        api.account.revert(stream, id_)
        assert sorted(map(str, truth(api, stream))) == sorted(map(str, before))
        assert walk(api, stream) == truth(api, stream)


def test_an_edit_may_remove_a_field_and_keep_the_updated_time() -> None:
    api = fake()
    brand = next(row for row in truth(api, "brand") if row.get("updated") and "settings" in row)
    api.account.edit("brand", brand["id"], keep_updated=True, settings=ABSENT, name="t")
    now = api.account.get("brand", brand["id"])
    assert now == {**{k: v for k, v in brand.items() if k != "settings"}, "name": "t"}


@pytest.mark.parametrize("stream", BY_ID)
def test_what_is_deleted_is_404_until_it_is_restored_to_the_letter(stream: str) -> None:
    api = fake()
    before = truth(api, stream)
    gone = before[4]["id"]
    path = f"{STREAMS[stream].path}/{quote(gone, safe='')}"
    assert api.answer(path, {}, AUTH).status == 200
    api.account.delete(stream, gone)
    assert api.answer(path, {}, AUTH).status == 404
    assert walk(api, stream) == [row for row in before if row["id"] != gone]
    with pytest.raises(KeyError):
        api.account.edit(stream, gone)
    api.account.restore(stream, gone)
    assert walk(api, stream) == before
    assert api.traffic.by_id[stream] == 2


def test_an_archived_template_leaves_the_listing_and_is_200_by_id() -> None:
    api = fake()
    id_ = truth(api, "notification")[3]["id"]
    api.account.archive(id_)
    assert id_ not in ids("notification", walk(api, "notification"))
    reply = body(api.answer(f"/notifications/{id_}", {}, AUTH))
    assert reply["id"] == id_
    assert "content" in reply
    api.account.restore("notification", id_)
    api.account.delete("notification", id_)
    assert api.answer(f"/notifications/{id_}", {}, AUTH).status == 404


def test_messages_go_on_through_their_statuses() -> None:
    api = fake()
    api.account.advance(60_000)
    (id_,) = api.account.add("message")
    seen = []
    for _ in range(5):
        row = next(row for row in truth(api, "message") if row["id"] == id_)
        seen.append(row["status"])
        api.account.progress_messages(ids=[id_])
    assert seen == ["ENQUEUED", "SENT", "DELIVERED", "OPENED", "CLICKED"]
    before = truth(api, "message")
    moved = api.account.progress_messages(20)
    changed = [a["id"] for a, b in zip(truth(api, "message"), before, strict=True) if a != b]
    assert len(moved) == 20
    assert sorted(changed) == sorted(moved)


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_retention_drops_the_old_messages(order: str) -> None:
    api = fake(orders={"message": order})
    api.account.add_late(2, 20 * DAY_MS)
    bound = NOW_MS - 10 * DAY_MS
    expected = [row for row in truth(api, "message") if row["enqueued"] >= bound]
    api.account.retention(bound)
    assert walk(api, "message") == expected
    assert api.account.count("message") == len(expected)
    assert 100 < len(expected) < 250


def test_changes_come_as_json_and_in_the_middle_of_a_walk() -> None:
    api = fake(sizes={"list": 45})
    (id_,) = api.account.apply({"do": "edit", "stream": "list", "fields": {"name": "1e5"}})
    assert (api.account.get("list", id_) or {})["name"] == "1e5"
    last = truth(api, "list")[-1]["id"]
    api.change_after("list", 3, {"do": "touch", "stream": "list", "id": last, "move": "head"})
    read = ids("list", walk(api, "list"))
    assert last not in read  # it moved past the walk
    assert ids("list", walk(api, "list"))[0] == last
    assert api.account.apply({"do": "delete", "stream": "list", "n": 45})
    assert truth(api, "list") == []
    assert walk(api, "list") == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_listing_is_one_order_and_every_row_in_it_is_found(seed: int) -> None:
    random = Random(seed)
    stream = random.choice(ALL)
    order = random.choice(("newest", "nearly_newest", "oldest", "shuffled"))
    api = fake(seed=seed, sizes={stream: random.randrange(60)}, orders={stream: order})
    made, gone, letters = api.account, set[str](), dict[str, dict[str, Any]]()
    expected = {row[STREAMS[stream].key]: row for row in truth(api, stream)}
    for _ in range(150):
        made.advance(random.randrange(3))
        alive = sorted(set(expected) - gone)
        picked = random.choice(alive) if alive else None
        move = random.choice((None, "head", "tail"))
        what = random.randrange(6)
        if what == 0 or picked is None:
            age_ms = random.choice((0, random.randrange(30 * DAY_MS)))
            (picked,) = made.add_late(1, age_ms, stream=stream)
        elif what == 1:
            letters[picked] = expected[picked]
            made.edit(stream, picked, move=move, name=random.choice(("t", "007")))
        elif what == 2 and picked in letters:
            made.revert(stream, picked, move=move)
            expected[picked] = letters.pop(picked)
        elif what == 3:
            made.delete(stream, picked)
            gone.add(picked)
        elif what == 4 and gone:
            picked = random.choice(sorted(gone))
            made.restore(stream, picked)
            gone.remove(picked)
        listed = {row[STREAMS[stream].key]: row for row in truth(api, stream)}
        if picked not in expected or what == 1:
            expected[picked] = listed[picked]
        assert listed == {id_: row for id_, row in expected.items() if id_ not in gone}
        assert made.count(stream) == len(listed)
    api.change_options(page_sizes={stream: random.randrange(1, 9)})
    assert walk(api, stream) == truth(api, stream)


# -- switches ----------------------------------------------------------------------------------


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


# -- cursors -----------------------------------------------------------------------------------


def test_message_cursors_are_a_place_in_the_listing() -> None:
    api = fake()
    records, cursor, _ = page("message", body(ask(api, "message")))
    last = records[-1]
    assert b64decode(cursor or "").decode() == f"{last['enqueued']},{last['id']}"
    assert b64decode(page("audit_event", body(ask(api, "audit_event")))[1] or "")[:2] == b"1:"


def test_a_made_up_cursor_reads_on_strictly_after_its_place() -> None:
    api = fake(sizes={"message": 2000})
    rows = truth(api, "message")
    for place in (NOW_MS + 1, rows[777]["enqueued"], rows[1500]["enqueued"] + 1, 0):
        for id_ in ("", "~"):
            expected = [r for r in rows if (r["enqueued"], r["id"]) < (place, id_)][:10]
            found = page("message", body(ask(api, "message", cursor=cursor_at(place, id_))))[0]
            assert found == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("head", lambda rows, at: rows[:10]),
        ("partly", lambda rows, at: rows[at + 10 : at + 20]),
        ("gaps", lambda rows, at: rows[at : at + 20 : 2]),
        ("backwards", lambda rows, at: rows[at : at + 10][::-1]),
    ],
)
def test_made_up_cursors_are_honoured_wrongly(
    mode: str, expected: Callable[[list[Any], int], list[Any]]
) -> None:
    api = fake(Options(made_up_cursors=mode))
    rows = truth(api, "message")
    place = rows[200]["enqueued"]
    at = next(n for n, row in enumerate(rows) if row["enqueued"] < place)
    read, cursor, _ = page("message", body(ask(api, "message", cursor=cursor_at(place, ""))))
    assert read == expected(rows, at)
    follow = page("message", body(ask(api, "message", cursor=cursor or "")))[0]
    if mode != "backwards":
        after = rows.index(read[-1])
        assert follow == rows[after + 1 : after + 11]
    assert walk(api, "message") == rows


def test_made_up_cursors_are_refused_or_answered_with_newer_rows() -> None:
    api = fake()
    cursor = cursor_at(NOW_MS - DAY_MS)
    for mode, status in (("refused", 400), ("not_found", 404), ("gone", 410)):
        api.change_options(made_up_cursors=mode)
        assert ask(api, "message", cursor=cursor).status == status
        assert walk(api, "message") == truth(api, "message")
    api = fake(Options(made_up_cursors="newer"), sizes={"message": 20_000})
    read = page("message", body(ask(api, "message", cursor=cursor)))[0]
    assert all(row["enqueued"] > NOW_MS - DAY_MS for row in read)


@pytest.mark.parametrize("status", [400, 404, 410])
@pytest.mark.parametrize("stream", ALL)
def test_forgotten_cursors_are_refused_and_new_ones_serve(stream: str, status: int) -> None:
    api = fake(Options(forgotten_status=status), sizes={stream: 50})
    cursor = page(stream, body(ask(api, stream)))[1] or ""
    assert ask(api, stream, cursor=cursor).status == 200
    api.forget_cursors()
    assert ask(api, stream, cursor=cursor).status == status
    assert walk(api, stream) == truth(api, stream)


def test_nonsense_is_no_cursor() -> None:
    api = fake()
    good = page("message", body(ask(api, "message")))[1] or ""
    blank = good[:8] + " " + good[8:]
    for text in ("nonsense", quote(good, safe=""), good[:-2], blank, b64encode(b"1").decode()):
        assert ask(api, "message", cursor=text).status == 400
    assert ask(api, "brand", cursor=cursor_at(5)).status == 400
    assert api.answer("/nowhere", {}, AUTH).status == 404


def test_options_have_only_names_and_values_that_there_are() -> None:
    for wrong in ({"colour": 1}, {"bad_key_status": 500}, {"down": ["brands"]}):
        with pytest.raises(ValueError, match="not one of"):
            Options().changed(wrong)
    assert Options().changed({"down": ["brand"]}) == Options(down=("brand",))


def test_scripted_answers_come_first() -> None:
    api = fake()
    api.script("brand", Reply(200, b"[" * 1000))
    assert ask(api, "brand").body == b"[" * 1000
    assert walk(api, "brand") == truth(api, "brand")


@pytest.mark.parametrize("order", ["newest", "nearly_newest", "oldest", "shuffled"])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_an_account_may_be_empty_or_tiny(size: int, order: str) -> None:
    api = fake(sizes=dict.fromkeys(ALL, size), orders=dict.fromkeys(ALL, order), seed=3)
    for stream in ALL:
        assert len(walk(api, stream)) == size
        api.account.add(stream)
        api.account.delete(stream, api.account.pick(stream, 1)[0])
        assert walk(api, stream) == truth(api, stream)
        assert api.account.count(stream) == size
        api.account.advance(10)


def test_changing_one_option_does_not_repeat_a_fault_that_was_had() -> None:
    api = fake(Options(fault_once={"*": ("500",)}))
    assert ask(api, "brand").status == 500
    api.change_options(latency_ms=40)
    reply = ask(api, "brand")
    assert (reply.status, reply.delay_seconds) == (200, 0.04)
