"""A row is sent when it is new or has changed, and deleted when it has surely gone."""

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from courier_async.catalog.streams import STREAMS
from courier_async.state import sent_rows as known_rows
from courier_async.state.sent_rows import (
    BLANK,
    KnownRows,
    fingerprint,
    keep_within_bounds,
    parse_known_rows,
    row_bytes,
)
from courier_async.sync import SyncFailed
from tests.support.fake_courier import Account
from tests.support.harness import Crash, Sink, Tables, expected, sync
from tests.syncs.test_invariants import SMALL, api_of, small_account

KEPT = [stream.table for stream in STREAMS if stream.keeps_rows]


def alive(tables: Tables, account: Account) -> None:
    for table in KEPT:
        assert tables.rows[table] == expected(account, table), table


class Warehouse:
    """Syncs one after another into the same tables, from the state that the last one saved."""

    def __init__(self, account: Account, **options: Any) -> None:
        self.account = account
        self.options = options
        self.tables = Tables()
        self.state: dict[str, Any] = {}

    async def sync(self, prepare: Callable[[Any], None] | None = None, **changes: Any) -> Sink:
        api = api_of(self.account, **self.options)
        if prepare is not None:
            prepare(api)
        self.api = api
        sink = await sync(api, self.state, **changes)
        self.tables.apply(sink)
        self.state = sink.last_state()
        return sink

    async def dying_sync(self, *, crash_at: int) -> Sink:
        """Every row lands at the moment of its upsert, and the sync dies at an operation.

        Where it has fewer operations it ends well, which has to be right as well.
        """
        sink = Sink(crash_at=crash_at)
        with contextlib.suppress(Crash):
            await sync(api_of(self.account, **self.options), self.state, sink=sink)
        self.tables.apply(sink)
        self.state = sink.last_state() or self.state
        return sink


async def warehouse(**options: Any) -> Warehouse:
    house = Warehouse(small_account(), **options)
    await house.sync()
    return house


# -- 10: changes alone are sent ----------------------------------------------------------------


async def test_a_second_sync_sends_nothing_that_has_not_changed() -> None:
    house = await warehouse()
    sink = await house.sync()
    assert {table: len(sink.sent(table)) for table in KEPT} == dict.fromkeys(KEPT, 0)


async def test_an_edit_is_sent_and_nothing_beside_it() -> None:
    house = await warehouse()
    edited = {table: house.account.pick(table, 2) for table in KEPT}
    for table, keys in edited.items():
        for key in keys:
            house.account.edit(table, key, keep_updated=True, name="other")
    sink = await house.sync()
    for table, keys in edited.items():
        assert sorted(row["id"] for row in sink.sent(table)) == sorted(keys)
    alive(house.tables, house.account)


def test_the_fingerprint_knows_every_value_and_no_order_of_keys() -> None:
    record = {"id": "a", "n": 1, "x": {"p": [1, 2], "q": None}}
    assert fingerprint({"x": {"q": None, "p": [1, 2]}, "n": 1, "id": "a"}) == fingerprint(record)
    others = [
        {"id": "a", "n": 1.0, "x": {"p": [1, 2], "q": None}},
        {"id": "a", "n": "1", "x": {"p": [1, 2], "q": None}},
        {"id": "a", "n": True, "x": {"p": [1, 2], "q": None}},
        {"id": "a", "n": 1, "x": {"p": [2, 1], "q": None}},
        {"id": "a", "n": 1, "x": {"p": [1, 2]}},
        {"id": "a", "n": 2**70, "x": {"p": [1, 2], "q": None}},
    ]
    prints = {fingerprint(other) for other in others} | {fingerprint(record)}
    assert len(prints) == len(others) + 1
    assert all(len(text) == 8 for text in prints)


