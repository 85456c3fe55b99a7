"""The workflows do what people do: they call make."""

import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from courier_async import __version__
from tests.shipping.test_wheels import PYTHON_VERSIONS
from tools.git import git

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPLOY = ROOT / ".github" / "workflows" / "deploy.yml"
WEEKLY = ROOT / ".github" / "workflows" / "weekly.yml"


def run(
    workflow: Path, step: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a step's script as GitHub would."""
    _, _, below = workflow.read_text().partition(f"- name: {step}\n")
    script = re.split(r"\n(?=      - |\n)", below.partition("run: |\n")[2])[0]
    return subprocess.run(
        ["bash", "-e", "-c", textwrap.dedent(script)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_make_target_that_a_workflow_calls_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        name
        for workflow in WORKFLOWS
        for name in re.findall(r"\bmake ([a-z-]+)$", workflow.read_text(), re.MULTILINE)
    }
    assert called == {"lint", "test", "audit", "package", "deploy", "weekly"}
    assert called <= targets


def test_a_workflow_runs_little_but_make() -> None:
    text = "\n".join(workflow.read_text() for workflow in WORKFLOWS)
    commands = re.findall(r"run: (?!\|)(.*)", text)
    assert commands
    assert [command for command in commands if not command.startswith("make ")] == []
    # They compare a tag, write a configuration, and commit figures.
    assert text.count("run: |") == 3


def test_each_environment_deploys_with_its_own_secrets_and_only_after_the_tests() -> None:
    deploy = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    (matrix,) = re.findall(r"environment: \$\{\{ .*'\[(.*?)\]'\) \}\}", deploy)
    (options,) = re.findall(r"options: \[(.*)\]", deploy)
    assert matrix.replace('"', "") == options == "staging, us, eu"
    assert "environment: ${{ matrix.environment }}" in deploy
    assert "needs: test" in deploy


def test_nothing_is_installed_in_a_step_that_has_secrets() -> None:
    steps = re.split(r"^      - ", DEPLOY.read_text(), flags=re.MULTILINE)
    (install,) = (at for at, step in enumerate(steps) if "run: make .venv/.ready" in step)
    (secret,) = (at for at, step in enumerate(steps) if "${{ secrets." in step)
    assert install < secret


@pytest.mark.parametrize(
    ("ref", "status"),
    [(f"v{__version__}", 0), ("v99.0.0", 1), ("main", 1), (__version__.replace(".", "x"), 1)],
)
def test_only_the_tag_of_the_version_is_deployed(ref: str, status: int) -> None:
    assert run(DEPLOY, "the tag is the version", ROOT, GITHUB_REF_NAME=ref).returncode == status


@pytest.mark.parametrize("settings", ["{}", '{"region": "EU", "api_key": ""}'])
@pytest.mark.skipif(not shutil.which("jq"), reason="GitHub's machines have jq")
def test_the_configuration_is_the_settings_and_the_key(tmp_path: Path, settings: str) -> None:
    (tmp_path / "Makefile").write_text("deploy:\n")
    path = tmp_path / "configuration.json"
    environment = {"COURIER_SETTINGS": settings, "COURIER_API_KEY": "pk_test_X"}
    done = run(DEPLOY, "make deploy", tmp_path, CONFIGURATION=str(path), **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text()) == json.loads(settings) | {"api_key": "pk_test_X"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path]:
    """Returns two clones of one repository that contains docs/reliability.md."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", "origin"], cwd=tmp_path)
    for name in ("ours", "theirs"):
        subprocess.run(["git", "clone", "-q", "origin", name], cwd=tmp_path, check=True)
        git(tmp_path / name, "config", "user.name", "Test")
        git(tmp_path / name, "config", "user.email", "test@example.com")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    git(ours, "switch", "--quiet", "--create", "main")
    (ours / "docs").mkdir()
    (ours / "docs" / "reliability.md").write_text("old")
    git(ours, "add", "--all")
    git(ours, "commit", "--quiet", "--message", "All")
    git(ours, "push", "--quiet", "--set-upstream", "origin", "main")
    git(theirs, "pull", "--quiet", "origin", "main")
    return ours, theirs


def test_the_figures_are_pushed_though_main_has_moved(clones: tuple[Path, Path]) -> None:
    ours, theirs = clones
    (theirs / "other.txt").touch()
    git(theirs, "add", "--all")
    git(theirs, "commit", "--quiet", "--message", "Other")
    git(theirs, "push", "--quiet", "origin", "HEAD:main")
    (ours / "docs" / "reliability.md").write_text("new")
    done = run(WEEKLY, "commit the figures", ours)
    assert done.returncode == 0, done.stderr
    assert git(ours, "show", "origin/main:docs/reliability.md") == "new"
    assert git(ours, "ls-tree", "--name-only", "origin/main", "other.txt") == "other.txt"


def test_without_figures_nothing_is_committed(clones: tuple[Path, Path]) -> None:
    ours, _ = clones
    before = git(ours, "rev-parse", "HEAD")
    done = run(WEEKLY, "commit the figures", ours)
    assert done.returncode == 0, done.stderr
    assert git(ours, "rev-parse", "HEAD") == before


def test_only_a_pull_request_s_checks_are_cancelled_by_the_next_ones() -> None:
    ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "cancel-in-progress: ${{ github.event_name == 'pull_request' }}" in ci


def test_the_tests_run_on_every_python_that_the_wheels_are_checked_for() -> None:
    ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (matrix,) = re.findall(r"python-version: \[(.*)\]", ci)
    assert tuple(re.findall(r'"([\d.]+)"', matrix)) == PYTHON_VERSIONS
