"""Computes the warehouse row expected for a record, independently of the connector.

It takes each column's path and type from the catalog, but converts the values itself, so that a
bug in the connector's conversion shows.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from courier_async.catalog.stream import Stream, Type

Record = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_SECRETS = {
    "token", "accesstoken", "refreshtoken", "idtoken", "secret", "clientsecret", "password",
    "passwd", "privatekey", "apikey", "authorization",
}  # fmt: skip


def expected_row(stream: Stream, record: Record) -> Record:
    """Returns column -> value, without empty ones: times in epoch microseconds, JSON parsed.

    Does not cover values that are nested too deeply.
    """
    columns = {column.path: column for column in stream.columns if column.path}
    objects = {path[:depth] for path in columns for depth in range(1, len(path))}
    row: Record = {}
    rest: Record = {}

    def visit(path: tuple[str, ...], value: Any) -> None:
        column = columns.get(path)
        if value is None and (column or path in objects):
            return
        cell = _cell(column.type, value, stream.left_out) if column else None
        if column and cell is not None:
            row[column.name] = cell
        elif path in objects and isinstance(value, dict):
            for name, inner in value.items():
                visit((*path, name), inner)
        elif path[-1] not in stream.left_out:
            holder = rest
            for step in path[:-1]:
                holder = holder.setdefault(step, {})
            holder.update(_json({path[-1]: value}, stream.left_out))

    for name, value in record.items():
        visit((name,), value)
    for column in stream.columns:
        filled = [row[name] for name in column.first_of if name in row]
        if filled:
            row[column.name] = filled[0]
    return row | ({"additional_fields": rest} if rest else {})


def _cell(kind: Type, value: Any, left_out: tuple[str, ...]) -> Any:
    """Returns a value as a column of this type holds it; None if it does not fit."""
    if kind is Type.JSON:
        return _json(value, left_out) if isinstance(value, (dict, list)) else None
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


def _json(value: Any, left_out: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {
            _well_formed(name): "[redacted]"
            if inner is not None and re.sub(r"[^a-z]", "", name.lower()) in _SECRETS
            else _json(inner, left_out)
            for name, inner in value.items()
            if name not in left_out
        }
    if isinstance(value, list):
        return [_json(inner, left_out) for inner in value]
    if isinstance(value, str):
        return _well_formed(value)
    too_long = type(value) is int and not -(2**63) <= value < 2**63
    no_number = type(value) is float and not math.isfinite(value)
    return _number(value) if too_long or no_number else value


def _well_formed(text: str) -> str:
    if text.isascii():
        return text
    return "".join("\ufffd" if 0xD800 <= ord(letter) < 0xE000 else letter for letter in text)


def _number(value: Any) -> str:
    return json.dumps(value)
