"""The writer alone, in virtual time: its order, its timing, and what it never does."""

import asyncio
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from courier_async.catalog.stream import Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.handover import Batch, Entry, Notice
from courier_async.state.position import Lane, Missing, StreamState
from courier_async.state.saved import State
from courier_async.writing.writer import QUEUE_PAGES, OperationFailed, Writer
from tests.support.harness import copied
from tests.support.virtual_time import run_virtual

T = TypeVar("T")

NOW = 1_794_657_600_000
MESSAGE, LIST, BRAND = BY_TABLE["message"], BY_TABLE["list"], BY_TABLE["brand"]
MARK = b"123456"


@dataclass
class Bench:
    """A writer with a destination that records its calls, with times by the loop's clock."""

    interval_seconds: float = 60.0
    write_seconds: float = 0.0
    state: State = field(default_factory=lambda: State("x"))
    streams: tuple[Stream, ...] = (MESSAGE, LIST, BRAND)
    told: list[tuple[float, str, Any]] = field(default_factory=list)
    hops: list[float] = field(default_factory=list)
    fails: Callable[[str, Any], None] = lambda name, data: None
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        self.counts = {stream.table: Counts(stream.table) for stream in self.streams}

    # -- the destination, and the thread on which it is called ----------------------------------

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self._note("upsert", (table, data))

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        self._note("delete", (table, keys))

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._note("checkpoint", copied(state))

    def warning(self, message: str) -> None:
        self._note("warning", message)

    def _note(self, name: str, data: Any) -> None:
        self.fails(name, data)
        self.told.append((asyncio.get_running_loop().time(), name, data))

    async def run(self, job: Callable[[], T]) -> T:
        self.hops.append(asyncio.get_running_loop().time())
        result = job()
        await asyncio.sleep(self.write_seconds)
        return result

    # -- results --------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.told]

    def of(self, name: str) -> list[Any]:
        return [data for _, told, data in self.told if told == name]

    def at(self, name: str) -> list[float]:
        """Returns when it was called, to a hundredth of a second."""
        return [round(time, 2) for time, told, _ in self.told if told == name]

    def writer(self) -> Writer:
        return Writer(
            op=self,
            worker=self,
            state=self.state,
            counts=self.counts,
            streams=self.streams,
            checkpoint_interval_seconds=self.interval_seconds,
            clock=self.clock or asyncio.get_running_loop().time,
        )

    def write(self, feed: Callable[[Writer], Awaitable[None]]) -> "Bench":
        """Runs a writer fed by `feed`, after which the queue ends."""

        async def both() -> None:
            writer = self.writer()
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run())
                await feed(writer)
                await writer.queue.put(None)

        run_virtual(both())
        return self

    def write_at_once(self, *items: Batch | Notice) -> "Bench":
        async def feed(writer: Writer) -> None:
            for item in items:
                await writer.queue.put(item)

        return self.write(feed)


def messages(*ids: str, **more: Any) -> Batch:
    """Returns a page of messages, and the state of the stream after it."""
    fields = {"state": StreamState(watermark=1)} | more
    return Batch(stream=MESSAGE, rows=[{"id": id_} for id_ in ids], **fields)


def lists(*ids: str, **more: Any) -> Batch:
    """Returns a page of lists with an entry per row."""
    entries = [Entry((id_,), b"", MARK) for id_ in ids]
    rows = [{"id": id_} for id_ in ids]
    return Batch(stream=LIST, rows=rows, entries=entries, **more)


# -- order ---------------------------------------------------------------------------------------


def test_rows_go_out_before_deletes_and_both_before_the_state_that_claims_them() -> None:
    claimed = StreamState(read_at=9)
    batch = lists("a", "b", deletes=[("c",)], state=claimed)
    states: list[StreamState] = []
    bench = Bench(interval_seconds=0.0)
    bench.fails = lambda name, _: states.append(bench.state.of("list"))
    bench.write_at_once(batch)
    assert bench.names == ["checkpoint", "upsert", "upsert", "delete", "checkpoint", "checkpoint"]
    assert states == [StreamState()] * 4 + [claimed] * 2
    assert bench.of("upsert") == [("list", {"id": "a"}), ("list", {"id": "b"})]
    assert bench.of("delete") == [("list", {"id": "c"})]


