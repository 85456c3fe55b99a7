"""Runs the real `fivetran` command on a copy of the connector, with its own folder and home."""

import atexit
import compileall
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.hermetic import hermetic_environment
from tests.support.warehouse import KEYS, Warehouse
from tools.console import Digest, lines
from tools.stage import stage

_UPDATE_BEGINS = "calling update()"


@dataclass(frozen=True)
class Run:
    """How a `fivetran` command ended: its status (negative: the signal) and its output."""

    status: int
    output: str
    seconds: float

    def counts(self, column: str) -> dict[str, int]:
        """Returns a column of the table that ends a sync, such as "sent", by stream."""
        digest = Digest()
        for line in lines(self.output.splitlines()):
            digest.take(line)
        return {row["stream"]: int(row[column].replace(",", "")) for row in digest.table}


def succeeded(run: Run) -> Run:
    """Returns the run. Raises AssertionError with its output if it failed."""
    assert run.status == 0, run.output
    return run


@functools.cache
def _compiled() -> Path:
    """Returns the staged connector, compiled once so that each new project need not compile it."""
    folder = Path(tempfile.mkdtemp(prefix="connector"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compileall.compile_dir(stage(folder / "connector"), quiet=1)
    return folder / "connector"


class DebugFolder:
    """A project folder below `folder` that keeps its state and warehouse between runs.

    configuration_path: its configuration.json, which a test may rewrite.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, str]) -> None:
        self.project = folder / "connector"
        shutil.copytree(_compiled(), self.project)
        self.configuration_path = self.project / "configuration.json"
        self.configuration_path.write_text(json.dumps(configuration))
        self.warehouse = Warehouse(self.project / "files" / "warehouse.db")
        self._console = folder / "console.txt"
        self._home = folder / "home"
        self._state = self.project / "files" / "state.json"

    @property
    def state(self) -> dict[str, Any]:
        """What the last checkpoint saved; {} before the first one."""
        return dict(json.loads(self._state.read_text())) if self._state.exists() else {}

    @state.setter
    def state(self, state: Any) -> None:
        self._state.parent.mkdir(exist_ok=True)
        self._state.write_text(json.dumps(state))

    def append(self, name: str, code: str) -> None:
        """Adds code to the end of a file of the project."""
        with (self.project / name).open("a") as file:
            file.write(code)

    def sync(
        self,
        *,
        kill_after_seconds: float | None = None,
        after: str = _UPDATE_BEGINS,
        meanwhile: Callable[[int], None] | None = None,
        timeout_seconds: float = 60.0,
        changes: Mapping[str, str] | None = None,
    ) -> Run:
        """Runs `fivetran debug`, with `changes` to the configuration for this run only.

        `meanwhile` is called with the process group once update() has begun. With
        `kill_after_seconds`, the whole group is killed that long after `after` was printed, or
        after the start if `after` is "".
        """
        path = self.configuration_path
        if changes:
            path = self._home.parent / path.name
            usual = json.loads(self.configuration_path.read_text())
            path.write_text(json.dumps(usual | dict(changes)))
        return self._run(
            ["debug", str(self.project), "--configuration", str(path)],
            kill_after_seconds=kill_after_seconds,
            after=after,
            meanwhile=meanwhile,
            timeout_seconds=timeout_seconds,
        )

    def command(self, *arguments: str, typed: str = "") -> Run:
        """Runs any other `fivetran` command in the project folder, with `typed` as its input."""
        return self._run(list(arguments), typed=typed)

    def forget_tables(self) -> None:
        """Deletes the warehouse and keeps the state."""
        self.warehouse.path.unlink()

    def files_with(self, secret: str) -> list[str]:
        """Returns the files of all runs that contain a text, except the configuration."""
        everything = [path for path in self._console.parent.rglob("*") if path.is_file()]
        return [
            str(path.relative_to(self._console.parent))
            for path in everything
            if path.name != "configuration.json" and secret.encode() in path.read_bytes()
        ]

    def _run(
        self,
        arguments: list[str],
        *,
        typed: str = "",
        kill_after_seconds: float | None = None,
        after: str = _UPDATE_BEGINS,
        meanwhile: Callable[[int], None] | None = None,
        timeout_seconds: float = 60.0,
    ) -> Run:
        began = time.monotonic()
        printed_before = self._console.stat().st_size if self._console.exists() else 0
        # Files: a pipe could fill, or stay open in what is left of a killed group.
        with self._console.open("ab") as console, tempfile.TemporaryFile() as keyboard:
            keyboard.write(typed.encode())
            keyboard.seek(0)
            process = subprocess.Popen(
                ["fivetran", *arguments],
                cwd=self.project,
                env=hermetic_environment(self._home),
                stdin=keyboard,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if meanwhile is not None:
                    self._wait_for(_UPDATE_BEGINS, process, printed_before)
                    meanwhile(process.pid)
                if kill_after_seconds is not None:
                    self._wait_for(after, process, printed_before)
                    time.sleep(kill_after_seconds)
                    _kill_group(process)
                status = process.wait(timeout_seconds)
            finally:
                _kill_group(process)
        output = self._console.read_bytes()[printed_before:].decode()
        return Run(status, output, time.monotonic() - began)

    def _wait_for(self, text: str, process: subprocess.Popen[bytes], start: int) -> None:
        wanted = text.encode()
        while process.poll() is None and wanted not in self._console.read_bytes()[start:]:
            time.sleep(0.02)


def differences(folder: DebugFolder, fake: FakeCourierProcess, *but: str) -> list[str]:
    """Returns the differences between the tables, except those in `but`, and the source."""
    with folder.warehouse.held():
        return [
            line
            for table in KEYS
            if table not in but
            for line in folder.warehouse.differences(table, fake.truth(table))
        ]


def wait_for_requests(fake: FakeCourierProcess, least: int) -> None:
    """Waits until the fake has had `least` requests, for at most 30 s (a busy machine is slow)."""
    deadline = time.monotonic() + 30
    while fake.stats()["requests"] < least and time.monotonic() < deadline:
        time.sleep(0.05)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills whatever is left of a command's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
