"""The connector in a project folder of its own, on which the `fivetran` command is run."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from tests.hermetic import hermetic_environment
from tools.stage import PACKAGE, ROOT


class FivetranProject:
    """Below `folder`: the connector, its configuration.json, and what local runs leave."""

    def __init__(self, folder: Path, configuration: dict[str, str]) -> None:
        self.root = folder / "project"
        self._environment = hermetic_environment(folder / "home")
        self.root.mkdir(parents=True)
        for name in ("connector.py", "requirements.txt"):
            shutil.copy(ROOT / name, self.root / name)
        shutil.copytree(
            ROOT / PACKAGE, self.root / PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
        )
        self.configure(configuration)

    def configure(self, configuration: dict[str, str]) -> None:
        (self.root / "configuration.json").write_text(json.dumps(configuration))

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """`fivetran` with these arguments and this typed in; stderr is in stdout."""
        return subprocess.run(
            ["fivetran", *arguments],
            cwd=self.root,
            env=self._environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def sync(self) -> str:
        """One `fivetran debug` that must succeed; what it printed."""
        done = self.run("debug", "--configuration", "configuration.json")
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """What has landed, read-only, the connector's schema being the current one."""
        path = str(self.root / "files" / "warehouse.db")
        with duckdb.connect(path, read_only=True) as connection:
            connection.execute("USE warehouse.tester")
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.warehouse() as connection:
            return connection.execute(query).fetchall()