def test_batches_are_written_in_the_order_in_which_they_were_put() -> None:
    bench = Bench().write_at_once(messages("1"), lists("a"), messages("2"), lists("b"))
    assert [row["id"] for _, row in bench.of("upsert")] == ["1", "a", "2", "b"]


def test_a_batch_without_a_state_leaves_the_streams_as_it_was() -> None:
    before = StreamState(lanes=(Lane(started_at=1, cursor="c"),))
    bench = Bench()
    bench.state.streams["message"] = before
    bench.write_at_once(messages("m", state=None))
    assert bench.state.of("message") == before
    assert bench.names == ["upsert", "checkpoint"]


def test_a_sync_without_any_page_still_ends_with_a_checkpoint() -> None:
    assert Bench().write_at_once().names == ["checkpoint"]


def test_a_notice_is_told_in_its_turn_in_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="courier_async"):
        bench = Bench().write_at_once(messages("1"), Notice("Careful."), messages("2"))
    assert bench.names == ["upsert", "warning", "upsert", "checkpoint"]
    assert bench.of("warning") == ["Careful."]
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == ["Careful."]


def test_a_delete_names_each_column_of_the_key() -> None:
    stream = BY_TABLE["tenant_user"]
    bench = Bench(streams=(stream,))
    bench.write_at_once(Batch(stream=stream, deletes=[("acme", "ana")]))
    columns = dict(zip(stream.key_columns, ("acme", "ana"), strict=True))
    assert bench.of("delete") == [("tenant_user", columns)]


# -- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [None, lambda: 7.0], ids=["a clock", "one that stands still"])
def test_with_an_interval_of_0_each_page_is_saved_at_once_and_by_itself(
    clock: Callable[[], float] | None,
) -> None:
    async def feed(writer: Writer) -> None:
        for number in range(3):
            await writer.queue.put(messages(f"m{number}"))
            await asyncio.sleep(1.0)

    bench = Bench(interval_seconds=0.0, clock=clock).write(feed)
    assert bench.names == ["upsert", "checkpoint"] * 3 + ["checkpoint"]
    assert bench.at("upsert") == [0.0, 1.0, 2.0]
    assert bench.at("checkpoint") == [0.0, 1.0, 2.0, 3.0]


def test_checkpoints_come_at_the_interval_also_while_no_page_comes() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(8):
            await writer.queue.put(messages(f"m{number}"))
            await asyncio.sleep(20.0)
        await asyncio.sleep(300.0)
        await writer.queue.put(messages("m8"))
        await asyncio.sleep(300.0)

    bench = Bench().write(feed)
    # Pages twice find the interval over; then a pause saves the rest, once; then the end.
    assert bench.at("checkpoint") == [60.0, 120.0, 180.0, 460.03, 760.0]


def test_while_nothing_has_come_nothing_is_saved() -> None:
    async def feed(writer: Writer) -> None:
        await asyncio.sleep(300.0)

    assert Bench().write(feed).at("checkpoint") == [300.0]


def test_a_checkpoint_that_a_slow_write_has_made_late_waits_no_longer() -> None:
    async def feed(writer: Writer) -> None:
        await writer.queue.put(messages("m1"))
        await asyncio.sleep(100.0)

    bench = Bench(interval_seconds=5.0, write_seconds=10.0).write(feed)
    assert bench.at("checkpoint") == [10.03, 100.0]


def test_the_end_of_a_walk_is_saved_at_once_and_with_it_all_that_waited() -> None:
    async def feed(writer: Writer) -> None:
        await writer.queue.put(messages("m1"))
        await asyncio.sleep(10.0)
        await writer.queue.put(messages("m2", ends_walk=True))
        await writer.queue.put(messages("m3"))
        await asyncio.sleep(10.0)

    bench = Bench().write(feed)
    assert bench.names == ["upsert", "upsert", "upsert", "checkpoint", "checkpoint"]
    assert bench.at("checkpoint") == [10.03, 20.0]


def test_pages_that_come_within_a_moment_are_written_in_one_hop() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(4):
            await writer.queue.put(messages(f"m{number}"))
            await asyncio.sleep(0.008)
        await asyncio.sleep(1.0)
        await writer.queue.put(messages("m9"))
        await asyncio.sleep(1.0)

    bench = Bench().write(feed)
    assert bench.at("upsert") == [0.03] * 4 + [1.06]
    assert len(bench.hops) == 3


