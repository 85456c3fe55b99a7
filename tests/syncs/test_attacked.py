"""Attacks that once succeeded, each by its smallest case."""

import asyncio
import copy
import threading
from typing import Any

import pytest

from courier_async.api.transport import Answer, BodyTooLarge
from courier_async.catalog.streams import BY_TABLE, DAY_MS
from courier_async.reading.judge import is_settled
from courier_async.settings import unknown_settings
from courier_async.state.saved import Lean, StreamState, frame_for
from courier_async.writing import writer as writers
from tests.support.fake_courier import FakeApi, Options
from tests.support.harness import DirectTransport, Sink, Tables, expected, settings, sync
from tests.syncs.test_invariants import api_of, small_account
from tests.unit.state.test_sent_rows import Warehouse, warehouse

NOW_MS = 1_794_657_600_000


def test_a_deep_read_that_is_yet_to_come_makes_nothing_look_settled() -> None:
    state = StreamState(watermark=NOW_MS - DAY_MS, deep_read_at=NOW_MS + 40 * DAY_MS)
    frame = frame_for(BY_TABLE["message"], state, settings(), started_at=NOW_MS)
    assert frame.deep
    assert frame.lean is None


@pytest.mark.parametrize("delivered", [1_786_613_600, "1786123112345", 0, -1, None])
def test_a_message_whose_time_is_in_another_unit_is_not_settled(delivered: Any) -> None:
    lean = Lean(None, NOW_MS - 5 * DAY_MS, NOW_MS - 10 * DAY_MS)
    enqueued = NOW_MS - 30 * DAY_MS
    message = {"id": "m", "status": "DELIVERED", "enqueued": enqueued, "delivered": delivered}
    assert not is_settled(message, enqueued, lean)
    assert is_settled(message | {"delivered": enqueued + 1}, enqueued, lean)


@pytest.mark.parametrize("seen_by", ["a sync that captures no deletes", "a sync that captures"])
async def test_a_row_that_was_missed_once_and_seen_again_is_not_half_way_to_deletion(
    seen_by: str,
) -> None:
    house = await warehouse()
    (key,) = house.account.pick("notification", 1)
    house.account.archive(key)
    await house.sync()
    house.account.restore("notification", key)
    await house.sync(capture_deletes="no" not in seen_by)
    house.account.archive(key)
    assert (await house.sync()).deleted("notification") == []


async def test_a_new_id_is_announced_also_where_the_first_walk_ends_in_the_same_batch() -> None:
    account = small_account()
    first = await sync(api_of(account))
    state = copy.deepcopy(first.last_state())
    api = api_of(account)
    await sync(api)
    state["streams"]["list"] = {
        "rows": state["streams"]["list"]["rows"],
        "walk": {
            "cursor": next(c for c in api.traffic.cursors["list"] if c),
            "started_at": NOW_MS,
        },
    }
    (new,) = account.add("list")
    announced: set[str] = set()

    def check(operation: str, data: Any) -> None:
        if operation == "checkpoint":
            announced.update("\n".join(data["streams"]["list"].get("rows", [])).split("\n"))
        elif operation == "upsert" and data[0] == "list" and data[1]["id"] == new:
            assert f"--------{new}" in announced

    sink = await sync(
        api_of(account), state, sink=Sink(on_operation=check), checkpoint_interval_seconds=60.0
    )
    assert new in {row["id"] for row in sink.sent("list")}


@pytest.mark.parametrize(
    "damage",
    [
        {"met": 10},
        {"met": -99},
        {"cursor": "\ud800"},
        {"cursor": "x" * 70_000},
        {"lanes": [{"cursor": "a", "start": 5, "id": 3, "met": 12, "first": ["x"] * 10}]},
    ],
)
async def test_no_walk_in_a_state_keeps_every_later_sync_from_ending(
    damage: dict[str, Any],
) -> None:
    account = small_account()
    walk = {"cursor": "MTc5NDY1NzYwMDAwMCxhYWE=", "started_at": account.now_ms()} | damage
    state = {
        "version": 1,
        "source": "127.0.0.1 pk_test",
        "streams": {"message": {"walk": walk}, "list": {"walk": walk}},
    }
    tables = Tables()
    tables.apply(await sync(api_of(account), state))
    for table in ("message", "list"):
        assert tables.rows[table] == expected(account, table)


