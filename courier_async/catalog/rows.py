"""A record as one flat row. The hot path: one pass, no call per scalar, names worked out once.

Records of one stream come in few shapes, so the columns of a shape are planned once and kept.
"""

import json
import logging
import math
import re
import unicodedata
from typing import Any, Final

import orjson

from courier_async.catalog.stream import Record

log = logging.getLogger(__name__)

Row = dict[str, Any]

# Nobody names a column so deep; what is deeper stays JSON text in one cell.
_DEEPEST: Final = 16
# Free-form objects come in endless shapes: neither their number nor their length may grow here.
_MOST_PLANS: Final = 2_000
_LONGEST_PLAN: Final = 256
# Between the keys of a path. Half of a surrogate pair: client.parse_json lets none through, so
# no key holds it.
_JOINT: Final = "\ud800"

# The destination's own columns: it would put its values over ours.
_RESERVED: Final = ("_fivetran_deleted", "_fivetran_id", "_fivetran_synced")

_INT64_END: Final = 2**63


class Flattener:
    """Rows of one stream. A shape is the paths of a record's cells, in the order they came.

    key: the field that becomes the primary key; its column keeps its name whatever clashes.
    """

    def __init__(self, table: str, *, key: str = "id") -> None:
        self._table = table
        self._key = key
        self._plans: dict[tuple[str, ...], tuple[str, ...]] = {}
        # Of records without objects in them: keys and types -> columns, those of whole numbers,
        # and those of anything else but text and booleans, which is as it was.
        self._flat_plans: dict[tuple[Any, ...], tuple[tuple[str, ...], ...]] = {}
        self._told = False

    def row(self, record: Record) -> Row:
        """`{"a": {"b": 1}, "c": [2]}` becomes `{"a_b": 1, "c": "[2]"}`; null and {} give nothing.

        Where two keys come to one column, the one less deep keeps the name (of two as deep, the
        one that is spelled like the column) and the other takes a trailing underscore, or a
        number where that is taken too. Raises ValueError on a list nested too deeply to be
        written as text.
        """
        shape = (*record, *map(type, record.values()))
        plan = self._flat_plans.get(shape)
        if plan is None:
            if dict in shape:
                return self._nested_row(record)
            plan = self._flat_plan(record, shape)
        columns, numbers, others = plan
        row = dict(zip(columns, record.values(), strict=True))
        for column in numbers:
            if not -_INT64_END <= row[column] < _INT64_END:
                row[column] = _cell(row[column])
        for column in others:
            cell = _cell(row[column])
            if cell is None:
                del row[column]
            else:
                row[column] = cell
        return row

    def _nested_row(self, record: Record) -> Row:
        paths: list[str] = []
        values: list[Any] = []
        for key, value in record.items():
            kind = type(value)
            if kind is str or kind is bool:
                paths.append(key)
                values.append(value)
            elif kind is dict:
                _nested(key, value, paths, values)
            else:
                paths.append(key)
                values.append(_cell(value))
        shape = tuple(paths)
        columns = self._plans.get(shape) or self._plan(shape)
        return {
            column: value
            for column, value in zip(columns, values, strict=True)
            if value is not None
        }

    def _flat_plan(self, record: Record, shape: tuple[Any, ...]) -> tuple[tuple[str, ...], ...]:
        columns = self._plan(tuple(record))
        numbers, others = [], []
        for column, value in zip(columns, record.values(), strict=True):
            if type(value) is int:
                numbers.append(column)
            elif type(value) is not str and type(value) is not bool:
                others.append(column)
        plan = (columns, tuple(numbers), tuple(others))
        if len(shape) <= 2 * _LONGEST_PLAN:
            if len(self._flat_plans) >= _MOST_PLANS:
                self._flat_plans.clear()
            self._flat_plans[shape] = plan
        return plan

    def _plan(self, shape: tuple[str, ...]) -> tuple[str, ...]:
        """The columns of a shape, the same whatever the order in which the keys came."""
        names: dict[str, str] = {}
        taken = set(_RESERVED)
        # How often each name was wanted, so that thousands of one name do not each try them all.
        tries: dict[str, int] = {}
        for path in sorted(shape, key=self._rank):
            # A column without a name fails the sync.
            name = wanted = path.replace(_JOINT, "_") or "_"
            landed = first = column_name(wanted)
            while landed in taken:
                tries[first] = tries.get(first, 0) + 1
                name = f"{wanted}_" if tries[first] == 1 else f"{wanted}_{tries[first]}"
                landed = column_name(name)
            taken.add(landed)
            names[path] = name
            if name != wanted and not self._told:
                self._told = True
                # Without the column's name: free-form keys may be personal data.
                log.info(
                    "%s: two keys of a record come to one column; the deeper one lands under a "
                    "name that ends in an underscore or a number",
                    self._table,
                )
        columns = tuple(names[path] for path in shape)
        if len(shape) <= _LONGEST_PLAN:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[shape] = columns
        return columns

    def _rank(self, path: str) -> tuple[int, bool, bool, str]:
        """Who comes first when two come to one column: the same in whatever order keys come."""
        return path.count(_JOINT), path != self._key, path != column_name(path), path


def _nested(prefix: str, holder: Record, paths: list[str], values: list[Any]) -> None:
    """Adds the cells of an object, and of those in it, without recursion."""
    waiting = [(prefix, holder, 1)]
    while waiting:
        prefix, holder, depth = waiting.pop()
        for key, value in holder.items():
            path = f"{prefix}{_JOINT}{key}"
            if type(value) is dict:
                if not value:
                    continue
                if depth < _DEEPEST:
                    waiting.append((path, value, depth + 1))
                    continue
            paths.append(path)
            values.append(value if type(value) is str else _cell(value))


def _cell(value: Any) -> Any:
    """What anything but text and a nested object becomes."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        # The destination holds 64 bits; as text every digit lands.
        return value if -_INT64_END <= value < _INT64_END else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    return json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON. Raises ValueError where it is nested too deeply."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, or very deep
        try:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        except RecursionError:
            raise ValueError("nested too deeply") from None


_WORD_ENDS: Final = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)


def column_name(name: str) -> str:
    """The name under which the destination keeps a column, as far as two may come to one.

    Read off trial runs: accents go, words are parted at case and digits, anything else is an
    underscore, and a row of underscores is one.
    """
    if not name.isascii():
        name = "".join(
            letter
            for letter in unicodedata.normalize("NFKD", name)
            if not unicodedata.combining(letter)
        )
    name = re.sub(r"[^A-Za-z0-9]+", "_", _WORD_ENDS.sub("_", name))
    return ("_" + name if name[:1].isdigit() else name).lower()
