"""What must hold: at every checkpoint, after every sync, and once all is quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from courier_async.state import saved as states
from courier_async.state.saved import DISORDER_MS, INDEX_LAG_MS
from tests.simulation.source import TIMED, Past, Source
from tests.support.fake_courier.cursors import decode

if TYPE_CHECKING:
    from tests.simulation.destination import Destination

State = dict[str, Any]


class Broken(BaseException):
    """An invariant does not hold. No handler of the connector may swallow it."""


class Oracle:
    """Judges one account's syncs. Times are epoch ms of the simulated clock."""

    def __init__(
        self, source: Source, destination: Destination, *, since_ms: int | None, most_rows: int
    ) -> None:
        self.source = source
        self.destination = destination
        self._since_ms = since_ms
        self._most_rows = most_rows
        self._began_ms = 0
        self._ended_before_ms: int | None = None
        self._ended_before_last_ms: int | None = None
        self._previous: State = {}
        self._walks_before: dict[str, int] = {}
        # Rows of another account, which stay in the tables.
        self.foreign = {table: {*rows} for table, rows in destination.landed.items()}
        # Rows that landed in a sync that died before the stream's first walk had ended: nobody
        # promised to delete them.
        self.untracked: dict[str, set[str]] = {table: set() for table in destination.landed}
        # What was answered 200 by id, in the syncs before and in this one.
        self.present_before: set[tuple[str, str]] = set()
        self.answered: dict[tuple[str, str], int] = {}
        # The streams whose last page said that there is more.
        self.under_way: dict[str, bool] = {}
        # Those of which this sync has had all pages, from the head to the end.
        self.whole: set[str] = set()
        self.made_up_cursors_work = False

    # -- one sync ----------------------------------------------------------------------------

    def begin(self, state: State, *, source_name: str, now_ms: int) -> None:
        self._began_ms = now_ms
        self._previous = state.get("streams", {}) if state.get("source") == source_name else {}
        self._walks_before = {
            table: part["walk"]["started_at"]
            for table, part in self._previous.items()
            if "walk" in part
        }
        self._known_at_start = {
            table for table, part in self._previous.items() if "deep_read_at" in part
        }
        self.present_before |= {key for key, status in self.answered.items() if status == 200}
        self.answered = {}
        self.under_way = {}
        self.whole = set()

    def on_delete(self, table: str, key: str) -> None:
        past = self.source.past[table].get(key)
        if past is None:
            raise Broken(f"{table}: {key!r} deleted, which there never was")
        if past.listed and past.placed_ms < self._began_ms:
            raise Broken(f"{table}: {key!r} deleted, which was listed all the time")
        if table not in self.whole:
            raise Broken(f"{table}: {key!r} deleted without a whole walk")
        status = self.answered.get((table, key))
        if status == 404 or (status == 200 and (table, key) in self.present_before):
            return
        raise Broken(f"{table}: {key!r} deleted, asked by its id: {status}")

    def on_checkpoint(self, state: State) -> None:
        """No checkpoint claims a record whose upsert has not been called."""
        for table, part in state["streams"].items():
            before = self._previous.get(table, {})
            self._check_rows(table, part, before)
            marks = ("watermark", "deep_read_at")
            if any(part.get(name) != before.get(name) for name in marks):
                self._check_walk_ended(table, part)
            walk, walk_before = part.get("walk"), before.get("walk") or {}
            # A walk that had a bound says nothing of what lies below it.
            unbounded = self._since_ms is None and "watermark" not in before
            if part.get("newest_first") and not before.get("newest_first") and unbounded:
                self._check_order(table)
            if walk and walk != walk_before:
                self._check_bookmark(table, walk)
        self._previous = state["streams"]

    def _check_rows(self, table: str, part: State, before: State) -> None:
        rows, rows_before = marks_of(part), marks_of(before)
        if len(rows) > self._most_rows:
            raise Broken(f"{table}: {len(rows)} rows in the state")
        called, past = self.destination.called[table], self.source.past[table]
        for key, mark in rows.items():
            if not mark or rows_before.get(key) == mark:
                continue
            row = called.get(key)
            if row is None:
                raise Broken(f"{table}: a checkpoint knows {key!r}, which was not sent")
            versions = past[key].versions if key in past else []
            if not any(v.mark == mark and v.row == row for v in versions):
                raise Broken(f"{table}: a checkpoint knows {key!r} as what was not sent")

    def _check_order(self, table: str) -> None:
        """Newest first may only be learned of what comes so, within an hour."""
        stable_ms = min(self._began_ms, self._walks_before.get(table, self._began_ms))
        past_of = self.source.past[table]
        pasts = [past_of[row[1]] for row in self.source.listing(table)]
        oldest: int | None = None
        for past in pasts:
            if past.placed_ms >= stable_ms:
                continue
            if oldest is not None and past.time_ms > oldest + DISORDER_MS:
                raise Broken(f"{table}: taken for newest first, which it is not")
            oldest = past.time_ms if oldest is None else min(oldest, past.time_ms)

    def _check_walk_ended(self, table: str, part: State) -> None:
        stable_ms = min(self._began_ms, self._walks_before.get(table, self._began_ms))
        for past in self.source.past[table].values():
            if not past.listed or past.placed_ms >= stable_ms or not self._is_wanted(table, past):
                continue
            if table in TIMED and past.time_ms > part.get("watermark", 0):
                continue
            if self.destination.called[table].get(past.id) is None:
                raise Broken(f"{table}: a walk has ended, and {past.id!r} was never sent")

    def _check_bookmark(self, table: str, walk: State) -> None:
        lanes = [walk, *walk.get("lanes", [])]
        for lane in lanes if self.made_up_cursors_work else lanes[:1]:
            self._check_lane(table, lane, walk["started_at"], walk.get("stop_at"))

    def _check_lane(self, table: str, lane: State, started_ms: int, stop_ms: int | None) -> None:
        """All that lies between where a lane began and its cursor has been sent."""
        cursor = decode(table, lane["cursor"]) if "cursor" in lane else None
        if cursor is None and "cursor" in lane:
            raise Broken(f"{table}: a checkpoint holds a cursor that was never given out")
        called, past_of = self.destination.called[table], self.source.past[table]
        descends = self.source.descends(table)
        for position, id_, _ in self.source.listing(table):
            if "start" in lane and position > lane["start"]:
                continue
            if cursor is not None:
                place = (position, id_)
                if place < cursor.place if descends else place > cursor.place:
                    break
            past = past_of[id_]
            if past.placed_ms >= started_ms or not self._is_wanted(table, past):
                continue
            # A lane without a cursor has come to the end or to the bound.
            if cursor is None and stop_ms is not None and past.time_ms < stop_ms:
                continue
            if called.get(id_) is None:
                raise Broken(f"{table}: a bookmark lies behind {id_!r}, which was never sent")

    def _is_wanted(self, table: str, past: Past) -> bool:
        return table not in TIMED or self._since_ms is None or past.time_ms >= self._since_ms

    # -- after a sync ------------------------------------------------------------------------

    def after(self, *, complete: set[str], source_name: str, lookback_ms: int) -> None:
        """`complete`: the streams that the sync says it has read to the end."""
        state = orjson.loads(self.destination.saved)
        self._check_state(state, source_name)
        self._note_untracked(state)
        began, ended_before = self._began_ms, self._ended_before_ms
        for table in complete:
            for past in self.source.past[table].values():
                if not past.listed or past.placed_ms >= began:
                    continue
                if not self._is_wanted(table, past):
                    continue
                version = past.version_at(began)
                if table == "message" and ended_before is not None:
                    bound = ended_before - INDEX_LAG_MS - lookback_ms
                    if past.time_ms < bound:
                        version = 0
                past.promised = max(past.promised or 0, version)
                self._check_landed(table, past, past.promised)
        self._ended_before_last_ms = self._ended_before_ms
        self._ended_before_ms = self.source.now_ms()

    def _check_landed(self, table: str, past: Past, version: int) -> None:
        row = self.destination.landed[table].get(past.id)
        if row is None:
            raise Broken(f"{table}: {past.id!r} has not landed")
        if not any(v.row == row for v in past.versions[version:]):
            raise Broken(f"{table}: {past.id!r} has landed as it is no more: {row}")

    def check_bookmark_kept(self, table: str) -> None:
        """A stream that failed halfway is gone on with from there."""
        part = orjson.loads(self.destination.saved)["streams"].get(table, {})
        if self.under_way.get(table) and "walk" not in part:
            raise Broken(f"{table}: failed halfway, and its bookmark is lost")

    def _check_state(self, state: State, source_name: str) -> None:
        if not state:
            return
        loaded, warnings = states.load(state, source=source_name)
        again = loaded.as_json()
        for table, part in state["streams"].items():
            mine = again["streams"].get(table, {})
            if part.pop("open", None):
                mine.pop("rows", None)
                part.pop("rows", None)
            elif "rows" in part:
                mine["rows"], part["rows"] = marks_of(mine), marks_of(part)
        again["source"] = state["source"]
        if state["source"] == source_name and (warnings or again != state):
            raise Broken(f"the state does not come back as it was: {warnings}")

    def _note_untracked(self, state: State) -> None:
        for table, rows in self.destination.landed.items():
            part = state.get("streams", {}).get(table, {})
            known = marks_of(part)
            if "deep_read_at" in part:
                self.untracked[table] -= known.keys()
            else:
                self.untracked[table] |= {
                    key for key, row in rows.items() if row is not None and key not in known
                }

    # -- once all is quiet -------------------------------------------------------------------

    def quiet_deep_read(self, *, deep_ms: int) -> None:
        """After a deep read that began more than a day after the sync before had ended."""
        assert self._ended_before_last_ms is not None
        bound = self._ended_before_last_ms - INDEX_LAG_MS - deep_ms
        for past in self.source.past["message"].values():
            if not past.listed or not self._is_wanted("message", past):
                continue
            if past.time_ms >= bound:
                self._check_landed("message", past, len(past.versions) - 1)

    def given_up(self) -> set[str]:
        streams = orjson.loads(self.destination.saved)["streams"]
        return {table for table, part in streams.items() if part.get("rows_given_up")}

    def deletes_wait(self) -> bool:
        """Whether archived rows have so far been answered but once."""
        streams = orjson.loads(self.destination.saved)["streams"]
        return any(part.get("left") for part in streams.values())

    def tables_equal(self, tables: tuple[str, ...]) -> None:
        """Alive exactly if in the source; what has gone of messages and audit events stays."""
        given_up = self.given_up()
        for table in tables:
            landed = self.destination.landed[table]
            for past in self.source.past[table].values():
                if past.listed and self._is_wanted(table, past):
                    first = (past.promised or 0) if table in TIMED else len(past.versions) - 1
                    self._check_landed(table, past, first)
                elif past.promised is not None and table in TIMED:
                    self._check_landed(table, past, past.promised)
            for key, row in landed.items():
                if row is None or key in self.foreign[table]:
                    continue
                past_or_none = self.source.past[table].get(key)
                if past_or_none is None:
                    raise Broken(f"{table}: {key!r} landed, which there never was")
                if table in TIMED or past_or_none.listed or table in given_up:
                    continue
                if key not in self.untracked[table]:
                    raise Broken(f"{table}: {key!r} is alive, but has gone from the source")


def marks_of(part: State) -> dict[str, str]:
    """The fingerprints in one stream's part of a state, by id; "" is a blank one."""
    lines = [line for text in part.get("rows", []) for line in text.split("\n")]
    return {line[8:]: "" if line[:8] == "--------" else line[:8] for line in lines}
