"""The reader of message children on its own: what it releases, and when it is done."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.errors import Unavailable
from courier_async.handover import Batch, Release
from courier_async.reading.changes import Changes
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.children_due import ChildrenDue
from courier_async.reading.judge import JudgedPage, judge_page
from courier_async.reading.message_children import MessageChildrenReader
from courier_async.state.position import StreamState

EVENT = BY_TABLE["message_event"]
NOW = 1_794_657_600_000
EMPTY = JudgedPage(records=[], keys=[], times=[], gaps=[], next_cursor=None)


class Pages(ChildPages):
    """Gives every message the same page of children. held: pages whose memory is not released."""

    def __init__(self, before: Callable[[str], None], page: JudgedPage = EMPTY) -> None:
        self.now_ms = NOW
        self.held = 0
        self._before = before
        self._every = page

    def can_ask(self, parent_id: str) -> bool:
        return True

    async def of(self, parent_id: str) -> AsyncIterator[tuple[JudgedPage, Release]]:
        self._before(parent_id)
        await asyncio.sleep(0)
        self.held += 1
        yield self._every, self._release

    def _release(self) -> None:
        self.held -= 1


def reader_of(due: ChildrenDue, pages: Pages) -> MessageChildrenReader:
    changes = Changes(EVENT, mapper=RowMapper(EVENT, redact_secrets=True), salt=b"")
    return MessageChildrenReader(
        EVENT, StreamState(), changes=changes, pages=pages, due=due, counts=Counts(EVENT.table)
    )


async def write_slowly(reader: MessageChildrenReader) -> None:
    """Writes slowly, so that read pages wait."""
    async for _ in reader.batches():
        await asyncio.sleep(0.001)


async def test_what_is_read_when_so_many_fail_that_no_more_is_gives_its_memory_back() -> None:
    def fail_at_first(message_id: str) -> None:
        if int(message_id) < 30:
            raise Unavailable("no usable response after 1 attempt: Courier answered 500")

    due = ChildrenDue({str(number): 1 for number in range(200)})
    due.end()
    pages = Pages(fail_at_first)
    with pytest.raises(Unavailable):
        await write_slowly(reader_of(due, pages))
    assert pages.held == 0


async def test_a_message_that_changes_while_its_children_are_read_stays_due() -> None:
    asked: list[str] = []

    def change_at_first(message_id: str) -> None:
        asked.append(message_id)
        if len(asked) == 1:
            due.add({message_id: 2})

    due = ChildrenDue({"a": 1})
    batches = reader_of(due, Pages(change_at_first)).batches()
    done = []
    async for batch in batches:
        assert isinstance(batch, Batch)
        if batch.state is not None:
            done.append(batch.done)
        due.end()
    assert asked == ["a", "a"]
    assert done == [[], ["a"]]


@pytest.mark.parametrize("put_before", [0, 1])
async def test_a_message_that_changes_while_its_last_batch_waits_for_the_queue_stays_due(
    put_before: int,
) -> None:
    due = ChildrenDue({"a": 1})
    done: list[list[str]] = []
    async for batch in reader_of(due, Pages(lambda _: None)).batches():
        if len(done) == put_before:
            # Its new row takes the place on the queue for which this batch waits.
            due.add({"a": 2})
            due.end()
        assert isinstance(batch, Batch)
        done.append([*batch.done])
    # A page and an end for each time it is read.
    assert done == [[], [], [], ["a"]]


@pytest.mark.parametrize(("first", "lands"), [("ENQUEUED", True), ("SENT", False)])
async def test_a_history_is_cut_short_where_it_begins_late_and_with_another_event(
    first: str, lands: bool
) -> None:
    """A message may be dated hours before its history."""
    record = {"message_id": "a", "position": 0, "type": first, "ts": NOW}
    page = judge_page(EVENT, Page([record], None), now_ms=NOW)
    due = ChildrenDue({"a": NOW - 2 * HOUR_MS})
    due.end()
    rows, done = [], []
    async for batch in reader_of(due, Pages(lambda _: None, page)).batches():
        assert isinstance(batch, Batch)
        rows += batch.rows
        done += batch.done
    assert (len(rows), done) == (int(lands), ["a"])


async def test_a_batch_that_has_been_handed_over_is_let_go_before_the_message_is_done() -> None:
    class Share:
        def release(self) -> None:
            """Gives nothing back."""

    class OwnShare(Pages):
        async def of(self, parent_id: str) -> AsyncIterator[tuple[JudgedPage, Release]]:
            share = Share()
            shares.append(weakref.ref(share))
            yield self._every, share.release

    shares: list[weakref.ref[Share]] = []
    due = ChildrenDue({"a": 1})
    due.end()
    batches = reader_of(due, OwnShare(lambda _: None)).batches()
    await anext(batches)
    await anext(batches)
    assert [share() for share in shares] == [None]
