"""Syncs through connector.update in a process of their own, whose memory is measured."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import connector
from tests.support.harness import Row, Sink, Tables

STATUS = Path("/proc/self/status")
LARGE_BYTES = 100_000


@dataclass
class Outcome:
    """How one sync ended. rows: of each table, by key. peak_mb: of the process until then."""

    error: str | None
    seconds: float
    rows: dict[str, dict[str, Any]]
    state: dict[str, Any]
    warnings: list[str]
    peak_mb: float = 0.0


class FrugalSink(Sink):
    """Keeps the length of a large value alone: what is measured is the connector's memory."""

    def upsert(self, table: str, data: Row) -> None:
        super().upsert(table, {name: _or_its_length(value) for name, value in data.items()})


def _or_its_length(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    length = len(msgspec.json.encode(value))
    return length if length > LARGE_BYTES else value


def sync_once(configuration: Mapping[str, str], state: Mapping[str, Any]) -> Outcome:
    """One sync through connector.update, whose `op` must be patched back by whoever calls."""
    sink, error = FrugalSink(), None
    # Ours to set: the SDK sets up its log and its operations only for a run of its own.
    vars(connector).update(op=sink, _forward_logs=lambda: None)
    began = time.monotonic()
    try:
        connector.update(dict(configuration), dict(state))
    except RuntimeError as failure:
        error = str(failure)
    tables = Tables()
    tables.apply(sink)
    seconds = time.monotonic() - began
    return Outcome(error, seconds, tables.rows, sink.last_state(), sink.warnings)


async def syncs_of_their_own(
    configurations: Sequence[Mapping[str, str]], *, environment: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Runs them one after another, each from an empty state, beside this event loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.own_process"),
        cwd=Path(__file__).parents[2],
        env=os.environ | dict(environment or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        printed, _ = await process.communicate(msgspec.json.encode(configurations))
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return msgspec.msgpack.decode(printed, type=list[Outcome])


def peak_mb() -> float:
    """The most resident memory so far. Not ru_maxrss, which begins with the parent's."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    outcomes = []
    for configuration in msgspec.json.decode(sys.stdin.buffer.read()):
        outcome = sync_once(configuration, {})
        outcome.peak_mb = peak_mb() if STATUS.exists() else 0.0
        outcomes.append(outcome)
    sys.stdout.buffer.write(msgspec.msgpack.encode(outcomes))


if __name__ == "__main__":
    main()
