"""Long runs, by `make soak`: a million messages with faults in half a core and 512 MB, and a
thousand syncs in one process. Prints what it measured; exits 1 if something grew or was lost.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from courier_async.sync import sync
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.server import serve
from tests.support.harness import Sink, settings
from tests.syncs.house import SMALL, small_account

MEMORY_BYTES = 512 * 1024 * 1024
FAULTS = ("500", "502", "503", "504", "429", "gateway_timeout", "drop", "cut", "truncated", "html")


class CountingSink(Sink):
    """Keeps only hashes of the ids that were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, set[int]] = {}
        self.rows = 0
        self.state: dict[str, Any] = {}

    def _note(self, operation: tuple[str, Any]) -> None:
        name, data = operation
        if name == "upsert":
            table, row = data
            self.rows += 1
            self.ids.setdefault(table, set()).add(hash(row.get("id", row.get("auditEventId"))))
        elif name == "checkpoint":
            self.state = data


def one_large_sync(url: str, size: int) -> int:
    """Runs one sync in this process, whose memory the operating system limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sink = CountingSink()
    values = settings(
        base_url=url, max_retries=6, checkpoint_interval_seconds=10.0, requests_per_second=1000.0
    )
    started = time.monotonic()
    asyncio.run(sync(values, {}, sink))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "messages": len(sink.ids["message"]),
        "rows_sent": sink.rows,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(peak / 2**20, 1),
        "state_bytes": len(json.dumps(sink.state)),
    }
    print(json.dumps(result))
    return 0 if result["messages"] == size and peak < MEMORY_BYTES else 1


def half_a_core(process: subprocess.Popen[bytes]) -> None:
    """Stops the process for half of every 20 ms, until it ends."""
    while process.poll() is None:
        for number, seconds in ((signal.SIGSTOP, 0.01), (signal.SIGCONT, 0.01)):
            try:
                process.send_signal(number)
            except ProcessLookupError:
                return
            time.sleep(seconds)


def large(size: int) -> int:
    options = {"fault_rate": 0.01, "fault_kinds": list(FAULTS), "retry_after_seconds": 0.1}
    with FakeCourierProcess(
        sizes=SMALL | {"message": size}, span_days=360.0, options=options
    ) as fake:
        command = [
            sys.executable,
            "-m",
            "tests.support.soak",
            "--url",
            fake.url,
            "--messages",
            str(size),
        ]
        process = subprocess.Popen(command)
        sibling = threading.Thread(target=half_a_core, args=(process,), daemon=True)
        sibling.start()
        status = process.wait()
        print(f"a sync of {size:,} messages with 1 % faults in half a core: exit {status}")
    return status


async def many(count: int) -> int:
    account = small_account()
    state: dict[str, Any] = {}
    first: tuple[int, int, int, int] | None = None
    async with serve(account) as server:
        for number in range(count):
            sink = CountingSink()
            await sync(settings(base_url=server.url, max_retries=2), state, sink)
            state = sink.state
            account.add("message", 1)
            if number in (count // 4, count - 1):
                gc.collect()
                now = (
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    len(os.listdir("/proc/self/fd")),
                    threading.active_count(),
                    len(asyncio.all_tasks()),
                )
                print(
                    f"after {number + 1} syncs: {now[0]} MB peak, {now[1]} descriptors, "
                    f"{now[2]} threads, {now[3]} tasks"
                )
                first = first or now
    assert first is not None
    grew = now[0] > first[0] + 20 or now[1] > first[1] + 8 or now[2:] > first[2:]
    return int(grew)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--syncs", type=int, default=1_000)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.url:
        return one_large_sync(arguments.url, arguments.messages)
    return large(arguments.messages) or asyncio.run(many(arguments.syncs))


if __name__ == "__main__":
    sys.exit(main())
