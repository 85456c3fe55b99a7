"""A Courier account: seven streams of seeded records, and the ways in which they change.

Nothing here knows HTTP. Message i of a million is computed from (seed, i); memory goes to
changes only. The same seed, sizes, options and clock give the same account and, for the same
calls, the same changes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from tests.support.fake_courier.children import Children
from tests.support.fake_courier.member_changes import MEMBER_CHANGES, MemberChanges
from tests.support.fake_courier.preferences import preference_makers
from tests.support.fake_courier.records import Record, iso, makers
from tests.support.fake_courier.streams import EVERY_STREAM, MEMBER_STREAMS
from tests.support.fake_courier.table import ABSENT, Place, Row, Table
from tests.support.fake_courier.timeline import DAY_MS, Timeline

__all__ = ["ABSENT", "Account"]

DEFAULT_SIZES = {
    "brand": 25, "audience": 25, "audit_event": 60, "list": 25, "message": 500,
    "notification": 30, "tenant": 40,
    "preference_change": 40, "preference_section": 3, "subscription_topic": 9,
    # A parent, at the mean.
    "list_subscription": 6, "audience_member": 4, "tenant_user": 3,
}  # fmt: skip
DEFAULT_ORDERS = {
    "brand": "shuffled", "audience": "newest", "audit_event": "newest", "list": "oldest",
    "message": "newest", "notification": "newest", "tenant": "oldest",
    "preference_change": "newest", "preference_section": "oldest", "subscription_topic": "oldest",
    "list_subscription": "newest", "audience_member": "newest", "tenant_user": "oldest",
}  # fmt: skip
SPAN_DAYS = {"audit_event": 365.0, "preference_change": 90.0}
OTHER_SPAN_DAYS = 700.0
CHANGES = (
    "add", "add_late", "add_settled", "edit", "touch", "move", "revert", "progress_messages",
    "change_at_age", "delete", "hide", "archive", "restore", "retention", "advance",
    *MEMBER_CHANGES,
)  # fmt: skip

WITHOUT_ROWS = {
    "add", "add_late", "add_settled", "progress_messages", "change_at_age", "retention", "advance",
}  # fmt: skip


class Account:
    """The data that the fake API serves.

    sizes: records a stream, over DEFAULT_SIZES; of members, rows a parent at the mean. orders:
    newest, nearly_newest (neighbours swapped), oldest or shuffled, over DEFAULT_ORDERS.
    span_days: of the messages; the audit events span 365 days, preference changes 90, the rest
    700. cluster_share: that share of the messages lies in one week. targets: of audit events,
    mixed, string, object, empty or absent. hostile_names: ids and names that encoding, typing
    or a terminal gets wrong, else those that people recognise. now_ms: the clock, a fixed time
    or a function, by default the wall clock; the youngest record is a minute older.
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
    ) -> None:
        self.seed = seed
        self.sizes = _over(DEFAULT_SIZES, sizes)
        self.orders = _over(DEFAULT_ORDERS, orders)
        self._offset_ms = 0
        self._clock = _clock(now_ms)
        self.made_ms = self.now_ms()
        self._changes = 0
        self._archived: set[tuple[str, int]] = set()
        self._tables: dict[str, Table] = {}
        self.children = Children(
            seed=seed,
            sizes=self.sizes,
            orders=self.orders,
            made_ms=self.made_ms,
            hostile=hostile_names,
        )
        self.members = MemberChanges(
            self.children, parents=self.parents, now_ms=self.now_ms, seed=seed
        )
        sections = self.sizes["preference_section"]
        every_maker = makers(seed, targets=targets) | preference_makers(seed, sections=sections)
        for number, (stream, maker) in enumerate(every_maker.items()):
            days = span_days if stream == "message" else SPAN_DAYS.get(stream, OTHER_SPAN_DAYS)
            timeline = Timeline(
                self.sizes[stream],
                start_ms=self.made_ms - round(days * DAY_MS),
                end_ms=self.made_ms - 60_000,
                cluster_share=cluster_share if stream == "message" else 0.0,
                salt=seed * 7 + number,
            )
            self._tables[stream] = Table(
                maker, timeline, order=self.orders[stream], as_of_ms=self.made_ms, seed=seed
            )

    # -- the clock ---------------------------------------------------------------------------

    def now_ms(self) -> int:
        return self._clock() + self._offset_ms

    def set_now(self, now_ms: int | Callable[[], int]) -> None:
        """Replace the clock by a fixed time or a function."""
        self._clock, self._offset_ms = _clock(now_ms), 0

    def advance(self, ms: int) -> None:
        """Put the clock forward (or back) by some milliseconds, whatever clock it is."""
        self._offset_ms += ms

    # -- reading -----------------------------------------------------------------------------

    def truth(self, stream: str) -> Iterator[Record]:
        """The records that the API would list now, in its order: what must land.

        Templates carry their `note`, as with notes=true, subscriptions the id of their list,
        topics that of their section. The account may change meanwhile.
        """
        if stream in MEMBER_STREAMS:
            yield from self._truth_of_members(stream)
            return
        sections = self._listed_ids("preference_section") if stream == "subscription_topic" else ()
        for record in self._records(self.table(stream)):
            if stream != "subscription_topic" or record["section_id"] in sections:
                yield record

    def rows(
        self, stream: str, after: Place | None, limit: int, *, newer_than_ms: int | None = None
    ) -> list[Row]:
        """At most `limit` listed rows (position, id, index) after a place; newer ones if asked."""
        return self.table(stream).page(after, limit, newer_than_ms=newer_than_ms)

    def table(self, stream: str, parent: str | None = None) -> Table:
        """The rows of a stream, or those of one parent."""
        if parent is not None:
            return self.children.table(stream, parent)
        return self._tables[stream]

    def listed(self, stream: str, id_: str) -> int | None:
        """The index of a row that is listed now, else None."""
        try:
            return self._listed(stream, id_)
        except KeyError:
            return None

    def record(self, stream: str, index: int) -> Record:
        return self._tables[stream].record(index)

    def find(self, stream: str, id_: str) -> int:
        """The index of a row that is or ever was listed; KeyError if there was none."""
        return self._tables[stream].find(id_)

    def id_at(self, stream: str, index: int) -> str:
        return self._tables[stream].id_at(index)

    def get(self, stream: str, id_: str) -> Record | None:
        """The record as GET by id answers it: None for 404, an archived template stays."""
        try:
            index = self.find(stream, id_)
        except KeyError:
            return None
        table = self._tables[stream]
        if table.is_listed(index) or (stream, index) in self._archived:
            return table.record(index)
        return None

    def count(self, stream: str) -> int:
        """How many records the API would list now."""
        return self._tables[stream].count()

    def pick(self, stream: str, n: int) -> list[str]:
        """The ids of n listed rows from anywhere; the next call picks others. Fewer if few."""
        table, listed = self._tables[stream], self.count(stream)
        random = Random(f"{self.seed}/{stream}/{self._changes}")
        self._changes += 1
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
        """New records of the present, at the head of a newest-first listing; their ids."""
        return self.add_late(n, 0, stream=stream)

    def add_late(
        self, n: int = 1, age_ms: int = 0, *, stream: str = "message", behind_ms: int = 0
    ) -> list[str]:
        """Records that become visible now and say that they are `age_ms` old.

        behind_ms: they stand where records stand that are older by so much. One with an odd time
        at the head: add_late(1, age_ms, behind_ms=-age_ms), a negative age being a time ahead.
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

    def add_settled(self, n: int = 1, age_ms: int = 0) -> list[str]:
        """Messages that become visible now, `age_ms` after all of their own times: DELIVERED."""
        ids = self.add_late(n, age_ms)
        for id_ in ids:
            at = self.now_ms() - age_ms
            unset = ("opened", "clicked", "canceledAt", "error", "reason", "reasonCode")
            fields: Record = dict.fromkeys(unset, ABSENT)
            fields |= {"status": "DELIVERED", "sent": at + 1000, "delivered": at + 2000}
            self.edit("message", id_, **fields)
        return ids

    def change_at_age(self, age_ms: int, n: int = 1, status: str = "OPENED") -> list[str]:
        """The n messages of that age, or the next older ones, are OPENED (CLICKED ...) now."""
        place = (self.now_ms() - age_ms, "~")
        ids = [row[1] for row in self.rows("message", place, n)]
        for id_ in ids:
            fields: Record = {"status": status, status.lower(): self.now_ms()}
            self.edit("message", id_, **fields)
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
        """Set fields of a listed row (ABSENT removes one); with none given, change its name.

        A row that carries an updated time gets a new one unless `keep_updated`. move: "head" or
        "tail" of its listing, None leaves it in its place. Raises KeyError for no such row.
        """
        index = self._listed(stream, id_)
        table = self._tables[stream]
        if not fields:
            self._changes += 1
            fields = self._renamed(stream, table.record(index))
        if not keep_updated:
            fields = self._updated(stream, id_, now_ms=self.now_ms()) | fields
        table.patch(index, fields)
        if move is not None:
            table.move(index, move, now_ms=self.now_ms())

    def touch(self, stream: str, id_: str, /, *, move: str | None = "head") -> None:
        """Give a row a new updated time, if it carries one, and move it."""
        index = self._listed(stream, id_)
        self._tables[stream].patch(index, self._updated(stream, id_, now_ms=self.now_ms()))
        if move is not None:
            self._tables[stream].move(index, move, now_ms=self.now_ms())

    def move(self, stream: str, id_: str, /, *, to: str = "head") -> None:
        """Put a row at the "head" or the "tail" of its listing as it is."""
        self._tables[stream].move(self._listed(stream, id_), to, now_ms=self.now_ms())

    def revert(self, stream: str, id_: str, /, *, move: str | None = None) -> None:
        """Take the latest edit or touch of a row back to the letter; it keeps its place."""
        index = self._listed(stream, id_)
        self._tables[stream].undo(index)
        if move is not None:
            self._tables[stream].move(index, move, now_ms=self.now_ms())

    def progress_messages(
        self, n: int = 1, *, ids: Sequence[str] | None = None, newest: int = 2000
    ) -> list[str]:
        """Take messages one step further: ENQUEUED, SENT, DELIVERED, OPENED, CLICKED, now.

        Those named, or n that can go further among the `newest` ones; the ids of those moved.
        """
        if ids is None:
            rows = self.rows("message", None, newest)
            Random(f"{self.seed}/progress/{self._changes}").shuffle(rows)
            ids = [row[1] for row in rows]
        self._changes += 1
        table = self._tables["message"]
        moved: list[str] = []
        for id_ in ids:
            index = self._listed("message", id_)
            step = NEXT_STEP.get(table.record(index)["status"])
            if step is not None and len(moved) < n:
                table.patch(index, {"status": step[0], step[1]: self.now_ms()})
                moved.append(id_)
        return moved

    def delete(self, stream: str, id_: str, /) -> None:
        """The row leaves its listing, and is 404 by id."""
        self._tables[stream].hide(self._listed(stream, id_))

    def hide(self, stream: str, id_: str, /) -> None:
        """The row leaves its listing, and is still answered by id."""
        index = self._listed(stream, id_)
        self._tables[stream].hide(index)
        self._archived.add((stream, index))

    def archive(self, id_: str, /) -> None:
        """The same of a template, as Courier does it."""
        self.hide("notification", id_)

    def restore(self, stream: str, id_: str, /) -> None:
        """Bring a deleted, hidden or archived row back to the letter, where it was."""
        index = self.find(stream, id_)
        self._tables[stream].show(index)
        self._archived.discard((stream, index))

    def retention(self, older_than_ms: int) -> None:
        """Messages enqueued before a moment (epoch ms) vanish for good."""
        self._tables["message"].vanish(before_ms=older_than_ms)

    def parents(self, stream: str) -> list[str]:
        """The ids of the listed rows that a stream of members belongs to."""
        parent = EVERY_STREAM[stream].parent
        if parent is None:
            raise ValueError(f"{stream} has no parents")
        return self._listed_ids(parent)

    def apply(self, change: Mapping[str, Any]) -> list[str]:
        """A change as JSON: {"do": "edit", "stream": "brand", "id": …, "fields": {…}}.

        `do` is one of CHANGES, the rest its arguments by name. Where a row is needed and
        neither `id` nor `ids` is given, `n` rows (1) are picked. Returns the ids changed.
        Raises ValueError for an unknown change, TypeError for wrong arguments.
        """
        arguments = dict(change)
        name = arguments.pop("do", None)
        if name not in CHANGES:
            raise ValueError(f"do: {name!r}, not one of {', '.join(CHANGES)}")
        if name in MEMBER_CHANGES:
            return list(getattr(self.members, name)(**arguments))
        method = getattr(self, name)
        if name in WITHOUT_ROWS:
            return method(**arguments) or []
        stream = arguments.pop("stream", "notification")
        ids = arguments.pop("ids", None) or [arguments.pop("id", None)]
        if ids == [None]:
            ids = self.pick(stream, arguments.pop("n", 1))
        fields = arguments.pop("fields", {})
        for id_ in ids:
            target = (id_,) if name == "archive" else (stream, id_)
            method(*target, **arguments, **fields)
        return list(ids)

    # -- inside ------------------------------------------------------------------------------

    def _records(self, table: Table) -> Iterator[Record]:
        after = None
        while rows := table.page(after, 500):
            for row in rows:
                yield table.record(row[2])
            after = rows[-1][:2]

    def _truth_of_members(self, stream: str) -> Iterator[Record]:
        for parent in self.parents(stream):
            for record in self._records(self.table(stream, parent)):
                if stream == "list_subscription":
                    record = {"list_id": parent, **record}
                yield record

    def _listed_ids(self, stream: str) -> list[str]:
        return [row[1] for row in self._tables[stream].rows()]

    def _listed(self, stream: str, id_: str) -> int:
        index = self.find(stream, id_)
        if not self._tables[stream].is_listed(index):
            raise KeyError(f"{stream} {id_!r} is not listed")
        return index

    def _renamed(self, stream: str, record: Record) -> Record:
        if stream in ("message", "audit_event", "preference_change"):
            raise TypeError(f"an edit of {stream} needs fields")
        name = "title" if "title" in record else "name"
        return {name: f"{record.get(name)} (edit {self._changes})"}

    def _updated(self, stream: str, id_: str, *, now_ms: int) -> Record:
        if stream == "audience":
            return {"updated_at": iso(now_ms)}
        if stream in ("list", "preference_section", "subscription_topic"):
            return {"updated": iso(now_ms)}
        if stream == "brand" or id_.startswith("nt_"):
            return {"updated": now_ms}
        return {"updated_at": now_ms} if stream == "notification" else {}


NEXT_STEP = {
    "ENQUEUED": ("SENT", "sent"),
    "SENT": ("DELIVERED", "delivered"),
    "DELIVERED": ("OPENED", "opened"),
    "OPENED": ("CLICKED", "clicked"),
}


def _over(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    unknown = set(given or {}) - set(defaults)
    if unknown:
        raise ValueError(f"no such stream: {', '.join(sorted(unknown))}")
    return {**defaults, **(given or {})}


def _clock(now_ms: int | Callable[[], int] | None) -> Callable[[], int]:
    if now_ms is None:
        return lambda: time.time_ns() // 1_000_000
    return now_ms if callable(now_ms) else lambda: now_ms
