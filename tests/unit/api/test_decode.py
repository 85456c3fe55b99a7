"""Bodies become Python objects, exact to the last digit and letter, or raise ValueError."""

import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier_async.api.decode import decode


@pytest.mark.parametrize("digits", [18, 19, 20, 21, 40, 400, 4_300])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    "text", ["%s", "[%s]", "[1,%s]", '{"a": %s}', '{"a":\n\t%s }', "[1 , %s]"]
)
def test_every_digit_of_an_integer_is_kept(digits: int, sign: str, text: str) -> None:
    body = text % (sign + "9" * digits)
    assert decode(body.encode()) == json.loads(body)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("0.1", 0.1),
        ("-0.0", 0.0),
        ("1.10", 1.1),
        ("1e2", 100.0),
        ("1E+5", 100000.0),
        ("2.5e-3", 0.0025),
        ("0.30000000000000004", 0.30000000000000004),
        ("1.7976931348623157e308", sys.float_info.max),
        ("12345678901234567890.0", "12345678901234567890.0"),
        ("0.12345678901234567891", "0.12345678901234567891"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ("1e400", "1e400"),
        ("-1E999", "-1E999"),
        ("1e-400", "1e-400"),
        ("1e-99999999999999999999", "1e-99999999999999999999"),
        ("1.00000000000000000000", 1.0),
    ],
)
def test_a_decimal_that_a_double_would_change_stays_text(number: str, value: object) -> None:
    found = decode(f'{{"a": {number}, "b": ["\\ud83d"]}}'.encode())
    for result in (decode(f"[{number}]".encode())[0], found["a"]):
        assert result == value
        assert type(result) is type(value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_no_decimal_is_changed_without_a_word(number: Decimal) -> None:
    (found,) = decode(f"[{number:.1f}]".encode()) if abs(number) < 10**30 else (None,)
    if isinstance(found, float):
        assert Decimal(repr(found)) == Decimal(f"{number:.1f}")
    elif found is not None:
        assert found == f"{number:.1f}"


def test_ordinary_pages_do_not_cost_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {
        "id": "1-6b04a08e-000000000000000000002851",
        "recipient": "anon_000000000000000017234",
        "number": "12345678901234567890123",
        "long": 123456789012345678901234,
        "enqueued": 1_795_465_358_457,
        "share": 0.1234567890123456,
    }
    body = json.dumps({"results": [record]}).encode()
    monkeypatch.setattr(json, "loads", None)

    assert decode(body) == {"results": [record]}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 18446744073709551616}', {"a": 2**64}),
        (b'{"a": -9223372036854775809}', {"a": -(2**63) - 1}),
        (
            b'{"a": 1234567890123456789012345678901234567890}',
            {"a": 1234567890123456789012345678901234567890},
        ),
        (b'{"a": "12345678901234567890"}', {"a": "12345678901234567890"}),
        (b'{"a": "x\\ud800y"}', {"a": "x\ufffdy"}),
        (b'{"\\udfff": ["\\ud800"]}', {"\ufffd": ["\ufffd"]}),
        (b'{"a": "\\ud83d\\ude00 \\ud800"}', {"a": "\U0001f600 \ufffd"}),
        (b'{"a": "\\u0000"}', {"a": "\x00"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": 1e999, "b": [-1e999]}', {"a": "1e999", "b": ["-1e999"]}),
        (b"[" + b"9" * 5_000 + b"]", ["9" * 5_000]),
        (b'{"a": 1.5e3}', {"a": 1500.0}),
        (b'{"a": NaN}', {"a": "NaN"}),
        (b"[Infinity, -Infinity]", ["Infinity", "-Infinity"]),
        (b'{"a": 12345678901234567890, "b": NaN}', {"a": 12345678901234567890, "b": "NaN"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_json_is_read_to_the_last_digit_and_letter(body: bytes, value: object) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b'{"a": 1',
        b'{"a": 1}}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[12345678901234567890," + b"[" * 5_000 + b"]" * 5_001,
        b'"\xff"',
        b"\x00",
        b"undefined",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.booleans())
def test_any_json_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary() | st.text('[]{}",:0123456789eE+-.truefalsn\\ud8', max_size=30).map(str.encode))
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    try:
        value = decode(body)
    except ValueError:
        return
    # Only what a database can store: no NaN, no infinity, no lone surrogate.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
