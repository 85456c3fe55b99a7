"""The writer alone, in virtual time: in which order, when, and what it does not do."""

import asyncio
import copy
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.walk import Batch
from courier_async.report import Tally
from courier_async.state.saved import Frame, Lane, PageRead, State, Step, StreamState, WalkEnded
from courier_async.state.sent_rows import Deletions
from courier_async.writing.writer import QUEUE_PAGES, Item, Writer
from tests.support.virtual_time import run_virtual

NOW_MS = 1_794_657_600_000
MESSAGE, LIST, BRAND = BY_TABLE["message"], BY_TABLE["list"], BY_TABLE["brand"]
AUDIT_EVENT = BY_TABLE["audit_event"]
MEBIBYTE = 1024 * 1024
FRAME = Frame(started_at=NOW_MS)
STEP = PageRead(FRAME, Lane(cursor="next"))
ENDED = WalkEnded(FRAME, Lane(), several_pages=True, reached_end=True)


@dataclass
class Bench:
    """A writer with a destination that notes what it is told, and when by the loop's clock."""

    interval_seconds: float = 60.0
    write_seconds: float = 0.0
    state: State = field(default_factory=lambda: State(source="x"))
    told: list[tuple[float, str, Any]] = field(default_factory=list)
    hops: list[float] = field(default_factory=list)
    on_upsert: Callable[[], None] = lambda: None
    tables: tuple[str, ...] = ("message", "list", "brand")
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        self.tallies = {table: Tally(table) for table in self.tables}

    # -- the destination, and the thread on which it is called ----------------------------------

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.on_upsert()
        self._note("upsert", (table, data))

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        self._note("delete", (table, keys))

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._note("checkpoint", copy.deepcopy(state))

    def warning(self, message: str) -> None:
        self._note("warning", message)

    def _note(self, name: str, data: Any) -> None:
        self.told.append((asyncio.get_running_loop().time(), name, data))

    async def run(self, job: Callable[[], Any]) -> Any:
        self.hops.append(asyncio.get_running_loop().time())
        result = job()
        await asyncio.sleep(self.write_seconds)
        return result

    # -- what came of it ------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.told]

    def of(self, name: str) -> list[Any]:
        return [data for _, told, data in self.told if told == name]

    def at(self, name: str) -> list[float]:
        return [pytest.approx(time, abs=0.002) for time, told, _ in self.told if told == name]

    def write(self, feed: Callable[[Writer], Awaitable[None]]) -> "Bench":
        """Runs a writer fed by `feed`, after which the queue ends."""

        async def both() -> None:
            writer = Writer(
                op=self,
                worker=self,
                state=self.state,
                tallies=self.tallies,
                checkpoint_interval_seconds=self.interval_seconds,
                clock=self.clock or asyncio.get_running_loop().time,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run())
                await feed(writer)
                await writer.queue.put(None)

        run_virtual(both())
        return self

    def write_at_once(self, *items: Item) -> "Bench":
        async def feed(writer: Writer) -> None:
            for item in items:
                await writer.put(item)

        return self.write(feed)


def item(
    stream: Any = MESSAGE,
    *records: Any,
    step: Step | None = STEP,
    size_bytes: int = 0,
    **more: Any,
) -> Item:
    return Item(stream, Batch(list(records), step, read=len(records), **more), size_bytes)


def complete(table: str) -> State:
    """A state in which a stream has been read whole once."""
    return State(source="x", streams={table: StreamState(deep_read_at=1)})


# -- order -------------------------------------------------------------------------------------


def test_rows_go_out_before_the_step_that_claims_them_and_warnings_before_both() -> None:
    step = PageRead(FRAME, Lane(cursor="c7"))
    bench = Bench(interval_seconds=0.0)
    bench.write_at_once(item(MESSAGE, {"id": "m1"}, {"id": "m2"}, step=step, warning="Careful."))
    assert bench.names[:4] == ["warning", "upsert", "upsert", "checkpoint"]
    assert bench.of("warning") == ["Careful."]
    assert bench.of("upsert") == [("message", {"id": "m1"}), ("message", {"id": "m2"})]
    (saved, *_) = bench.of("checkpoint")
    assert saved["streams"]["message"]["walk"]["cursor"] == "c7"


