"""Converts JSON values to the types of columns.

A value that Fivetran's SDK refuses fails the whole sync. So each function here takes any JSON
value and returns one that the SDK accepts, None for null, or MISFIT.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from courier_async.catalog.stream import DAY_MS, Type
from courier_async.catalog.text import digits, key_text, sendable

MISFIT: Final = object()

INT64_END: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The parts of a time of day, formatted once.
_MINUTES: Final = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
_SECONDS: Final = tuple(f"{second:02d}." for second in range(60))
_MILLISECONDS: Final = tuple(f"{ms:03d}Z" for ms in range(1000))
_YEAR_1_MS: Final = -62_135_596_800_000
_YEAR_10000_MS: Final = 253_402_300_800_000
# datetime.fromisoformat also takes weeks and digits without separators, by version of Python.
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
    """ISO text in UTC of epoch milliseconds or an ISO text; one without an offset is UTC."""
    kind = type(value)
    if kind is int and _YEAR_1_MS <= value < _YEAR_10000_MS:
        # Inlined: a message has up to six times, and a call would add half of the cost.
        day, rest_ms = divmod(value, DAY_MS)
        minute, rest_ms = divmod(rest_ms, 60_000)
        second, rest_ms = divmod(rest_ms, 1000)
        return f"{_day(day)}{_MINUTES[minute]}{_SECONDS[second]}{_MILLISECONDS[rest_ms]}"
    if kind is str:
        return _iso_time(value)
    if kind is float and value.is_integer():
        return fit_time(int(value))
    return None if value is None else MISFIT


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    """The date so many days after 1970-01-01."""
    return (_EPOCH + timedelta(days=day)).date().isoformat()


def _iso_time(text: str) -> Any:
    if not _is_iso_time(text):
        return MISFIT
    try:
        time = datetime.fromisoformat(text)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # 30 February, or outside the years 1 to 9999
        return MISFIT
    digits = "microseconds" if time.microsecond % 1000 else "milliseconds"
    return time.isoformat(timespec=digits).removesuffix("+00:00") + "Z"


def number_text(value: float) -> str:
    """All digits of a number."""
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
