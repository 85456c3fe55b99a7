"""Starts the fake API and the syncs that are measured, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Final

from benchmark.figures import ROOT
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.streams import STREAMS

# As Linux does if a container may use half a core: 50 ms of every 100 ms.
_PERIOD_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.005


def account(sizes: dict[str, int], **changes: Any) -> FakeCourierProcess:
    """Returns a fake account, empty except for `sizes`: pages of ten and a year of messages."""
    options = {"page_sizes": dict.fromkeys(STREAMS, 10)} | changes.pop("options", {})
    changes.setdefault("span_days", 365.0)
    full = dict.fromkeys(STREAMS, 0) | sizes
    return FakeCourierProcess(sizes=full, options=options, **changes)


def connector(
    fake: FakeCourierProcess,
    *,
    state: dict[str, Any] | None = None,
    quota: float | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Returns the figures of one sync of the real connector (see child.py).

    quota: the share of one core that it may use, as in production. Raises RuntimeError if
    the sync fails.
    """
    job = {"url": fake.url, "key": fake.key, "settings": settings, "state": state}
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
        raise RuntimeError("a measured sync failed")
    return dict(json.loads(output))


def _govern(pid: int, quota: float, ended: threading.Event) -> None:
    """Limits a process to one core and a share of it, as a control group's CPU quota does.

    The process is stopped for the rest of each 100 ms period in which it has used up its share.
    (Control groups need permissions that developers' machines and containers do not grant.)
    """
    os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
    clock = (~pid << 3) | 2  # the process's CPU clock, computed as clock_getcpuclockid does
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
