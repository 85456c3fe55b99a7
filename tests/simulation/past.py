"""The known history of one row of the simulated account."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import Record
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.changes import landing
from courier_async.state.sent_rows import fingerprint, hasher

_REDACTING, _PLAIN = (
    {table: RowMapper(stream, redact_secrets=redacts) for table, stream in BY_TABLE.items()}
    for redacts in (True, False)
)


@dataclass(slots=True)
class Version:
    """A record as it was from a moment on, what of it lands, and its rows.

    rows: with and without secrets redacted.
    """

    since_ms: int
    record: Record
    landing: Record
    rows: tuple[dict[str, Any], dict[str, Any]]
    _marks: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, since_ms: int, record: Record) -> "Version":
        rows = (_REDACTING[table].row(record), _PLAIN[table].row(record))
        return cls(since_ms, record, landing(BY_TABLE[table], record), rows)

    def mark(self, salt: bytes) -> bytes:
        """Returns the fingerprint that the state keeps of it."""
        if salt not in self._marks:
            self._marks[salt] = fingerprint(self.landing, hasher(salt))
        return self._marks[salt]


@dataclass(slots=True)
class Past:
    """The known history of one id.

    place_ms: how far down in time a walk from the head must read to meet it. stands_ms: the time
    of its neighbours, which may differ from its own. placed_ms: when it was last listed anew or
    moved. promised: the version that has certainly landed, as a checkpoint claims it; None if no
    checkpoint does.
    """

    id: str
    time_ms: int
    place_ms: int
    stands_ms: int
    placed_ms: int
    listed: bool = True
    edits: int = 0
    versions: list[Version] = field(default_factory=list)
    promised: int | None = None
    _answered: tuple[Mapping[str, Any] | None, int, int | None] = (None, 0, None)

    @property
    def first_ms(self) -> int:
        """When it was first shown."""
        return self.versions[0].since_ms

    def version_at(self, moment_ms: int) -> int:
        """Returns the number of the version that was current just before a moment."""
        return max(0, bisect_left(self.versions, moment_ms, key=attrgetter("since_ms")) - 1)

    def version_of(self, row: Mapping[str, Any] | None) -> int | None:
        """Returns the number of the latest version that a landed row matches, or None.

        Most rows are asked about at every checkpoint, so the last answer is kept.
        """
        asked_row, versions, answer = self._answered
        if asked_row is not row or versions != len(self.versions):
            numbers = range(len(self.versions) - 1, -1, -1)
            answer = next((n for n in numbers if row in self.versions[n].rows), None)
            self._answered = row, len(self.versions), answer
        return answer
