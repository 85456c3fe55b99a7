"""`make package`: the real `fivetran package`, on what runs and nothing else."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import checkout, shipped_names
from tests.hermetic import hermetic_environment

Package = Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return checkout(tmp_path / "checkout")


@pytest.fixture
def package(folder: Path, tmp_path: Path) -> Package:
    """Packages the folder as `make package` does."""
    environment = hermetic_environment(tmp_path)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tools.package"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_archive_holds_what_runs_and_nothing_else(folder: Path, package: Package) -> None:
    done = package()
    assert done.returncode == 0, done.stdout + done.stderr
    archive = folder / "build" / "courier_connector.zip"
    assert sorted(zipfile.ZipFile(archive).namelist()) == shipped_names()
    assert list(folder.rglob("*.zip")) == [archive]


def test_the_archive_is_under_100_kilobytes_and_what_it_is_is_said(
    folder: Path, package: Package
) -> None:
    done = package()
    size_bytes = (folder / "build" / "courier_connector.zip").stat().st_size
    assert size_bytes < 100_000
    assert f"build/courier_connector.zip: {size_bytes:,} bytes" in done.stdout
    assert all(f"  {name}\n" in done.stdout for name in shipped_names())


def test_what_an_earlier_version_staged_is_gone(folder: Path, package: Package) -> None:
    stale = folder / "build" / "stage" / "courier_async" / "removed_since.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    package()
    with zipfile.ZipFile(folder / "build" / "courier_connector.zip") as archive:
        assert "courier_async/removed_since.py" not in archive.namelist()


def test_requirements_that_the_sdk_would_rewrite_are_an_error(
    folder: Path, package: Package, tmp_path: Path
) -> None:
    lying = '#!/bin/sh\necho "aiohttp==1.0.0" > "$3"\n'
    (tmp_path / "bin" / "pipreqs").write_text(lying)
    done = package()
    assert done.returncode != 0
    assert "The SDK would change requirements.txt: " in done.stderr
    assert "+aiohttp==1.0.0" in done.stderr
    assert not (folder / "build" / "courier_connector.zip").exists()


def test_a_connector_that_cannot_be_imported_is_not_packaged(
    folder: Path, package: Package
) -> None:
    (folder / "connector.py").write_text("import nothing_of_that_name\n")
    assert package().returncode != 0
    assert not (folder / "build" / "courier_connector.zip").exists()
