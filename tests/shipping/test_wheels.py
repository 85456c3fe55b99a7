"""Fivetran installs what ships on x86-64 Linux, with the connection's Python version."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clean_python import skip_without_index
from tools.stage import ROOT

PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# Both, since pip does not assume that the newer one includes the older.
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")


def resolve(requirements: Path, *, python_version: str) -> subprocess.CompletedProcess[str]:
    """Makes pip choose wheels for these and their dependencies, fetching only what it must read.

    Skips the test, with the reason, if that fails for lack of a package index.
    """
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
        *("--target", "unused", "--only-binary=:all:", "--python-version", python_version),
        *(argument for platform in PLATFORMS for argument in ("--platform", platform)),
        *("--retries", "1", "--requirement", str(requirements)),
    ]
    resolved = subprocess.run(command, capture_output=True, text=True, check=False)
    skip_without_index(resolved)
    return resolved


@pytest.mark.parametrize("python_version", PYTHON_VERSIONS)
def test_what_ships_has_wheels_with_all_it_needs(python_version: str) -> None:
    resolved = resolve(ROOT / "requirements.txt", python_version=python_version)
    assert resolved.returncode == 0, resolved.stderr


def test_a_package_without_a_wheel_is_found_out(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("orjson==3.0.0\n")  # its wheels end with Python 3.8
    resolved = resolve(requirements, python_version="3.14")
    assert resolved.returncode != 0
    assert "No matching distribution found for orjson==3.0.0" in resolved.stderr
