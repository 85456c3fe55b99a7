"""The promises of a sync, one by one. Each test fails when its promise is broken."""

import asyncio
import threading
from datetime import datetime
from typing import Any

import msgspec
import pytest

from courier_async.api.transport import Answer
from courier_async.catalog.streams import BY_TABLE, DAY_MS, STREAMS
from courier_async.state.saved import DISORDER_MS, INDEX_LAG_MS
from courier_async.sync import SyncFailed, run
from courier_async.writing.sdk_thread import ThreadWorker
from tests.support.fake_courier import Account, FakeApi, Options
from tests.support.harness import Crash, DirectTransport, Sink, Tables, expected, settings, sync

TABLES = [stream.table for stream in STREAMS]
SMALL = {
    "message": 160,
    "audit_event": 70,
    "tenant": 130,
    "list": 23,
    "brand": 21,
    "audience": 9,
    "notification": 12,
}
PAGES = {table: 7 for table in TABLES if table != "message"}


def small_account(**options: Any) -> Account:
    return Account(**({"seed": 5, "sizes": SMALL, "span_days": 40.0} | options))


def api_of(account: Account, **options: Any) -> FakeApi:
    return FakeApi(account, Options(**({"page_sizes": PAGES} | options)))


def assert_equal(tables: Tables, account: Account) -> None:
    for table in TABLES:
        assert tables.rows[table] == expected(account, table), table


class Scripted:
    """A transport of fixed answers: (path, cursor) -> body or (status, body)."""

    def __init__(self, pages: dict[tuple[str, str | None], Any], date: str = "") -> None:
        self.pages = pages
        self.asked: list[tuple[str, str | None]] = []
        self.headers = {"date": date} if date else {}

    async def get(self, path_and_query: str) -> Answer:
        path, _, query = path_and_query.partition("?")
        cursor = next((p[7:] for p in query.split("&") if p.startswith("cursor=")), None)
        self.asked.append((path, cursor))
        body = self.pages.get((path, cursor), 400)
        if isinstance(body, int):
            return Answer(body, self.headers, b"{}")
        return Answer(200, self.headers, msgspec.json.encode(body))


def page(records: list[Any], cursor: str | None = None) -> dict[str, Any]:
    return {"results": records, "paging": {"more": cursor is not None, "cursor": cursor}}


def message(number: int, enqueued: int) -> dict[str, Any]:
    return {"id": f"m{number}", "status": "SENT", "enqueued": enqueued}


async def sync_scripted(
    transport: Scripted,
    state: dict[str, Any] | None = None,
    sink: Sink | None = None,
    **changes: Any,
) -> Sink:
    sink = sink or Sink()
    streams = (BY_TABLE["message"],)
    async with ThreadWorker() as worker:
        await run(
            settings(**({"streams": streams} | changes)),
            state or {},
            sink,
            transport=transport,
            worker=worker,
        )
    return sink


