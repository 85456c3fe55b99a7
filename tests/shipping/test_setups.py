"""Machines and checkouts that have broken `make`, each reproduced here without a network.

The environment is made from an empty requirements-dev.txt, so pip contacts no index.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.__main__ import main as simulate
from tools.stage import ROOT

Make = Callable[..., subprocess.CompletedProcess[str]]

# Set by users, distributions or images; each has made the first command fail.
HARMFUL = {
    "PIP_USER": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONIOENCODING": "latin-1",
    "LC_ALL": "C",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "/nowhere",
}
# A recipe for these tests that shows what a recipe's Python finds.
SHOW = "show:;@$(BIN)/python -c 'import tools, sys; print(sys.stdout.encoding, __debug__)'"
MADE = "Making the virtual environment in .venv"

# One worker, so that the environment is made once for all of these tests.
pytestmark = pytest.mark.xdist_group("setups")


def make(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", *arguments],
        cwd=folder,
        env=kept | {"PIP_NO_INDEX": "1"} | changes,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a checkout whose environment was made under all harmful settings at once."""
    folder = tmp_path_factory.mktemp("made") / "checkout"
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.txt").touch()
    (folder / "requirements-dev.txt").touch()
    run = make(folder, ".venv/.ready", **HARMFUL)
    assert run.returncode == 0, run.stdout + run.stderr
    assert MADE in run.stdout
    return folder


@pytest.mark.parametrize("name", HARMFUL)
def test_settings_of_the_machine_do_not_reach_a_recipe(made: Path, name: str) -> None:
    run = make(made, "show", f"--eval={SHOW}", **{name: HARMFUL[name]})
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split() == ["utf-8", "True"]


def test_an_environment_that_is_fresh_is_kept(made: Path) -> None:
    assert MADE not in make(made, ".venv/.ready").stdout


def test_changed_requirements_are_installed_into_the_environment_there_is(made: Path) -> None:
    inode = (made / ".venv" / "bin" / "pip").stat().st_ino
    (made / ".venv" / ".ready").unlink()
    assert MADE not in make(made, ".venv/.ready").stdout
    assert (made / ".venv" / ".ready").exists()
    assert (made / ".venv" / "bin" / "pip").stat().st_ino == inode


def test_an_environment_is_made_anew_where_the_folder_has_moved(
    made: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved here"
    shutil.copytree(made, moved, symlinks=True)
    assert MADE in make(moved, ".venv/.ready").stdout
    assert MADE not in make(moved, ".venv/.ready").stdout
    assert str(moved) in (moved / ".venv" / "bin" / "pip").read_text()


def test_an_environment_is_made_anew_where_its_python_is_gone(made: Path) -> None:
    for python in (made / ".venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nowhere/python")
    # Makes it whole again, also for the other tests.
    assert MADE in make(made, ".venv/.ready").stdout
    assert MADE not in make(made, ".venv/.ready").stdout


def test_a_clone_that_turns_line_endings_keeps_scripts_as_they_are(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / ".ci").mkdir(parents=True)
    for name in (".gitattributes", ".ci/run", "Makefile"):
        shutil.copy(ROOT / name, origin / name)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")

    def git(*arguments: str) -> None:
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "--quiet", str(origin))
    git("-C", str(origin), "add", "--all")
    git("-C", str(origin), "commit", "--quiet", "--message", "All")
    git("clone", "--quiet", "--config", "core.autocrlf=true", str(origin), str(clone))
    for name in (".ci/run", "Makefile"):
        assert b"\r" not in (clone / name).read_bytes()


@pytest.mark.parametrize("seeds", ["abc", "5-", "9-3", "", "1-2-3"])
def test_seeds_that_are_none_end_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeds: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["tests.simulation", seeds])
    with pytest.raises(SystemExit) as ended:
        simulate()
    assert ended.value.code == 2
    assert f"{seeds!r} is not a seed" in capsys.readouterr().err
