"""The import linter reports imports that go against the layers or cross a boundary."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.stage import PACKAGE, ROOT

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Returns a copy of the package with the contracts that `make lint` checks."""
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=ignored)


def test_the_package_as_it_is_keeps_every_contract(package: Path) -> None:
    done = lint(package.parent)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        ("catalog/text", "import courier_async.errors, courier_async.api.pages", "one way"),
        ("reading/walk", "import courier_async.writing.writer", "one way"),
        ("writing/writer", "import courier_async.reading.walk", "one way"),
        ("api/client", "import fivetran_connector_sdk", "names the SDK"),
        ("api/client", "import aiohttp", "names aiohttp"),
        ("reading/walk", "import backoff", "names backoff"),
        ("api/client", "import aiolimiter", "names aiolimiter"),
    ],
)
def test_a_planted_import_is_found(package: Path, module: str, planted: str, broken: str) -> None:
    with (package / f"{module}.py").open("a") as file:
        file.write(f"\n{planted}\n")
    done = lint(package.parent)
    assert done.returncode == 1, done.stdout
    (contract,) = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert broken in contract


def test_a_module_in_no_layer_is_found(package: Path) -> None:
    (package / "extra.py").write_text("")
    done = lint(package.parent)
    assert done.returncode == 1
    assert "courier_async.extra" in done.stdout + done.stderr
