"""Checks what a checkpoint claims against what was sent before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from courier_async.catalog.schema import salt_of
from courier_async.catalog.stream import HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.state.plan import INDEX_LAG_MS
from courier_async.state.sent_rows import SentByHour, SentRows, key_text, short_hash
from tests.simulation.children import MEMBERS, OF_MESSAGES, PARENT
from tests.simulation.past import Past
from tests.simulation.source import TIMED, Source
from tests.support.fake_courier.cursors import decode

if TYPE_CHECKING:
    from tests.simulation.child_oracle import ChildOracle
    from tests.simulation.destination import Destination

Part = dict[str, Any]


class Broken(BaseException):
    """An invariant is broken. A BaseException, so that no handler in the connector swallows it."""


class Claims:
    """Checks the checkpoints of one account. Times are epoch ms of the simulated clock.

    since_ms, redacts: the settings of the sync. ahead_ms: how far the server's clock has been
    ahead in any sync so far; a reading may claim that much more than it can have seen.
    made_up_work: made-up cursors are honoured. blind: streams whose listings say nothing.
    refresh_ms: how often children are read. children_read: which of their tables the sync reads.
    """

    children: ChildOracle

    def __init__(self, source: Source, destination: Destination, *, most_rows: int) -> None:
        self._source = source
        self._destination = destination
        self._most_rows = most_rows
        self._previous: dict[str, Part] = {}
        # What the current checkpoint promises, until it is saved.
        self._promises: list[tuple[Past, int]] = []
        # Table -> the rows that the checkpoint knows.
        self._tracked: dict[str, set[str]] = {}
        self.since_ms: int | None = None
        self.redacts = True
        self.ahead_ms = 0
        self.made_up_work = False
        self.refresh_ms = 0
        self.children_read: tuple[str, ...] = ()
        self.blind: set[str] = set()

    def begin(self, streams: dict[str, Part]) -> None:
        self._previous = streams

    def check(self, state: dict[str, Any]) -> None:
        """Checks that no checkpoint claims a record whose upsert has not been called."""
        self._promises.clear()
        self._tracked.clear()
        lost = self._previous.keys() - state["streams"].keys()
        if lost:
            raise Broken(f"a checkpoint has forgotten {sorted(lost)}")
        for table, part in state["streams"].items():
            before = self._previous.get(table, {})
            if part == before or table in OF_MESSAGES:
                continue
            if BY_TABLE[table].keeps_recent:
                self._check_recent(table, part, before)
            else:
                self._check_rows(table, part, before)
            if table in MEMBERS:
                parents = state["streams"].get(PARENT[table], {})
                self.children.check(table, part, before, parents=parents)
                continue
            self._check_watermark(table, part, before)
            if "read_at" in before and "read_at" not in part:
                raise Broken(f"{table}: a checkpoint has forgotten that it was read")
            is_read = part.get("read_at") != before.get("read_at")
            if is_read and table not in TIMED | self.blind:
                self._check_read(table, part["read_at"], 0, part.get("unusable"))
            descends = self._source.orders[table] in ("newest", "nearly_newest")
            for began, reached in part.get("readings", ()):
                # Without order, the readings left by a restarted walk cannot be relied on.
                is_whole = descends or "watermark" in part
                if [began, reached] not in before.get("readings", ()) and is_whole:
                    self._check_read(table, began, reached, part.get("unusable"))
            # Encoded and decoded as the next sync reads them: tuples become lists.
            for lane in msgspec.json.decode(msgspec.json.encode(part.get("lanes", ()))):
                if lane not in before.get("lanes", ()):
                    self._check_lane(table, lane, part.get("unusable"))
        self._previous = state["streams"]

    def saved(self) -> None:
        """Records that the checkpoint that was checked last has been saved."""
        for past, version in self._promises:
            past.promised = max(past.promised or 0, version)
        self._promises.clear()
        for table, keys in self._tracked.items():
            self._destination.untracked[table] -= keys
        self._tracked.clear()

    # -- rows --------------------------------------------------------------------------------

    def _check_rows(self, table: str, part: Part, before: Part) -> None:
        rows, rows_before = marks_of(part), marks_of(before)
        self._tracked[table] = set(rows)
        if len(rows) > self._most_rows:
            raise Broken(f"{table}: {len(rows)} rows in the state")
        past = self._source.past[table]
        for key, mark in rows.items():
            if mark and rows_before.get(key) != mark:
                self._check_mark(table, past.get(key), key, mark)

    def _check_recent(self, table: str, part: Part, before: Part) -> None:
        sent = part.get("sent", {})
        was = before.get("sent", {})
        changed = {hour: text for hour, text in sent.items() if was.get(hour) != text}
        changed.pop("given_up", None)
        entries = SentByHour.from_json(changed).hours
        known = SentByHour.from_json({hour: was[hour] for hour in changed if hour in was}).hours
        names = self._names(table) if entries else {}
        for hour, marks in entries.items():
            for name, mark in marks.items():
                if known.get(hour, {}).get(name) != mark:
                    past = names.get(name)
                    self._check_mark(table, past, past.id if past else name.hex(), mark)

    def _names(self, table: str) -> dict[bytes, Past]:
        return {short_hash((past.id,)): past for past in self._source.past[table].values()}

    def _check_mark(self, table: str, past: Past | None, key: str, mark: bytes) -> None:
        row = self._destination.called[table].get(key)
        if row is None or past is None:
            raise Broken(f"{table}: a checkpoint knows {key!r}, which was not sent")
        salt = salt_of(BY_TABLE[table], self.redacts)
        # A blank mark says only that the row was sent: its children could not be read yet.
        if any(mark) and not any(v.mark(salt) == mark and row in v.rows for v in past.versions):
            raise Broken(f"{table}: a checkpoint knows a version of {key!r} that was not sent")

    # -- times -------------------------------------------------------------------------------

    def _check_watermark(self, table: str, part: Part, before: Part) -> None:
        now, was = part.get("watermark"), before.get("watermark")
        if was is not None and (now is None or now < was):
            raise Broken(f"{table}: the watermark went back from {was} to {now}")
        latest = self._source.now_ms() + self.ahead_ms - INDEX_LAG_MS
        if now is not None and now != was and now > latest:
            raise Broken(f"{table}: the watermark is later than ten minutes ago")

    def _check_read(self, table: str, began: int, reached: int, unusable: Any) -> None:
        """Checks that everything visible at `began` and not older than `reached` has been sent."""
        began -= self.ahead_ms
        if unusable is not None and self._is_read_whole(table):
            return
        for past in self._source.past[table].values():
            if not past.listed or past.placed_ms >= began or past.place_ms < reached:
                continue
            if table in TIMED and past.time_ms > began:
                continue
            if _may_be_unusable(table, past, unusable):
                continue
            version = past.version_at(began)
            self._promises.append((past, version))
            self.check_called(table, past, version, f"reading {began}-{reached}")

    def _is_read_whole(self, table: str) -> bool:
        """Whether each sync reads the whole stream, unusable records of any time included."""
        return self._source.orders[table] not in ("newest", "nearly_newest")

    def _check_lane(self, table: str, lane: Part, unusable: Any) -> None:
        """Checks that everything between the lane's beginning and its cursor has been sent."""
        if "begins_at" in lane and not self.made_up_work:
            return
        cursor = decode(table, lane["cursor"]) if "cursor" in lane else None
        if cursor is None:
            if "cursor" in lane:
                raise Broken(f"{table}: a checkpoint holds a cursor that was never given out")
            return
        descends = self._source.orders[table] != "oldest"
        if unusable is not None and self._is_read_whole(table):
            return
        started_ms = lane["started_at"] - self.ahead_ms
        for position, id_, _ in self._source.listing(table):
            # Of records at exactly that time, those above its cursor are the upper lane's.
            if position >= lane.get("begins_at", position + 1):
                continue
            place = (position, id_)
            if place < cursor.place if descends else place > cursor.place:
                break
            past = self._source.past[table][id_]
            if past.placed_ms >= started_ms or not self.is_wanted(table, past):
                continue
            if past.time_ms < lane.get("floor", 0):
                # The lane left it out, and is read again once it is wanted.
                continue
            if _may_be_unusable(table, past, unusable):
                continue
            self.check_called(table, past, 0, f"the lane of {started_ms}")

    def check_called(self, table: str, past: Past, version: int, what: str) -> None:
        """Checks the claim that a version of the past, or a later one, has been sent."""
        landed = past.version_of(self._destination.called[table].get(past.id))
        if landed is None:
            raise Broken(f"{table}: {what} claims {past.id!r}, which was never sent")
        if landed < version:
            raise Broken(f"{table}: {what} claims a version of {past.id!r} that was not sent")

    def is_wanted(self, table: str, past: Past) -> bool:
        return table not in TIMED or self.since_ms is None or past.time_ms >= self.since_ms


def _may_be_unusable(table: str, past: Past, unusable: Any) -> bool:
    """Returns whether, by the state, the record may have been unusable when it was met."""
    if unusable is None:
        return False
    return table not in TIMED or past.stands_ms >= min(time for time, *_ in unusable) - HOUR_MS


def marks_of(part: Part) -> dict[str, bytes]:
    """Returns the fingerprints in one stream's part of a state by key; b"" is a blank one."""
    rows = SentRows.from_json(part.get("sent", "")) if "sent" in part else SentRows()
    return {key_text(key): mark for key, mark in rows.marks.items()}
