"""One run in a process of its own: a job as JSON on standard input, its figures on the output.

A fresh process, so that memory, CPU and imports of one run are not those of another.
"""

import asyncio
import cProfile
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.floors import Chain, parse_floor, serial_reader
from benchmark.sink import Sink
from benchmark.stages import shares
from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from courier_async.sync import sync


def main() -> None:
    job = json.load(sys.stdin)
    kind = job.pop("kind")
    kinds: dict[str, Callable[..., dict[str, Any]]]
    kinds = {"connector": _connector, "floor": _floor, "serial": _serial}
    figures = kinds[kind](**job)
    figures["peak_mb"] = _memory_mb("VmHWM")
    json.dump(figures, sys.stdout)


def _connector(
    url: str,
    key: str,
    settings: dict[str, Any],
    row_ms: float = 0.0,
    state: dict[str, Any] | None = None,
    profile: bool = False,
) -> dict[str, Any]:
    logging.getLogger("courier_async").addHandler(logging.NullHandler())
    if "streams" in settings:
        settings["streams"] = tuple(BY_TABLE[table] for table in settings["streams"])
    chosen = Settings(api_key=key, base_url=url, **settings)
    sink = Sink(row_ms=row_ms)
    # From 3.12 on cProfile takes one thread of a process and no other.
    profiles = _profile_all_threads() if profile and sys.version_info < (3, 12) else []
    figures = _timed(lambda: asyncio.run(sync(chosen, state or {}, sink)))
    for each in profiles:
        each.disable()
    rows = sum(sink.rows.values())
    return figures | {
        "rows": rows,
        "deletes": sink.deletes,
        "state": sink.state,
        "stages": shares(profiles) if profiles else {},
    }


def _floor(url: str, key: str, chains: list[tuple[str | None, int]]) -> dict[str, Any]:
    each = [Chain(cursor, pages) for cursor, pages in chains]
    counts: list[int] = []
    figures = _timed(lambda: counts.append(asyncio.run(parse_floor(url, key, each))))
    return figures | {"rows": counts[0]}


def _serial(url: str, key: str) -> dict[str, Any]:
    return _timed(lambda: serial_reader(url, key))


def _timed(run: Callable[[], object]) -> dict[str, Any]:
    """Wall and CPU seconds of `run` alone: start-up and imports are over by now."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def _memory_mb(name: str) -> float:
    """A size of this process in MB (10**6 bytes); 0 where /proc does not tell.

    Not getrusage: its peak is inherited from the parent across fork and exec.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    for line in status.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _profile_all_threads() -> list[cProfile.Profile]:
    """A profiler a thread, by CPU time, so that waiting counts for nothing."""
    profiles = [cProfile.Profile(time.thread_time)]

    def begin(*_: Any) -> None:
        sys.setprofile(None)
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].enable()

    threading.setprofile(begin)
    profiles[0].enable()
    return profiles


if __name__ == "__main__":
    main()
