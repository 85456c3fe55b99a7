"""The functions that make a stream's records."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


def iso(ms: int) -> str:
    """Returns epoch ms as the API's ISO text: 2022-07-05T22:30:24.662Z."""
    whole = datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]
    return f"{whole}.{ms % 1000:03d}Z"


@dataclass(frozen=True)
class Maker:
    """Makes one stream's records. `index_of` only guesses, so callers must compare ids."""

    id_of: Callable[[int, int], str]  # (index, time_ms)
    index_of: Callable[[str], int | None]
    record: Callable[[int, int, int], Record]  # (index, time_ms, as_of_ms)
