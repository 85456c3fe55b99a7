"""Random changes to the records of a simulated account."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from tests.support.fake_courier.changes import add_settled, change_at_age

if TYPE_CHECKING:
    from tests.simulation.source import Source

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Ids of changed rows, and whether they have moved.
Changed = tuple[list[str], bool]

_MESSAGE_KINDS = ("add", "add", "late", "late", "progress", "progress", "aged", "vanish")
_ROW_KINDS = (
    "add", "edit", "edit", "move", "touch", "revert", "revert", "delete", "delete", "restore",
    "many", "hide",
)  # fmt: skip


class Changes:
    """Changes one account. latest_ms: how old a record may be when it first shows."""

    def __init__(self, source: Source, random: Random, latest_ms: Mapping[str, int]) -> None:
        self._source = source
        self._random = random
        self._latest_ms = latest_ms
        self._edited: list[tuple[str, str]] = []
        self._added: list[tuple[str, str]] = []

    def make(self, stream: str, kind: str | None) -> tuple[str, list[str], bool]:
        """Makes a change; returns its kind, the ids affected, and whether they have moved."""
        if kind is None:
            kind = self._random.choice(self._kinds(stream))
        if kind in ("add", "late", "settled", "odd"):
            return kind, self._add(stream, kind), True
        if kind == "restore":
            return kind, self._restore(stream), True
        listed = [row[1] for row in self._source.listing(stream)]
        return kind, self._change(stream, kind, listed) if listed else [], False

    def take_back(self) -> list[tuple[str, str]]:
        """Undoes all edits and additions since the last call, and returns what it changed."""
        taken_back = []
        for stream, id_ in reversed(self._edited):
            past = self._source.past[stream][id_]
            if past.listed and past.edits:
                self._source.revert(stream, id_)
                past.edits -= 1
                taken_back.append((stream, id_))
        for stream, id_ in self._added:
            if self._source.past[stream][id_].listed:
                self._source.delete(stream, id_)
                taken_back.append((stream, id_))
        self._edited.clear()
        self._added.clear()
        return taken_back

    def _kinds(self, stream: str) -> tuple[str, ...]:
        if stream == "message":
            return _MESSAGE_KINDS
        if stream == "audit_event":
            return ("add", "late")
        return _ROW_KINDS + ("archive",) * 2 * (stream == "notification")

    # -- records that show for the first time ------------------------------------------------

    def _add(self, stream: str, kind: str) -> list[str]:
        random, source = self._random, self._source
        if kind == "add":
            ids = source.add(stream, random.choice((1, 1, 2, 3, 12)))
            if stream not in self._latest_ms:
                self._added += [(stream, id_) for id_ in ids]
            return ids
        if kind == "settled":
            age = random.randint(0, self._latest_ms["settled"])
            return add_settled(source, random.choice((1, 2)), age)
        if kind == "odd":
            # Its own time is wrong: it stands at the head regardless.
            age = random.choice((40 * DAY_MS, 40 * DAY_MS, 3 * DAY_MS, -2 * DAY_MS, -40 * DAY_MS))
            return source.add_late(1, age, stream=stream, behind_ms=-age)
        # Often the latest possible time, because bounds go wrong there.
        latest = self._latest_ms[stream]
        age = random.choice((latest, random.randint(0, 60_000), random.randint(0, latest)))
        behind = self._behind(stream, source.now_ms() - age)
        return source.add_late(random.choice((1, 2, 5)), age, stream=stream, behind_ms=behind)

    def _behind(self, stream: str, time_ms: int) -> int:
        """Returns how far down a record may stand: no record above may be an hour older."""
        if self._source.orders[stream] != "nearly_newest":
            return 0
        behind = self._random.choice((0, 20 * MINUTE_MS, 50 * MINUTE_MS))
        table = self._source.table(stream)
        before = (row for row in self._source.listing(stream) if row[0] >= time_ms - behind)
        oldest = min((table.time(row[2]) for row in before), default=time_ms)
        return behind if oldest >= time_ms - HOUR_MS else 0

    def _restore(self, stream: str) -> list[str]:
        past = self._source.past[stream]
        gone = [id_ for id_ in past if not past[id_].listed]
        ids = self._random.sample(gone, min(len(gone), self._random.choice((1, 3, 30))))
        for id_ in ids:
            self._source.restore(stream, id_)
        return ids

    # -- records that are there --------------------------------------------------------------

    def _change(self, stream: str, kind: str, listed: list[str]) -> list[str]:
        random, source = self._random, self._source
        if kind == "progress":
            ids = random.sample(listed, min(len(listed), random.choice((1, 3, 10))))
            return source.progress_messages(len(ids), ids=ids)
        if kind == "aged":
            age = random.choice((3, 12, 48, 24 * 7, 24 * 20)) * HOUR_MS
            return change_at_age(source, random.randint(0, age), random.choice((1, 2)))
        if kind == "vanish":
            # The few records left of an unordered stream might be newest first by chance.
            if random.random() < 0.5 and source.orders[stream] != "shuffled":
                source.retention(source.now_ms() - random.randint(1, 40) * DAY_MS)
                return [*source.past[stream]]
            source.delete(stream, id_ := random.choice(listed))
            return [id_]
        if kind == "many":
            return self._delete_many(stream, listed)
        ids = random.sample(listed, min(len(listed), random.choice((1, 1, 2, 6, 40))))
        return [id_ for id_ in ids if self._change_row(stream, kind, id_)]

    def _delete_many(self, stream: str, listed: list[str]) -> list[str]:
        random = self._random
        ids = random.sample(listed, round(len(listed) * random.choice((0.2, 0.6, 1.0))))
        for id_ in ids:
            if stream == "notification" and random.random() < 0.3:
                self._source.archive(id_)
            else:
                self._source.delete(stream, id_)
        return ids

    def _change_row(self, stream: str, kind: str, id_: str) -> bool:
        """Returns whether there was anything to change."""
        random, source = self._random, self._source
        past = source.past[stream][id_]
        move = None
        if kind in ("edit", "move"):
            if kind == "move":
                move = random.choice(("head", "head", "tail"))
            source.edit(stream, id_, move=move, keep_updated=random.random() < 0.5)
            past.edits += 1
            self._edited.append((stream, id_))
        elif kind == "touch":
            move = random.choice((None, "head"))
            source.touch(stream, id_, move=move)
            past.edits += 1
        elif kind == "revert":
            if not past.edits:
                return False
            move = random.choice((None, None, "head"))
            source.revert(stream, id_, move=move)
            past.edits -= 1
        elif kind in ("archive", "hide"):
            source.hide(stream, id_)
        else:
            source.delete(stream, id_)
        if move is not None:
            past.placed_ms = source.now_ms()
        return True
