"""What a local `fivetran debug` run has landed, compared cell for cell with the fake's truth.

Says anew, simply, what a record should look like in a table, so that a fault in the connector's
own flattening shows. How the local destination keeps things was read off trial runs: names in
snake_case, NUL characters gone, and a column that schema() does not declare typed by the look of
its values: integers as BIGINT, floats as FLOAT (32 bits), ISO times as TIMESTAMPTZ.
"""

import json
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

KEYS = {
    "brand": "id", "audience": "id", "audit_event": "auditEventId", "list": "id",
    "message": "id", "notification": "id", "tenant": "id",
}  # fmt: skip
SHOWN = 20

Cells = dict[str, Any]


class Warehouse:
    """The tables in one warehouse.db, read as they are at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tables(self) -> list[str]:
        """The names of the tables, sorted; none where nothing has landed yet."""
        if not self.path.exists():
            return []
        with self._open() as database:
            found = database.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'tester'"
            )
            return sorted(name for (name,) in found.fetchall())

    def types(self, table: str) -> dict[str, str]:
        """Column -> the destination's type of it, without Fivetran's own columns."""
        found = self._all_types(table)
        return {name: kind for name, kind in found.items() if not name.startswith("_fivetran_")}

    def rows(self, table: str) -> dict[str, Cells]:
        """Key -> the cells that hold something, of the rows that are alive."""
        return self._rows(table, deleted=False)

    def deleted(self, table: str) -> set[str]:
        """The keys of the rows that are marked deleted."""
        return set(self._rows(table, deleted=True))

    def text(self) -> str:
        """Every cell of every table, to search for what must not be there."""
        with self._open() as database:
            lines = [
                repr(
                    database.execute(f'SELECT COLUMNS(*)::VARCHAR FROM tester."{name}"').fetchall()
                )
                for name in self.tables()
            ]
        return "\n".join(lines)

    def differences(self, table: str, truth: Iterable[dict[str, Any]]) -> list[str]:
        """A sentence for each of the first rows and cells that are not as the source has them."""
        if table not in self.tables():
            return [f"{table}: there is no such table"] if any(True for _ in truth) else []
        types, landed = self.types(table), self.rows(table)
        found: list[str] = []
        for record in truth:
            key = str(record[KEYS[table]])
            cells = landed.pop(key, None)
            if cells is None:
                found.append(f"{table} {key!r} is missing")
                continue
            expected = expected_cells(record)
            for column in sorted(expected.keys() | cells.keys()):
                kind = types.get(column, "no column")
                wanted = as_landed(expected.get(column), kind)
                if wanted != cells.get(column):
                    found.append(
                        f"{table} {key!r}.{column} ({kind}) is {cells.get(column)!r}, "
                        f"not {wanted!r}"
                    )
        found += [f"{table} {key!r} is not in the source" for key in landed]
        return found[:SHOWN]

    def answer(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, which reads the tables by their bare names and times as UTC."""
        with self.opened() as database:
            return database.execute(query).fetchall()

    @contextmanager
    def opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for such queries."""
        with self._open() as database:
            database.execute("USE tester; SET TimeZone = 'UTC'")
            yield database

    def _all_types(self, table: str) -> dict[str, str]:
        with self._open() as database:
            found = database.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table]
            )
            return dict(found.fetchall())

    def _rows(self, table: str, *, deleted: bool) -> dict[str, Cells]:
        types = self._all_types(table)
        # The mark comes with the first row.
        if "_fivetran_deleted" not in types:
            return {}
        columns = [
            # Read as microseconds: a TIMESTAMPTZ comes in the reader's own time zone.
            f'epoch_us("{name}")' if "TIMESTAMP" in kind else f'"{name}"'
            for name, kind in types.items()
        ]
        with self._open() as database:
            rows = database.execute(
                f'SELECT {", ".join(columns)} FROM tester."{table}" WHERE _fivetran_deleted = ?',
                [deleted],
            ).fetchall()
        named = [dict(zip(types, row, strict=True)) for row in rows]
        return {
            row[column_name(KEYS[table])]: {
                name: value
                for name, value in row.items()
                if value is not None and not name.startswith("_fivetran_")
            }
            for row in named
        }

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self.path), read_only=True) as database:
            yield database


def expected_cells(record: dict[str, Any]) -> Cells:
    """Column of the destination -> the value of the source, without what leaves a cell empty.

    Of two paths that come to one column the deeper takes a trailing underscore.
    """
    cells: Cells = {}
    for path, value in sorted(_leaves(record, ()), key=lambda leaf: (len(leaf[0]), leaf[0])):
        column = column_name("_".join(path))
        cells[column + "_" if column in cells else column] = value
    return {column: value for column, value in cells.items() if value is not None}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def column_name(name: str) -> str:
    """How the destination spells a column: `auditEventId` is audit_event_id there."""
    plain = [c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)]
    spelled = ""
    for character in plain:
        last = spelled[-1:]
        letter, digit = _is_letter(character), character in "0123456789"
        if not letter and not digit:
            spelled += "" if last == "_" else "_"
            continue
        new_word = letter and character.isupper() and last.islower()
        if new_word or (digit and _is_letter(last)) or (letter and last.isdigit()):
            spelled += "_"
        spelled += character
    return ("_" if spelled[:1].isdigit() else "") + spelled.lower()


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def as_landed(value: Any, kind: str) -> Any:
    """A value of the source as a column of that type holds it."""
    # A column comes with the first value that is more than "".
    if value is None or (value == "" and kind == "no column"):
        return None
    if kind == "VARCHAR":
        return _text(value).replace("\0", "")
    if kind == "BIGINT":
        return int(value)
    if kind == "FLOAT":
        return struct.unpack("f", struct.pack("f", float(value)))[0]
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else {"true": True, "false": False}[value]
    if "TIMESTAMP" in kind and isinstance(value, str):
        return round(datetime.fromisoformat(value).timestamp() * 1_000_000)
    return f"{value!r}, which no column of type {kind} can hold"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # Lists and booleans as JSON has them, without blanks and in plain letters.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
