"""Planted bugs: children of rows and of messages."""

from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from courier_async.reading import changes, children, message_children, rounds
from courier_async.reading.child_pages import ChildPages
from courier_async.reading.children import ChildrenReader
from courier_async.reading.children_due import ChildrenDue
from courier_async.reading.rounds import Progress
from courier_async.state import saved
from courier_async.state.position import Missing
from courier_async.state.sent_rows import key_text
from tests.simulation.planted_state import Patches

# -- rounds ---------------------------------------------------------------------------------------


def a_failed_parent_is_not_owed() -> Patches:
    real = ChildrenReader._end_parent

    def end_parent(self: ChildrenReader, end: Any, *arguments: Any) -> Any:
        batch = real(self, end, *arguments)
        owed = {p: failed for p, failed in self.state.owed.items() if p != end.parent}
        batch.state = self.state = replace(self.state, owed=owed)
        return batch

    yield patch.object(ChildrenReader, "_end_parent", end_parent)


def a_round_taken_for_whole_though_it_was_cut_short() -> Patches:
    real = Progress.advanced

    def advanced(self: Progress, current: Any, parent: str) -> Any:
        following = real(self, current, parent)
        return following and replace(following, done_to="", over=True)

    yield patch.object(Progress, "advanced", advanced)


def a_bookmark_that_passes_what_is_under_way() -> Patches:
    def advance(self: Progress, parent: str) -> str | None:
        self.done.add(parent)
        if parent not in self.round_ids:
            return None
        self.at = max(self.at, self.round_ids.index(parent) + 1)
        return self.round_ids[self.at - 1]

    yield patch.object(Progress, "advance", advance)


def no_second_round() -> Patches:
    yield patch.object(rounds, "_is_due", lambda current, now, refresh_ms: False)


def a_new_parent_waits_for_the_next_round() -> Patches:
    for module in (rounds, children):
        yield patch.object(module, "with_owed", lambda state, new: state)


def a_new_parent_unnoted_by_a_table_that_is_left_out() -> Patches:
    yield patch.object(saved.State, "begin", lambda self, tables: None)


def a_new_parent_noted_only_once_all_are_listed() -> Patches:
    yield patch.object(ChildrenReader, "owe", lambda self, new: None)


def one_failing_parent_ends_the_round() -> Patches:
    real = ChildrenReader._end_parent

    def end_parent(self: ChildrenReader, end: Any, *arguments: Any) -> Any:
        batch = real(self, end, *arguments)
        if end.parent in self._errors:
            raise self._errors[end.parent]
        return batch

    yield patch.object(ChildrenReader, "_end_parent", end_parent)


# -- deletes --------------------------------------------------------------------------------------


def a_child_deleted_after_one_reading() -> Patches:
    real = ChildrenReader._compare

    def compare(self: ChildrenReader, parent: str, seen: Any, batch: Any, now: int) -> None:
        missed = {key_text(key): Missing(0) for key in self._kept[parent] - seen}
        self.state = replace(self.state, missing=self.state.missing | missed)
        real(self, parent, seen, batch, now)

    yield patch.object(ChildrenReader, "_compare", compare)


def children_of_a_deleted_parent_stay() -> Patches:
    yield patch.object(ChildrenReader, "delete_of", lambda self, gone: None)


def children_of_a_parent_that_a_dying_sync_deleted_stay() -> Patches:
    """Deletes children after their parent's row instead of before it."""
    waiting: list[tuple[ChildrenReader, set[str]]] = []
    real, real_batches = ChildrenReader.delete_of, ChildrenReader.batches

    def delete_of(self: ChildrenReader, gone: Any) -> None:
        waiting.append((self, gone))

    async def batches(self: ChildrenReader, parents: Any) -> Any:
        for gone in [gone for reader, gone in waiting if reader is self]:
            batch = real(self, gone)
            if batch is not None:
                yield batch
        async for output in real_batches(self, parents):
            yield output

    yield patch.object(ChildrenReader, "delete_of", delete_of)
    yield patch.object(ChildrenReader, "batches", batches)


def children_of_a_part_read_parent_taken_for_gone() -> Patches:
    real = ChildrenReader._end_parent

    def end_parent(self: ChildrenReader, end: Any, progress: Any, parents: Any) -> Any:
        if end.error is not None:
            seen = self._seen[end.parent]
            batch = real(self, end, progress, parents)
            self._compare(end.parent, seen, batch, parents.now)
            return batch
        return real(self, end, progress, parents)

    yield patch.object(ChildrenReader, "_end_parent", end_parent)


# -- messages -------------------------------------------------------------------------------------


def a_due_message_is_forgotten_when_the_sync_dies() -> Patches:
    real = saved.State.as_json

    def as_json(self: saved.State) -> Any:
        kept, self.due = self.due, {}
        try:
            return real(self)
        finally:
            self.due = kept

    yield patch.object(saved.State, "as_json", as_json)


def messages_whose_children_cannot_be_noted_are_claimed() -> Patches:
    real = changes.Changes.select

    def select(self: changes.Changes, *arguments: Any) -> changes.Selected:
        selected = real(self, *arguments)
        selected.missed_ms = None
        return selected

    yield patch.object(changes.Changes, "select", select)


def children_read_before_they_show() -> Patches:
    yield patch.object(changes, "HISTORY_LAG_MS", -changes.HISTORY_LAG_MS)


def a_position_counted_from_the_end() -> Patches:
    real = ChildPages._keyed

    def keyed(self: ChildPages, records: Any, parent_id: str, position: int) -> Any:
        return real(self, records[::-1], parent_id, position)

    yield patch.object(ChildPages, "_keyed", keyed)


def a_message_done_though_it_has_changed_meanwhile() -> Patches:
    def finish_with(self: ChildrenDue, message_id: str, last: Any) -> None:
        if message_id not in self._waiting:
            last.done.append(message_id)

    yield patch.object(ChildrenDue, "finish_with", finish_with)


def children_of_a_message_that_was_unusable_forgotten() -> Patches:
    real = changes.Changes._owes_children

    def owes_children(
        self: changes.Changes, time: int, newest: int, recent: Any, state: Any
    ) -> bool:
        return real(self, time, newest, recent, replace(state, unusable=()))

    yield patch.object(changes.Changes, "_owes_children", owes_children)


def of_spoiled_histories_only_a_few_are_due_again() -> Patches:
    yield patch.object(message_children, "_MOST_SUSPECTS", {False: 2, True: 2})


def messages_that_courier_does_not_know_yet_are_done() -> Patches:
    real = message_children.MessageChildrenReader._is_suspect

    def is_suspect(self: Any, read: Any, *, failed_before: bool) -> bool:
        return read.error is None and real(self, read, failed_before=failed_before)

    yield patch.object(message_children.MessageChildrenReader, "_is_suspect", is_suspect)
