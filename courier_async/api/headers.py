"""Reads a response's headers: when it was sent, and how long to wait."""

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

LONGEST_WAIT_SECONDS: Final = 300.0


def now_ms() -> int:
    return int(time.time() * 1000)


def server_ms(headers: Mapping[str, str]) -> int | None:
    """Returns when the response was sent, by the server's clock, or None if it does not say."""
    return _epoch_ms(headers.get("date", ""))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Returns how long the server asks to wait, at most five minutes, or None if it does not."""
    seconds = _number(headers.get("retry-after-ms", ""), scale=0.001)
    if seconds is None:
        seconds = _number(headers.get("retry-after", ""))
    if seconds is None:
        moment_ms = _epoch_ms(headers.get("retry-after", ""))
        if moment_ms is None:
            return None
        answered_ms = server_ms(headers)
        seconds = (moment_ms - (now_ms() if answered_ms is None else answered_ms)) / 1000
    if not seconds >= 0:  # also NaN
        return None
    return min(seconds, LONGEST_WAIT_SECONDS)


# All responses sent within one second carry the same text.
@lru_cache(maxsize=8)
def _epoch_ms(http_date: str) -> int | None:
    try:
        moment = parsedate_to_datetime(http_date)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str, *, scale: float = 1.0) -> float | None:
    try:
        return float(text) * scale
    except ValueError:
        return None
