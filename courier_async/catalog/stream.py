"""Describes a stream: where it is read, how it is ordered, and what its table looks like."""

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
    """How an endpoint indicates that there are more pages."""

    PAGING = "paging"  # {"paging": {"more", "cursor"}, <array>: [...]}
    LIST = "list"  # {"type": "list", "has_more", "cursor", "next_url", "items": [...]}
    WHOLE = "whole"  # {<array>: [...]}: one response holds everything


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

    path: where its value is found in a record; () if no field of a record belongs to it.
    meaning, source: for docs/schema.md.
    first_of: the columns of which it repeats the first non-empty one.
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
    path: of the endpoint; for a child, with {id} for its parent's id.
    arrays: the fields of a response that may hold the records, the likeliest first.
    key: the record's fields that form the table's primary key. For a child, the first takes
        the parent's id and `position` the place in the response; the record need not hold them.
    params: query parameters sent with every page, besides the cursor.
    time_field: the field that orders the stream and carries its watermark. None: every sync
        reads every page.
    presumed_newest_first: whether to assume newest first until a walk has shown the order.
    overlap_ms: how far below its watermark each sync reads.
    changes_late: rows change for weeks without notice, so they are read again by age.
    settled_times: the statuses after which little changes -> the field with the time of each.
    own_times: the fields that hold a row's own times.
    keeps_rows: the state keeps a fingerprint per row, so that only changes are sent and
        rows that are gone are deleted.
    id_tells: the response for a row's id tells whether the row still exists.
    deletes: rows that the API no longer returns are deleted. Needs keeps_rows.
    field_when_empty: the field that every response has, if the API documents that an empty array
        may be null or missing. None: a response without its array is invalid.
    may_lack_key: the API documents records without a key, so a page of them is no error.
    cursor_at: makes up a cursor for a time in epoch milliseconds, so that one long reading can
        run in several places in parallel. None: cursors are opaque.
    parent: the table whose row ids replace {id} in `path`; None if the stream is not a child.
    flatten: turns one element of the array, whatever it is, into records of the table.
    requests_per_second: a limit of its own, below the shared one.
    read_within_ms: for children, the longest time between two rounds, so that the API still
        returns what has changed. None: as long as the configuration says.
    us_only: the EU region does not have the endpoint.
    left_out: names of fields that never land, at any depth.
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
    field_when_empty: str | None = None
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
    def identifying_fields(self) -> tuple[str, ...]:
        """The fields of which every response has at least one, unlike an error."""
        return (
            self.arrays if self.field_when_empty is None else (*self.arrays, self.field_when_empty)
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of the table's primary key, in the order of `key`."""
        by_path = {column.path: column.name for column in self.columns}
        return tuple(by_path[(name,)] for name in self.key)

    def key_of(self, record: Any) -> Key | None:
        """Returns the record's key, or None if it lacks one and so cannot be stored."""
        if not isinstance(record, dict):
            return None
        key = tuple([key_text(record.get(name)) for name in self.key])
        return key if all(key) else None
