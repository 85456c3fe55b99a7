"""The environment on which every test of the `fivetran` command depends."""

import subprocess
from pathlib import Path

import pytest

from tests.support.hermetic import hermetic_environment


def test_the_fivetran_command_runs_there_and_writes_its_settings_nowhere_else(
    tmp_path: Path,
) -> None:
    environment = hermetic_environment(tmp_path / "home")
    run = subprocess.run(
        ["fivetran", "version"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Telemetry Notice" not in run.stdout + run.stderr


def test_what_the_owner_set_for_fivetran_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIVETRAN_API_KEY", "the owner's")
    assert "FIVETRAN_API_KEY" not in hermetic_environment(tmp_path)