def test_what_the_destination_is_warned_of_stands_in_the_log_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="courier_async"):
        Bench().write_at_once(item(MESSAGE, warning="Careful."))
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == ["Careful."]


def test_a_batch_without_a_step_leaves_the_state_as_it_was() -> None:
    bench = Bench().write_at_once(item(MESSAGE, {"id": "m1"}, step=None))
    assert bench.state.streams == {}
    assert bench.names == ["upsert", "checkpoint"]


def test_a_sync_without_any_page_still_ends_with_a_checkpoint() -> None:
    assert Bench().write_at_once().names == ["checkpoint"]


# -- when --------------------------------------------------------------------------------------


def test_with_an_interval_of_none_each_page_is_saved_at_once_and_by_itself() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(3):
            await writer.put(item(MESSAGE, {"id": f"m{number}"}))
            await asyncio.sleep(1.0)

    bench = Bench(interval_seconds=0.0).write(feed)
    assert bench.names == ["upsert", "checkpoint"] * 3 + ["checkpoint"]
    assert bench.at("upsert") == [0.0, 1.0, 2.0]
    assert bench.at("checkpoint") == [0.0, 1.0, 2.0, 3.0]


def test_with_an_interval_of_none_each_page_is_saved_also_by_a_clock_that_stands_still() -> None:
    bench = Bench(interval_seconds=0.0, clock=lambda: 7.0)
    assert bench.write_at_once(item(MESSAGE), item(MESSAGE)).names == ["checkpoint"] * 3


def test_a_checkpoint_that_a_slow_write_has_made_late_waits_no_longer() -> None:
    async def feed(writer: Writer) -> None:
        await writer.put(item(MESSAGE, {"id": "m1"}))
        await asyncio.sleep(100.0)

    bench = Bench(interval_seconds=5.0, write_seconds=10.0).write(feed)
    assert bench.at("checkpoint") == [10.03, 100.0]


def test_pages_that_come_within_a_moment_are_written_in_one_hop() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(4):
            await writer.put(item(MESSAGE, {"id": f"m{number}"}))
            await asyncio.sleep(0.008)
        await asyncio.sleep(1.0)
        await writer.put(item(MESSAGE, {"id": "m9"}))
        await asyncio.sleep(1.0)

    bench = Bench().write(feed)
    assert bench.at("upsert") == [0.03] * 4 + [1.062]
    assert len(bench.hops) == 3


def test_enough_pages_do_not_wait_for_more() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(9):
            await writer.put(item(MESSAGE, {"id": f"m{number}"}))
        await asyncio.sleep(1.0)
        for number in range(8):
            await writer.put(item(MESSAGE, {"id": f"n{number}"}))
        await asyncio.sleep(1.0)

    bench = Bench().write(feed)
    # One is taken, and eight more are enough; seven are not.
    assert bench.at("upsert") == [0.0] * 9 + [1.03] * 8


def test_behind_a_slow_destination_no_page_waits() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(4):
            await writer.put(item(MESSAGE, {"id": f"m{number}"}))
            await asyncio.sleep(1.0)

    slow = Bench(write_seconds=0.03).write(feed)
    assert slow.at("upsert") == [0.03, 1.0, 2.0, 3.0]
    quick = Bench(write_seconds=0.02).write(feed)
    assert quick.at("upsert") == [0.03, 1.03, 2.03, 3.03]


