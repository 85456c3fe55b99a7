"""A DuckDB warehouse of the declared shape, made from records without a sync.

Says anew, simply, how a record looks in its table, so that what is built on the tables can be
tested for accounts of any kind in a second.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from courier_async.catalog.core_columns import (
    AUDIENCE,
    AUDIT_EVENT,
    BRAND,
    LIST,
    MESSAGE,
    NOTIFICATION,
    TENANT,
)
from courier_async.catalog.stream import Column, Type
from tests.support.further_records import FURTHER

Record = dict[str, Any]
Truth = Mapping[str, Iterable[Record]]

TABLES: dict[str, tuple[Column, ...]] = {
    "brand": BRAND, "audience": AUDIENCE, "audit_event": AUDIT_EVENT, "list": LIST,
    "message": MESSAGE, "notification": NOTIFICATION, "tenant": TENANT, **FURTHER,
}  # fmt: skip
CORE = tuple(TABLES)[:7]
SYNCED = "2026-01-01T00:00:00.000Z"
_DUCKDB_TYPES = {
    Type.STRING: "VARCHAR", Type.BOOLEAN: "BOOLEAN", Type.LONG: "BIGINT",
    Type.UTC_DATETIME: "TIMESTAMPTZ", Type.JSON: "JSON",
}  # fmt: skip


def land(path: Path, schema: str, truth: Truth, *, deleted: Iterable[str] = ()) -> None:
    """Lands the records of each table of `truth` in a schema of the database at `path`.

    deleted: ids of the rows that are marked deleted.
    """
    gone = set(deleted)
    with duckdb.connect(str(path)) as database, TemporaryDirectory() as folder:
        database.execute(f"CREATE SCHEMA {schema}; SET TimeZone = 'UTC'")
        for table, records in truth.items():
            rows = [_row(record, TABLES[table], gone) for record in records]
            _land_table(database, f'{schema}."{table}"', table, rows, Path(folder))


def _land_table(
    database: duckdb.DuckDBPyConnection, name: str, table: str, rows: list[Record], folder: Path
) -> None:
    types = {column.name: _DUCKDB_TYPES[column.type] for column in TABLES[table]}
    types["_fivetran_synced"] = "TIMESTAMPTZ"
    if rows:  # the mark comes with the first row
        types["_fivetran_deleted"] = "BOOLEAN"
    columns = ", ".join(f'"{column}" {type_}' for column, type_ in types.items())
    database.execute(f"CREATE TABLE {name} ({columns})")
    if rows:
        file = folder / f"{table}.json"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        read = json.dumps(types).replace('"', "'")
        database.execute(
            f"INSERT INTO {name} SELECT * FROM read_json('{file}', "
            f"format = 'newline_delimited', columns = {read})"
        )


def _row(record: Record, columns: tuple[Column, ...], gone: set[str]) -> Record:
    row = {column.name: _cell(record, column) for column in columns}
    for column in columns:
        if column.first_of:
            row[column.name] = next(
                (v for n in column.first_of if (v := row[n]) is not None), None
            )
    known = {column.path[0] for column in columns if column.path}
    row["additional_fields"] = {k: v for k, v in record.items() if k not in known} or None
    key = next(iter(row.values()))
    return row | {"_fivetran_synced": SYNCED, "_fivetran_deleted": key in gone}


def _cell(record: Record, column: Column) -> Any:
    value: Any = record if column.path else None
    for key in column.path:
        value = value.get(key) if isinstance(value, dict) else None
    if column.type is Type.UTC_DATETIME and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    if column.type is not Type.JSON and isinstance(value, dict | list):
        return None
    return value
