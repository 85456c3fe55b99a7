"""Records through the catalog alone into a real local warehouse, and what should be there."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from courier_async.catalog.stream import Stream, Type
from courier_async.catalog.streams import BY_TABLE
from tests.support.end_to_end import DebugFolder, Run

Record = dict[str, Any]
Rows = dict[str, Record]

_CONNECTOR = '''
"""Sends the records in records.json, through the catalog alone."""

import json
from pathlib import Path

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Operations as op

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.schema import schema_of
from courier_async.catalog.streams import BY_TABLE


def schema(configuration):
    return schema_of(BY_TABLE.values())


def update(configuration, state):
    tables = json.loads(Path(__file__).with_name("records.json").read_text())
    for table, records in tables.items():
        mapper = RowMapper(BY_TABLE[table], redact_secrets=True)
        for record in records:
            op.upsert(table, mapper.row(record))
    op.checkpoint({})


connector = Connector(update=update, schema=schema)
'''
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_SECRETS = {"token", "apikey", "password", "clientsecret"}


class CatalogFolder:
    """A project folder whose connector sends what it is given, and its warehouse."""

    def __init__(self, folder: Path) -> None:
        self._debug = DebugFolder(folder, {})
        self._project = self._debug.project
        (self._project / "connector.py").write_text(_CONNECTOR)

    def send(self, records: Mapping[str, list[Record]], *options: str) -> Run:
        """One `fivetran debug` that sends these records, table by table."""
        (self._project / "records.json").write_text(json.dumps(records))
        configuration = str(self._debug.configuration_path)
        return self._debug.command(
            "debug", str(self._project), "--configuration", configuration, *options
        )

    def columns(self) -> list[tuple[Any, ...]]:
        """Table, name and type of each column in the warehouse."""
        return self._debug.warehouse.answer(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = 'tester' ORDER BY ALL"
        )

    def rows(self, table: str) -> Rows:
        """First key column -> the cells that hold something; times in epoch microseconds."""
        stream = BY_TABLE[table]
        selected = [
            f'epoch_us("{column.name}")'
            if column.type is Type.UTC_DATETIME
            else f'"{column.name}"'
            for column in stream.columns
        ]
        found = self._debug.warehouse.answer(f'SELECT {", ".join(selected)} FROM "{table}"')
        rows = {}
        for values in found:
            cells = {
                column.name: json.loads(value) if column.type is Type.JSON else value
                for column, value in zip(stream.columns, values, strict=True)
                if value is not None
            }
            rows[cells[stream.key_columns[0]]] = cells
        return rows


def expected_row(stream: Stream, record: Record) -> Record:
    """What should be in the warehouse for a record, said anew and plainly.

    For values without deep nesting, and templates without their common columns.
    """
    columns = {column.path: column for column in stream.columns if column.path}
    objects = {path[:depth] for path in columns for depth in range(1, len(path))}
    row: Record = {}
    rest: Record = {}

    def visit(path: tuple[str, ...], value: Any) -> None:
        column = columns.get(path)
        if value is None and (column or path in objects):
            return
        cell = _cell(column.type, value, is_key=path[0] in stream.key) if column else None
        if column and cell is not None:
            row[column.name] = cell
        elif path in objects and isinstance(value, dict):
            for name, inner in value.items():
                visit((*path, name), inner)
        elif path[-1] not in stream.left_out:
            holder = rest
            for step in path[:-1]:
                holder = holder.setdefault(step, {})
            holder.update(_json({path[-1]: value}))

    for name, value in record.items():
        visit((name,), value)
    return row | ({"additional_fields": rest} if rest else {})


def _cell(kind: Type, value: Any, *, is_key: bool) -> Any:
    """A value as a column of this type holds it; None where it does not fit."""
    if kind is Type.JSON:
        return _json(value) if isinstance(value, (dict, list)) else None
    if isinstance(value, (dict, list)):
        return None
    if kind is Type.STRING:
        text = value if isinstance(value, str) else _number(value)
        # The destination drops NUL.
        return _well_formed(text).replace("\0", "")
    if kind is Type.BOOLEAN:
        return value if isinstance(value, bool) else None
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0
    if kind is Type.LONG:
        return int(value) if whole and -(2**63) <= value < 2**63 else None
    try:
        if whole:
            time = _EPOCH + timedelta(milliseconds=int(value))
        elif isinstance(value, str) and _ISO.fullmatch(value):
            time = datetime.fromisoformat(value)
        else:
            return None
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (time - _EPOCH) // timedelta(microseconds=1)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            _well_formed(name): "[redacted]"
            if inner is not None and re.sub(r"[^a-z]", "", name.lower()) in _SECRETS
            else _json(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    if isinstance(value, str):
        return _well_formed(value)
    too_long = type(value) is int and not -(2**63) <= value < 2**63
    no_number = type(value) is float and not math.isfinite(value)
    return _number(value) if too_long or no_number else value


def _well_formed(text: str) -> str:
    return "".join("\ufffd" if 0xD800 <= ord(letter) < 0xE000 else letter for letter in text)


def _number(value: Any) -> str:
    return json.dumps(value)
