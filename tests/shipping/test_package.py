"""`make package`: the real `fivetran package`, for the files that run and no others."""

import ast
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.checkout import LEFT_LYING_ABOUT, checkout, shipped_names
from tests.support.hermetic import hermetic_environment
from tests.support.spellings import KEY, found

# One worker, so that tests that only look at the archive share one package.
pytestmark = pytest.mark.xdist_group("package")

Package = Callable[[], subprocess.CompletedProcess[str]]


def imports(source: str) -> set[str]:
    """Returns the top-level names from outside its package that a module imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@dataclass(frozen=True)
class Packaged:
    """A checkout packaged as `make package` does it, and the output."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def archive(self) -> Path:
        return self.folder / "build" / "courier_connector.zip"


def package_in(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.package"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    """The unchanged checkout, packaged once."""
    home = tmp_path_factory.mktemp("packaged")
    (home / "checkout").mkdir()
    folder = checkout(home / "checkout")
    done = package_in(folder, hermetic_environment(home))
    assert done.returncode == 0, done.stdout + done.stderr
    return Packaged(folder, done)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return checkout(tmp_path / "checkout")


@pytest.fixture
def package(folder: Path, tmp_path: Path) -> Package:
    """Returns a function that packages the folder as `make package` does."""
    # Made once, because a test may replace its pipreqs.
    environment = hermetic_environment(tmp_path)
    return lambda: package_in(folder, environment)


def test_the_archive_holds_what_runs_and_nothing_else(packaged: Packaged) -> None:
    assert sorted(zipfile.ZipFile(packaged.archive).namelist()) == shipped_names()
    assert list(packaged.folder.rglob("*.zip")) == [packaged.archive]


def test_the_staged_folder_holds_nothing_else_that_the_sdk_could_take(packaged: Packaged) -> None:
    staged = packaged.folder / "build" / "stage"
    files = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
    assert files == [name for name in shipped_names() if name != "configuration_form.pb"]


def test_the_archive_is_under_150_kilobytes_and_what_it_is_is_said(packaged: Packaged) -> None:
    size_bytes = packaged.archive.stat().st_size
    assert size_bytes < 150_000
    printed = packaged.done.stdout
    assert f"build/courier_connector.zip: {size_bytes:,} bytes" in printed
    assert len(printed.splitlines()) == 1


def test_what_is_in_the_archive_is_listed_on_request(folder: Path, tmp_path: Path) -> None:
    done = package_in(folder, hermetic_environment(tmp_path) | {"VERBOSE": "1"})
    assert all(f"  {name}\n" in done.stdout for name in shipped_names())


def test_the_same_files_make_the_same_archive(folder: Path, package: Package) -> None:
    package()
    first = (folder / "build" / "courier_connector.zip").read_bytes()
    (folder / "connector.py").touch()
    package()
    assert (folder / "build" / "courier_connector.zip").read_bytes() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o644}


def test_every_package_that_the_archive_imports_is_pinned_in_it(packaged: Packaged) -> None:
    with zipfile.ZipFile(packaged.archive) as archive:
        modules = [name for name in archive.namelist() if name.endswith(".py")]
        imported = {root for name in modules for root in imports(archive.read(name).decode())}
        pinned = {
            line.split("==")[0] for line in archive.read("requirements.txt").decode().split()
        }
    assert "fivetran_connector_sdk" in imported
    assert (
        imported - sys.stdlib_module_names - {"courier_async", "fivetran_connector_sdk"} <= pinned
    )


def test_the_key_of_the_configuration_is_in_no_member_and_in_nothing_that_packaging_leaves(
    folder: Path, package: Package, tmp_path: Path
) -> None:
    planted = [folder / name for name in ("configuration.json", *LEFT_LYING_ABOUT)]
    for path in planted:
        path.write_text(json.dumps({"api_key": KEY}))
    done = package()
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(KEY, done.stdout + done.stderr) == []
    with zipfile.ZipFile(folder / "build" / "courier_connector.zip") as archive:
        assert found(KEY, "\n".join(archive.namelist()) + str(archive.comment)) == []
        members = {name: archive.read(name) for name in archive.namelist()}
    assert members["connector.py"]
    assert [name for name, content in members.items() if found(KEY, content)] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path for path in files if found(KEY, path.read_bytes())} == set(planted)


def test_what_an_earlier_version_staged_is_gone(folder: Path, package: Package) -> None:
    stale = folder / "build" / "stage" / "courier_async" / "removed_since.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    package()
    with zipfile.ZipFile(folder / "build" / "courier_connector.zip") as archive:
        assert "courier_async/removed_since.py" not in archive.namelist()


def test_the_pins_are_packaged_as_they_are_whatever_pipreqs_says(
    folder: Path, package: Package, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "pipreqs").write_text('#!/bin/sh\necho "msgspec==99.0.0" > "$3"\n')
    package()
    with zipfile.ZipFile(folder / "build" / "courier_connector.zip") as archive:
        packaged = archive.read("requirements.txt")
    assert packaged == (folder / "requirements.txt").read_bytes()


def test_a_connector_that_cannot_be_imported_is_not_packaged(
    folder: Path, package: Package
) -> None:
    (folder / "connector.py").write_text("import nothing_of_that_name\n")
    done = package()
    assert done.returncode == 1
    assert "FileNotFoundError" not in done.stderr
    assert not (folder / "build" / "courier_connector.zip").exists()
