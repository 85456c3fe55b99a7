"""Starts the fake API and the runs that are measured, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from math import ceil
from pathlib import Path
from typing import Any, Final

from benchmark.floors import Chain
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.streams import STREAMS

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = 10
# As Linux does where a container may use half a core: 50 ms of every 100 ms.
_PERIOD_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.005


def account(sizes: dict[str, int], **changes: Any) -> FakeCourierProcess:
    """A fake account, empty but for `sizes`, with pages of ten (tenants: a hundred)."""
    options = {"page_sizes": dict.fromkeys(STREAMS, PAGE)} | changes.pop("options", {})
    changes.setdefault("span_days", 300.0)
    full = dict.fromkeys(STREAMS, 0) | sizes
    return FakeCourierProcess(sizes=full, options=options, **changes)


def pages(stream: str, size: int) -> int:
    """How many requests it takes to read `size` records; an empty stream takes one."""
    return max(1, ceil(size / (100 if stream == "tenant" else PAGE)))


def connector(
    fake: FakeCourierProcess,
    *,
    lanes: int = 1,
    quota: float | None = None,
    row_ms: float = 0.0,
    state: dict[str, Any] | None = None,
    profile: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """One sync of the real connector. See child.py for the figures."""
    settings = {"requests_per_second": 1000.0, "message_lanes": lanes} | settings
    job = {"kind": "connector", "url": fake.url, "key": fake.key, "settings": settings}
    return run(job | {"row_ms": row_ms, "state": state, "profile": profile}, quota=quota)


def floor(
    fake: FakeCourierProcess, chains: list[Chain], *, quota: float | None = None
) -> dict[str, Any]:
    """The parse floor of some chains of message pages."""
    each = [(chain.cursor, chain.pages) for chain in chains]
    return run({"kind": "floor", "url": fake.url, "key": fake.key, "chains": each}, quota=quota)


def serial(fake: FakeCourierProcess, *, quota: float | None = None) -> dict[str, Any]:
    """The plain reader of the whole account."""
    return run({"kind": "serial", "url": fake.url, "key": fake.key}, quota=quota)


def message_cursors(fake: FakeCourierProcess, count: int) -> list[str | None]:
    """The cursors of all message pages, in order, found by reading them once."""
    fake.reset_stats()
    floor(fake, [Chain(None, count)])
    return list(fake.stats()["cursors"]["message"])


def run(job: dict[str, Any], *, quota: float | None = None) -> dict[str, Any]:
    """The job's figures. quota: the share of one core that it may use, as in production.

    Raises RuntimeError where the run fails.
    """
    command = [sys.executable, "-m", "benchmark.child"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ended = threading.Event()
    governor = threading.Thread(target=_govern, args=(process.pid, quota or 1.0, ended))
    if quota is not None:
        governor.start()
    try:
        output, _ = process.communicate(json.dumps(job))
    finally:
        ended.set()
        if quota is not None:
            governor.join()
        process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"a run of {job['kind']} failed")
    return dict(json.loads(output))


def _govern(pid: int, quota: float, ended: threading.Event) -> None:
    """Keeps a process to one core and a share of it, as a CPU quota of a control group does.

    It is stopped for the rest of each period of 100 ms in which it has used up its share.
    (Control groups need rights that a developer's machine and a container do not give.)
    """
    os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
    clock = (~pid << 3) | 2  # the process's CPU clock, as clock_getcpuclockid has it
    while not ended.is_set():
        began, used = time.monotonic(), time.clock_gettime(clock)
        while (left := began + _PERIOD_SECONDS - time.monotonic()) > 0:
            try:
                if time.clock_gettime(clock) - used >= quota * _PERIOD_SECONDS:
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(left)
                    os.kill(pid, signal.SIGCONT)
                    break
            except (ProcessLookupError, OSError):
                return  # it has ended
            if ended.wait(min(_LOOK_SECONDS, left)):
                return
