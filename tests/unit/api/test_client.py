"""What a request comes to: what is retried, when, how often, and what is said of a failure."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest
from aioresponses import aioresponses
from hypothesis import given
from hypothesis import strategies as st

from courier_async.api.client import CourierClient, parse_json
from courier_async.api.pacer import Pacer
from courier_async.api.transport import Answer, BodyTooLarge, ConnectionTrouble, HttpTransport
from courier_async.errors import BadAnswer, CourierError, KeyRefused, Refused, Unavailable
from courier_async.report import Tally
from tests.support.virtual_time import run_virtual

# Long enough that no text holds it by chance.
SECRET = "personal-data-of-a-record"
OK = Answer(200, {"date": "Fri, 14 Aug 2026 09:31:22 GMT"}, b'{"results": []}')
OK_MS = 1786699882000


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(code, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@dataclass
class Script:
    """A transport that gives one outcome after another; the last one for ever."""

    outcomes: Sequence[Answer | Exception]
    asked: list[str] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)

    async def get(self, path_and_query: str) -> Answer:
        outcome = self.outcomes[min(len(self.asked), len(self.outcomes) - 1)]
        self.asked.append(path_and_query)
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.04)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def waits(self) -> list[float]:
        """Seconds from each answer to the next request."""
        return [later - earlier - 0.04 for earlier, later in pairwise(self.asked_at)]


@dataclass
class Outcome:
    script: Script
    tally: Tally
    result: tuple[Any, int] | None
    error: CourierError | None
    seconds: float

    @property
    def tries(self) -> int:
        return len(self.script.asked)


def ask(*outcomes: Answer | Exception, max_retries: int = 3) -> Outcome:
    """One GET over a transport that answers as told, in virtual time."""

    async def main() -> Outcome:
        script, tally = Script(outcomes), Tally("message")
        client = CourierClient(script, Pacer(per_second=50), max_retries=max_retries)
        result = error = None
        try:
            result = await client.get("/messages?cursor=a%2Bb", tally)
        except CourierError as caught:
            error = caught
        return Outcome(script, tally, result, error, asyncio.get_running_loop().time())

    return run_virtual(main())


def test_a_good_answer_is_parsed_and_dated_by_the_server() -> None:
    outcome = ask(OK)
    assert outcome.result == ({"results": []}, OK_MS)
    assert outcome.script.asked == ["/messages?cursor=a%2Bb"]
    assert (outcome.tally.requests, outcome.tally.retries, outcome.tally.refusals) == (1, 0, 0)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 99 Aug 2026 09:31:22 GMT", "1"])
def test_an_answer_without_a_usable_date_is_dated_by_our_clock(
    date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier_async.api.client.time.time", lambda: 1234.5)
    headers = {} if date is None else {"date": date}
    assert ask(Answer(200, headers, b"{}")).result == ({}, 1234500)


TROUBLE = ConnectionTrouble("the connection was dropped before an answer")
HTML = status(200, b"<html><body>Service temporarily unavailable</body></html>")


@pytest.mark.parametrize(
    "failure",
    [*(status(code) for code in (408, 500, 502, 503, 504)), TROUBLE, HTML, status(200, b"")],
    ids=str,
)
def test_a_passing_failure_is_tried_again(failure: Answer | Exception) -> None:
    outcome = ask(failure, OK)
    assert outcome.result == ({"results": []}, OK_MS)
    assert (outcome.tally.requests, outcome.tally.retries) == (2, 1)

    lasting = ask(failure, max_retries=2)
    assert isinstance(lasting.error, Unavailable)
    assert "after 3 tries" in str(lasting.error)
    assert (lasting.tries, lasting.tally.retries) == (3, 2)


@pytest.mark.parametrize(
    "code", [400, 402, 403, 404, 405, 409, 410, 413, 418, 422, 451, 301, 302, 307, 204, 206, 501]
)
def test_what_no_retry_can_change_is_told_at_once(code: int) -> None:
    outcome = ask(status(code, b'{"message": "x", "type": "invalid_request_error"}'))
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == code
    why = "redirect" if 300 <= code < 400 else "(invalid_request_error)"
    assert str(outcome.error).startswith(f"Courier answered {code}")
    assert why in str(outcome.error)
    assert outcome.tries == 1


def test_401_is_the_key() -> None:
    outcome = ask(status(401))
    assert isinstance(outcome.error, KeyRefused)
    assert "key" in str(outcome.error)
    assert outcome.tries == 1


def test_no_retries_means_one_try() -> None:
    outcome = ask(status(503), max_retries=0)
    assert isinstance(outcome.error, Unavailable)
    assert "after 1 try:" in str(outcome.error)
    assert (outcome.tries, outcome.tally.retries) == (1, 0)
    assert outcome.seconds < 0.5
    assert ask(OK, max_retries=0).result is not None


def test_waits_double_from_a_second_with_jitter() -> None:
    runs = [ask(status(503), max_retries=5).script.waits for _ in range(20)]
    for waits in runs:
        for wait, seconds in zip(waits, [1, 2, 4, 8, 16], strict=True):
            assert seconds - 0.01 <= wait <= seconds * 1.5 + 0.1
    assert len({round(waits[0], 4) for waits in runs}) > 10, "streams must not come back together"


def after_ok(seconds: int) -> str:
    """An HTTP date so long after that of OK."""
    return formatdate(OK_MS / 1000 + seconds, usegmt=True)


@pytest.mark.parametrize("code", [503, 429])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0),
        ({"retry_after_ms": "2500"}, 2.5),
        ({"retry_after_ms": "2500", "retry_after": "60"}, 2.5),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7),
        ({"retry_after": "299"}, 299),
        ({"retry_after": "3600"}, 300),
        ({"retry_after": "1e400"}, 300),
        (
            {
                "retry_after": formatdate(OK_MS / 1000 + 20, usegmt=True),
                "date": OK.headers["date"],
            },
            20,
        ),
        (
            {
                "retry_after": formatdate(OK_MS / 1000 + 9_000, usegmt=True),
                "date": OK.headers["date"],
            },
            300,
        ),
    ],
)
def test_the_server_may_say_how_long_to_wait(
    code: int, headers: dict[str, str], seconds: float
) -> None:
    (wait,) = ask(status(code, **headers), OK).script.waits
    assert wait == pytest.approx(seconds, abs=0.3)
    assert wait >= seconds - 0.001


@pytest.mark.parametrize("code", [503, 429])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry_after": ""},
        {"retry_after": "soon"},
        {"retry_after": "-5"},
        {"retry_after": "nan"},
        {"retry_after": "Fri, 99 Aug 2026 09:31:22 GMT"},
        {"retry_after": after_ok(-60), "date": OK.headers["date"]},
    ],
)
def test_a_wait_that_cannot_be_meant_is_ours_to_choose(code: int, headers: dict[str, str]) -> None:
    (wait,) = ask(status(code, **headers), OK).script.waits
    assert 0.99 <= wait <= 1.7


def test_a_429_costs_no_retry() -> None:
    outcome = ask(*[status(429, retry_after="1")] * 20, OK, max_retries=0)
    assert outcome.result is not None
    assert (outcome.tally.retries, outcome.tally.refusals, outcome.tries) == (0, 20, 21)


def test_a_429_holds_every_stream() -> None:
    async def main() -> list[float]:
        script = Script([status(429, retry_after="30"), OK])
        client = CourierClient(script, Pacer(per_second=50), max_retries=0)
        first = asyncio.create_task(client.get("/messages", Tally("message")))
        await asyncio.sleep(0.1)
        others = [client.get(f"/{number}", Tally(str(number))) for number in range(6)]
        await asyncio.gather(first, *others)
        return script.asked_at

    asked_at = run_virtual(main())
    assert asked_at[1] >= 30
    gaps = [later - earlier for earlier, later in pairwise(asked_at[1:])]
    assert min(gaps) >= 1 / 50, "not all in the same instant"


@pytest.mark.parametrize("headers", [{}, {"retry_after": "1"}, {"retry_after": "0"}])
def test_a_stream_gives_up_after_ten_minutes_of_nothing_but_429(headers: dict[str, str]) -> None:
    outcome = ask(status(429, **headers), max_retries=10)
    assert isinstance(outcome.error, Unavailable)
    assert "429 for ten minutes" in str(outcome.error)
    assert 600 <= outcome.seconds <= 670


def test_any_other_answer_begins_the_ten_minutes_anew() -> None:
    refused = [status(429, retry_after="60")] * 9
    outcome = ask(*refused, status(503), *refused, status(503), *refused, OK)
    assert outcome.result is not None
    assert outcome.seconds > 1_600


def test_a_body_beyond_any_page_is_told_at_once() -> None:
    outcome = ask(BodyTooLarge())
    assert isinstance(outcome.error, BadAnswer)
    assert "16 MB" in str(outcome.error)
    assert outcome.tries == 1


@pytest.mark.parametrize("code", [200, 400, 401, 403, 404, 408, 429, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        SECRET.encode(),
        json.dumps({"message": SECRET, "type": SECRET}).encode(),
        json.dumps({"type": [SECRET]}).encode(),
        json.dumps({"type": {SECRET: SECRET}}).encode(),
        json.dumps([SECRET]).encode(),
        json.dumps(SECRET).encode(),
        b'{"type": ' + b"[" * 100_000,
        b"\xff\xfe" + SECRET.encode("utf-16-le"),
    ],
)
def test_no_error_holds_any_of_an_answer(code: int, body: bytes) -> None:
    outcome = ask(status(code, body), max_retries=0)
    if outcome.error is None:
        assert code == 200
        return
    chain: BaseException | None = outcome.error
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r}"
        chain = None if chain.__suppress_context__ else chain.__cause__ or chain.__context__


def test_waiting_for_the_rate_is_counted() -> None:
    async def main() -> list[float]:
        client = CourierClient(Script([OK]), Pacer(per_second=1), max_retries=0)
        tallies = [Tally(str(number)) for number in range(3)]
        await asyncio.gather(*(client.get("/", tally) for tally in tallies))
        return [tally.limiter_seconds for tally in tallies]

    assert run_virtual(main()) == pytest.approx([0, 1, 2], abs=0.1)


def test_a_cancelled_request_stops_at_once() -> None:
    async def main() -> float:
        client = CourierClient(Script([status(503)]), Pacer(per_second=50), max_retries=10)
        task = asyncio.create_task(client.get("/", Tally("message")))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0.5, abs=0.01)


# What a body may be.


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
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_json_is_read_to_the_last_digit_and_letter(body: bytes, value: object) -> None:
    assert parse_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 12345678901234567890, "b": NaN}',
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
        parse_json(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.booleans())
def test_any_json_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary() | st.text('[]{}",:0123456789eE+-.truefalsn\\ud8', max_size=30).map(str.encode))
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    try:
        value = parse_json(body)
    except ValueError:
        return
    # Only what a database can store: no NaN, no infinity, no half of a surrogate pair.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_header_is_a_time_to_wait_and_a_date_or_neither(after: str, date: str) -> None:
    outcome = ask(status(503, retry_after=after, date=date), Answer(200, {"date": date}, b"{}"))
    assert outcome.result is not None
    assert math.isfinite(outcome.result[1])
    assert outcome.seconds <= 301


# Over aiohttp itself, as aioresponses answers.


def over_http(
    *, path_and_query: str = "/messages", max_retries: int = 3
) -> tuple[Any, CourierError | None, Tally]:
    async def main() -> tuple[Any, CourierError | None, Tally]:
        tally = Tally("message")
        async with HttpTransport(
            base_url="https://api.courier.com", api_key="pk_prod_KEY", timeout_seconds=60
        ) as transport:
            client = CourierClient(transport, Pacer(per_second=50), max_retries=max_retries)
            try:
                return (await client.get(path_and_query, tally))[0], None, tally
            except CourierError as error:
                return None, error, tally

    return run_virtual(main())


def test_over_http_a_page_comes_after_every_kind_of_passing_failure(mocked: aioresponses) -> None:
    url = "https://api.courier.com/messages"
    mocked.get(url, status=503)
    mocked.get(url, exception=aiohttp.ServerDisconnectedError())
    mocked.get(url, status=429, headers={"Retry-After": "5"})
    mocked.get(url, exception=TimeoutError())
    mocked.get(url, payload={"results": [{"id": "1"}]})
    body, error, tally = over_http()
    assert error is None
    assert body == {"results": [{"id": "1"}]}
    assert (tally.requests, tally.retries, tally.refusals) == (5, 3, 1)


def test_over_http_the_key_travels_in_the_header_alone(mocked: aioresponses) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def note(url: object, **request: Any) -> None:
        seen.append((str(url), request))

    mocked.get("https://api.courier.com/messages", status=401, callback=note)
    _, error, _ = over_http()
    assert isinstance(error, KeyRefused)
    ((url, request),) = seen
    assert request["headers"]["Authorization"] == "Bearer pk_prod_KEY"
    assert request["allow_redirects"] is False
    assert "pk_prod_KEY" not in url


@pytest.mark.parametrize("make", [aiohttp.ClientPayloadError, aiohttp.ClientOSError])
def test_over_http_a_failure_of_the_connection_has_a_name(
    mocked: aioresponses, make: Callable[[str], Exception]
) -> None:
    mocked.get("https://api.courier.com/messages", exception=make(SECRET), repeat=True)
    _, error, tally = over_http(max_retries=1)
    assert isinstance(error, Unavailable)
    assert SECRET not in str(error)
    assert tally.requests == 2


@pytest.mark.parametrize("cursor", ["MTU4+/A==", "a b&c=d%2B?#é\x00\n", "%", "1:EYCE", "😀"])
def test_a_cursor_reaches_the_wire_encoded_once(cursor: str) -> None:
    class Wire:
        paths: list[str] = []  # noqa: RUF012

        async def get(self, path_and_query: str) -> Answer:
            self.paths.append(path_and_query)
            return OK

    async def main() -> str:
        wire = Wire()
        client = CourierClient(wire, Pacer(per_second=50), max_retries=0)
        await client.get(f"/messages?{urlencode({'cursor': cursor})}", Tally("message"))
        return wire.paths[-1]

    path, _, query = run_virtual(main()).partition("?")
    assert path == "/messages"
    assert query.isascii()
    assert parse_qs(query, strict_parsing=True) == {"cursor": [cursor]}