@pytest.mark.parametrize("few", [1, 10_000], ids=["in many texts", "in one"])
def test_what_is_saved_follows_every_change_of_what_is_known(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(known: KnownRows) -> set[str]:
        return {line for text in known.as_json().get("rows", []) for line in text.split("\n")}

    monkeypatch.setattr(known_rows, "_FEW_ROWS", few)
    known = KnownRows()
    for number in range(300):
        known.set(f"id{number}", "AAAAAAAA")
    assert saved(known) == {f"AAAAAAAAid{number}" for number in range(300)}
    known.forget("id7")
    known.set("id8", "BBBBBBBB")
    assert saved(known) == {"BBBBBBBBid8"} | {
        f"AAAAAAAAid{number}" for number in range(300) if number not in (7, 8)
    }
    known.blank_all()
    assert saved(known) == {f"--------id{number}" for number in range(300) if number != 7}


def test_a_new_shape_of_rows_changes_every_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint({"id": "a"})
    monkeypatch.setattr(known_rows, "_SALT", (known_rows.ROW_SHAPE + 1).to_bytes(8, "big"))
    assert fingerprint({"id": "a"}) != before


@pytest.mark.parametrize("crash_at", [1, 2, 3, 5, 9, 17, 30, 60])
async def test_an_edit_sent_by_a_sync_that_dies_and_then_taken_back_lands_as_it_is(
    crash_at: int,
) -> None:
    house = await warehouse()
    edited = [(table, key) for table in KEPT for key in house.account.pick(table, 5)]
    for table, key in edited:
        house.account.edit(table, key, keep_updated=True, name="for a moment")
    await house.dying_sync(crash_at=crash_at)
    for table, key in edited:
        house.account.revert(table, key)
    await house.sync()
    alive(house.tables, house.account)
    sink = await house.sync()
    assert [table for table in KEPT if sink.sent(table)] == []


async def test_a_checkpoint_marks_the_streams_open_before_the_first_row_and_the_last_takes_it_off() -> (  # noqa: E501
    None
):
    house = await warehouse()
    house.account.edit("list", house.account.pick("list", 1)[0], name="other")
    sink = await house.sync()
    names = [name for name, data in sink.operations]
    first = next(
        index
        for index, (name, data) in enumerate(sink.operations)
        if name == "upsert" and data[0] == "list"
    )
    last_before = max(i for i in range(first) if names[i] == "checkpoint")
    assert sink.operations[last_before][1]["streams"]["list"]["open"] is True
    assert "open" not in sink.last_state()["streams"]["list"]
    assert names[-1] == "checkpoint"


async def test_the_state_is_saved_once_more_at_most_for_what_is_not_new() -> None:
    house = await warehouse()
    quiet = await house.sync(checkpoint_interval_seconds=60.0)
    for table in KEPT:
        house.account.edit(table, house.account.pick(table, 1)[0], name="other")
    busy = await house.sync(checkpoint_interval_seconds=60.0)
    assert not any(
        part.get("open") for state in quiet.checkpoints for part in state["streams"].values()
    )
    opened = [
        state
        for state in busy.checkpoints
        if any("open" in part for part in state["streams"].values())
    ]
    # One checkpoint serves all five streams.
    assert all(opened[0]["streams"][table].get("open") for table in KEPT)


async def test_a_state_found_open_has_all_its_fingerprints_blanked_and_keeps_the_ids() -> None:
    house = await warehouse()
    state = copy.deepcopy(house.state)
    state["streams"]["tenant"]["open"] = True
    house.state = state
    sink = await house.sync()
    assert len(sink.sent("tenant")) == SMALL["tenant"]
    assert sink.sent("list") == []


async def test_a_new_id_is_saved_before_its_row_is_sent_so_that_the_row_can_be_deleted() -> None:
    house = await warehouse()
    (key,) = house.account.add("list")

    def check(operation: str, data: Any) -> None:
        if operation == "upsert" and data[0] == "list":
            assert parse_known_rows(saved["streams"]["list"]).get(key) == BLANK
        if operation == "checkpoint":
            saved.update(copy.deepcopy(data))

    saved: dict[str, Any] = {}
    sink = Sink(on_operation=check)
    house.state = (await sync(api_of(house.account), house.state, sink=sink)).last_state()
    assert [row["id"] for row in sink.sent("list")] == [key]

    (lost,) = house.account.add("list")
    before = copy.deepcopy(house.tables)
    for crash_at in range(1, 40):
        house.tables = copy.deepcopy(before)
        house.tables.apply(sink)
        state = house.state
        await house.dying_sync(crash_at=crash_at)
        if lost in house.tables.rows["list"]:
            break
        house.state = state
    house.account.delete("list", lost)
    await house.sync()  # goes on with a walk under way, and so may not delete
    await house.sync()
    assert lost not in house.tables.rows["list"]


async def test_the_same_record_twice_on_a_page_is_sent_once_and_a_change_between_is_not_missed() -> (  # noqa: E501
    None
):
    account = small_account()
    sink = await sync(api_of(account, duplicate_every={"brand": 1}))
    assert len(sink.sent("brand")) == SMALL["brand"]


# -- 11: what has gone is deleted, and nothing else ---------------------------------------------


async def test_deleted_rows_are_deleted_in_the_next_sync() -> None:
    house = await warehouse()
    gone = {table: house.account.pick(table, 2) for table in KEPT if table != "notification"}
    for table, keys in gone.items():
        for key in keys:
            house.account.delete(table, key)
    sink = await house.sync()
    for table, keys in gone.items():
        assert sorted(sink.deleted(table)) == sorted(keys)
    alive(house.tables, house.account)


async def test_messages_and_audit_events_are_never_deleted() -> None:
    house = await warehouse()
    house.account.retention(house.account.now_ms() - 20 * 86_400_000)
    house.account.delete("audit_event", house.account.pick("audit_event", 1)[0])
    for _ in range(3):
        sink = await house.sync()
        assert sink.deleted("message") == sink.deleted("audit_event") == []
    assert len(house.tables.rows["message"]) == SMALL["message"]


async def test_an_archived_template_is_deleted_when_a_second_walk_does_not_see_it_either() -> None:
    house = await warehouse()
    (key,) = house.account.pick("notification", 1)
    house.account.archive(key)
    first = await house.sync()
    assert first.deleted("notification") == []
    assert house.state["streams"]["notification"]["left"] == [key]
    second = await house.sync()
    assert second.deleted("notification") == [key]
    alive(house.tables, house.account)


async def test_a_row_that_came_back_to_the_listing_counts_from_the_start_again() -> None:
    house = await warehouse()
    (key,) = house.account.pick("notification", 1)
    house.account.archive(key)
    await house.sync()
    house.account.restore("notification", key)
    await house.sync()
    assert "left" not in house.state["streams"]["notification"]
    house.account.archive(key)
    assert (await house.sync()).deleted("notification") == []


async def test_a_row_that_moved_while_the_walk_was_under_way_is_not_deleted() -> None:
    house = await warehouse()
    keys = [row["id"] for row in house.account.truth("list")][-4:]

    def move(api: Any) -> None:
        for key in keys:
            api.change_after("list", 2, {"do": "touch", "stream": "list", "id": key})

    sink = await house.sync(move)
    assert sink.deleted("list") == []
    await house.sync()
    alive(house.tables, house.account)


async def test_a_restored_list_and_an_id_created_again_come_back_alive() -> None:
    house = await warehouse()
    (key,) = house.account.pick("list", 1)
    house.account.delete("list", key)
    assert (await house.sync()).deleted("list") == [key]
    house.account.restore("list", key)
    sink = await house.sync()
    assert [row["id"] for row in sink.sent("list")] == [key]
    alive(house.tables, house.account)


async def test_nothing_is_deleted_when_capture_is_off() -> None:
    house = await warehouse()
    house.account.delete("list", house.account.pick("list", 1)[0])
    sink = await house.sync(capture_deletes=False)
    assert sink.deleted("list") == []
    assert house.api.traffic.by_id["list"] == 0


async def test_a_stream_that_is_denied_down_or_cut_by_an_error_deletes_nothing() -> None:
    for options in (
        {"denied": {"list": 403}},
        {"down": ("list",)},
        {"more_without_cursor": {"list": 2}},
    ):
        house = await warehouse()
        house.account.delete("list", house.account.pick("list", 1)[0])
        house.options = options
        sink = Sink()
        with contextlib.suppress(SyncFailed):
            await sync(api_of(house.account, **options), house.state, sink=sink)
        assert sink.deleted("list") == []


async def test_a_stream_that_was_resumed_deletes_nothing_in_that_sync() -> None:
    house = await warehouse()
    house.account.delete("list", house.account.pick("list", 1)[0])
    state = copy.deepcopy(house.state)
    cursor = next(iter(house.api.traffic.cursors["list"]))
    cursor = next(c for c in house.api.traffic.cursors["list"] if c)
    state["streams"]["list"]["walk"] = {"cursor": cursor, "started_at": house.account.now_ms()}
    house.state = state
    assert (await house.sync()).deleted("list") == []
    assert len((await house.sync()).deleted("list")) == 1


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_any_other_answer_by_id_leaves_the_row_for_the_next_sync(status: int) -> None:
    house = await warehouse()
    (key,) = house.account.pick("list", 1)
    house.account.delete("list", key)
    house.options = {"denied_by_id": {"list": status}}
    assert (await house.sync()).deleted("list") == []
    house.options = {}
    assert (await house.sync()).deleted("list") == [key]


async def test_ids_with_slashes_blanks_and_unicode_are_asked_for_and_deleted() -> None:
    house = await warehouse()
    awkward = [
        row["id"]
        for row in house.account.truth("tenant")
        if not row["id"].isascii() or "/" in row["id"] or " " in row["id"]
    ]
    assert len(awkward) >= 3
    for key in awkward:
        house.account.delete("tenant", key)
    sink = await house.sync()
    assert sorted(sink.deleted("tenant")) == sorted(awkward)


async def test_at_most_500_are_asked_for_a_sync_and_the_rest_next_time() -> None:
    account = small_account(sizes=SMALL | {"list": 1300})
    house = Warehouse(account)
    house.options = {"page_sizes": {"list": 100}}
    await house.sync()
    keys = sorted(account.pick("list", 600))
    for key in keys:
        account.delete("list", key)
    first = await house.sync()
    assert sorted(first.deleted("list")) == keys[:500]
    assert house.api.traffic.by_id["list"] == 500
    second = await house.sync()
    assert sorted(second.deleted("list")) == keys[500:]


async def test_where_most_of_a_stream_is_missing_the_next_walk_must_agree_first() -> None:
    house = await warehouse()
    keys = house.account.pick("list", 21)
    for key in keys:
        house.account.delete("list", key)
    first = await house.sync()
    assert first.deleted("list") == []
    assert house.api.traffic.by_id["list"] == 0
    assert [text for text in first.warnings if text.startswith("list: 21 of 23 rows")]
    second = await house.sync()
    assert sorted(second.deleted("list")) == sorted(keys)
    third = await house.sync()
    assert "half_gone" not in house.state["streams"]["list"]
    assert third.warnings == []


async def test_most_of_a_stream_missing_once_and_back_again_deletes_nothing() -> None:
    house = await warehouse()
    keys = house.account.pick("list", 21)
    for key in keys:
        house.account.delete("list", key)
    await house.sync()
    for key in keys:
        house.account.restore("list", key)
    assert (await house.sync()).deleted("list") == []
    for key in keys:
        house.account.delete("list", key)
    assert (await house.sync()).deleted("list") == []


# -- messages: lean deep reads ------------------------------------------------------------------


async def test_a_deep_read_leaves_out_what_an_earlier_one_has_surely_landed() -> None:
    account = small_account()
    house = Warehouse(account)
    await house.sync()
    account.advance(4 * 86_400_000)
    await house.sync()
    account.advance(86_400_000)
    sink = await house.sync()
    sent = {row["id"] for row in sink.sent("message")}
    watermark = house.state["streams"]["message"]["watermark"]
    settled = {"DELIVERED": "delivered", "OPENED": "opened", "CLICKED": "clicked"}
    for row in account.truth("message"):
        young = row["enqueued"] >= watermark - 3 * 86_400_000
        in_reach = row["enqueued"] >= watermark - 29 * 86_400_000
        is_settled = row["status"] == "CANCELED" or settled.get(row["status"], "-") in row
        if young or (in_reach and not is_settled):
            assert row["id"] in sent
        elif is_settled and row["enqueued"] >= watermark - 30 * 86_400_000:
            assert row["id"] not in sent
    assert 0 < len(sent) < SMALL["message"] / 2


async def test_a_late_click_below_the_lookback_lands_with_the_days_deep_read() -> None:
    account = small_account()
    house = Warehouse(account)
    await house.sync()
    account.advance(2 * 86_400_000)
    keys = [row["id"] for row in account.truth("message") if row["status"] == "OPENED"]
    late = [key for key in keys if key in {row["id"] for row in account.truth("message")}][:30]
    moved = account.progress_messages(len(late), ids=late)
    assert moved
    await house.sync()
    for key in moved:
        landed, source = house.tables.rows["message"][key], account.get("message", key)
        if source["enqueued"] >= house.state["streams"]["message"]["watermark"] - 30 * 86_400_000:
            assert landed["status"] == source["status"]


# -- the size of the state ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "length", "kept"),
    [
        (49_999, 32, True),
        (50_000, 32, True),
        (50_001, 32, False),
        (1_000_000, 32, False),
        (20_000, 128, True),
        (27_000, 128, True),
        (49_999, 128, False),
    ],
)
def test_the_state_stays_under_four_megabytes(rows: int, length: int, kept: bool) -> None:
    known = {"tenant": KnownRows(), "list": KnownRows()}
    known["list"].set("small", "12345678")
    for number in range(rows):
        known["tenant"].set(f"{number:0{length}d}", "12345678")
        if number % 5_000 == 0:
            keep_within_bounds(known)
    keep_within_bounds(known)
    assert known["tenant"].given_up is not kept
    assert not known["list"].given_up
    text = json.dumps({table: part.as_json() for table, part in known.items()})
    assert len(text) < 4_000_000


