"""Cursors that are positions: one can be made up for any time, without the page before it."""

import base64
import binascii
from typing import Final

# Longer numbers are not times, and the state could not hold them.
_MOST_DIGITS: Final = 15


def message_cursor_at(time_ms: int) -> str:
    """Returns the position of a message enqueued at `time_ms` whose id sorts after all others.

    base64 of "<enqueued in epoch ms>,<message id>" (docs, paging).
    """
    position = f"{time_ms},1-{time_ms // 1000:08x}-{'f' * 24}"
    return base64.b64encode(position.encode()).decode()


def time_in_cursor(cursor: str) -> int | None:
    """Returns the time in a cursor of that form, or None for any other."""
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    time, comma, name = text.partition(",")
    is_time = comma and name and time.isascii() and time.isdigit() and len(time) <= _MOST_DIGITS
    return int(time) if is_time else None
