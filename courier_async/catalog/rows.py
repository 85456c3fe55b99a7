"""Maps a record to a row of its table. This is the hot path: one pass over the record."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from courier_async.catalog.columns import ADDITIONAL_FIELDS
from courier_async.catalog.fit import FITS, MISFIT, fit_key, fit_string
from courier_async.catalog.json_values import JsonValues
from courier_async.catalog.stream import Column, Record, Stream, Type

Row = dict[str, Any]


def _fits_nothing(_: Any) -> Any:
    return MISFIT


_NO_COLUMN: Final = ("", _fits_nothing)


@dataclass(frozen=True, slots=True)
class _Place:
    """An object in a record: its fields that are columns, and its objects that hold columns."""

    path: tuple[str, ...]
    columns: dict[str, tuple[str, Callable[[Any], Any]]] = field(default_factory=dict)
    objects: dict[str, "_Place"] = field(default_factory=dict)


class RowMapper:
    """Maps the records of one stream to rows that Fivetran's SDK accepts, whatever they hold."""

    def __init__(self, stream: Stream, *, redact_secrets: bool) -> None:
        self._json = JsonValues(redact_secrets=redact_secrets, left_out=stream.left_out)
        self._left_out = frozenset(stream.left_out)
        self._top = _Place(())
        self._first_of = [(c.name, c.first_of) for c in stream.columns if c.first_of]
        for column in stream.columns:
            if column.path:
                self._add(column, is_key=column.path[0] in stream.key)

    @property
    def redacted(self) -> int:
        """How many values have been redacted so far."""
        return self._json.redacted

    def row(self, record: Record) -> Row:
        """Returns column -> value, without empty columns."""
        row: Row = {}
        misfits: list[tuple[tuple[str, ...], str, Any]] = []
        self._fill(row, record, self._top, misfits)
        for name, copied in self._first_of:
            for column in copied:
                if column in row:
                    row[name] = row[column]
                    break
        if misfits:
            row[ADDITIONAL_FIELDS.name] = self._nested(misfits)
        return row

    def _add(self, column: Column, *, is_key: bool) -> None:
        place = self._top
        for depth, name in enumerate(column.path[:-1], start=1):
            place = place.objects.setdefault(name, _Place(column.path[:depth]))
        if column.type is Type.JSON:
            fit: Callable[[Any], Any] = self._json.fit
        else:
            fit = fit_key if is_key and column.type is Type.STRING else FITS[column.type]
        place.columns[column.path[-1]] = (column.name, fit)

    def _fill(
        self,
        row: Row,
        record: Record,
        place: _Place,
        misfits: list[tuple[tuple[str, ...], str, Any]],
    ) -> None:
        """Adds the columns of one object to the row, and what fits no column to the misfits."""
        columns = place.columns
        for name, value in record.items():
            column, fit = columns.get(name, _NO_COLUMN)
            # Most values of a message are plain text: save the call.
            if fit is fit_string and type(value) is str and value.isascii():
                row[column] = value
                continue
            fitted = fit(value)
            if fitted is not MISFIT:
                if fitted is not None:
                    row[column] = fitted
                continue
            inner = place.objects.get(name)
            if inner is not None and type(value) is dict:
                self._fill(row, value, inner, misfits)
            elif (inner is None or value is not None) and name not in self._left_out:
                misfits.append((place.path, name, value))

    def _nested(self, misfits: list[tuple[tuple[str, ...], str, Any]]) -> dict[str, Any]:
        """Returns the content of additional_fields: each value under its path."""
        top: dict[str, Any] = {}
        for path, name, value in misfits:
            holder = top
            for step in path:
                holder = holder.setdefault(step, {})
            holder.update(self._json.field(name, value, depth=len(path)))
        return top