def test_enough_pages_do_not_wait_for_more() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(9):
            await writer.queue.put(messages(f"m{number}"))
        await asyncio.sleep(1.0)
        for number in range(8):
            await writer.queue.put(messages(f"n{number}"))
        await asyncio.sleep(1.0)

    # One is taken, and eight more are enough for the next hop; seven are not.
    assert Bench().write(feed).at("upsert") == [0.0] * 9 + [1.03] * 8


def test_behind_a_slow_destination_no_page_waits() -> None:
    async def feed(writer: Writer) -> None:
        for number in range(4):
            await writer.queue.put(messages(f"m{number}"))
            await asyncio.sleep(1.0)

    slow = Bench(write_seconds=0.03).write(feed)
    assert slow.at("upsert") == [0.03, 1.0, 2.0, 3.0]
    quick = Bench(write_seconds=0.02).write(feed)
    assert quick.at("upsert") == [0.03, 1.03, 2.03, 3.03]


# -- how much may wait ---------------------------------------------------------------------------


def test_pages_that_wait_are_bounded_and_a_slow_destination_slows_the_reading() -> None:
    done: list[float] = []

    async def feed(writer: Writer) -> None:
        for _ in range(2 * QUEUE_PAGES + 3):
            await writer.queue.put(messages())
            done.append(asyncio.get_running_loop().time())

    Bench(interval_seconds=0.0, write_seconds=5.0).write(feed)
    # One queue full is being written, and another one waits.
    assert sum(time < 1.0 for time in done) == 2 * QUEUE_PAGES
    assert done[-1] == pytest.approx(5.0, abs=0.01)


def test_the_memory_of_a_page_is_given_back_once_its_rows_are_out_and_not_before() -> None:
    released: list[tuple[int, float]] = []

    async def feed(writer: Writer) -> None:
        for number in range(3):

            def release(number: int = number) -> None:
                released.append((number, asyncio.get_running_loop().time()))

            await writer.queue.put(messages("m", release=release))

    Bench(write_seconds=2.0).write(feed)
    assert [number for number, _ in released] == [0, 1, 2]
    assert [time for _, time in released] == [pytest.approx(2.03, abs=0.01)] * 3


def test_a_batch_is_let_go_once_its_memory_is_given_back() -> None:
    class Share:
        def release(self) -> None:
            """Gives nothing back."""

    kept: list[bool] = []

    async def feed(writer: Writer) -> None:
        share = Share()
        lives = weakref.ref(share)
        await writer.queue.put(messages("m", release=share.release))
        del share
        await asyncio.sleep(1)
        kept.append(lives() is not None)

    Bench().write(feed)
    assert kept == [False]


# -- what ends it --------------------------------------------------------------------------------


def refuse(operation: str, secret: str) -> Callable[[str, Any], None]:
    def fails(name: str, data: Any) -> None:
        if name == operation:
            raise ValueError(f"cannot store {data} {secret}")

    return fails


@pytest.mark.parametrize("operation", ["upsert", "delete"])
def test_an_operation_that_raises_is_told_with_its_stream_and_never_with_the_value(
    operation: str,
) -> None:
    bench = Bench(fails=refuse(operation, "hunter2"))
    with pytest.raises(ExceptionGroup) as caught:
        bench.write_at_once(lists("ana@acme.example", deletes=[("ana@acme.example",)]))
    (error,) = caught.value.exceptions
    assert isinstance(error, OperationFailed)
    assert str(error).startswith(
        f"list: Fivetran did not accept a row ({operation} raised ValueError)."
    )
    for text in (str(error), repr(error), repr(error.__context__), repr(error.__cause__)):
        assert "ana@acme" not in text
        assert "hunter2" not in text


def test_nothing_is_called_after_an_operation_that_raised() -> None:
    def fails(name: str, data: Any) -> None:
        if name == "upsert" and data[1]["id"] == "m2":
            raise OSError

    bench = Bench(interval_seconds=0.0, fails=fails)
    with pytest.raises(ExceptionGroup):
        bench.write_at_once(messages("m1", "m2", "m3"), messages("m4"), Notice("Careful."))
    assert [row["id"] for _, row in bench.of("upsert")] == ["m1"]
    assert set(bench.names) == {"upsert"}
    assert bench.state.streams == {}


