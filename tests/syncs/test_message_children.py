"""Children of messages, over several syncs: what is due, what fails, and what must not hang."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.ending import SyncFailed
from courier_async.reading import children_due, message_children, readers
from courier_async.reading.stream_reader import StreamReader
from courier_async.state import sent_rows
from tests.support.fake_courier import Account, FakeApi, Options, Reply
from tests.support.harness import Crash, Sink, Tables, expected_of, sync

HOUR_MS = 3_600_000
NOW_MS = 1_794_657_600_000
CHILDREN = ("message_provider", "message_event")
# What Courier itself answers with a 404.
UNKNOWN = {"message": "not found", "type": "invalid_request_error"}


class House:
    """An account of messages with both tables of their children, and the rows landed so far."""

    def __init__(self, messages: int = 60, *, span_days: float = 30.0, **changes: Any) -> None:
        sizes = {"message": messages}
        self.account = Account(seed=7, sizes=sizes, now_ms=NOW_MS, span_days=span_days)
        self.api = FakeApi(self.account, Options())
        self.tables = Tables()
        self.state: dict[str, Any] = {}
        self.sink = Sink()
        self.changes = changes

    async def sync(self, hours: float = 1.0, sink: Sink | None = None, **changes: Any) -> Sink:
        """Runs one sync this many hours later. Its rows land even if it fails."""
        self.account.advance(int(hours * HOUR_MS))
        self.sink = sink or Sink()
        streams = tuple(BY_TABLE[table] for table in ("message", *CHILDREN))
        try:
            await asyncio.wait_for(
                sync(
                    self.api,
                    self.state,
                    sink=self.sink,
                    **({"streams": streams} | self.changes | changes),
                ),
                60,
            )
        finally:
            self.tables.apply(self.sink)
            self.state = self.sink.last_state() or self.state
        return self.sink

    def requests(self) -> int:
        return sum(self.api.traffic.by_stream[child] for child in CHILDREN)

    def is_equal(self) -> bool:
        return all(self.tables.rows[table] == expected_of(self.api, table) for table in CHILDREN)

    def with_events(self) -> set[str]:
        """Returns the messages of which at least one event has landed."""
        return {key.split("\t")[0] for key in self.tables.rows["message_event"]}

    def rules(self, *rules: dict[str, Any]) -> None:
        self.api.change_options(rules=rules)


async def test_children_of_all_messages_land_once() -> None:
    house = House()
    await house.sync()
    assert house.is_equal()
    asked = house.requests()
    assert asked == 2 * 60
    sink = await house.sync()
    assert house.requests() == asked
    assert not [data for name, data in sink.operations if name == "upsert"]


async def test_messages_that_landed_without_their_children_get_them_when_sent_again() -> None:
    house = House()
    await house.sync(streams=(BY_TABLE["message"],))
    await house.sync()
    assert house.requests() == 0
    moved = house.account.progress_messages(5, newest=20)
    for _ in range(4):
        await house.sync(hours=24)
    assert house.with_events() == {*moved}
    # Re-syncs a table as docs/deploying.md describes.
    del house.state["streams"]["message"]
    await house.sync()
    assert house.is_equal()


async def test_children_that_are_due_land_also_where_sync_since_has_moved_past_them() -> None:
    house = House()
    house.rules({"stream": "message_event", "status": 500})
    with pytest.raises(SyncFailed):
        await house.sync()
    house.rules()
    await house.sync(sync_since_ms=house.account.now_ms())
    # No later sync would ask for them: the messages have landed, and do not change.
    await house.sync()
    assert house.is_equal()


async def test_pages_that_wait_for_children_keep_no_memory_that_children_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    house = House(400)
    # Larger than a share, so only one such answer is held at a time.
    house.rules({"stream": "*", "pad_bytes": 80_000})
    await house.sync(message_lanes=8)
    assert house.is_equal()


async def test_the_messages_of_a_walk_are_not_kept_in_memory_for_their_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[StreamReader] = []

    class Noted(StreamReader):
        async def read(self) -> None:
            made.append(self)
            await super().read()

    monkeypatch.setattr(readers, "StreamReader", Noted)
    house = House()
    await house.sync()
    assert house.is_equal()
    assert made[0].parents().listed == set()


async def test_a_message_that_changes_has_its_children_read_again() -> None:
    house = House()
    await house.sync()
    house.account.progress_messages(5, newest=60)
    await house.sync(hours=0.01)
    for _ in range(30):
        await house.sync(hours=24)
    assert house.is_equal()


@pytest.mark.parametrize("status", [402, 403])
async def test_a_table_that_the_plan_lacks_is_skipped_and_its_messages_stay_due(
    status: int,
) -> None:
    house = House()
    house.rules({"stream": "message_event", "status": status})
    sink = await house.sync()
    assert [t for t in sink.warnings if t.startswith("message_event: Courier answered")]
    house.rules()
    await house.sync()
    assert house.is_equal()


async def test_a_table_that_the_plan_lacks_costs_little_in_the_long_run() -> None:
    house = House(400)
    house.rules({"stream": "message_event", "status": 403})
    asked = []
    for _ in range(25):
        before = house.api.traffic.by_stream["message_event"]
        await house.sync(hours=0.25)
        asked.append(house.api.traffic.by_stream["message_event"] - before)
    assert max(asked) < 60


async def with_missed_children(
    monkeypatch: pytest.MonkeyPatch,
    *rules: dict[str, Any],
    span_days: float = 30.0,
    **changes: Any,
) -> House:
    """Returns a house after a first sync in which events failed for some seconds.

    Most of its messages could neither be noted as due nor remembered. rules: what comes before.
    """
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    house = House(400, span_days=span_days, **changes)
    house.rules(*rules, {"stream": "message_event", "status": 500, "times": 20})
    with pytest.raises(SyncFailed, match="message_event"):
        await house.sync()
    return house


async def test_a_table_that_fails_amid_a_long_first_sync_is_complete_once_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = await with_missed_children(monkeypatch)
    house.rules()
    for _ in range(4):
        await house.sync(hours=12)
    assert house.is_equal()
    # After that, none of it is read again.
    before = house.api.traffic.by_stream["message_event"]
    for _ in range(3):
        await house.sync(hours=12)
    assert house.api.traffic.by_stream["message_event"] == before
    assert "children_missed" not in house.state["streams"]["message"]


async def test_missed_children_are_looked_for_once_though_each_walk_down_there_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = await with_missed_children(monkeypatch)
    for _ in range(12):
        # Every sync fails after this many pages.
        house.rules({"stream": "message", "status": 500, "after": 25})
        with contextlib.suppress(SyncFailed):
            await house.sync(hours=12)
    assert house.is_equal()
    assert "children_missed" not in house.state["streams"]["message"]


@pytest.mark.parametrize("how", ["fails", "dies"])
async def test_missed_children_land_though_a_walk_that_did_not_look_for_them_is_finished_later(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    house = await with_missed_children(monkeypatch)
    # Ten days on, all messages are read by age. As the table's due messages were too many when
    # this sync began, it does not look for missed children.
    if how == "fails":
        house.rules({"stream": "message", "status": 500, "after": 25})
    sink = Sink(crash_at=600 if how == "dies" else None)
    with contextlib.suppress(SyncFailed, Crash):
        await house.sync(hours=240, message_lanes=1, sink=sink)
    house.rules()
    for _ in range(30):
        await house.sync(hours=24)
    assert house.is_equal()


@pytest.mark.parametrize("days", [0.5, 1_000])
async def test_missed_children_land_once_a_later_sync_since_moves_back(
    monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    house = await with_missed_children(monkeypatch)
    house.rules()
    since = house.account.now_ms() - int(days * 24 * HOUR_MS)
    asked = 0
    for _ in range(4):
        asked = house.requests()
        await house.sync(hours=30, sync_since_ms=since)
    # Meanwhile the messages that are still read are asked for once only.
    assert house.requests() == asked
    for _ in range(3):
        await house.sync(hours=30)
    assert house.is_equal()
    assert "children_missed" not in house.state["streams"]["message"]


async def test_while_a_table_fails_the_children_of_the_other_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    house = House(400)
    house.rules({"stream": "message_event", "status": 500})
    for number in range(6):
        asked = house.api.traffic.by_stream["message_provider"]
        with pytest.raises(SyncFailed):
            await house.sync(hours=12)
        if number:
            assert house.api.traffic.by_stream["message_provider"] - asked < 100
    house.rules()
    for _ in range(6):
        await house.sync(hours=12)
    assert house.is_equal()


async def test_the_events_of_a_message_that_fails_land_though_it_is_soon_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    house = House(40, span_days=2)
    for hours in (0, 3):
        await house.sync(hours=hours)
    now = house.account.now_ms()
    record = next(
        message
        for message in house.account.truth("message")
        if message["status"] in ("SENT", "DELIVERED")
        and 6 * HOUR_MS < now - message["enqueued"] < 20 * HOUR_MS
    )
    id_ = record["id"]
    house.account.edit("message", id_, status="UNDELIVERABLE", error="bounced")
    while house.tables.rows["message"][id_]["status"] != "UNDELIVERABLE":
        await house.sync(hours=1)
    for _ in range(4):
        house.account.add("message", 45)
        await house.sync(hours=0.5)
    for _ in range(10):
        await house.sync(hours=12)
    held, wanted = house.tables.rows["message_event"], expected_of(house.api, "message_event")
    of_it = {key: row for key, row in wanted.items() if key.startswith(id_)}
    assert {key: row for key, row in held.items() if key.startswith(id_)} == of_it


async def test_the_children_of_an_old_message_opened_just_before_the_first_sync_land() -> None:
    house = House(400, span_days=80)
    now = house.account.now_ms()
    old = [m for m in house.account.truth("message") if now - m["enqueued"] > 1440 * HOUR_MS]
    house.account.edit("message", old[5]["id"], status="OPENED", opened=now)
    await house.sync(hours=0.05)
    assert old[5]["id"] in house.with_events()


async def test_without_a_lookback_those_of_one_opened_just_before_its_sync_land() -> None:
    house = House(message_lookback_days=0.0)
    await house.sync()
    (new,) = house.account.add("message")
    house.account.advance(15 * HOUR_MS)
    house.account.add("message", 40)
    house.account.advance(15 * HOUR_MS)
    house.account.edit("message", new, status="OPENED", opened=house.account.now_ms())
    for _ in range(10):
        house.account.add("message", 3)
        await house.sync(hours=0.05)
        house.account.advance(24 * HOUR_MS)
    assert new in house.with_events()


@pytest.mark.parametrize("lag_minutes", [0, 2])
async def test_a_history_that_shows_a_failure_late_lands_though_the_message_has_no_time_of_it(
    lag_minutes: int,
) -> None:
    house = House()
    for hours in (0, 3):
        await house.sync(hours=hours)
    record = next(
        message
        for message in house.account.truth("message")
        if message["status"] in ("SENT", "DELIVERED") and message["enqueued"] < NOW_MS - HOUR_MS
    )
    changed = house.account.now_ms() + HOUR_MS
    answer = house.api.answer

    def lagging(path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        reply = answer(path, query, headers)
        is_late = house.account.now_ms() < changed + lag_minutes * 60_000
        if path.endswith(f"{record['id']}/history") and is_late:
            body = json.loads(reply.body)
            body["results"] = [e for e in body["results"] if e["type"] != "UNDELIVERABLE"]
            reply = replace(reply, body=json.dumps(body).encode())
        return reply

    house.api.answer = lagging  # type: ignore[method-assign]
    house.account.advance(HOUR_MS)
    house.account.edit("message", record["id"], status="UNDELIVERABLE", error="bounced")
    await house.sync(hours=1 / 60)
    for _ in range(60):
        await house.sync(hours=12)
    assert house.is_equal()


@pytest.mark.parametrize("array", [{}, {"providers": None}, {"results": None}])
@pytest.mark.parametrize("child", CHILDREN)
async def test_an_error_in_place_of_a_messages_children_does_not_pass_for_none(
    child: str, array: dict[str, None]
) -> None:
    house = House()
    house.rules({"stream": child, "body": {"message": "Endpoint request timed out"} | array})
    with pytest.raises(SyncFailed, match=child):
        await house.sync()
    house.rules()
    await house.sync()
    assert house.is_equal()


async def test_a_table_that_the_plan_lacks_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    house = House(200)
    house.rules({"stream": "message_event", "status": 403})
    for _ in range(3):
        await house.sync(hours=5)
        wanted = expected_of(house.api, "message_provider")
        assert house.tables.rows["message_provider"] == wanted
        assert len(house.state["streams"]["message_event"]["due"]) < 200
        house.account.add("message", 3)
    assert len((await house.sync()).sent("message")) == 3


async def test_while_a_table_fails_the_other_is_read_and_afterwards_both_are_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    house = House()
    await house.sync()
    house.rules({"stream": "message_event", "status": 500})
    for _ in range(4):
        house.account.add("message", 30)
        house.account.advance(HOUR_MS)
        with pytest.raises(SyncFailed, match="message_event"):
            await house.sync()
        wanted = expected_of(house.api, "message_provider")
        assert house.tables.rows["message_provider"].keys() == wanted.keys()
    house.rules()
    for _ in range(40):
        await house.sync(hours=12)
    assert house.is_equal()


@pytest.mark.parametrize("share", [1.0, 0.5])
async def test_no_message_is_given_up_where_a_table_fails_for_a_while(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(message_children, "_MOST_FAILING", 40)
    house = House(400)
    house.rules({"stream": "message_event", "status": 500, "after": 40, "rate": share})
    with pytest.raises(SyncFailed, match="message_event"):
        await house.sync()
    house.rules()
    await house.sync()
    await house.sync()
    assert house.is_equal()


async def test_messages_that_always_fail_do_not_keep_new_ones_from_being_read() -> None:
    house = House(200)
    bad = [record["id"] for record in house.account.truth("message")][::2]
    house.rules(*({"stream": "message_event", "parent": one, "status": 500} for one in bad))
    for _ in range(4):
        with pytest.raises(SyncFailed, match="of message, such as"):
            await house.sync()
        held = {key.split("\t")[0] for key in house.tables.rows["message_event"]}
        assert held == house.tables.rows["message"].keys() - set(bad)
        house.account.add("message", 3)


@pytest.mark.parametrize("status", [402, 403, 422, 500])
async def test_a_message_that_fails_is_named_and_stays_due(status: int) -> None:
    house = House()
    await house.sync()
    # The first message whose children are requested.
    (bad,) = house.account.add("message")
    house.state = {}
    house.rules({"stream": "message_event", "parent": bad, "status": status})
    with pytest.raises(SyncFailed, match=f"1 row of message, such as {bad!r}"):
        await house.sync()
    house.rules()
    await house.sync()
    assert house.is_equal()


@pytest.mark.parametrize("odd", [{"records": "null", "share": 0.1}, {"paging": "no_records"}])
async def test_a_message_whose_history_comes_unusable_or_empty_stays_due(
    odd: dict[str, Any],
) -> None:
    house = House()
    house.rules({"stream": "message_event"} | odd)
    await house.sync()
    assert not house.is_equal()
    house.rules()
    await house.sync()
    assert house.is_equal()
    requests = house.requests()
    await house.sync()
    assert house.requests() == requests


async def test_of_too_many_such_messages_the_others_are_due_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_children, "_MOST_SUSPECTS", {False: 20, True: 10})
    house = House()
    results = [{"type": "ENQUEUED", "ts": NOW_MS}, None]
    house.rules({"stream": "message_event", "body": {"results": results}})
    await house.sync()
    assert len(house.state["streams"]["message_event"]["due"]) == 20
    await house.sync()
    assert len(house.state["streams"]["message_event"]["due"]) == 10


@pytest.mark.parametrize("syncs", [1, 2])
@pytest.mark.parametrize("odd", [{"records": "null", "share": 0.34}, {"paging": "no_records"}])
async def test_a_fault_that_spoils_hundreds_of_histories_loses_no_event(
    odd: dict[str, Any], syncs: int
) -> None:
    house = House()
    await house.sync()
    house.account.add("message", 400)
    house.account.advance(HOUR_MS)
    house.rules({"stream": "message_event"} | odd)
    for _ in range(syncs):
        # A history that holds nothing but nulls fails.
        with contextlib.suppress(SyncFailed):
            await house.sync()
    assert not house.is_equal()
    house.rules()
    for _ in range(2):
        await house.sync()
    assert house.is_equal()


@pytest.mark.parametrize("results", [[], [{"type": "ENQUEUED", "ts": NOW_MS}, None]])
async def test_a_history_that_is_never_usable_is_read_twice_or_for_a_week(
    results: list[Any],
) -> None:
    house = House(20)
    house.rules({"stream": "message_event", "body": {"results": results}})
    await house.sync()
    assert len(house.state["streams"]["message_event"]["due"]) == 20
    await house.sync()
    week_ago = house.account.now_ms() - 7 * 24 * HOUR_MS
    young = {m["id"] for m in house.account.truth("message") if m["enqueued"] > week_ago}
    assert 0 < len(young) < 20
    assert house.state["streams"]["message_event"]["due"].keys() == young
    for _ in range(40):
        await house.sync(hours=24)
    asked = house.requests()
    sink = await house.sync()
    assert house.requests() == asked
    assert sink.sent("message_event") == []


async def test_histories_that_are_never_usable_cost_a_new_message_no_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_children, "_MOST_SUSPECTS", {False: 20, True: 20})
    house = House()
    empty = {"stream": "message_event", "body": {"results": []}}
    known = [empty | {"parent": record["id"]} for record in house.account.truth("message")]
    house.rules(*known)
    for _ in range(2):
        await house.sync()
    (new,) = house.account.add("message")
    # Its history lags the message.
    house.rules(empty | {"parent": new, "times": 1}, *known)
    for _ in range(2):
        await house.sync()
    assert house.with_events() == {new}


async def test_a_first_message_that_is_refused_does_not_pass_for_the_plan() -> None:
    house = House()
    newest = next(iter(house.account.truth("message")))["id"]
    house.rules(
        {"stream": "message_event", "parent": newest, "status": 403},
        {"stream": "message_event", "latency_ms": 20},
    )
    with pytest.raises(SyncFailed, match="1 row of message"):
        await house.sync()


async def test_where_no_message_is_known_by_id_a_warning_says_so() -> None:
    house = House()
    house.rules({"stream": "message_event", "status": 404})
    sink = await house.sync()
    assert [t for t in sink.warnings if t.startswith("message_event: Courier returned 404")]


async def test_a_message_dated_ahead_is_sent_once_and_has_its_children_read() -> None:
    house = House()
    ahead_ms = 40 * 24 * HOUR_MS
    house.account.add_late(1, -ahead_ms, behind_ms=ahead_ms)
    await house.sync()
    assert house.is_equal()
    sink = await house.sync()
    assert sink.sent("message") == []


async def test_the_children_of_messages_without_a_readable_time_land_once() -> None:
    house = House()
    house.api.change_options(time_forms={"message": "seconds"})
    await house.sync()
    assert house.is_equal()
    asked = house.requests()
    await house.sync()
    assert house.requests() == asked


@pytest.mark.parametrize("seed", range(4))
async def test_syncs_that_die_anywhere_leave_no_message_without_its_children(seed: int) -> None:
    house = House(120)
    random = house.account.random(f"deaths {seed}")
    for _ in range(15):
        house.account.add("message", random.randrange(3))
        house.account.progress_messages(2, newest=20)
        with contextlib.suppress(Crash, SyncFailed):
            await house.sync(hours=random.choice((0.05, 0.3, 2)), sink=Sink(random.randrange(150)))
    for _ in range(12):
        await house.sync(hours=5)
    assert house.tables.rows["message"] == expected_of(house.api, "message")
    assert house.is_equal()


class WithNulls:
    """The fake API, which lists the messages of `ids` as null."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.ids: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        reply = self._api.answer(path, query, headers)
        if path != "/messages" or not self.ids:
            return reply
        body = json.loads(reply.body)
        body["results"] = [r if r["id"] not in self.ids else None for r in body["results"]]
        return replace(reply, body=json.dumps(body).encode())


