"""Compares what a local `fivetran debug` run has landed with the fake's truth, cell by cell."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from courier_async.catalog.stream import Type
from courier_async.catalog.streams import BY_TABLE, STREAMS
from tests.support.expected_rows import expected_row

# Core table -> the field of a record that is its key.
KEYS = {stream.table: stream.key[0] for stream in STREAMS}
SHOWN = 20

Cells = dict[str, Any]
# The cell of the key column, or a tuple of several.
RowKey = Any


class Warehouse:
    """The tables in one warehouse.db, read afresh at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tables(self) -> list[str]:
        """Returns the sorted names of the tables; empty if nothing has landed yet."""
        if not self.path.exists():
            return []
        with self._open() as database:
            found = database.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'tester'"
            )
            return sorted(name for (name,) in found.fetchall())

    def types(self, table: str) -> dict[str, str]:
        """Returns column -> the destination's type, without Fivetran's own columns."""
        found = self._all_types(table)
        return {name: kind for name, kind in found.items() if not name.startswith("_fivetran_")}

    def rows(self, table: str) -> dict[RowKey, Cells]:
        """Returns key -> the non-empty cells of each row that is not deleted.

        Times are epoch microseconds, JSON is parsed.
        """
        return self._rows(table, deleted=False)

    def deleted(self, table: str) -> set[RowKey]:
        """Returns the keys of the rows that are marked deleted."""
        return set(self._rows(table, deleted=True))

    def text(self) -> str:
        """Returns every cell of every table as text, to search for what must not be there."""
        with self._open() as database:
            lines = [
                repr(
                    database.execute(f'SELECT COLUMNS(*)::VARCHAR FROM tester."{name}"').fetchall()
                )
                for name in self.tables()
            ]
        return "\n".join(lines)

    def differences(self, table: str, truth: Iterable[dict[str, Any]]) -> list[str]:
        """Describes the first rows and cells that differ from the source, one sentence each."""
        with self.held():
            if table not in self.tables():
                return [f"{table}: no such table"]
            types, landed = self.types(table), self.rows(table)
        found: list[str] = []
        for record in truth:
            expected = expected_row(BY_TABLE[table], record)
            key = row_key(table, expected)
            cells = landed.pop(key, None)
            if cells is None:
                found.append(f"{table} {key!r} is missing")
                continue
            for column in sorted(expected.keys() | cells.keys()):
                wanted, got = expected.get(column), cells.get(column)
                if not _same(wanted, got):
                    kind = types.get(column, "no column")
                    found.append(f"{table} {key!r}.{column} ({kind}) is {got!r}, not {wanted!r}")
        found += [f"{table} {key!r} is not in the source" for key in landed]
        return found[:SHOWN]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the file open, if it exists, so that reads in the meantime open it at no cost."""
        with self._open() if self.path.exists() else nullcontext():
            yield

    def answer(self, query: str) -> list[tuple[Any, ...]]:
        """Returns a query's rows; the query uses bare table names and reads times as UTC."""
        with self.opened() as database:
            return database.execute(query).fetchall()

    @contextmanager
    def opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Opens a connection for such queries."""
        with self._open() as database:
            database.execute("USE tester; SET TimeZone = 'UTC'")
            yield database

    def _all_types(self, table: str) -> dict[str, str]:
        with self._open() as database:
            found = database.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table]
            )
            return dict(found.fetchall())

    def _rows(self, table: str, *, deleted: bool) -> dict[RowKey, Cells]:
        # Fivetran adds the column with the first row.
        if "_fivetran_deleted" not in self._all_types(table):
            return {}
        columns = BY_TABLE[table].columns
        selected = [
            # As microseconds, because a TIMESTAMPTZ comes in the reader's own time zone.
            f'epoch_us("{column.name}")'
            if column.type is Type.UTC_DATETIME
            else f'"{column.name}"'
            for column in columns
        ]
        with self._open() as database:
            rows = database.execute(
                f'SELECT {", ".join(selected)} FROM tester."{table}" WHERE _fivetran_deleted = ?',
                [deleted],
            ).fetchall()
        named = [
            {
                column.name: json.loads(value) if column.type is Type.JSON else value
                for column, value in zip(columns, row, strict=True)
                if value is not None
            }
            for row in rows
        ]
        return {row_key(table, cells): cells for cells in named}

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self.path), read_only=True) as database:
            yield database


def _same(wanted: Any, got: Any) -> bool:
    if type(wanted) is str and type(got) is str:
        return wanted == got
    # As text, so that 1, 1.0 and true differ.
    return json.dumps(wanted, sort_keys=True) == json.dumps(got, sort_keys=True)


def row_key(table: str, cells: Cells) -> RowKey:
    """Returns the key of a row: the cell of its key column, or a tuple of several."""
    key = tuple(cells[name] for name in BY_TABLE[table].key_columns)
    return key if len(key) > 1 else key[0]