def test_nothing_is_called_after_a_checkpoint_that_raised() -> None:
    error = OSError("the destination is gone")

    def fails(name: str, _: Any) -> None:
        if name == "checkpoint" and "upsert" in bench.names:
            raise error

    bench = Bench(interval_seconds=0.0, fails=fails)
    with pytest.raises(ExceptionGroup) as caught:
        bench.write_at_once(messages("m1"), messages("m2"), Notice("Careful."))
    assert caught.value.exceptions == (error,)
    assert bench.names == ["upsert"]


class Blocking:
    """A destination whose operations block until released, on a real thread."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def note(self, name: str) -> None:
        self.names.append(name)
        self.entered.set()
        self.go_on.wait(5)

    def upsert(self, table: str, data: Any) -> None:
        self.note("upsert")

    def delete(self, table: str, keys: Any) -> None:
        self.note("delete")

    def checkpoint(self, state: Any) -> None:
        self.note("checkpoint")

    def warning(self, message: str) -> None:
        self.note("warning")

    async def run(self, job: Callable[[], T]) -> T:
        return await asyncio.to_thread(job)

    def writer(self, state: State) -> Writer:
        return Writer(
            op=self,
            worker=self,
            state=state,
            counts={"message": Counts("message"), "list": Counts("list")},
            streams=(MESSAGE, LIST),
            checkpoint_interval_seconds=0.0,
        )


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (messages("m1", "m2"), ["upsert"]),
        (messages("m1", ends_walk=True), ["upsert"]),
        (Notice("Careful."), ["warning"]),
        (lists("a"), ["checkpoint"]),
        (lists(deletes=[("a",), ("b",)]), ["checkpoint"]),
    ],
)
def test_the_operation_during_which_a_writer_is_cancelled_is_the_last(
    item: Batch | Notice, told: list[str]
) -> None:
    """The thread is in a blocking operation, and outlives the writer."""
    destination = Blocking()

    async def scenario() -> None:
        writer = destination.writer(State("x"))
        task = asyncio.create_task(writer.run())
        await writer.queue.put(item)
        await asyncio.to_thread(destination.entered.wait, 5)
        task.cancel()
        await asyncio.wait([task])
        destination.go_on.set()

    asyncio.run(scenario())
    assert destination.names == told


def test_a_sync_that_is_told_to_stop_saves_what_has_been_written() -> None:
    async def scenario() -> None:
        writer = bench.writer()
        task = asyncio.create_task(writer.run())
        await writer.queue.put(messages("m1"))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        await writer.save()

    bench = Bench(streams=(MESSAGE,))
    run_virtual(scenario())
    assert bench.names == ["upsert", "checkpoint"]
    assert bench.of("checkpoint")[0]["streams"]["message"] == {"watermark": 1}


def test_the_last_checkpoint_of_a_sync_that_is_told_to_stop_is_waited_for_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> float:
        await bench.writer().save()
        return asyncio.get_running_loop().time()

    bench = Bench(write_seconds=3600.0)
    with caplog.at_level(logging.WARNING, logger="courier_async"):
        assert run_virtual(scenario()) == pytest.approx(30.0)
    assert "did not accept the last checkpoint in time" in caplog.text


def test_nothing_follows_the_operation_for_which_a_last_checkpoint_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 0)
    monkeypatch.setattr("courier_async.writing.writer._SAVE_SECONDS", 0.05)
    destination, state = Blocking(), State("x")
    state.rows_of("list").set(("a",), MARK)

    async def scenario() -> None:
        await destination.writer(state).save()
        destination.go_on.set()

    # The warning about too many rows blocks; the checkpoint would come next.
    asyncio.run(scenario())
    assert destination.names == ["warning"]


# -- what is remembered --------------------------------------------------------------------------


def test_rows_are_remembered_once_they_are_out_and_forgotten_once_deleted() -> None:
    bench = Bench()
    bench.state.rows_of("list").set(("gone",), MARK)
    bench.write_at_once(lists("a", deletes=[("gone",)]))
    assert bench.state.rows_of("list").marks == {("a",): MARK}
    (first, *_, last) = bench.of("checkpoint")
    assert first["streams"]["list"]["sent"].endswith("gone")
    assert last["streams"]["list"]["sent"].endswith("a")


def test_rows_may_be_forgotten_without_a_delete() -> None:
    bench = Bench()
    bench.state.rows_of("list").set(("gone",), MARK)
    bench.write_at_once(lists(forgotten=[("gone",)]))
    assert bench.of("delete") == []
    assert bench.state.rows_of("list").marks == {}


def test_messages_become_due_with_their_rows_and_are_done_with_their_children() -> None:
    bench = Bench(streams=(MESSAGE, BY_TABLE["message_event"]))
    bench.state.due["message_event"] = {"1-a": NOW, "1-b": NOW}
    done = Batch(stream=BY_TABLE["message_event"], done=["1-a", "1-unknown"])
    unknown = Batch(stream=BY_TABLE["message_provider"], done=["1-a"])
    bench.counts["message_provider"] = Counts("message_provider")
    new = messages("1-c", due={"1-c": 5}, due_in=("message_event", "message_provider"))
    bench.write_at_once(unknown, new, done)
    assert bench.state.due == {
        "message_event": {"1-b": NOW, "1-c": 5},
        "message_provider": {"1-c": 5},
    }


def test_messages_are_remembered_by_their_hour() -> None:
    entry = Entry(("m",), b"name-1", MARK, NOW)
    bench = Bench()
    bench.write_at_once(messages("m", entries=[entry]))
    assert bench.state.recent["message"].get(b"name-1", NOW) == MARK


def test_what_was_sent_and_deleted_is_counted() -> None:
    bench = Bench().write_at_once(lists("a", "b", deletes=[("c",), ("d",)]), messages("m"))
    assert (bench.counts["list"].sent, bench.counts["list"].deleted) == (2, 2)
    assert (bench.counts["message"].sent, bench.counts["message"].deleted) == (1, 0)


# -- open, and too large -------------------------------------------------------------------------


def test_before_the_first_row_all_streams_of_the_sync_that_keep_rows_are_marked_open() -> None:
    brand = Batch(stream=BRAND, rows=[{"id": "b"}], entries=[Entry(("b",), b"", MARK)])
    bench = Bench().write_at_once(messages("m"), lists("a"), brand)
    assert bench.names == ["upsert", "checkpoint", "upsert", "upsert", "checkpoint"]
    first, last = (saved["streams"] for saved in bench.of("checkpoint"))
    assert {table for table, part in first.items() if part.get("open")} == {"list", "brand"}
    assert not any("open" in part for part in last.values())


def test_streams_that_send_nothing_are_not_marked_open() -> None:
    bench = Bench().write_at_once(messages("m"), lists(state=StreamState(read_at=1)))
    assert bench.names == ["upsert", "checkpoint"]


def test_only_the_last_checkpoint_takes_the_mark_away_and_only_from_what_was_read() -> None:
    bench = Bench(interval_seconds=0.0, streams=(LIST,))
    bench.state.open.add("brand")
    bench.write_at_once(lists("a", ends_walk=True))
    *under_way, last = bench.of("checkpoint")
    assert len(under_way) == 2
    for saved in under_way:
        assert saved["streams"]["list"]["open"] is True
    assert "open" not in last["streams"]["list"]
    assert last["streams"]["brand"]["open"] is True


def test_a_stream_that_grows_too_large_is_told_once_and_remembered_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 2)
    bench = Bench(interval_seconds=0.0)
    bench.state.streams["list"] = StreamState(missing={"x": Missing(1)})
    bench.write_at_once(lists("a", "b", "c"), lists("d", "e", "f"))
    (told,) = bench.of("warning")
    assert told.startswith("list: too large to track its rows in the state.")
    last = bench.of("checkpoint")[-1]["streams"]["list"]
    assert last == {"sent_whole": True}
    assert len(bench.of("upsert")) == 6
    # The next sync does not warn again.
    again = Bench(state=bench.state, interval_seconds=0.0).write_at_once(lists("a", "b", "c"))
    assert again.of("warning") == []
    assert len(again.state.rows_of("list")) == 0