def test_checkpoints_come_at_the_interval_also_while_no_page_comes() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(8):
            await writer.put(item(MESSAGE, {"id": f"m{number}"}))
            await asyncio.sleep(20.0)
        await asyncio.sleep(300.0)
        await writer.put(item(MESSAGE, {"id": "m8"}))
        await asyncio.sleep(300.0)

    bench = Bench().write(feed)
    # A page found the interval over twice; then a pause saves what it has, once; then the end.
    assert bench.at("checkpoint") == [60.0, 120.0, 180.0, 460.03, 760.0]


def test_while_nothing_has_come_nothing_is_saved() -> None:
    async def feed(writer: Writer) -> None:
        await asyncio.sleep(300.0)

    assert Bench().write(feed).at("checkpoint") == [300.0]


def test_the_end_of_a_walk_is_saved_at_once() -> None:
    async def feed(writer: Writer) -> None:
        await writer.put(item(MESSAGE, {"id": "m1"}))
        await asyncio.sleep(10.0)
        await writer.put(item(MESSAGE, {"id": "m2"}, step=ENDED))
        await asyncio.sleep(10.0)

    bench = Bench().write(feed)
    assert bench.at("checkpoint") == [10.03, 20.0]
    assert "walk" not in bench.of("checkpoint")[0]["streams"]["message"]


def test_one_checkpoint_serves_all_that_waited_with_the_end_of_a_walk() -> None:
    async def feed(writer: Writer) -> None:
        await writer.put(item(MESSAGE, {"id": "m1"}, step=ENDED))
        await writer.put(item(MESSAGE, {"id": "m2"}))
        await asyncio.sleep(10.0)

    assert Bench().write(feed).names == ["upsert", "upsert", "checkpoint", "checkpoint"]


# -- how much may wait -------------------------------------------------------------------------


def puts_done_at(bench: Bench, *items: Item) -> list[float]:
    done: list[float] = []

    async def feed(writer: Writer) -> None:
        for one in items:
            await writer.put(one)
            done.append(asyncio.get_running_loop().time())

    bench.write(feed)
    return [pytest.approx(time, abs=0.01) for time in done]


def test_bytes_that_wait_are_bounded() -> None:
    two = item(MESSAGE, size_bytes=2 * MEBIBYTE)
    less = item(MESSAGE, size_bytes=2 * MEBIBYTE - 1)
    # The one that fills the memory is taken; what comes after it waits for the write's end.
    assert puts_done_at(Bench(0.0, 5.0), two, two, less) == [0.0, 0.0, 5.0]
    assert puts_done_at(Bench(0.0, 5.0), two, less, less) == [0.0, 0.0, 0.0]


def test_a_page_that_fills_the_memory_alone_is_waited_for_until_it_is_written() -> None:
    four = item(MESSAGE, size_bytes=4 * MEBIBYTE)
    less = item(MESSAGE, size_bytes=4 * MEBIBYTE - 1)
    assert puts_done_at(Bench(0.0, 5.0), four) == [5.0]
    assert puts_done_at(Bench(0.0, 5.0), less) == [0.0]


def test_pages_that_wait_are_bounded() -> None:
    # One queue full is being written, and one more waits.
    done = puts_done_at(Bench(0.0, 5.0), *[item(MESSAGE)] * (2 * QUEUE_PAGES + 3))
    assert sum(time == 0.0 for time in done) == 2 * QUEUE_PAGES
    assert done[-1] == 5.0


def test_a_put_that_is_cancelled_takes_no_room() -> None:
    async def feed(writer: Writer) -> None:
        large = item(MESSAGE, size_bytes=3 * MEBIBYTE)
        for _ in range(QUEUE_PAGES + 1):
            await writer.put(item(MESSAGE))
            await asyncio.sleep(0)
        waiting = asyncio.create_task(writer.put(large))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        began = asyncio.get_running_loop().time()
        await writer.put(large)
        await writer.put(large)
        assert asyncio.get_running_loop().time() - began < 5.1

    Bench(0.0, 5.0).write(feed)


