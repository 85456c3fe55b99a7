"""JSON from Courier as Python objects, exact to the last digit, and back to bytes.

msgspec reads all that it can. The standard library reads the rest once: half of a surrogate pair,
numbers that are none, integers of thousands of digits.
"""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

# So many characters hold at most fifteen digits, which a double always keeps.
_SURE_LENGTH: Final = 16


def decode(body: bytes) -> Any:
    """The parsed body. Raises ValueError on what is not JSON or is nested too deeply.

    Integers keep every digit. What a double cannot hold (more digits, 1e400) and what is no
    number (NaN, Infinity) becomes text; half of a surrogate pair becomes U+FFFD.
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


def encode_sorted(value: Any) -> bytes:
    """The same bytes for the same JSON, whatever the order of its keys.

    Raises ValueError on half of a surrogate pair and where it is nested too deeply.
    """
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _float_or_text(number: str) -> float | str:
    """The number, or its text where a double would change it."""
    value = float(number)
    if len(number) <= _SURE_LENGTH and "e" not in number and "E" not in number:
        return value
    if not math.isfinite(value):
        return number
    try:
        return value if Decimal(number) == Decimal(repr(value)) else number
    except InvalidOperation:  # an exponent beyond what Decimal knows
        return number


def _int_or_text(number: str) -> int | str:
    try:
        return int(number)
    except ValueError:  # beyond 4,300 digits, Python's bound
        return number


def _without_surrogates(value: Any) -> Any:
    """The same JSON with each half of a broken pair, which no database stores, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


_DECODER: Final = msgspec.json.Decoder(float_hook=_float_or_text)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