def with_nulls(house: House) -> tuple[WithNulls, list[str]]:
    """Lets a house's API list messages as null; returns it and their ids, newest first."""
    house.api = api = WithNulls(house.api)  # type: ignore[assignment]
    messages = sorted(house.account.truth("message"), key=lambda m: -m["enqueued"])
    return api, [message["id"] for message in messages]


@pytest.mark.parametrize("earlier", ["none", "once", "for weeks"])
async def test_the_events_of_a_message_that_was_null_land_though_another_was_null_before(
    monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    house = House(200, span_days=10)
    nulls, ids = with_nulls(house)
    await house.sync()
    nulls.ids = {ids[150]} if earlier != "none" else set()
    await house.sync(hours=96)
    lasting = nulls.ids if earlier == "for weeks" else set()
    # Some messages change, and are null when they are next read.
    changed = set(house.account.progress_messages(40, newest=140))
    affected = [id_ for id_ in ids[60:140] if id_ in changed][::4]
    assert affected
    nulls.ids = lasting | {*affected}
    await house.sync(hours=27)
    nulls.ids = lasting
    asked = 0
    for _ in range(20):
        asked = house.requests()
        await house.sync(hours=24)
    # Of the others, only those around a message that is still null are asked for.
    assert house.requests() - asked < 100
    nulls.ids = set()
    for _ in range(15):
        await house.sync(hours=24)
    assert house.is_equal()


@pytest.mark.parametrize("lookback_days", [30, 0])
async def test_what_lies_above_a_later_sync_since_is_asked_for_once_for_missed_children_below_it(
    monkeypatch: pytest.MonkeyPatch, lookback_days: int
) -> None:
    house = await with_missed_children(
        monkeypatch, message_lookback_days=lookback_days, span_days=120
    )
    house.rules()
    since = house.account.now_ms() - 60 * 24 * HOUR_MS
    asked = 0
    for number in range(40):
        if number == 3:
            asked = house.requests()
        house.account.add("message", 3)
        await house.sync(hours=24, sync_since_ms=since)
    # For each new message, the children are read at most twice.
    assert house.requests() - asked <= 37 * 3 * 4
    for _ in range(3):
        await house.sync(hours=30)
    assert house.is_equal()


@pytest.mark.parametrize("is_first_bad", [False, True])
@pytest.mark.parametrize("count", [1, 2])
async def test_the_children_of_messages_between_two_that_stay_null_are_not_read_each_day(
    monkeypatch: pytest.MonkeyPatch, count: int, is_first_bad: bool
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 50)
    house = House(400, span_days=20)
    nulls, ids = with_nulls(house)
    lasting = {*[ids[60], ids[380]][:count]}
    nulls.ids = lasting | set(ids[5::10] if is_first_bad else ())
    await house.sync()
    nulls.ids = lasting
    await house.sync(hours=24.5)
    for _ in range(12):
        asked = house.requests()
        await house.sync(hours=24.5)
        # Some forty messages around each of them, with two tables of children.
        assert house.requests() - asked <= count * 100


@pytest.mark.parametrize("was_read", [False, True])
async def test_messages_of_which_a_gateway_knows_none_do_not_fill_the_state(
    monkeypatch: pytest.MonkeyPatch, was_read: bool
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 20)
    monkeypatch.setattr(message_children, "_MOST_FAILING", 5)
    house = House(10 if was_read else 400)
    if was_read:
        await house.sync()
        house.account.add("message", 400)
    body = {"message": "no Route matched"}
    house.rules({"stream": "message_event", "status": 404, "body": body})
    await house.sync()
    # Some were being read when the table was given up.
    assert len(house.state["streams"]["message_event"].get("due", {})) <= 20 + 64
    house.rules()
    for _ in range(3):
        await house.sync(hours=25)
    assert house.is_equal()


@pytest.mark.parametrize("was_read", [False, True])
@pytest.mark.parametrize("times", [1, 20, 0])
@pytest.mark.parametrize("table", CHILDREN)
async def test_messages_that_courier_does_not_know_yet_are_due_once_more(
    table: str, times: int, was_read: bool
) -> None:
    house = House()
    if was_read:
        await house.sync()
        house.account.add("message", 40)
    house.rules({"stream": table, "status": 404, "body": UNKNOWN, "times": times})
    await house.sync()
    due = house.state["streams"][table]["due"]
    assert len(due) == (times or house.api.traffic.by_stream[table] - 60 * was_read)
    house.rules()
    await house.sync()
    assert house.is_equal()


async def test_unknown_messages_take_no_second_try_from_spoiled_histories(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_children, "_MOST_SUSPECTS", {False: 30, True: 30})
    house = House()
    house.rules(
        {"stream": "message_event", "status": 404, "body": UNKNOWN, "times": 30},
        {"stream": "message_event", "paging": "no_records"},
    )
    await house.sync()
    assert len(house.state["streams"]["message_event"]["due"]) == 60
    house.rules()
    await house.sync()
    assert house.is_equal()


async def test_a_message_that_stays_unknown_is_requested_twice() -> None:
    house = House()
    house.rules({"stream": "message_event", "status": 404, "body": UNKNOWN})
    requests = []
    for _ in range(3):
        await house.sync()
        requests.append(house.requests())
    assert requests == [60 + 60, 60 + 60 + 60, 60 + 60 + 60]


async def test_a_404_beside_an_outage_in_a_first_sync_costs_the_other_messages_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once = {"stream": "message_event", "status": 404, "body": UNKNOWN, "times": 1}
    house = await with_missed_children(monkeypatch, once)
    house.rules()
    for _ in range(12):
        await house.sync(hours=24)
    assert len({m["id"] for m in house.account.truth("message")} - house.with_events()) <= 1


async def test_expired_messages_that_are_due_do_not_hold_up_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_due, "MOST_DUE", 50)
    monkeypatch.setattr(message_children, "_MOST_FAILING", 50)
    house = House(10, span_days=2)
    await house.sync()
    house.account.add("message", 120)
    house.rules(
        {"stream": "message_event", "status": 404, "body": {"message": "no Route matched"}}
    )
    await house.sync(hours=20)
    house.rules()
    house.account.advance(60 * 24 * HOUR_MS)
    house.account.retention(house.account.now_ms() - 30 * 24 * HOUR_MS)
    new = set(house.account.add("message", 5))
    for _ in range(2):
        await house.sync(hours=1)
    assert new <= house.with_events()


async def test_the_events_behind_a_null_one_land_though_it_is_the_first() -> None:
    house = House(1, span_days=3)
    (record,) = house.account.truth("message")
    sent = {"type": "SENT", "ts": record["enqueued"] + 2 * HOUR_MS}
    house.rules({"stream": "message_event", "body": {"results": [None, sent]}})
    await house.sync()
    assert [row["type"] for row in house.tables.rows["message_event"].values()] == ["SENT"]