# -- what ends it ------------------------------------------------------------------------------


def test_nothing_is_called_after_an_operation_that_raised() -> None:
    def fail() -> None:
        if bench.names.count("upsert") == 1:
            raise OSError("the destination is gone")

    bench = Bench(interval_seconds=0.0, on_upsert=fail)
    with pytest.raises(ExceptionGroup) as caught:
        bench.write_at_once(item(MESSAGE, {"id": "m1"}, {"id": "m2"}), item(MESSAGE, {"id": "m3"}))
    assert caught.group_contains(OSError, match="the destination is gone")
    assert bench.names == ["upsert"]


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (item(MESSAGE, {"id": "m1"}, {"id": "m2"}), ["upsert"]),
        (item(MESSAGE, {"id": "m1"}, warning="Careful."), ["warning"]),
        (item(LIST, {"id": "a"}), ["checkpoint"]),
        (item(LIST, step=None, deletions=Deletions(gone=("a", "b"))), ["checkpoint"]),
        (item(MESSAGE, {"id": "m1"}, step=ENDED), ["upsert"]),
    ],
)
def test_the_operation_during_which_a_writer_is_cancelled_is_the_last(
    batch: Item, told: list[str]
) -> None:
    """The thread is in an operation that blocks, and outlives the writer."""
    names: list[str] = []
    entered, release = threading.Event(), threading.Event()

    class Blocking:
        def note(self, name: str) -> None:
            names.append(name)
            entered.set()
            release.wait(5)

        def upsert(self, table: str, data: Any) -> None:
            self.note("upsert")

        def delete(self, table: str, keys: Any) -> None:
            self.note("delete")

        def checkpoint(self, state: Any) -> None:
            self.note("checkpoint")

        def warning(self, message: str) -> None:
            self.note("warning")

    class Thread:
        async def run(self, job: Callable[[], Any]) -> Any:
            return await asyncio.to_thread(job)

    async def scenario() -> None:
        writer = Writer(
            op=Blocking(),
            worker=Thread(),
            state=State(source="x"),
            tallies={"message": Tally("message"), "list": Tally("list")},
            checkpoint_interval_seconds=0.0,
        )
        task = asyncio.create_task(writer.run())
        await writer.put(batch)
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()
        await asyncio.wait([task])
        release.set()

    asyncio.run(scenario())
    assert names == told


# -- rows --------------------------------------------------------------------------------------


def test_documented_text_is_sent_as_text_whatever_came() -> None:
    record = {"id": 7, "name": 5, "other": 5, "text": "5"}
    bench = Bench().write_at_once(item(LIST, record), item(LIST, {"id": "b", "name": None}))
    assert bench.of("upsert") == [
        ("list", {"id": "7", "name": "5", "other": 5, "text": "5"}),
        ("list", {"id": "b"}),
    ]
    listed = item(BRAND, {"id": "c", "name": [1, "x"]}, {"id": "d", "name": True})
    assert [row["name"] for _, row in Bench().write_at_once(listed).of("upsert")] == [
        '[1,"x"]',
        "true",
    ]


def test_the_key_keeps_its_name_and_a_clash_is_told_once_a_table(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = [{"audit_event_id": f"other{n}", "auditEventId": f"e{n}"} for n in range(3)]
    with caplog.at_level(logging.INFO, logger="courier_async"):
        bench = Bench(tables=("audit_event",)).write_at_once(item(AUDIT_EVENT, *events))
    assert [row for _, row in bench.of("upsert")] == [
        {"audit_event_id_": f"other{n}", "auditEventId": f"e{n}"} for n in range(3)
    ]
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in told] == ["audit_event"]


