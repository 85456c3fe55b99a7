"""A pytest plugin for the mutation run: runs the quickest tests first, as most of them kill."""

import json
from pathlib import Path

import pytest

# mutmut stores each test's duration here; it runs pytest in the folder of its copy.
STATS = Path("mutmut-stats.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if STATS.exists():
        seconds = json.loads(STATS.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