# -- 1 and 2: nothing claimed that was not handed over; nothing lost by any crash --------------


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("rows_after_the_last_checkpoint", ["lost", "kept"])
async def test_a_sync_that_dies_after_any_number_of_operations_loses_nothing(
    lanes: int, rows_after_the_last_checkpoint: str
) -> None:
    account = small_account()
    whole = await sync(api_of(account), message_lanes=lanes)
    # The last few operations may not come to be: pages that lanes read twice differ by the run.
    for operations in range(0, len(whole.operations) - 60, 37):
        tables, state = Tables(), {}
        for crash_at in (operations, operations // 3 + 1):
            sink = Sink(crash_at=crash_at)
            with pytest.raises(Crash):
                await sync(
                    api_of(account),
                    state,
                    sink=sink,
                    message_lanes=lanes,
                    checkpoint_interval_seconds=0.0,
                )
            kept = len(sink.operations)
            if rows_after_the_last_checkpoint == "lost":
                while kept and sink.operations[kept - 1][0] != "checkpoint":
                    kept -= 1
            tables.apply(sink, until=kept)
            state = sink.last_state() or state
        tables.apply(await sync(api_of(account), state, message_lanes=lanes))
        assert_equal(tables, account)


async def test_changes_between_and_during_crashes_land_as_well() -> None:
    account = small_account()
    tables, state = Tables(), {}
    for crash_at in (40, 90, 15, 140, 60, 33, 5, 120):
        api = api_of(account)
        api.change_after("message", 4, {"do": "add", "stream": "message", "n": 3})
        api.change_after("tenant", 2, {"do": "add", "stream": "tenant", "n": 2})
        sink = Sink(crash_at=crash_at)
        with pytest.raises(Crash):
            await sync(api, state, sink=sink)
        tables.apply(sink)
        state = sink.last_state() or state
        # Within the lookback: older changes wait for the day's deep read.
        account.progress_messages(5, newest=10)
        account.advance(60_000)
    tables.apply(await sync(api_of(account), state))
    assert_equal(tables, account)


async def test_a_checkpoint_never_claims_a_page_whose_rows_were_not_all_sent() -> None:
    times = list(range(9_000_000, 0, -100_000))
    records = [message(number, 1_700_000_000_000 + time) for number, time in enumerate(times)]
    pages: dict[tuple[str, str | None], Any] = {}
    for at in range(0, 90, 10):
        more = f"c{at + 10}" if at < 80 else None
        pages["/messages", f"c{at}" if at else None] = page(records[at : at + 10], more)
    sent = 0

    def check(operation: str, data: Any) -> None:
        nonlocal sent
        if operation == "upsert":
            sent += 1
        elif operation == "checkpoint":
            walk = data["streams"]["message"].get("walk")
            assert sent >= (int(walk["cursor"][1:]) if walk else 90)

    sink = await sync_scripted(Scripted(pages), sink=Sink(on_operation=check))
    assert len(sink.sent("message")) == 90


async def test_a_sync_that_dies_at_any_checkpoint_resumes_all_its_lanes() -> None:
    account = small_account(sizes=SMALL | {"message": 1200})
    full = {row["id"] for row in account.truth("message")}
    whole = await sync(api_of(account), message_lanes=8, hold_seconds=0.001)
    lanes_seen = 0
    for index, (name, state) in enumerate(whole.operations):
        if name != "checkpoint" or index % 9:
            continue
        lanes_seen = max(
            lanes_seen, len(state["streams"].get("message", {}).get("walk", {}).get("lanes", []))
        )
        before = Sink(operations=whole.operations[:index])
        after = await sync(api_of(account), state, message_lanes=8, streams=(BY_TABLE["message"],))
        landed = {row["id"] for sink in (before, after) for row in sink.sent("message")}
        assert landed == full
    assert lanes_seen >= 3


# -- 3: the watermark --------------------------------------------------------------------------


async def test_the_watermark_does_not_move_before_the_walk_has_ended() -> None:
    account = small_account()
    sink = await sync(api_of(account), message_lanes=1)
    under_way = [
        state["streams"]["message"]
        for state in sink.checkpoints
        if "walk" in state["streams"].get("message", {})
    ]
    assert under_way
    assert all("watermark" not in state for state in under_way)
    assert "watermark" in sink.last_state()["streams"]["message"]


async def test_the_watermark_stays_ten_minutes_behind_the_servers_time_at_the_walks_start() -> (
    None
):
    date = "Sat, 14 Nov 2026 12:00:00 GMT"
    started_at = 1_794_657_600_000
    fresh = [message(1, started_at + 50_000), message(2, started_at - 5_000)]
    old = [message(3, started_at - 90_000_000)]
    pages = {("/messages", None): page(fresh, "c1"), ("/messages", "c1"): page(old)}
    sink = await sync_scripted(Scripted(pages, date))
    assert sink.last_state()["streams"]["message"]["watermark"] == started_at - INDEX_LAG_MS

    pages = {("/messages", None): page(old)}
    sink = await sync_scripted(Scripted(pages, date))
    assert sink.last_state()["streams"]["message"]["watermark"] == started_at - 90_000_000


async def test_a_resumed_walk_keeps_its_start_and_is_followed_by_a_walk_from_the_head() -> None:
    begun, resumed = "Sat, 14 Nov 2026 12:00:00 GMT", "Mon, 16 Nov 2026 12:00:00 GMT"
    started_at = 1_794_657_600_000
    records = [message(number, started_at - number * 600_000) for number in range(30)]
    pages: dict[tuple[str, str | None], Any] = {
        ("/messages", None): page(records[:10], "c10"),
        ("/messages", "c10"): page(records[10:20], "c20"),
        ("/messages", "c20"): page(records[20:]),
    }
    dying = Sink(crash_at=13)
    with pytest.raises(Crash):
        await sync_scripted(Scripted(pages, begun), sink=dying)
    state = dying.last_state()
    assert state["streams"]["message"]["walk"]["started_at"] == started_at

    late = [message(100 + number, started_at + 3_600_000 + number) for number in range(3)]
    pages["/messages", None] = page([*reversed(late), *records[:7]], "c7")
    pages["/messages", "c7"] = page(records[7:17], "c17")
    pages["/messages", "c17"] = page(records[17:])
    transport = Scripted(pages, resumed)
    bounds = []

    def note(operation: str, data: Any) -> None:
        if operation == "checkpoint":
            bounds.append(data["streams"]["message"].get("watermark"))

    sink = await sync_scripted(transport, state, sink=Sink(on_operation=note))
    assert transport.asked[:2] == [("/messages", "c10"), ("/messages", "c20")]
    assert transport.asked[2] == ("/messages", None)
    assert {row["id"] for row in sink.sent("message")} >= {"m100", "m101", "m102"}
    # What the first walk ends with is judged by when it began, not by when it went on.
    assert bounds[1] == started_at - INDEX_LAG_MS


async def test_the_walk_from_the_head_takes_its_bound_from_the_walk_that_just_ended() -> None:
    account = small_account(sizes=SMALL | {"message": 3000}, span_days=300.0)
    api = api_of(account)
    dying = Sink(crash_at=1500)
    with pytest.raises(Crash):
        await sync(api, sink=dying, message_lanes=1)
    asked = api.traffic.by_stream["message"]
    saved = dying.operations.index(("checkpoint", dying.last_state()))
    pages_left = 300 - len(Sink(operations=dying.operations[:saved]).sent("message")) // 10
    # A writer that is far behind must not matter: nothing is written before all is read.
    sink = await sync(api, dying.last_state(), message_lanes=1, checkpoint_interval_seconds=60.0)
    lookback_pages = 3000 / 300 * 3 / 10
    assert api.traffic.by_stream["message"] - asked <= pages_left + lookback_pages + 3
    assert sink.last_state()["streams"]["message"].get("walk") is None


# -- 4: order is learned -----------------------------------------------------------------------


@pytest.mark.parametrize("order", ["shuffled", "oldest"])
async def test_streams_of_no_useful_order_are_read_to_the_end_each_time(order: str) -> None:
    account = small_account(orders={"audit_event": order, "message": order})
    tables = Tables()
    first = await sync(api_of(account))
    tables.apply(first)
    account.add("audit_event", 3)
    account.add("message", 3)
    api = api_of(account)
    tables.apply(await sync(api, first.last_state()))
    assert_equal(tables, account)
    assert api.traffic.by_stream["audit_event"] >= 11


async def test_audit_events_that_came_newest_first_are_read_back_to_the_overlap_alone() -> None:
    account = small_account(sizes=SMALL | {"audit_event": 400}, orders={"audit_event": "newest"})
    first = await sync(api_of(account))
    assert first.last_state()["streams"]["audit_event"]["newest_first"] is True
    new = account.add("audit_event", 3)
    api = api_of(account)
    second = await sync(api, first.last_state())
    assert api.traffic.by_stream["audit_event"] <= 2
    assert {row["auditEventId"] for row in second.sent("audit_event")} >= set(new)


async def test_events_below_the_overlap_are_not_sent_again() -> None:
    account = small_account(orders={"audit_event": "shuffled"})
    first = await sync(api_of(account))
    watermark = first.last_state()["streams"]["audit_event"]["watermark"]
    second = await sync(api_of(account), first.last_state())
    young = [
        row
        for row in expected(account, "audit_event").values()
        if _ms(row["timestamp"]) >= watermark - DAY_MS
    ]
    assert len(second.sent("audit_event")) == len(young) < 70


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def unordered_pages(head_ms: int) -> dict[tuple[str, str | None], Any]:
    """Three pages: the middle one older than the last by far."""
    return {
        ("/messages", None): page([message(n, head_ms - n) for n in range(10)], "c1"),
        ("/messages", "c1"): page(
            [message(n, head_ms - 400 * DAY_MS) for n in range(10, 20)], "c2"
        ),
        ("/messages", "c2"): page([message(n, head_ms - DAY_MS * 200) for n in range(20, 30)]),
    }


async def test_a_walk_that_meets_disorder_reads_on_and_the_stream_is_not_trusted_again() -> None:
    transport = Scripted(unordered_pages(1_794_657_600_000))
    sink = await sync_scripted(transport)
    assert sink.last_state()["streams"]["message"]["newest_first"] is False
    again = Scripted(unordered_pages(1_794_657_600_000))
    await sync_scripted(again, sink.last_state())
    assert len(again.asked) == 3


async def test_order_is_judged_over_the_whole_walk_and_not_over_what_was_read_after_a_resume() -> (
    None
):
    head_ms = 1_794_657_600_000
    pages = {
        ("/messages", None): page([message(n, head_ms - 500 * DAY_MS) for n in range(10)], "c1"),
        ("/messages", "c1"): page([message(n, head_ms - n) for n in range(10, 20)], "c2"),
        ("/messages", "c2"): page([message(n, head_ms - DAY_MS - n) for n in range(20, 30)], "c3"),
        ("/messages", "c3"): page([message(n, head_ms - 3 * DAY_MS - n) for n in range(30, 40)]),
    }
    dying = Sink(crash_at=23)
    with pytest.raises(Crash):
        await sync_scripted(Scripted(pages), sink=dying)
    assert dying.last_state()["streams"]["message"]["walk"]["ordered"] is False
    # Only the rest of the walk: the head is refused, so that no second walk can repair it.
    del pages["/messages", None]
    sink = Sink()
    with pytest.raises(SyncFailed):
        await sync_scripted(Scripted(pages), dying.last_state(), sink=sink)
    assert sink.last_state()["streams"]["message"]["newest_first"] is False


async def test_an_hour_of_disorder_is_allowed_and_less_than_an_hour_teaches_nothing() -> None:
    head_ms = 1_794_657_600_000
    swapped = [head_ms, head_ms - DISORDER_MS, head_ms - 1_000, head_ms - 2 * DISORDER_MS]
    pages = {
        ("/messages", None): page([message(n, time) for n, time in enumerate(swapped)], "c1"),
        ("/messages", "c1"): page([message(9, head_ms - DAY_MS)]),
    }
    sink = await sync_scripted(Scripted(pages))
    assert sink.last_state()["streams"]["message"]["newest_first"] is True

    rising = [message(n, head_ms + n * 1_000) for n in range(20)]
    pages = {
        ("/messages", None): page(rising[:10], "c1"),
        ("/messages", "c1"): page(rising[10:]),
    }
    sink = await sync_scripted(Scripted(pages))
    assert "newest_first" not in sink.last_state()["streams"]["message"]


async def test_a_walk_stops_only_after_a_page_wholly_an_hour_below_its_bound() -> None:
    head_ms = 1_794_657_600_000
    state = {
        "version": 1,
        "source": "127.0.0.1 pk_test",
        "streams": {
            "message": {"watermark": head_ms, "newest_first": True, "deep_read_at": head_ms}
        },
    }
    bound = head_ms - 3 * DAY_MS
    pages = {
        ("/messages", None): page([message(0, head_ms), message(1, bound - 1)], "c1"),
        ("/messages", "c1"): page(
            [message(2, bound - DISORDER_MS), message(3, bound - DISORDER_MS - 5)], "c2"
        ),
        ("/messages", "c2"): page([message(4, bound - DISORDER_MS - 6)], "c3"),
        ("/messages", "c3"): page([message(5, bound - 9 * DAY_MS)]),
    }
    transport = Scripted(pages, "Sat, 14 Nov 2026 13:00:00 GMT")
    await sync_scripted(transport, state)
    assert [cursor for _, cursor in transport.asked] == [None, "c1", "c2"]


async def test_a_walk_whose_head_is_older_than_its_bound_reads_on_whatever_was_learned() -> None:
    head_ms = 1_794_657_600_000
    state = {
        "version": 1,
        "source": "127.0.0.1 pk_test",
        "streams": {
            "message": {"watermark": head_ms, "newest_first": True, "deep_read_at": head_ms}
        },
    }
    rising = [message(n, head_ms - (30 - n) * DAY_MS) for n in range(30)]
    pages = {
        ("/messages", None): page(rising[:10], "c1"),
        ("/messages", "c1"): page(rising[10:20], "c2"),
        ("/messages", "c2"): page(rising[20:]),
    }
    transport = Scripted(pages, "Sat, 14 Nov 2026 13:00:00 GMT")
    await sync_scripted(transport, state)
    assert len(transport.asked) == 3


# -- 5: every walk ends ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"more_without_cursor": {"list": 2}},
        {"repeat_cursor": {"list": 2}},
        {"endless": ("list",)},
        {"arrays": {"list": "records"}},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_pages_that_lead_nowhere_end_in_an_error_that_names_the_stream(
    options: dict[str, Any],
) -> None:
    account = small_account()
    api = api_of(account, **options)
    sink = Sink()
    with pytest.raises(SyncFailed, match="list: "):
        await sync(api, sink=sink)
    assert api.traffic.by_stream["list"] <= 1_001
    tables = Tables()
    tables.apply(sink)
    for table in set(TABLES) - {"list"}:
        assert tables.rows[table] == expected(account, table)


async def test_has_more_without_a_way_on_is_an_error() -> None:
    api = api_of(small_account(), tenant_cursor=False, tenant_next_url="none")
    with pytest.raises(SyncFailed, match="tenant: "):
        await sync(api)


@pytest.mark.parametrize("next_url", ["relative", "absolute"])
async def test_a_next_url_of_the_same_origin_leads_on(next_url: str) -> None:
    account = small_account()
    tables = Tables()
    tables.apply(await sync(api_of(account, tenant_cursor=False, tenant_next_url=next_url)))
    assert_equal(tables, account)


async def test_a_next_url_of_another_origin_is_refused() -> None:
    api = api_of(small_account(), tenant_cursor=False, tenant_next_url="other_origin")
    with pytest.raises(SyncFailed, match=r"tenant: .*another host"):
        await sync(api)


async def test_an_empty_page_that_says_there_is_more_is_read_past() -> None:
    account = small_account()
    tables = Tables()
    tables.apply(await sync(api_of(account, empty_page_every=dict.fromkeys(TABLES, 2))))
    assert_equal(tables, account)


async def test_the_circle_is_found_however_long_it_is() -> None:
    head_ms = 1_794_657_600_000
    pages: dict[tuple[str, str | None], Any] = {}
    for number in range(40):
        following = number + 1 if number < 39 else 17
        pages["/messages", f"c{number}" if number else None] = page(
            [message(number, head_ms - number)], f"c{following}"
        )
    transport = Scripted(pages)
    with pytest.raises(SyncFailed, match=r"message: .*circle"):
        await sync_scripted(transport)
    assert len(transport.asked) < 120


# -- 6: one stream's trouble stays its own -----------------------------------------------------


@pytest.mark.parametrize("status", [402, 403, 404])
async def test_a_denied_stream_is_skipped_with_a_warning_and_the_others_land(status: int) -> None:
    account = small_account()
    sink = await sync(api_of(account, denied={"audit_event": status}))
    assert [text for text in sink.warnings if "audit_event" in text and str(status) in text]
    tables = Tables()
    tables.apply(sink)
    for table in set(TABLES) - {"audit_event"}:
        assert tables.rows[table] == expected(account, table)


async def test_a_denied_stream_keeps_the_state_it_has() -> None:
    account = small_account()
    first = await sync(api_of(account))
    second = await sync(api_of(account, denied={"audit_event": 403}), first.last_state())
    before = first.last_state()["streams"]["audit_event"]
    assert second.last_state()["streams"]["audit_event"] == before


async def test_a_stream_that_is_down_fails_the_sync_after_the_others_are_saved() -> None:
    account = small_account()
    sink = Sink()
    with pytest.raises(SyncFailed, match="tenant: ") as failure:
        await sync(api_of(account, down=("tenant",)), sink=sink)
    assert "list" not in str(failure.value)
    tables = Tables()
    tables.apply(sink)
    assert tables.rows["message"] == expected(account, "message")
    tables.apply(await sync(api_of(account), sink.last_state()))
    assert_equal(tables, account)


async def test_a_stream_refused_on_a_later_page_fails_and_names_itself() -> None:
    account = small_account()
    api = api_of(account, denied={"tenant": 403}, denied_from_page=2)
    with pytest.raises(SyncFailed, match=r"tenant: .*403"):
        await sync(api)


async def test_401_ends_the_sync_at_once_and_speaks_of_the_key() -> None:
    account = small_account()
    api = api_of(account, bad_key_status=401)
    with pytest.raises(SyncFailed, match="api_key"):
        await sync(api, key="pk_test_wrong")
    assert api.traffic.requests <= 7


async def test_403_on_every_stream_means_the_key() -> None:
    api = api_of(small_account(), bad_key_status=403)
    with pytest.raises(SyncFailed, match="api_key"):
        await sync(api, key="pk_test_wrong")


async def test_a_key_refused_while_every_stream_was_to_go_on_is_still_about_the_key() -> None:
    account = small_account()
    dying = Sink(crash_at=60)
    with pytest.raises(Crash):
        await sync(api_of(account), sink=dying, message_lanes=1)
    with pytest.raises(SyncFailed, match="api_key"):
        await sync(api_of(account, bad_key_status=403), dying.last_state(), key="pk_test_wrong")


# -- 7: a refused cursor -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 410])
@pytest.mark.parametrize("lanes", [1, 8])
async def test_a_forgotten_cursor_restarts_the_walk_once_and_all_lands(
    status: int, lanes: int
) -> None:
    account = small_account()
    api = api_of(account, forgotten_status=status)
    dying = Sink(crash_at=90)
    with pytest.raises(Crash):
        await sync(api, sink=dying, message_lanes=lanes)
    api.forget_cursors()
    tables = Tables()
    tables.apply(dying, until=dying.operations.index(("checkpoint", dying.last_state())))
    sink = await sync(api, dying.last_state(), message_lanes=lanes)
    assert [text for text in sink.warnings if "begins again" in text]
    tables.apply(sink)
    assert_equal(tables, account)


async def test_a_second_refusal_fails_the_stream() -> None:
    head_ms = 1_794_657_600_000
    pages = {("/messages", None): page([message(1, head_ms)], "gone")}
    transport = Scripted(pages)
    with pytest.raises(SyncFailed, match=r"message: .*400"):
        await sync_scripted(transport)
    assert [cursor for _, cursor in transport.asked] == [None, "gone", None, "gone"]


# -- 9: how a sync ends ------------------------------------------------------------------------


async def test_nothing_follows_a_checkpoint_that_raises() -> None:
    class Failing(Sink):
        def checkpoint(self, state: dict[str, Any]) -> None:
            super().checkpoint(state)
            if len(self.checkpoints) == 3:
                raise TimeoutError("the destination does not answer")

    sink = Failing()
    with pytest.raises(TimeoutError):
        await sync(api_of(small_account()), sink=sink)
    await asyncio.sleep(0.05)
    assert sink.operations[-1][0] == "checkpoint"
    assert len(sink.checkpoints) == 3


async def test_all_operations_are_called_on_one_thread_that_is_not_the_loops() -> None:
    sink = await sync(api_of(small_account()))
    assert len(sink.threads) == 1
    assert threading.current_thread().name not in sink.threads


async def test_no_operation_is_called_after_a_sync_was_cancelled() -> None:
    release = threading.Event()

    def block(operation: str, data: Any) -> None:
        if operation == "upsert":
            release.wait(2)

    sink = Sink(on_operation=block)
    task = asyncio.create_task(sync(api_of(small_account()), sink=sink))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.sleep(0.1)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    done = len(sink.operations)
    await asyncio.sleep(0.2)
    assert len(sink.operations) == done <= 2


async def test_a_slow_destination_does_not_hold_up_answers_or_fill_the_memory() -> None:
    account = small_account(sizes=SMALL | {"message": 4000}, span_days=300.0)
    api = api_of(account)
    slow = threading.Event()

    def wait(operation: str, data: Any) -> None:
        if operation == "upsert":
            slow.wait(0.001)

    task = asyncio.create_task(
        sync(api, sink=Sink(on_operation=wait), message_lanes=1, checkpoint_interval_seconds=60.0)
    )
    await asyncio.sleep(0.6)
    # Some 600 rows could be written, two queues full of pages may wait: not all 400 pages.
    asked = api.traffic.requests
    slow.set()
    await task
    assert asked < 330


# -- what the streams need -----------------------------------------------------------------------


async def test_a_record_without_its_key_is_left_out_counted_and_reported_once() -> None:
    account = small_account()
    sink = await sync(api_of(account, keyless_every={"brand": 1}, non_dict_every={"brand": 2}))
    tables = Tables()
    tables.apply(sink)
    assert_equal(tables, account)
    told = [text for text in sink.warnings if text.startswith("brand: ")]
    assert len(told) == 1
    assert "left out" in told[0]


async def test_a_first_sync_leaves_out_messages_and_events_older_than_sync_since() -> None:
    account = small_account(orders={"audit_event": "newest"})
    since = account.now_ms() - 10 * DAY_MS
    api = api_of(account)
    sink = await sync(api, sync_since_ms=since, message_lanes=1)
    messages = {row["id"] for row in account.truth("message") if row["enqueued"] >= since}
    assert {row["id"] for row in sink.sent("message")} == messages
    events = {
        row["auditEventId"]
        for row in account.truth("audit_event")
        if _ms(row["timestamp"]) >= since
    }
    assert {row["auditEventId"] for row in sink.sent("audit_event")} == events
    assert api.traffic.by_stream["message"] < 16


async def test_a_state_of_another_source_starts_afresh_with_a_warning() -> None:
    account = small_account()
    first = await sync(api_of(account))
    for source in ("api.eu.courier.com pk_test", "127.0.0.1 pk_prod"):
        state = first.last_state() | {"source": source}
        sink = await sync(api_of(account), state)
        tables = Tables()
        tables.apply(sink)
        assert_equal(tables, account)
        assert [text for text in sink.warnings if "another Courier account" in text]


@pytest.mark.parametrize(
    "state",
    [
        {"brands_last_updated": 1786699985000, "messages_cursor": "abc"},
        {"version": 2, "source": "127.0.0.1 pk_test", "streams": {}},
        {"version": 1, "source": "127.0.0.1 pk_test", "streams": []},
        {"version": 1, "source": "127.0.0.1 pk_test", "streams": {"message": {"watermark": "x"}}},
        {"version": 1, "source": "127.0.0.1 pk_test", "streams": {"message": 7}},
        {"version": 1, "source": "127.0.0.1 pk_test", "streams": {"tenant": {"rows": [1]}}},
    ],
)
async def test_a_state_that_cannot_be_used_hides_no_row(state: dict[str, Any]) -> None:
    account = small_account()
    sink = await sync(api_of(account), state)
    tables = Tables()
    tables.apply(sink)
    assert_equal(tables, account)
    assert [text for text in sink.warnings if "afresh" in text]


async def test_a_watermark_of_the_future_hides_no_row() -> None:
    account = small_account()
    future = account.now_ms() + 90 * DAY_MS
    for part in (
        {"watermark": future, "newest_first": True, "deep_read_at": future},
        {"walk": {"cursor": "abc", "started_at": future, "stop_at": future, "ordered": True}},
    ):
        state = {
            "version": 1,
            "source": "127.0.0.1 pk_test",
            "streams": {"message": part, "audit_event": part},
        }
        tables = Tables()
        tables.apply(await sync(api_of(account), state))
        assert_equal(tables, account)


async def test_streams_that_are_not_selected_are_not_asked_and_keep_their_state() -> None:
    account = small_account()
    first = await sync(api_of(account))
    api = api_of(account)
    second = await sync(api, first.last_state(), streams=(BY_TABLE["brand"],))
    assert api.traffic.by_stream["message"] == 0
    assert second.last_state()["streams"]["message"] == first.last_state()["streams"]["message"]


async def test_at_least_five_streams_are_asked_at_once() -> None:
    api = api_of(small_account())
    flying, most = 0, 0

    class Counting(DirectTransport):
        async def get(self, path_and_query: str) -> Answer:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            try:
                return await super().get(path_and_query)
            finally:
                flying -= 1

    async with ThreadWorker() as worker:
        await run(
            settings(message_lanes=1),
            {},
            Sink(),
            transport=Counting(api, hold_seconds=0.04),
            worker=worker,
        )
    assert most >= 5
