"""The simulated account: the fake one, plus everything that it ever showed."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec

from courier_async.api.decode import decode
from tests.simulation import changes
from tests.simulation.children import MEMBERS, PARENT, Children
from tests.simulation.past import Past, Version
from tests.support.fake_courier import Account
from tests.support.fake_courier.table import Row

TIMED = frozenset({"message", "audit_event"})


class Source(Account):
    """The fake account, with random changes and a memory.

    calm: changes still scheduled for an earlier sync no longer happen.
    """

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
        children: tuple[str, ...],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(seed=seed, sizes=sizes, orders=orders, now_ms=now_ms, span_days=span_days)
        self._changer = changes.Changes(self, random, latest_ms)
        self._tell = tell
        self._listings: dict[str, list[Row]] = {}
        self.calm = False
        self.past: dict[str, dict[str, Past]] = {s: {} for s in sizes if s not in MEMBERS}
        for stream in self.past:
            for row in self.listing(stream):
                self._note(stream, row[1], moved=True, position_ms=row[0])
        self.kin = Children(self, children, Random(f"{seed}/children"))

    def listing(self, stream: str) -> list[Row]:
        """All rows listed now, in the API's order."""
        found = self._listings.get(stream)
        if found is None:
            found = self._listings[stream] = self.rows(stream, None, 1_000_000)
        return found

    def apply(self, change: Mapping[str, Any]) -> list[str]:
        """Applies a change; also takes {"do": "random", "stream": ..., "times": ...}."""
        if change["do"] != "random":
            return super().apply(change)
        for _ in range(0 if self.calm else change["times"]):
            self.change_at_random(change["stream"])
        return []

    def change_at_random(self, stream: str, kind: str | None = None) -> None:
        """Makes one of the changes that can happen to a stream."""
        if stream in PARENT:
            kind, ids = self.kin.change_at_random(stream)
        else:
            kind, ids, moved = self._changer.make(stream, kind)
            self.note(stream, ids, moved=moved)
        shown = ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
        self._tell(f"{stream}: {kind} {len(ids)} ({shown})")

    def take_back(self) -> None:
        """Undoes every edit since the last call exactly, and deletes every new row."""
        taken_back = self._changer.take_back()
        for stream, id_ in taken_back:
            self.note(stream, [id_], moved=False)
        self._tell(f"{len(taken_back)} changes taken back ({taken_back[:3]})")

    def note(self, stream: str, ids: list[str], *, moved: bool) -> None:
        """Records that these rows may have changed. moved: whether they are in a new place."""
        self._listings.pop(stream, None)
        for id_ in ids:
            self._note(stream, id_, moved=moved)
        self.kin.note(stream, ids)

    def _note(self, stream: str, id_: str, *, moved: bool, position_ms: int | None = None) -> None:
        now, index, table = self.now_ms(), self.find(stream, id_), self._tables[stream]
        past = self.past[stream].get(id_)
        if past is None:
            time_ms = table.time(index)
            past = self.past[stream][id_] = Past(id_, time_ms, time_ms, time_ms, now)
            if self.orders[stream] in ("newest", "nearly_newest"):
                at = table._extra_position.get(index, position_ms)
                past.stands_ms = time_ms if at is None else at
                past.place_ms = min(time_ms, past.stands_ms)
        past.listed = table.is_listed(index)
        if moved:
            past.placed_ms = now
        if not past.listed:
            return
        record = decode(msgspec.json.encode(self.record(stream, index)))
        if not past.versions or past.versions[-1].record != record:
            past.versions.append(Version.of(stream, now, record))
