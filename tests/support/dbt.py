"""The dbt package's own environment, and dbt runs in it."""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.hermetic import hermetic_environment
from tools.stage import ROOT

PACKAGE = ROOT / "dbt_courier"
REQUIREMENTS = PACKAGE / "requirements.txt"
ENVIRONMENT = ROOT / ".venv-dbt"
# dbt 1.11 runs on no other versions.
VERSIONS = ("3.13", "3.12", "3.11")


def interpreter() -> str:
    """Returns a Python that dbt runs on: this one, or one on PATH."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" in VERSIONS:
        return sys.executable
    for version in VERSIONS:
        found = shutil.which(f"python{version}")
        if found and not subprocess.run([found, "-c", ""], capture_output=True).returncode:
            return found
    raise RuntimeError(f"dbt needs one of Python {', '.join(VERSIONS)} on PATH.")


def dbt_command() -> Path:
    """Returns the environment's dbt; makes the environment if it is missing or out of date."""
    ready = ENVIRONMENT / ".ready"  # `make dbt` creates it too
    # Several test workers may call this at the same time.
    with REQUIREMENTS.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not ready.exists() or ready.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
            _make()
            ready.touch()
    return ENVIRONMENT / "bin" / "dbt"


def _make() -> None:
    # This interpreter's pip installs, so the other one does not need pip.
    pip = [sys.executable, "-m", "pip", "--python", str(ENVIRONMENT / "bin" / "python")]
    for command in (
        [interpreter(), "-m", "venv", "--clear", "--without-pip", str(ENVIRONMENT)],
        [*pip, "--disable-pip-version-check", "--quiet", "install", "-r", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


class Dbt:
    """Runs dbt on the package, or on a project that uses it, with one set of variables."""

    def __init__(
        self,
        folder: Path,
        output: Mapping[str, Any],
        variables: Mapping[str, Any],
        *,
        project: Path = PACKAGE,
    ) -> None:
        self._folder = folder
        self._project = project
        self._variables = json.dumps(variables)
        # The profile is written as JSON, which is valid YAML.
        profile = {"courier": {"target": "test", "outputs": {"test": output}}}
        (folder / "profiles.yml").write_text(json.dumps(profile))

    @property
    def target(self) -> Path:
        return self._folder / "target"

    def run(self, *arguments: str) -> str:
        """Runs dbt and returns its output. Raises AssertionError with it if dbt fails or warns."""
        command = [
            str(dbt_command()), "--no-use-colors", "--warn-error", *arguments,
            "--project-dir", str(self._project), "--profiles-dir", str(self._folder),
            "--vars", self._variables,
        ]  # fmt: skip
        environment = hermetic_environment(self._folder / "home") | {
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self._folder / "logs"),
        }
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def results(self) -> list[dict[str, Any]]:
        """Returns the result of every node of the last run."""
        found = json.loads((self.target / "run_results.json").read_text())["results"]
        return list(found)

    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.target / "manifest.json").read_text()))


def duckdb_output(path: Path, *, time_zone: str = "UTC") -> dict[str, Any]:
    """Returns a profile's output for a local warehouse whose sessions use a time zone."""
    return {
        "type": "duckdb", "path": str(path), "schema": "analytics", "threads": 2,
        "settings": {"TimeZone": time_zone},
    }  # fmt: skip
