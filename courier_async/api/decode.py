"""Decodes Courier's JSON to Python objects, exact to the last digit.

The standard library decodes what msgspec cannot: lone surrogates, NaN and Infinity, and integers
of thousands of digits.
"""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

# A float this long has at most fifteen digits, which a double always keeps.
_SURE_LENGTH: Final = 16


def decode(body: bytes) -> Any:
    """Returns the parsed body. Raises ValueError if it is not JSON or is nested too deeply.

    Integers keep every digit. Numbers that a double cannot hold (more digits, 1e400) and NaN
    and Infinity become text; a lone surrogate becomes U+FFFD.
    """
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return _without_surrogates(
            json.loads(
                body, parse_float=_float_or_text, parse_int=_int_or_text, parse_constant=str
            )
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _float_or_text(number: str) -> float | str:
    """Returns the number, or its text if a double would change it."""
    value = float(number)
    if len(number) <= _SURE_LENGTH and "e" not in number and "E" not in number:
        return value
    if repr(value) == number:
        return value
    if not math.isfinite(value):
        return number
    try:
        return value if Decimal(number) == Decimal(repr(value)) else number
    except InvalidOperation:  # an exponent beyond Decimal's range
        return number


def _int_or_text(number: str) -> int | str:
    try:
        return int(number)
    except ValueError:  # beyond 4,300 digits, Python's limit
        return number


def _without_surrogates(value: Any) -> Any:
    """Returns the same JSON with lone surrogates, which no database stores, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


_DECODER: Final = msgspec.json.Decoder(float_hook=_float_or_text)
