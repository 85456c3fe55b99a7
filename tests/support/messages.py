"""Reads every text that the code may show to a person in trouble from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tools.stage import PACKAGE, ROOT

# The texts of these calls do not report trouble.
QUIET_CALLS = frozenset({"info", "print", "compile", "getLogger", "Field"})
SOURCES = (
    ROOT / "connector.py",
    # Without the catalog, whose texts are the column descriptions of docs/schema.md.
    *(path for path in sorted((ROOT / PACKAGE).rglob("*.py")) if path.parent.name != "catalog"),
    ROOT / "tools" / "configuration.py",
    ROOT / "tools" / "deploy.py",
    ROOT / "tools" / "deploy_target.py",
    ROOT / "tools" / "environment.py",
    ROOT / "tools" / "fivetran_api.py",
)
# A text of fewer words is a name or a part of a sentence.
FEWEST_WORDS = 2


def texts_of_source(path: Path, *, quiet_too: bool = False) -> Iterator[str]:
    """Yields each sentence-like literal outside docstrings, with `…` for each placeholder."""
    yield from _texts(ast.parse(path.read_text()), frozenset() if quiet_too else QUIET_CALLS)


def _texts(node: ast.AST, quiet: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Call) and _name(node.func) in quiet:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    text = _template(node)
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child, quiet)
    elif len(re.findall(r"[A-Za-z']{2,}", text)) >= FEWEST_WORDS and " " in text.strip():
        yield text.strip()


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _template(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sd]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return None