async def test_a_walk_that_cannot_be_used_costs_the_stream_neither_rows_nor_deletes() -> None:
    house = await warehouse()
    house.state["streams"]["list"]["walk"] = {"cursor": 7}
    (key,) = house.account.pick("list", 1)
    house.account.delete("list", key)
    sink = await house.sync()
    assert sink.sent("list") == []
    assert sink.deleted("list") == [key]
    assert [text for text in sink.warnings if text.startswith("list: where its reading")]


def test_a_key_that_was_written_as_a_settings_name_is_not_shown() -> None:
    (told,) = unknown_settings({"api_key": "sk-VERYSECRETKEY0123", "sk-VERYSECRETKEY0123": ""})
    assert "VERYSECRET" not in told


def test_two_ids_that_the_destination_takes_for_one_are_one() -> None:
    stream = BY_TABLE["tenant"]
    assert stream.key_of({"id": "a\x00b"}) == stream.key_of({"id": "ab"}) == "ab"
    assert stream.key_of({"id": "\x00"}) is None


async def test_a_time_that_is_none_does_not_cost_the_stream_its_order() -> None:
    house = Warehouse(small_account())
    await house.sync()
    key = [row["id"] for row in house.account.truth("message")][4]
    for time in (1_786_613_600, 0, -5):
        house.account.edit("message", key, enqueued=time)
        sink = await house.sync()
        assert house.state["streams"]["message"]["newest_first"] is True
        assert key in {row["id"] for row in sink.sent("message")}


async def test_large_pages_that_wait_for_a_slow_destination_are_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writers, "_MOST_BYTES_WAITING", 100_000)
    account = small_account(sizes={"tenant": 3_000})
    for key in account.pick("tenant", 3_000):
        account.edit("tenant", key, properties={"text": "x" * 500})
    api = FakeApi(account, Options())
    released = threading.Event()
    task = asyncio.create_task(
        sync(
            api,
            sink=Sink(on_operation=lambda name, data: released.wait(5) and None),
            streams=(BY_TABLE["tenant"],),
            checkpoint_interval_seconds=60.0,
        )
    )
    await asyncio.sleep(0.5)
    asked = api.traffic.by_stream["tenant"]
    released.set()
    sink = await task
    # Some 60 kB a page: two or three may wait, not all thirty.
    assert asked <= 5
    assert len(sink.sent("tenant")) == 3_000


async def test_an_answer_by_id_that_cannot_be_read_leaves_the_row_and_the_stream_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = await warehouse()
    (key,) = house.account.pick("list", 1)
    house.account.delete("list", key)
    real = DirectTransport.get

    async def get(self: DirectTransport, path_and_query: str) -> Answer:
        if path_and_query.startswith("/lists/"):
            raise BodyTooLarge
        return await real(self, path_and_query)

    with monkeypatch.context() as patched:
        patched.setattr(DirectTransport, "get", get)
        assert (await house.sync()).deleted("list") == []
    assert (await house.sync()).deleted("list") == [key]


async def test_no_warning_follows_a_sync_that_was_cancelled_in_its_last_write() -> None:
    """Records left out are told at the very end, which a blocked upsert may outlive."""
    blocked, release = threading.Event(), threading.Event()
    account = small_account(sizes=dict.fromkeys(BY_TABLE, 1))

    def block(operation: str, data: Any) -> None:
        if operation == "upsert":
            blocked.set()
            release.wait(5)

    sink = Sink(on_operation=block)
    task = asyncio.create_task(
        sync(
            api_of(account, keyless_every={"brand": 1}),
            sink=sink,
            streams=(BY_TABLE["brand"],),
            # Waiting pages are gathered, so that the end of the queue is in the same write.
            checkpoint_interval_seconds=60.0,
        )
    )
    await asyncio.to_thread(blocked.wait, 5)
    task.cancel()
    await asyncio.sleep(0.05)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.warnings == []
