"""A Courier account: seeded records of every stream, and the changes that can happen to them.

Nothing here knows about HTTP. Message i of a million is computed from (seed, i); only changes
take memory. The same arguments and clock give the same account, and the same changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from tests.support.fake_courier.changes import apply_change, progress, renamed, updated
from tests.support.fake_courier.children import Children
from tests.support.fake_courier.clock import clock_of
from tests.support.fake_courier.maker import Record
from tests.support.fake_courier.member_changes import MemberChanges
from tests.support.fake_courier.names import Names
from tests.support.fake_courier.streams import EVERY_STREAM, MEMBER_STREAMS
from tests.support.fake_courier.table import Place, Row, Table
from tests.support.fake_courier.tables import (
    DEFAULT_ORDERS,
    DEFAULT_SIZES,
    OTHER_SPAN_DAYS,
    Growth,
    make_tables,
    over,
)
from tests.support.fake_courier.timeline import DAY_MS


class Account:
    """The data that the fake API serves.

    sizes: records per stream, replacing DEFAULT_SIZES; for members, mean rows per parent. orders:
    newest, nearly_newest (neighbours swapped), oldest or shuffled, replacing DEFAULT_ORDERS.
    span_days: of the messages; the audit events span 365 days, preference changes 90, the rest
    700. cluster_share: that share of the messages lies in one week. targets: of audit events,
    mixed, string, object, empty or absent. hostile_names: ids and names that encoding, typing or a
    terminal gets wrong, rather than recognizable ones. daily: new records per day and stream, each
    visible from its time on. now_ms: the clock, a fixed time or a function, by default the wall
    clock; the youngest record is a minute older.
    Raises ValueError for an unknown stream, order or target and for a span that is too short.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        sizes: Mapping[str, int] | None = None,
        now_ms: int | Callable[[], int] | None = None,
        span_days: float = 30.0,
        cluster_share: float = 0.0,
        orders: Mapping[str, str] | None = None,
        targets: str = "mixed",
        hostile_names: bool = True,
        daily: Mapping[str, float] | None = None,
    ) -> None:
        self.seed = seed
        self.sizes = over(DEFAULT_SIZES, sizes)
        self.orders = over(DEFAULT_ORDERS, orders)
        self._offset_ms = 0
        self._clock = clock_of(now_ms)
        self.made_ms = self.now_ms()
        self._changes = 0
        self._archived: set[tuple[str, int]] = set()
        self.children = Children(seed, self.sizes, self.orders, self.made_ms, hostile_names)
        self.members = MemberChanges(self.children, self.parents, self.now_ms, seed)
        self._growth = Growth(daily or {}, self.made_ms)
        self._tables = make_tables(
            seed=seed,
            sizes=self.sizes,
            orders=self.orders,
            made_ms=self.made_ms,
            span_days=span_days,
            cluster_share=cluster_share,
            targets=targets,
            names=Names(seed, is_hostile=hostile_names),
        )

    # -- the clock ---------------------------------------------------------------------------

    def now_ms(self) -> int:
        return self._clock() + self._offset_ms

    def set_now(self, now_ms: int | Callable[[], int]) -> None:
        """Replaces the clock by a fixed time or a function."""
        self._clock, self._offset_ms = clock_of(now_ms), 0

    def advance(self, ms: int) -> None:
        """Moves the clock forward (or back) by some milliseconds, whatever clock it is."""
        self._offset_ms += ms

    # -- reading -----------------------------------------------------------------------------

    def truth(self, stream: str) -> Iterator[Record]:
        """Yields the records that the API would list now, in its order: what must land.

        Templates have their `note`, subscriptions their list's id, topics their section's.
        """
        if stream in MEMBER_STREAMS:
            yield from self.children.truth(stream, self.parents(stream))
            return
        sections = self._listed_ids("preference_section") if stream == "subscription_topic" else ()
        for record in self.table(stream).records():
            if stream != "subscription_topic" or record["section_id"] in sections:
                yield record

    def rows(
        self, stream: str, after: Place | None, limit: int, *, newer_than_ms: int | None = None
    ) -> list[Row]:
        """Returns up to `limit` listed rows (position, id, index) after a place, or newer ones."""
        return self.table(stream).page(after, limit, newer_than_ms=newer_than_ms)

    def table(self, stream: str, parent: str | None = None) -> Table:
        """Returns the rows of a stream, or those of one parent."""
        if parent is not None:
            return self.children.table(stream, parent)
        self._growth.reach(stream, self._tables[stream], self.now_ms())
        return self._tables[stream]

    def record(self, stream: str, index: int) -> Record:
        return self._tables[stream].record(index)

    def descends(self, stream: str) -> bool:
        return self._tables[stream].step < 0

    def find(self, stream: str, id_: str) -> int:
        """Returns the index of a row that is or was ever listed. Raises KeyError if none was."""
        return self._tables[stream].find(id_)

    def id_at(self, stream: str, index: int) -> str:
        return self._tables[stream].id_at(index)

    def get(self, stream: str, id_: str) -> Record | None:
        """Returns the record that GET by id answers, archived templates included; None for 404."""
        try:
            index = self.find(stream, id_)
        except KeyError:
            return None
        table = self._tables[stream]
        if table.is_listed(index) or (stream, index) in self._archived:
            return table.record(index)
        return None

    def count(self, stream: str) -> int:
        """Returns how many records the API would list now."""
        return self.table(stream).count()

    def pick(self, stream: str, n: int) -> list[str]:
        """Returns up to n ids of listed rows from anywhere; the next call picks others."""
        table, listed = self.table(stream), self.count(stream)
        random = self.random(stream)
        if n * 4 > listed:
            ids = [row[1] for row in table.rows()]
            return random.sample(ids, min(n, len(ids)))
        picked: dict[int, str] = {}
        while len(picked) < n:
            index = table.random_index(random.getrandbits(48))
            if table.is_listed(index):
                picked[index] = table.id_at(index)
        return list(picked.values())

    # -- changing ----------------------------------------------------------------------------

    def add(self, stream: str, n: int = 1) -> list[str]:
        """Adds new records at the head of a newest-first listing, and returns their ids."""
        return self.add_late(n, 0, stream=stream)

    def add_late(
        self, n: int = 1, age_ms: int = 0, *, stream: str = "message", behind_ms: int = 0
    ) -> list[str]:
        """Adds records that become visible now and claim to be `age_ms` old.

        behind_ms: they stand among records that are older by this much. To put one with an odd
        time at the head: add_late(1, age_ms, behind_ms=-age_ms); a negative age is a time ahead.
        """
        table, now = self._tables[stream], self.now_ms()
        ids = []
        for _ in range(n):
            time_ms = now - age_ms
            position = time_ms - behind_ms
            if table.order == "shuffled":
                random = Random(f"{self.seed}/{stream}/{self._changes}")
                position = self.made_ms - random.randrange(round(OTHER_SPAN_DAYS * DAY_MS))
            self._changes += 1
            ids.append(table.add(time_ms, as_of_ms=now, position=position))
        return ids

    def edit(
        self,
        stream: str,
        id_: str,
        /,
        *,
        move: str | None = None,
        keep_updated: bool = False,
        **fields: Any,
    ) -> None:
        """Sets fields of a listed row (ABSENT removes one); if none are given, changes its name.

        A row with an updated time gets a new one unless `keep_updated`. move: "head" or "tail" of
        its listing; None keeps its place. Raises KeyError if there is no such row.
        """
        index = self.listed_index(stream, id_)
        table = self._tables[stream]
        if not fields:
            self._changes += 1
            fields = renamed(stream, table.record(index), self._changes)
        if not keep_updated:
            fields = updated(stream, id_, self.now_ms()) | fields
        table.patch(index, fields)
        if move is not None:
            table.move(index, move, now_ms=self.now_ms())

    def touch(self, stream: str, id_: str, /, *, move: str | None = "head") -> None:
        """Gives a row a new updated time, if it has one, and moves it."""
        index = self.listed_index(stream, id_)
        self._tables[stream].patch(index, updated(stream, id_, self.now_ms()))
        if move is not None:
            self._tables[stream].move(index, move, now_ms=self.now_ms())

    def move(self, stream: str, id_: str, /, *, to: str = "head") -> None:
        """Moves a row to the "head" or the "tail" of its listing without changing it."""
        self._tables[stream].move(self.listed_index(stream, id_), to, now_ms=self.now_ms())

    def revert(self, stream: str, id_: str, /, *, move: str | None = None) -> None:
        """Undoes the latest edit or touch of a row exactly; it keeps its place unless moved."""
        index = self.listed_index(stream, id_)
        self._tables[stream].undo(index)
        if move is not None:
            self._tables[stream].move(index, move, now_ms=self.now_ms())

    def progress_messages(
        self, n: int = 1, *, ids: Sequence[str] | None = None, newest: int = 2000
    ) -> list[str]:
        """Takes messages one step further now: ENQUEUED, SENT, DELIVERED, OPENED, CLICKED.

        Takes those named, or n of the `newest` ones that can go further. Returns the ids changed.
        """
        return progress(self, n, ids=ids, newest=newest)

    def delete(self, stream: str, id_: str, /) -> None:
        """Removes a row from its listing; its id then answers 404. Also takes a hidden row."""
        index = self.find(stream, id_)
        if (stream, index) in self._archived:
            self._archived.remove((stream, index))
        else:
            self._tables[stream].hide(self.listed_index(stream, id_))

    def hide(self, stream: str, id_: str, /) -> None:
        """Removes a row from its listing; its id still answers."""
        index = self.listed_index(stream, id_)
        self._tables[stream].hide(index)
        self._archived.add((stream, index))

    def archive(self, id_: str, /) -> None:
        """Hides a template, as archiving in Courier does."""
        self.hide("notification", id_)

    def restore(self, stream: str, id_: str, /) -> None:
        """Restores a deleted, hidden or archived row exactly, in its old place."""
        index = self.find(stream, id_)
        self._tables[stream].show(index)
        self._archived.discard((stream, index))

    def retention(self, older_than_ms: int) -> None:
        """Removes messages enqueued before a moment (epoch ms) for good."""
        self._tables["message"].vanish(before_ms=older_than_ms)

    def random(self, purpose: str) -> Random:
        """Returns a new random source for each change, derived from the seed."""
        self._changes += 1
        return Random(f"{self.seed}/{purpose}/{self._changes - 1}")

    def parents(self, stream: str) -> list[str]:
        """Returns the ids of the listed rows that a stream of members belongs to."""
        parent = EVERY_STREAM[stream].parent
        if parent is None:
            raise ValueError(f"{stream} has no parents")
        return self._listed_ids(parent)

    def apply(self, change: Mapping[str, Any]) -> list[str]:
        """Applies a change as JSON: {"do": "edit", "stream": "brand", "id": …, "fields": {…}}.

        `do` is one of CHANGES, the rest its arguments by name. If a row is needed and neither `id`
        nor `ids` is given, picks `n` rows (1). Returns the ids changed. Raises ValueError for an
        unknown change, TypeError for wrong arguments.
        """
        return apply_change(self, change)

    # -- inside ------------------------------------------------------------------------------

    def _listed_ids(self, stream: str) -> list[str]:
        return [row[1] for row in self._tables[stream].rows()]

    def listed_index(self, stream: str, id_: str) -> int:
        """Returns the index of a row that is listed now. Raises KeyError if it is not."""
        index = self.find(stream, id_)
        if not self._tables[stream].is_listed(index):
            raise KeyError(f"{stream} {id_!r} is not listed")
        return index
