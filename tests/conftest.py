"""Fixtures that more than one test file uses."""

import functools
import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses
from hypothesis import settings

# A machine under load is slow now and then; a slow example is no failure.
settings.register_profile("suite", deadline=None, max_examples=100)
settings.load_profile("suite")


class _Response(ClientResponse):
    """aioresponses 0.7.9 makes responses without an argument that aiohttp 3.14 asks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    """aioresponses whose get() works with aiohttp 3.14; nothing reaches the network."""
    with aioresponses() as responses:
        responses.get = functools.partial(responses.get, response_class=_Response)
        yield responses


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """connector.update() sends the log lines to the SDK; the next test wants them back."""
    log = logging.getLogger("courier_async")
    before = (log.level, log.propagate, log.handlers)
    yield
    log.setLevel(before[0])
    log.propagate, log.handlers = before[1:]
