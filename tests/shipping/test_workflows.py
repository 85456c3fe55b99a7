"""The workflows do what a person does: they call make."""

import re
from pathlib import Path

from tests.shipping.test_wheels import PYTHON_VERSIONS

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


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
    assert text.count("run: |") == 2  # a configuration is written, and figures are committed


def test_each_environment_deploys_with_its_own_secrets_and_only_after_the_tests() -> None:
    deploy = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    (matrix,) = re.findall(r"environment: \[(.*)\]", deploy)
    assert len(matrix.split(", ")) == 3
    assert "environment: ${{ matrix.environment }}" in deploy
    assert "needs: test" in deploy


def test_the_tests_run_on_every_python_that_the_wheels_are_checked_for() -> None:
    ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (matrix,) = re.findall(r"python-version: \[(.*)\]", ci)
    assert tuple(re.findall(r'"([\d.]+)"', matrix)) == PYTHON_VERSIONS
