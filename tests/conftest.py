"""Fixtures shared by test files, and the command that repeats a failing test."""

import functools
import gc
import logging
import random
import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses
from hypothesis import settings

# A machine under load is sometimes slow; a slow example is not a failure.
settings.register_profile("suite", deadline=None, max_examples=100)
settings.register_profile("quick", deadline=None, max_examples=15)  # for `make quick`
settings.load_profile("suite")


# A background run inherits SIGINT as ignored, and passes that on to each process of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="the seed of every test that draws one")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Returns a different number in every run; a failing test prints it, and --seed sets it."""
    told: int | None = request.config.getoption("--seed")
    drawn = random.SystemRandom().randrange(10**6) if told is None else told
    print(f"--seed {drawn}")
    request.node.stash[_SEED] = drawn
    return drawn


_SEED = pytest.StashKey[int]()

# Each test in these folders takes seconds; others take milliseconds.
_LONG = [Path(__file__).parent / name for name in ("fivetran", "shipping", "simulation")]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs long tests first if there are several workers, so that they finish together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not any(item.path.is_relative_to(folder) for folder in _LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fails if groups have no effect, because each worker would repeat what is made only once."""
    if getattr(session.config.option, "loadgroup", False):
        marked = (item for item in session.items if item.get_closest_marker("xdist_group"))
        if any("@" not in item.nodeid for item in marked):
            raise RuntimeError("pytest-xdist does not group by xdist_group with this pytest")
    # The garbage collector need not search again and again through objects that live for the run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the command that repeats a failing test, with the order and the seed it ran with."""
    report = yield
    if report.failed:
        order = getattr(item.config.option, "randomly_seed", None)
        # Without the group name that pytest-xdist appends.
        test = re.sub(r"@\w+$", "", item.nodeid)
        command = f"python -m pytest -n 0 '{test}'"
        if isinstance(order, int):
            command += f" --randomly-seed={order}"
        if _SEED in item.stash:
            command += f" --seed {item.stash[_SEED]}"
        report.sections.append(("repeat with", command))
    return report


class _Response(ClientResponse):
    """aioresponses 0.7.9 creates responses without an argument that aiohttp 3.14 requires."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    """aioresponses with a get() that works with aiohttp 3.14; nothing reaches the network."""
    with aioresponses() as responses:
        get = functools.partial(responses.get, response_class=_Response)
        responses.get = get  # type: ignore[method-assign]
        yield responses


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restores the logging, since connector.update() sends the log lines to the SDK."""
    log = logging.getLogger("courier_async")
    before = (log.level, log.propagate, log.handlers)
    yield
    log.setLevel(before[0])
    log.propagate, log.handlers = before[1:]
