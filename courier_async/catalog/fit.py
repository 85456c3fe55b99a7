"""Converts JSON values to the types of columns.

A value that Fivetran's SDK refuses fails the whole sync. So each function here takes any JSON
value and returns one that the SDK accepts, None for null, or MISFIT.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from courier_async.catalog.stream import Type
from courier_async.catalog.text import digits, key_text, sendable

MISFIT: Final = object()

INT64_END: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_YEAR_1_MS: Final = -62_135_596_800_000
_YEAR_10000_MS: Final = 253_402_300_800_000
# Some Python versions' datetime.fromisoformat also takes weeks and digits without separators.
_is_iso_time: Final = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
).fullmatch


def fit_key(value: Any) -> Any:
    return key_text(value) or MISFIT


def fit_string(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else sendable(value)
    if value is None:
        return None
    if kind is bool:
        return "true" if value else "false"
    return number_text(value) if kind is int or kind is float else MISFIT


def fit_boolean(value: Any) -> Any:
    return value if value is None or type(value) is bool else MISFIT


def fit_long(value: Any) -> Any:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        return value if -INT64_END <= value < INT64_END else MISFIT
    return None if value is None else MISFIT


def fit_time(value: Any) -> Any:
    """Converts epoch milliseconds or an ISO text; one without an offset is UTC.

    Returns a datetime, since the SDK takes three times as long to handle a text.
    """
    kind = type(value)
    if kind is int and _YEAR_1_MS <= value < _YEAR_10000_MS:
        return _EPOCH + value * _MILLISECOND
    if kind is str:
        return _iso_time(value)
    if kind is float and value.is_integer():
        return fit_time(int(value))
    return None if value is None else MISFIT


def _iso_time(text: str) -> Any:
    if not _is_iso_time(text):
        return MISFIT
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # 30 February, or outside the years 1 to 9999
        return MISFIT


def number_text(value: float) -> str:
    """Returns a number as text, with all of its digits."""
    if isinstance(value, int):
        return digits(value)
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# JSON columns need more than a function: json_values.py.
FITS: Final[Mapping[Type, Callable[[Any], Any]]] = MappingProxyType(
    {
        Type.STRING: fit_string,
        Type.BOOLEAN: fit_boolean,
        Type.LONG: fit_long,
        Type.UTC_DATETIME: fit_time,
    }
)
