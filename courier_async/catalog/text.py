"""Text as it can be sent and stored."""

import re
from decimal import Decimal
from typing import Any, Final

_MOST_BITS: Final = 10_000
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def sendable(text: str) -> str:
    """Returns the text with U+FFFD for each half of a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def digits(number: int) -> str:
    """Returns all digits of a number. str() alone refuses more than 4,300."""
    return str(number) if number.bit_length() < _MOST_BITS else f"{Decimal(number):f}"


def key_text(value: Any) -> str:
    """Returns a key field as text, or "" if it cannot be a key."""
    if type(value) is str:
        # The destination drops NUL, so keys that differ only in NUL would collide.
        plain = value.replace("\x00", "") if "\x00" in value else value
        return plain if plain.isascii() else sendable(plain)
    return digits(value) if isinstance(value, int) and not isinstance(value, bool) else ""
