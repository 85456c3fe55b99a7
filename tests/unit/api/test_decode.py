"""Bodies are parsed by orjson, but for what it would change without a word."""

import json

import pytest

from courier_async.api import client
from courier_async.api.client import parse_json


@pytest.mark.parametrize(
    "number",
    [
        2**64,
        -(2**63) - 1,
        10**30,
        -(10**30),
        2**64 - 1,
        -(2**63),
        10**19,
        9_999_999_999_999_999_999,
    ],
)
@pytest.mark.parametrize(
    "text", ["%d", "[%d]", "[1,%d]", '{"a": %d}', '{"a":\n\t%d }', "[1 , %d]"]
)
def test_every_digit_of_an_integer_is_kept(number: int, text: str) -> None:
    body = text % number

    assert parse_json(body.encode()) == json.loads(body)


def test_long_runs_of_digits_in_text_do_not_cost_the_slow_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = {
        "id": "1-6b04a08e-000000000000000000002851",
        "recipient": "anon_000000000000000017234",
        "number": "12345678901234567890123",
        "enqueued": 1_795_465_358_457,
        "share": 0.123456789012345678,
    }
    body = json.dumps({"results": [record]}).encode()
    monkeypatch.setattr(client.json, "loads", None)

    assert parse_json(body) == {"results": [record]}