def deep() -> Any:
    nested: Any = "leaf"
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("stream", [MESSAGE, LIST], ids=lambda stream: stream.table)
def test_what_no_table_holds_is_left_out_counted_and_told_of_at_the_end(stream: Any) -> None:
    key = stream.key
    records = [{"no": "key"}, {key: "a"}, "no record", {key: "b", "deep": deep()}, {key: "c"}]
    bench = Bench().write_at_once(item(stream, *records), item(stream, {key: None}))
    assert [row[key] for _, row in bench.of("upsert")] == ["a", "c"]
    tally = bench.tallies[stream.table]
    assert (tally.sent, tally.unusable, tally.unchanged) == (2, 4, 0)
    assert bench.of("warning") == [
        f"{stream.table}: 4 records came without their key or in a form that no table holds, and "
        "were left out. Ask Courier's support about them; all others have landed."
    ]
    assert bench.names[-2:] == ["warning", "checkpoint"]


def test_nothing_is_told_where_nothing_was_left_out() -> None:
    assert Bench().write_at_once(item(MESSAGE, {"id": "m"})).of("warning") == []


def test_a_row_is_sent_when_it_is_new_or_has_changed_also_within_what_waited() -> None:
    same, other = {"id": "a", "name": "x"}, {"id": "a", "name": "y"}
    bench = Bench().write_at_once(item(LIST, same, same, other), item(LIST, other, other, same))
    assert [row["name"] for _, row in bench.of("upsert")] == ["x", "y", "x"]
    tally = bench.tallies["list"]
    assert (tally.sent, tally.unchanged, tally.unusable) == (3, 3, 0)
    # Messages are not compared.
    bench = Bench().write_at_once(item(MESSAGE, same, same))
    assert len(bench.of("upsert")) == 2
    assert bench.state.rows == {}


def test_records_that_were_read_but_not_to_be_written_count_as_unchanged() -> None:
    read = Item(MESSAGE, Batch([{"id": "m"}, {}], STEP, read=10))
    tally = Bench().write_at_once(read).tallies["message"]
    assert (tally.sent, tally.unusable, tally.unchanged) == (1, 1, 8)


def test_a_stream_that_was_given_up_is_sent_whole_and_neither_marked_nor_announced() -> None:
    state = complete("list")
    state.rows_of(LIST).given_up = True
    bench = Bench(state=state).write_at_once(item(LIST, {"id": "a"}), item(LIST, {"id": "a"}))
    assert bench.names == ["upsert", "upsert", "checkpoint"]
    assert bench.of("checkpoint")[0]["streams"]["list"]["rows_given_up"] is True


# -- deletes, and what is announced ------------------------------------------------------------


def known(*keys: str) -> State:
    state = complete("list")
    for key in keys:
        state.rows_of(LIST).set(key, "mark0000")
    return state


def test_confirmed_deletes_are_called_counted_and_forgotten() -> None:
    found = Deletions(gone=("a", "b"), left=("c",), asked_after="c", half_gone=True)
    bench = Bench(state=known("a", "b", "c"))
    bench.write_at_once(item(LIST, step=None, deletions=found))
    assert bench.of("delete") == [("list", {"id": "a"}), ("list", {"id": "b"})]
    assert bench.tallies["list"].deleted == 2
    rows = bench.state.rows_of(LIST)
    assert rows.ids() == {"c"}
    assert (rows.left, rows.asked_after, rows.half_gone) == ({"c"}, "c", True)
    # Open before the first, closed with the last.
    assert bench.names == ["checkpoint", "delete", "delete", "checkpoint"]
    before, after = (saved["streams"]["list"] for saved in bench.of("checkpoint"))
    assert before["open"] is True
    assert "open" not in after


def test_a_search_that_found_nothing_to_delete_opens_nothing() -> None:
    bench = Bench(state=known("a"))
    bench.write_at_once(item(LIST, step=None, deletions=Deletions(left=("a",))))
    assert bench.names == ["checkpoint"]
    assert bench.state.rows_of(LIST).left == {"a"}


