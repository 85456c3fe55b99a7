"""Runs one sync in its own process: reads a job as JSON from stdin, writes its figures to stdout.

A fresh process keeps the memory, CPU and imports of one run separate from those of another.
"""

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from benchmark.sink import Sink
from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from courier_async.sync import sync


def main() -> None:
    json.dump(_run(**json.load(sys.stdin)), sys.stdout)


def _run(
    url: str, key: str, settings: dict[str, Any], state: dict[str, Any] | None
) -> dict[str, Any]:
    logging.getLogger("courier_async").addHandler(logging.NullHandler())
    if "streams" in settings:
        settings["streams"] = tuple(BY_TABLE[table] for table in settings["streams"])
    chosen, sink = Settings(api_key=key, base_url=url, **settings), Sink()
    # Start-up and imports are over by now.
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(sync(chosen, state or {}, sink))
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _peak_mb(),
        "rows": sum(sink.rows.values()),
        "state": sink.state,
    }


def _peak_mb() -> float:
    """Returns the peak memory of this process in MB (10**6 bytes), or 0 if /proc lacks it.

    Not getrusage: its peak is inherited from the parent across fork and exec.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    main()
