"""The simulated account: the fake one, and what it ever showed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from courier_async.api.decode import decode
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import Record
from courier_async.catalog.streams import BY_TABLE
from courier_async.state.sent_rows import fingerprint
from tests.simulation import changes
from tests.support.fake_courier import Account
from tests.support.fake_courier.table import Row

TIMED = frozenset({"message", "audit_event"})
_REDACTING, _PLAIN = (
    {table: RowMapper(stream, redact_secrets=redacts) for table, stream in BY_TABLE.items()}
    for redacts in (True, False)
)


@dataclass(slots=True)
class Version:
    """A record as it was from a moment on, and its rows with secrets redacted and without."""

    since_ms: int
    record: Record
    rows: tuple[dict[str, Any], dict[str, Any]]
    _marks: dict[bytes, bytes] = field(default_factory=dict)

    def mark(self, salt: bytes) -> bytes:
        """The fingerprint that the state keeps of it."""
        if salt not in self._marks:
            self._marks[salt] = fingerprint(self.record, salt)
        return self._marks[salt]


@dataclass(slots=True)
class Past:
    """All that is known of one id.

    place_ms: the time down to which a walk from the head must come to meet it. placed_ms: when
    it was last listed anew or moved. promised: the version that has landed at least, by what a
    checkpoint claims; None while none does.
    """

    id: str
    time_ms: int
    place_ms: int
    placed_ms: int
    listed: bool = True
    edits: int = 0
    versions: list[Version] = field(default_factory=list)
    promised: int | None = None

    @property
    def first_ms(self) -> int:
        """When it was first shown."""
        return self.versions[0].since_ms

    def version_at(self, moment_ms: int) -> int:
        """The number of the version that held just before a moment."""
        return max(0, sum(version.since_ms < moment_ms for version in self.versions) - 1)

    def version_of(self, row: Mapping[str, Any] | None) -> int | None:
        """The number of the latest version that a landed row is; None where it is none."""
        for number in range(len(self.versions) - 1, -1, -1):
            if row in self.versions[number].rows:
                return number
        return None


class Source(Account):
    """The fake account, with random changes and a memory.

    calm: changes that were to come during a sync before do not come any more.
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
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(seed=seed, sizes=sizes, orders=orders, now_ms=now_ms, span_days=span_days)
        self._changer = changes.Changes(self, random, latest_ms)
        self._tell = tell
        self._listings: dict[str, list[Row]] = {}
        self.calm = False
        self.past: dict[str, dict[str, Past]] = {stream: {} for stream in sizes}
        for stream in sizes:
            for row in self.listing(stream):
                self._note(stream, row[1], moved=True, position_ms=row[0])

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
        kind, ids, moved = self._changer.make(stream, kind)
        self.note(stream, ids, moved=moved)
        shown = ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
        self._tell(f"{stream}: {kind} {len(ids)} ({shown})")

    def take_back(self) -> None:
        """Every edit since the last call is undone to the letter, every new row is deleted."""
        taken_back = self._changer.take_back()
        for stream, id_ in taken_back:
            self.note(stream, [id_], moved=False)
        self._tell(f"{len(taken_back)} changes taken back ({taken_back[:3]})")

    def note(self, stream: str, ids: list[str], *, moved: bool) -> None:
        """These may have changed. moved: they stand where they did not stand before."""
        self._listings.pop(stream, None)
        for id_ in ids:
            self._note(stream, id_, moved=moved)

    def _note(self, stream: str, id_: str, *, moved: bool, position_ms: int | None = None) -> None:
        now, index, table = self.now_ms(), self.find(stream, id_), self._tables[stream]
        past = self.past[stream].get(id_)
        if past is None:
            time_ms = table.time(index)
            past = self.past[stream][id_] = Past(id_, time_ms, time_ms, now)
            if self.orders[stream] in ("newest", "nearly_newest"):
                at = table._extra_position.get(index, position_ms)
                past.place_ms = min(time_ms, time_ms if at is None else at)
        past.listed = table.is_listed(index)
        if moved:
            past.placed_ms = now
        if not past.listed:
            return
        record = decode(msgspec.json.encode(self.record(stream, index)))
        if not past.versions or past.versions[-1].record != record:
            rows = (_REDACTING[stream].row(record), _PLAIN[stream].row(record))
            past.versions.append(Version(now, record, rows))