def test_a_row_that_is_seen_again_is_missed_no_more_also_where_it_has_not_changed() -> None:
    bench = Bench().write_at_once(item(LIST, {"id": "a"}))
    bench.state.rows_of(LIST).left = frozenset({"a", "b"})
    again = Bench(state=bench.state).write_at_once(item(LIST, {"id": "a"}))
    assert again.of("upsert") == []
    assert again.state.rows_of(LIST).left == {"b"}


def test_before_the_first_row_all_streams_of_the_sync_that_keep_rows_are_marked_open() -> None:
    bench = Bench(tables=("message", "list", "brand")).write_at_once(
        item(MESSAGE, {"id": "m"}), item(LIST, {"id": "a"}), item(BRAND, {"id": "b"})
    )
    assert bench.names == ["checkpoint", "upsert", "upsert", "upsert", "checkpoint"]
    first, last = (saved["streams"] for saved in bench.of("checkpoint"))
    assert first == {"list": {"open": True}, "brand": {"open": True}}
    assert not any("open" in part for part in last.values())


def test_messages_alone_open_no_stream() -> None:
    assert Bench().write_at_once(item(MESSAGE, {"id": "m"})).names == ["upsert", "checkpoint"]


def test_a_stream_that_brings_nothing_new_stays_closed() -> None:
    bench = Bench().write_at_once(item(LIST, {"id": "a"}))
    again = Bench(state=bench.state).write_at_once(
        item(LIST, {"id": "a"}), item(MESSAGE, {"id": "m"})
    )
    assert again.names == ["upsert", "checkpoint"]


def test_a_stream_behind_one_that_brings_nothing_new_is_announced_as_well() -> None:
    closed = [
        item(MESSAGE, {"id": "m"}),
        item(LIST, {"id": "a"}),
    ]
    bench = Bench().write_at_once(*closed)
    again = Bench(state=bench.state).write_at_once(*closed, item(BRAND, {"id": "b"}))
    assert again.names == ["checkpoint", "upsert", "upsert", "checkpoint"]


@pytest.mark.parametrize("walk", ["complete before", "complete in this batch", "never complete"])
def test_a_new_id_is_saved_blank_before_its_row_once_its_stream_can_lose_rows(walk: str) -> None:
    state = complete("list") if walk == "complete before" else State(source="x")
    step = ENDED if walk == "complete in this batch" else STEP
    bench = Bench(state=state)
    bench.write_at_once(item(LIST, {"id": "a"}, {"id": "b"}, step=step))
    rows = bench.of("checkpoint")[0]["streams"]["list"].get("rows", [])
    blank = ["--------a", "--------b"]
    assert sorted("\n".join(rows).split()) == (blank if walk != "never complete" else [])
    landed = sorted("\n".join(bench.of("checkpoint")[-1]["streams"]["list"]["rows"]).split())
    assert [line[8:] for line in landed] == ["a", "b"]
    assert landed != blank


def test_a_changed_row_of_an_open_stream_needs_no_announcement_and_a_new_one_does() -> None:
    async def feed(writer: Writer) -> None:
        for record in ({"id": "a"}, {"id": "a", "name": "x"}, {"id": "b"}):
            await writer.put(item(LIST, record))
            await asyncio.sleep(1.0)

    bench = Bench(state=complete("list")).write(feed)
    assert bench.names == [
        *("checkpoint", "upsert", "upsert"),
        *("checkpoint", "upsert", "checkpoint"),
    ]
    blanked = bench.of("checkpoint")[1]["streams"]["list"]["rows"]
    assert "--------b" in "\n".join(blanked).split("\n")
    assert "--------a" not in "\n".join(blanked).split("\n")


def test_what_does_not_fit_into_the_state_is_given_up_at_the_next_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 2)
    bench = Bench(state=replace(complete("list")))
    bench.write_at_once(item(LIST, *[{"id": f"l{number}"} for number in range(3)]))
    assert bench.of("checkpoint")[-1]["streams"]["list"]["rows_given_up"] is True
