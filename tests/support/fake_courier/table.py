"""One stream's rows in listing order: computed, with only the changes in memory."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice, takewhile
from math import gcd
from typing import Any, Final

from tests.support.fake_courier.maker import Maker, Record
from tests.support.fake_courier.timeline import Timeline

ORDERS = ("newest", "nearly_newest", "oldest", "shuffled")
ABSENT: Final = object()  # as a field's value: removes the field from the record

# Where a row stands: its position, and its id to order equal positions.
Place = tuple[int, str]
Row = tuple[int, str, int]  # position, id, index


class Table:
    """Rows 0 to size - 1 come from the maker and the timeline; later ones were added.

    A row's position is its time, except in a shuffled listing or after a move. The listing
    descends by (position, id), or ascends if its order is "oldest".
    """

    def __init__(
        self, maker: Maker, timeline: Timeline, *, order: str, as_of_ms: int, seed: int
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order: {order!r}, not one of {', '.join(ORDERS)}")
        self.order = order
        self.step = 1 if order == "oldest" else -1
        self._maker = maker
        self._timeline = timeline
        self._size = timeline.size
        self._as_of_ms = as_of_ms
        self._stride = _coprime(self._size, seed) if order == "shuffled" else 1
        self._added: list[tuple[int, int]] = []  # time and as-of time of row size + k
        self._extras: list[Row] = []  # added and moved rows that are listed, ascending
        self._extra_position: dict[int, int] = {}
        self._off_base: set[int] = set()  # computed rows that are not at their computed place
        self._hidden: set[int] = set()
        self._first = 0  # computed rows before this one have vanished
        self._patches: dict[int, dict[str, Any]] = {}
        self._undo: dict[int, list[dict[str, Any]]] = {}

    # -- reading ---------------------------------------------------------------------------

    def rows(self, after: Place | None = None) -> Iterator[Row]:
        """Yields listed rows strictly after a place, in listing order. A change invalidates it."""
        base = self._base_rows(after)
        return (
            merge(base, self._extra_rows(after), reverse=self.step < 0) if self._extras else base
        )

    def page(
        self, after: Place | None, limit: int, *, newer_than_ms: int | None = None
    ) -> list[Row]:
        """Returns up to `limit` listed rows after a place, or only newer ones."""
        found = self.rows(after)
        if newer_than_ms is not None:
            if self.order == "newest":
                found = takewhile(lambda row: row[0] > newer_than_ms, found)
            found = (row for row in found if self.time(row[2]) > newer_than_ms)
        return list(islice(found, limit))

    def records(self) -> Iterator[Record]:
        """Yields all listed records; the table may change meanwhile."""
        after = None
        while rows := self.page(after, 500):
            for row in rows:
                yield self.record(row[2])
            after = rows[-1][:2]

    def rank(self, after: Place | None) -> int:
        """Returns about how many rows lie before a place: exact if nothing was changed."""
        if after is None:
            return 0
        if self.step > 0:
            extras = bisect_right(self._extras, (*after, self._top_index))
            return self._timeline.first_at_or_after(after[0] + 1) + extras
        extras = len(self._extras) - bisect_left(self._extras, (*after, -1))
        return self._size - self._timeline.first_at_or_after(after[0]) + extras

    def count(self) -> int:
        off_base = sum(1 for index in self._off_base if index >= self._first)
        return self._size - self._first - off_base + len(self._extras)

    def find(self, id_: str) -> int:
        """Returns the index of a row that ever existed. Raises KeyError if it never did."""
        index = self._maker.index_of(id_)
        if index is None or not 0 <= index <= self._top_index or self.id_at(index) != id_:
            raise KeyError(id_)
        return index

    def is_listed(self, index: int) -> bool:
        if index in self._hidden:
            return False
        return index in self._extra_position or self._first <= index < self._size

    def id_at(self, index: int) -> str:
        return self._maker.id_of(index, self.time(index))

    def time(self, index: int) -> int:
        if index < self._size:
            return self._timeline.time(index)
        return self._added[index - self._size][0]

    @property
    def next_index(self) -> int:
        """The index that the next added row will have."""
        return self._top_index + 1

    def past_values(self, index: int, name: str) -> list[Any]:
        """Returns the values that a row's field has had, in order, without undone edits."""
        before = [*self._undo.get(index, ()), self._patches.get(index, {})]
        values = [self._unpatched(index).get(name), *(patch.get(name) for patch in before)]
        return list(dict.fromkeys(value for value in values if value not in (None, ABSENT)))

    def record(self, index: int) -> Record:
        """Returns a fresh copy of the record as it is now."""
        record = self._unpatched(index)
        patch = self._patches.get(index)
        if patch:
            record |= patch
            for name in [name for name, value in patch.items() if value is ABSENT]:
                del record[name]
        return record

    def _unpatched(self, index: int) -> Record:
        if index < self._size:
            return self._maker.record(index, self._timeline.time(index), self._as_of_ms)
        return self._maker.record(index, *self._added[index - self._size])

    def random_index(self, number: int) -> int:
        """Returns an index, listed or not, for any number."""
        return self._first + number % (self._top_index + 1 - self._first)

    # -- changing --------------------------------------------------------------------------

    def add(self, time_ms: int, *, as_of_ms: int, position: int) -> str:
        self._added.append((time_ms, as_of_ms))
        self._place(self._top_index, position)
        return self.id_at(self._top_index)

    def patch(self, index: int, fields: Mapping[str, Any]) -> None:
        """Sets fields on top of the row's current ones; each call can be undone."""
        before = self._patches.get(index, {})
        self._undo.setdefault(index, []).append(before)
        self._patches[index] = {**before, **fields}

    def undo(self, index: int) -> None:
        """Undoes the latest patch. Raises KeyError if there is none."""
        if not self._undo.get(index):
            raise KeyError(f"row {index} has no edit to undo")
        self._patches[index] = self._undo[index].pop()

    def move(self, index: int, to: str, *, now_ms: int) -> None:
        """Moves a listed row to the "head" or the "tail" of the listing."""
        if to not in ("head", "tail"):
            raise ValueError(f"move: {to!r}, not head or tail")
        if not self.is_listed(index):
            raise KeyError(f"row {index} is not listed")
        self._unplace(index)
        if (to == "head") == (self.step < 0):
            highest = self._extras[-1][0] if self._extras else 0
            position = max(now_ms, highest + 1, self._timeline.end_ms + 1)
        else:
            lowest = self._extras[0][0] if self._extras else self._timeline.start_ms
            position = min(lowest, self._timeline.start_ms) - 1
        self._place(index, position)

    def hide(self, index: int) -> None:
        if not self.is_listed(index):
            raise KeyError(f"row {index} is not listed")
        self._hidden.add(index)
        self._unplace(index)

    def show(self, index: int) -> None:
        """Shows a hidden row again in its old place."""
        self._hidden.remove(index)
        if index in self._extra_position:
            insort(self._extras, (self._extra_position[index], self.id_at(index), index))
        else:
            self._off_base.discard(index)

    def vanish(self, *, before_ms: int) -> None:
        """Removes for good the rows whose time is before a moment."""
        self._first = max(self._first, self._timeline.first_at_or_after(before_ms))
        self._extras = [row for row in self._extras if self.time(row[2]) >= before_ms]
        for index in [at for at in self._extra_position if self.time(at) < before_ms]:
            del self._extra_position[index]

    # -- inside ----------------------------------------------------------------------------

    @property
    def _top_index(self) -> int:
        return self._size + len(self._added) - 1

    def _place(self, index: int, position: int) -> None:
        self._extra_position[index] = position
        insort(self._extras, (position, self.id_at(index), index))

    def _unplace(self, index: int) -> None:
        if index in self._extra_position:
            self._extras.remove((self._extra_position[index], self.id_at(index), index))
        else:
            self._off_base.add(index)

    def _index_at(self, slot: int) -> int:
        """Returns which row stands at a slot of the timeline in this order: a bijection."""
        if self.order == "shuffled":
            return slot * self._stride % self._size
        if self.order == "nearly_newest" and slot | 1 < self._size:
            return slot ^ 1
        return slot

    def _base_rows(self, after: Place | None) -> Iterator[Row]:
        time, step, low = self._timeline.time, self.step, 0
        if self.order in ("newest", "oldest"):
            low = self._first
        if after is None:
            slot = low if step > 0 else self._size - 1
        elif step > 0:
            slot = max(low, self._timeline.first_at_or_after(after[0]))
        else:
            slot = self._timeline.first_at_or_after(after[0] + 1) - 1
        following = time(slot) if low <= slot < self._size else 0
        while low <= slot < self._size:
            position, end = following, slot + step
            while low <= end < self._size and (following := time(end)) == position:
                end += step
            rows = [self._row(position, at) for at in range(slot, end, step)]
            if len(rows) > 1:
                rows.sort(reverse=step < 0)
            for row in rows:
                if after is not None and not self._is_beyond(row, after):
                    continue
                if row[2] >= self._first and row[2] not in self._off_base:
                    yield row
            slot, after = end, after if after is not None and after[0] == position else None

    def _row(self, position: int, slot: int) -> Row:
        """Returns the row at a slot of the timeline, whose time is `position`."""
        index = self._index_at(slot)
        time_ms = position if index == slot else self._timeline.time(index)
        return position, self._maker.id_of(index, time_ms), index

    def _is_beyond(self, row: Row, after: Place) -> bool:
        return row[:2] > after if self.step > 0 else row[:2] < after

    def _extra_rows(self, after: Place | None) -> Iterator[Row]:
        if self.step > 0:
            at = 0 if after is None else bisect_right(self._extras, (*after, self._top_index))
            return self._from_extra(at, 1)
        at = len(self._extras) if after is None else bisect_left(self._extras, (*after, -1))
        return self._from_extra(at - 1, -1)

    def _from_extra(self, at: int, step: int) -> Iterator[Row]:
        while 0 <= at < len(self._extras):
            yield self._extras[at]
            at += step


def _coprime(size: int, seed: int) -> int:
    if size < 2:
        return 1
    stride = max(1, size * 618 // 1000 + seed % 7)
    while gcd(stride, size) != 1:
        stride += 1
    return stride
