"""Runs syncs through connector.update in a separate process and measures its memory."""

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
    """How one sync ended. rows: of each table, by key. peak_mb: the process's peak so far."""

    error: str | None
    seconds: float
    rows: dict[str, dict[str, Any]]
    state: dict[str, Any]
    warnings: list[str]
    peak_mb: float = 0.0


class FrugalSink(Sink):
    """Keeps only the length of a large value, because the connector's memory is measured."""

    def upsert(self, table: str, data: Row) -> None:
        super().upsert(table, {name: _or_its_length(value) for name, value in data.items()})


def _or_its_length(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    length = len(msgspec.json.encode(value))
    return length if length > LARGE_BYTES else value


def sync_once(configuration: Mapping[str, str], state: Mapping[str, Any]) -> Outcome:
    """Runs one sync through connector.update. Callers must restore the module's `op`."""
    sink, error = FrugalSink(), None
    # Set here, because the SDK sets up its log and operations only for its own runs.
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
    """Runs the syncs one after another in another process, each from an empty state."""
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
    """Returns the peak resident memory so far. ru_maxrss would start with the parent's."""
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
