"""The simulated account: the fake one, its random changes, and what it ever showed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from courier_async.catalog.streams import BY_TABLE
from courier_async.state.sent_rows import fingerprint
from tests.support.fake_courier import Account
from tests.support.fake_courier.table import Row

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
TIMED = {"message", "audit_event"}


@dataclass(slots=True)
class Version:
    """A record as it was from a moment on: its flat row, and the mark kept in the state."""

    since_ms: int
    row: dict[str, Any]
    mark: str


@dataclass(slots=True)
class Past:
    """All that is known of one id. placed_ms: when it was last listed anew or moved."""

    id: str
    time_ms: int
    placed_ms: int
    listed: bool = True
    by_id: bool = True
    edits: int = 0
    versions: list[Version] = field(default_factory=list)
    # What a finished sync has promised: the row, and the version at least.
    promised: int | None = None

    def version_at(self, moment_ms: int) -> int:
        """The number of the version that held just before a moment."""
        return max(0, sum(version.since_ms < moment_ms for version in self.versions) - 1)


class Source(Account):
    """The fake account, with random changes and a memory."""

    def __init__(
        self,
        *,
        random: Random,
        seed: int,
        sizes: Mapping[str, int],
        orders: Mapping[str, str],
        now_ms: Callable[[], int],
        span_days: float,
        latest_ms: Mapping[str, int],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(seed=seed, sizes=sizes, orders=orders, now_ms=now_ms, span_days=span_days)
        self._random_changes = random
        # How old a record of a stream may be when it first shows.
        self._latest_ms = latest_ms
        self._tell = tell
        self._listings: dict[str, list[Row]] = {}
        # Changes that were to come during a sync before do not come any more.
        self.calm = False
        self._edited: list[tuple[str, str]] = []
        self._added: list[tuple[str, str]] = []
        self.past: dict[str, dict[str, Past]] = {stream: {} for stream in sizes}
        for stream in sizes:
            for row in self.listing(stream):
                self._note(stream, row[1], moved=True)

    def listing(self, stream: str) -> list[Row]:
        """All rows listed now, in the API's order."""
        found = self._listings.get(stream)
        if found is None:
            found = self._listings[stream] = self.rows(stream, None, 1_000_000)
        return found

    def apply(self, change: Mapping[str, Any]) -> list[str]:
        """Also {"do": "random", "stream": ..., "times": ...}."""
        if change["do"] != "random":
            return super().apply(change)
        for _ in range(0 if self.calm else change["times"]):
            self.change_at_random(change["stream"])
        return []

    def change_at_random(self, stream: str, kind: str | None = None) -> None:
        """One of the things that happen to a stream."""
        random = self._random_changes
        if kind is not None:
            pass
        elif stream == "message":
            kind = random.choice(("add", "add", "late", "late", "progress", "progress", "vanish"))
        elif stream == "audit_event":
            kind = random.choice(("add", "late"))
        else:
            kinds = ["add", "edit", "edit", "move", "touch", "revert", "revert"]
            kinds += ["delete", "delete", "restore", "many"]
            kinds += ["archive"] * 2 * (stream == "notification")
            kind = random.choice(kinds)
        ids, moved = self._change(stream, kind)
        self._listings.pop(stream, None)
        for id_ in ids:
            self._note(stream, id_, moved=moved)
        shown = ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
        self._tell(f"{stream}: {kind} {len(ids)} ({shown})")

    def take_back(self) -> None:
        """Every edit since the last call is undone to the letter, every new row is deleted."""
        taken_back = []
        for stream, id_ in reversed(self._edited):
            past = self.past[stream][id_]
            if past.listed and past.edits:
                self.revert(stream, id_)
                past.edits -= 1
                taken_back.append(id_)
                self._note(stream, id_, moved=False)
        for stream, id_ in self._added:
            if self.past[stream][id_].listed:
                self.delete(stream, id_)
                taken_back.append(id_)
                self._listings.pop(stream, None)
                self._note(stream, id_, moved=False)
        self._edited.clear()
        self._added.clear()
        self._tell(f"{len(taken_back)} changes taken back ({', '.join(taken_back[:3])})")

    def _change(self, stream: str, kind: str) -> tuple[list[str], bool]:
        random = self._random_changes
        listed = [row[1] for row in self.listing(stream)]
        if kind == "add":
            ids = self.add(stream, random.choice((1, 1, 2, 3, 12)))
            self._added.extend((stream, id_) for id_ in ids if stream not in TIMED)
            return ids, True
        if kind == "late":
            # Half of them as late as may be: that is where a bound goes wrong.
            latest = self._latest_ms[stream]
            age = random.choice((latest, random.randint(0, 60_000), random.randint(0, latest)))
            behind = self._behind(stream, self.now_ms() - age)
            return self.add_late(
                random.choice((1, 2, 5)), age, stream=stream, behind_ms=behind
            ), True
        if kind == "restore":
            past = self.past[stream]
            gone = [id_ for id_ in past if not past[id_].listed]
            ids = random.sample(gone, min(len(gone), random.choice((1, 3, 30))))
            for id_ in ids:
                self.restore(stream, id_)
            return ids, True
        if not listed:
            return [], False
        if kind == "progress":
            ids = random.sample(listed, min(len(listed), random.choice((1, 3, 10))))
            return self.progress_messages(len(ids), ids=ids), False
        if kind == "vanish":
            # The few that are left of a stream in disorder might come newest first by chance.
            if random.random() < 0.5 and self.orders[stream] != "shuffled":
                self.retention(self.now_ms() - random.randint(1, 40) * DAY_MS)
                return [*self.past[stream]], False
            self.delete(stream, id_ := random.choice(listed))
            return [id_], False
        if kind == "many":
            return self._delete_many(stream, listed), False
        return self._change_rows(stream, kind, listed)

    def _behind(self, stream: str, time_ms: int) -> int:
        """How far down a record may stand: where all before it are less than an hour older."""
        if self.orders[stream] != "nearly_newest":
            return 0
        behind = self._random_changes.choice((0, 20 * MINUTE_MS, 50 * MINUTE_MS))
        before = (row for row in self.listing(stream) if row[0] >= time_ms - behind)
        oldest = min((self._tables[stream].time(row[2]) for row in before), default=time_ms)
        return behind if oldest >= time_ms - HOUR_MS else 0

    def _delete_many(self, stream: str, listed: list[str]) -> list[str]:
        random = self._random_changes
        ids = random.sample(listed, round(len(listed) * random.choice((0.2, 0.6, 1.0))))
        for id_ in ids:
            if stream == "notification" and random.random() < 0.3:
                self.archive(id_)
            else:
                self.delete(stream, id_)
        return ids

    def _change_rows(self, stream: str, kind: str, listed: list[str]) -> tuple[list[str], bool]:
        random = self._random_changes
        ids = random.sample(listed, min(len(listed), random.choice((1, 1, 2, 6, 40))))
        move = None
        changed = []
        for id_ in ids:
            past = self.past[stream][id_]
            if kind in ("edit", "move"):
                if kind == "move":
                    move = random.choice(("head", "head", "tail"))
                self.edit(stream, id_, move=move, keep_updated=random.random() < 0.5)
                past.edits += 1
                self._edited.append((stream, id_))
            elif kind == "touch":
                move = random.choice((None, "head"))
                self.touch(stream, id_, move=move)
                past.edits += 1
            elif kind == "revert":
                if not past.edits:
                    continue
                move = random.choice((None, None, "head"))
                self.revert(stream, id_, move=move)
                past.edits -= 1
            elif kind == "archive":
                self.archive(id_)
            else:
                self.delete(stream, id_)
            if move is not None:
                past.placed_ms = self.now_ms()
            changed.append(id_)
        return changed, False

    def _note(self, stream: str, id_: str, *, moved: bool) -> None:
        now, index = self.now_ms(), self.find(stream, id_)
        past = self.past[stream].get(id_)
        if past is None:
            time_ms = self._tables[stream].time(index)
            past = self.past[stream][id_] = Past(id_, time_ms, now)
        past.listed = self._tables[stream].is_listed(index)
        if moved:
            past.placed_ms = now
        if not past.listed:
            return
        record = self.record(stream, index)
        mark = fingerprint(record)
        if not past.versions or past.versions[-1].mark != mark:
            past.versions.append(Version(now, flat_row(stream, record), mark))


def flat_row(table: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What must land, worked out without the connector's own code."""
    cells: list[tuple[int, str, Any]] = []

    def add(prefix: str, holder: Mapping[str, Any], depth: int) -> None:
        for key, value in holder.items():
            name = f"{prefix}_{key}" if prefix else key
            if isinstance(value, dict):
                add(name, value, depth + 1)
            elif value is not None:
                cells.append((depth, name, value))

    add("", record, 0)
    row: dict[str, Any] = {}
    for _, name, value in sorted(cells, key=lambda cell: cell[:2]):
        if isinstance(value, list):
            value = orjson.dumps(value).decode()
        row[name + "_" if name in row else name] = value
    for column in BY_TABLE[table].text_columns:
        if column in row and not isinstance(row[column], str):
            row[column] = orjson.dumps(row[column]).decode()
    return row
