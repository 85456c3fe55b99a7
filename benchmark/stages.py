"""A profile by the stages that a record goes through."""

import cProfile
import pstats
from collections import Counter
from pathlib import PurePath
from typing import Any, Final

STAGES: Final = ("request", "parse", "judge", "flatten", "queue", "upsert")
# A file of ours -> the stage that it is. All else (aiohttp, asyncio, ...) is the request.
_BY_FILE: Final = {
    "pages.py": "parse",
    "walk.py": "judge",
    "reading.py": "judge",
    "state.py": "judge",
    "reader.py": "judge",
    "streams.py": "judge",
    "dataclasses.py": "judge",
    "known_rows.py": "judge",
    "hashlib.py": "judge",
    "flatten.py": "flatten",
    "writer.py": "queue",
    "worker.py": "queue",
    "queues.py": "queue",
    "sink.py": "upsert",
}
_BY_FUNCTION: Final = {"parse_json": "parse", "<built-in method orjson.loads>": "parse"}


def shares(profiles: list[cProfile.Profile]) -> dict[str, float]:
    """Stage -> its share of the CPU time of all threads together."""
    seconds: Counter[str] = Counter()
    stats: dict[Any, Any] = pstats.Stats(*profiles).stats  # type: ignore[attr-defined]
    for function, (_, _, own, _, callers) in stats.items():
        stage = _stage(function)
        if stage is not None:
            seconds[stage] += own
            continue
        # Code in C belongs to whoever called it.
        for caller, (_, _, share, _) in callers.items():
            seconds[_stage(caller) or "request"] += share
    total = sum(seconds.values()) or 1.0
    return {stage: seconds[stage] / total for stage in STAGES}


def _stage(function: tuple[str, int, str]) -> str | None:
    path, _, name = function
    if name in _BY_FUNCTION:
        return _BY_FUNCTION[name]
    if path == "~":
        return None
    return _BY_FILE.get(PurePath(path).name, "request")