def test_the_size_of_a_row_is_counted_as_json_writes_it() -> None:
    for key in ("plain", "with/slash and blank", "ünï-日本-😀", '"quoted"\\'):
        known = KnownRows()
        known.set(key, "12345678")
        assert row_bytes(key) >= len(json.dumps(known.as_json()["rows"])) - len('[""]') + 2
        known.forget(key)
        assert known.size_bytes == 0


async def test_a_stream_too_large_to_keep_is_sent_whole_and_deletes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_rows, "MOST_ROWS", 100)
    house = await warehouse()
    assert house.state["streams"]["tenant"]["rows_given_up"] is True
    house.account.delete("tenant", house.account.pick("tenant", 1)[0])
    sink = await house.sync()
    assert len(sink.sent("tenant")) == SMALL["tenant"] - 1
    assert sink.deleted("tenant") == []
    monkeypatch.setattr(known_rows, "MOST_ROWS", 1_000)
    await house.sync()
    assert house.state["streams"]["tenant"]["rows_given_up"] is True


def test_rows_come_back_from_the_state_as_they_were_whatever_their_ids_hold() -> None:
    for count in (5, 5_000):
        known = KnownRows(open=False, asked_after="b", half_gone=True, left=frozenset({"x"}))
        odd = ["a\nb", "a\\nb", "\\", "\n", "-", " ", "日本", "id/with space", "a\\\nb"]
        for key in odd + [f"id{number}" for number in range(count)]:
            known.set(key, BLANK if key.endswith("3") else fingerprint({"id": key}))
        known.forget("id1")
        again = parse_known_rows(json.loads(json.dumps(known.as_json())))
        assert again.ids() == known.ids()
        assert all(again.get(key) == known.get(key) for key in known.ids())
        assert (len(again), again.size_bytes) == (len(known), known.size_bytes)
        assert again.as_json() == known.as_json()
