"""Makes a DuckDB warehouse with the declared columns from records, without a sync.

The catalog makes the rows, so tests of what builds on the tables cover any kind of account in a
second.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import Type
from courier_async.catalog.streams import BY_TABLE

Record = dict[str, Any]
Truth = Mapping[str, Iterable[Record]]

SYNCED = "2026-01-01T00:00:00.000Z"
_DUCKDB_TYPES = {
    Type.STRING: "VARCHAR", Type.BOOLEAN: "BOOLEAN", Type.LONG: "BIGINT",
    Type.UTC_DATETIME: "TIMESTAMPTZ", Type.JSON: "JSON",
}  # fmt: skip


def land(path: Path, schema: str, truth: Truth, *, deleted: Iterable[str] = ()) -> None:
    """Lands the records of each table of `truth` in a schema of the database at `path`.

    deleted: ids of the rows that are marked deleted, themselves or through their parents.
    """
    gone = set(deleted)
    with duckdb.connect(str(path)) as database, TemporaryDirectory() as folder:
        database.execute(f"CREATE SCHEMA {schema}; SET TimeZone = 'UTC'")
        for table, records in truth.items():
            mapper = RowMapper(BY_TABLE[table], redact_secrets=True)
            rows = [mapper.row(record) for record in records]
            key = BY_TABLE[table].key_columns[0]
            for row in rows:
                row |= {"_fivetran_synced": SYNCED, "_fivetran_deleted": row[key] in gone}
            _land_table(database, f'{schema}."{table}"', table, rows, Path(folder))


def _land_table(
    database: duckdb.DuckDBPyConnection, name: str, table: str, rows: list[Record], folder: Path
) -> None:
    types = {column.name: _DUCKDB_TYPES[column.type] for column in BY_TABLE[table].columns}
    types["_fivetran_synced"] = "TIMESTAMPTZ"
    if rows:  # Fivetran adds this column with the first row
        types["_fivetran_deleted"] = "BOOLEAN"
    columns = ", ".join(f'"{column}" {type_}' for column, type_ in types.items())
    database.execute(f"CREATE TABLE {name} ({columns})")
    if rows:
        file = folder / f"{table}.json"
        file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
        read = json.dumps(types).replace('"', "'")
        database.execute(
            f"INSERT INTO {name} SELECT * FROM read_json('{file}', "
            f"format = 'newline_delimited', columns = {read})"
        )
