"""What differs between the Python releases that the connector supports."""

import ast
from pathlib import Path

import pytest

from tools.stage import PACKAGE, ROOT

MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_nothing_is_raised_inside_except_star(module: Path) -> None:
    """Python 3.11.0 to 3.11.3 wrap it in a further group, so users would not see the message."""
    tree = ast.parse(module.read_text())
    groups = [node for node in ast.walk(tree) if isinstance(node, ast.TryStar)]
    raised = [
        node.lineno
        for group in groups
        for handler in group.handlers
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
    ]
    assert raised == []
