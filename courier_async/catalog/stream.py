"""What is said of a stream: where it is read, how it is ordered, what its table looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from courier_async.catalog.text import key_text

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

Record = dict[str, Any]
# A row's key: the text of each key field, in the order of Stream.key.
Key = tuple[str, ...]


class Family(Enum):
    """How an endpoint says that there is more."""

    PAGING = "paging"  # {"paging": {"more", "cursor"}, <array>: [...]}
    LIST = "list"  # {"type": "list", "has_more", "cursor", "next_url", "items": [...]}
    WHOLE = "whole"  # {<array>: [...]}: one answer holds everything


class Type(Enum):
    """The column types of Fivetran's SDK that a table here uses."""

    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LONG = "LONG"
    UTC_DATETIME = "UTC_DATETIME"
    JSON = "JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    path: where its value stands in a record; () where no field of a record is its own.
    meaning, source: for docs/schema.md.
    first_of: the columns of which it repeats the first that is filled.
    refers_to: the table whose id it holds.
    """

    name: str
    path: tuple[str, ...]
    type: Type
    meaning: str
    source: str
    first_of: tuple[str, ...] = ()
    refers_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One endpoint and the table that it fills.

    table: name of the table, and of the stream in the configuration and the state.
    about: what a row is, for docs/schema.md.
    path: of the endpoint; of a child with its parent's id as {id}.
    arrays: where the records may stand in an answer, the likeliest first.
    key: the record's fields that form the table's primary key. Of a child, the first takes the
        parent's id and `position` the place in the answer, which the record need not hold.
    params: sent with every page, beside the cursor.
    time_field: the field that orders the stream and carries its watermark. None: every sync
        reads every page.
    presumed_newest_first: believed of the order before a walk has shown it.
    overlap_ms: how far below its watermark each sync reads.
    changes_late: rows change for weeks without telling, so they are read again by age.
    settled_times: the statuses after which little changes -> the field with the time of each.
    own_times: the fields that hold a row's own times.
    keeps_rows: the state keeps a fingerprint a row, so that only changes are sent and
        rows that have gone are deleted.
    id_tells: the answer to a row's id says whether it is still there.
    deletes: rows that the API no longer returns are deleted. Needs keeps_rows.
    empty_has: the API documents that an empty array may be null or missing: the field that such
        an answer still has. None: without its array an answer is none.
    may_lack_key: the API documents records without a key, so a page of them alone is no error.
    cursor_at: makes a cursor up for a time in epoch milliseconds, so that one long reading goes
        on in several places at once. None: cursors are opaque.
    parent: the table whose rows' ids stand in `path` as {id}; None for a stream of its own.
    flatten: makes the table's records of one element of the array, whatever that is.
    requests_per_second: a limit of its own, below the shared one.
    read_within_ms: of children, the longest time between two rounds, since what has changed must
        still be answered. None: as long as the configuration has it.
    us_only: the EU region does not have the endpoint.
    left_out: names of fields that never land, at whatever depth they stand.
    """

    table: str
    about: str
    path: str
    arrays: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    family: Family = Family.PAGING
    params: tuple[tuple[str, str], ...] = ()
    time_field: str | None = None
    presumed_newest_first: bool = False
    overlap_ms: int = HOUR_MS
    changes_late: bool = False
    settled_times: Mapping[str, str] = field(default_factory=dict)
    own_times: tuple[str, ...] = ()
    keeps_rows: bool = True
    id_tells: bool = True
    deletes: bool = True
    empty_has: str | None = None
    may_lack_key: bool = False
    cursor_at: Callable[[int], str] | None = None
    parent: str | None = None
    flatten: Callable[[Any], list[Any]] | None = None
    requests_per_second: float | None = None
    read_within_ms: int | None = None
    us_only: bool = False
    left_out: tuple[str, ...] = ()
    columns: tuple[Column, ...]

    @property
    def keeps_recent(self) -> bool:
        """Whether the youngest rows are remembered, since a sync reads only the youngest."""
        return self.time_field is not None and self.parent is None

    @property
    def told_by(self) -> tuple[str, ...]:
        """The fields of which an answer has one, by which it is told from an error."""
        return self.arrays if self.empty_has is None else (*self.arrays, self.empty_has)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of the table's primary key, in the order of `key`."""
        by_path = {column.path: column.name for column in self.columns}
        return tuple(by_path[(name,)] for name in self.key)

    def key_of(self, record: Any) -> Key | None:
        """The record's key, or None where it lacks one and so cannot be stored."""
        if not isinstance(record, dict):
            return None
        key = tuple([key_text(record.get(name)) for name in self.key])
        return key if all(key) else None
