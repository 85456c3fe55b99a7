"""A virtual environment with what Fivetran installs: the shipped pins, and the SDK."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hermetic import hermetic_environment
from tools.stage import ROOT

# What pip prints about an unreachable index, before it says that no such package exists.
UNREACHABLE = ("connection broken by", "Could not fetch URL")


def skip_without_index(pip: subprocess.CompletedProcess[str]) -> None:
    """Skip the test, with the reason, if pip failed because it could not reach a package index."""
    unreachable = any(sign in pip.stderr for sign in UNREACHABLE)
    if pip.returncode != 0 and (unreachable or "PIP_NO_INDEX" in os.environ):
        pytest.skip("skipped: the package index cannot be reached")


def clean_python(folder: Path, requirements: Path) -> dict[str, str]:
    """Make the environment in `folder` and return the variables under which only it is found.

    Skips the test if the package index cannot be reached.
    """
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pins = (ROOT / "requirements-dev.txt").read_text().split()
    (sdk,) = [pin for pin in pins if pin.startswith("fivetran-connector-sdk==")]
    # Not compiled, because a sync imports only a few of the files.
    command = [
        *(sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"),
        *("--quiet", "--no-compile", "--disable-pip-version-check", "--retries", "1"),
        *(sdk, "--requirement", str(requirements)),
    ]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    skip_without_index(installed)
    assert installed.returncode == 0, installed.stderr
    environment = hermetic_environment(folder)
    environment.pop("PYTHONPATH", None)
    own = [str(folder / "bin"), str(venv / "bin"), os.defpath]
    return environment | {"PATH": os.pathsep.join(own)}
