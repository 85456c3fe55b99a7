"""How requests are sent: what is retried, when, how often, and how failures are reported."""

import asyncio
import json
import math
import traceback
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

from courier_async.api.client import CourierClient, Reply
from courier_async.api.memory import SHARE_BYTES, Hold
from courier_async.api.pacer import Pacer
from courier_async.api.transport import Answer, BodyTooLarge, ConnectionTrouble, HttpTransport
from courier_async.counts import Counts
from courier_async.errors import (
    BadAnswer,
    CourierError,
    KeyRefused,
    Limited,
    Refused,
    Unavailable,
)
from tests.support.requests_let_go import most_in_a_window
from tests.support.virtual_time import run_virtual

# Long enough that no text contains it by chance.
SECRET = "personal-data-of-a-record"
OK = Answer(200, {"date": "Fri, 14 Aug 2026 09:31:22 GMT"}, b'{"results": []}')
OK_MS = 1786699882000


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(code, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@dataclass
class Script:
    """A transport that gives one outcome after another, and repeats the last one."""

    outcomes: Sequence[Answer | Exception]
    asked: list[str] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        outcome = self.outcomes[min(len(self.asked), len(self.outcomes) - 1)]
        self.asked.append(path_and_query)
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.04)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def waits(self) -> list[float]:
        """The seconds from each answer to the next request."""
        return [later - earlier - 0.04 for earlier, later in pairwise(self.asked_at)]


@dataclass
class Outcome:
    script: Script
    counts: Counts
    reply: Reply | None
    error: CourierError | None
    seconds: float

    @property
    def result(self) -> tuple[Any, int] | None:
        return None if self.reply is None else (self.reply.body, self.reply.server_ms)

    @property
    def tries(self) -> int:
        return len(self.script.asked)


def ask(
    *outcomes: Answer | Exception, max_retries: int = 3, arrays: tuple[str, ...] = ()
) -> Outcome:
    """Sends one GET over a transport with these outcomes, in virtual time."""

    async def main() -> Outcome:
        script, counts = Script(outcomes), Counts("message")
        client = CourierClient(script, Pacer(per_second=50), max_retries=max_retries)
        reply = error = None
        try:
            reply = await client.get("/messages?cursor=a%2Bb", counts, arrays=arrays)
        except CourierError as caught:
            error = caught
        return Outcome(script, counts, reply, error, asyncio.get_running_loop().time())

    return run_virtual(main())


def test_a_good_answer_is_parsed_and_dated_by_the_server() -> None:
    outcome = ask(OK)
    assert outcome.result == ({"results": []}, OK_MS)
    assert outcome.script.asked == ["/messages?cursor=a%2Bb"]
    assert (outcome.counts.requests, outcome.counts.retries, outcome.counts.refusals) == (1, 0, 0)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 99 Aug 2026 09:31:22 GMT", "1"])
def test_an_answer_without_a_usable_date_is_dated_by_our_clock(
    date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier_async.api.headers.time.time", lambda: 1234.5)
    headers = {} if date is None else {"date": date}
    assert ask(Answer(200, headers, b"{}")).result == ({}, 1234500)


def test_an_answer_without_a_date_is_dated_before_it_waits_for_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Undated:
        async def get(self, path_and_query: str, hold: Hold) -> Answer:
            await hold.grow_to(SHARE_BYTES + 1)
            return Answer(200, {}, b"{}")

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        monkeypatch.setattr("courier_async.api.headers.time.time", clock)
        client = CourierClient(Undated(), Pacer(per_second=1000), max_retries=0)
        first = await client.get("/brands", Counts("brand"))
        asked_ms = clock() * 1000
        waiting = asyncio.create_task(client.get("/lists", Counts("list")))
        await asyncio.sleep(0.5)
        first.hold.release()
        assert (await waiting).server_ms - asked_ms < 250

    run_virtual(main())


def test_no_frame_of_a_failure_holds_the_answer() -> None:
    for answer in (status(404, b"{}"), status(200, b"<html>")):
        error = ask(answer, max_retries=0).error
        assert error is not None
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert frames
        for frame in frames:
            assert answer not in frame.f_locals.values()


TROUBLE = ConnectionTrouble("the connection was dropped before a response arrived")
HTML = status(200, b"<html><body>Service temporarily unavailable</body></html>")


@pytest.mark.parametrize(
    "failure",
    [
        *(status(code) for code in (408, 409, 425, 500, 502, 503, 504, 507, 520, 524, 529, 530)),
        TROUBLE,
        HTML,
        status(200, b""),
    ],
    ids=str,
)
def test_a_passing_failure_is_tried_again(failure: Answer | Exception) -> None:
    outcome = ask(failure, OK)
    assert outcome.result == ({"results": []}, OK_MS)
    assert (outcome.counts.requests, outcome.counts.retries) == (2, 1)

    lasting = ask(failure, max_retries=2)
    assert isinstance(lasting.error, Unavailable)
    assert "api_key" not in lasting.error.advice
    assert "after 3 attempts" in str(lasting.error)
    assert (lasting.tries, lasting.counts.retries) == (3, 2)


@pytest.mark.parametrize(
    "code", [400, 402, 403, 404, 405, 410, 413, 418, 422, 451, 301, 302, 307, 204, 206, 501, 505]
)
def test_what_no_retry_can_change_is_told_at_once(code: int) -> None:
    outcome = ask(status(code, b'{"message": "x", "type": "invalid_request_error"}'))
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == code
    why = "redirect" if 300 <= code < 400 else "(invalid_request_error)"
    assert str(outcome.error).startswith(f"Courier answered {code}")
    assert why in str(outcome.error)
    assert outcome.tries == 1


ERROR_403 = b'{"message": "Forbidden", "type": "authorization_error"}'
SLOW_DOWN = b'{"message": "Slow down", "type": "rate_limit_error"}'
BAD_KEY = b'{"message": "Invalid or missing authentication credentials"}'
WALL = b"<html><body>Access denied</body></html>"


@pytest.mark.parametrize(
    "limit",
    [
        status(403, ERROR_403, retry_after="3"),
        status(403, ERROR_403, retry_after_ms="3000"),
        status(403, SLOW_DOWN),
        status(403, SLOW_DOWN, retry_after="3"),
        status(403, WALL),
        status(403, b'"Forbidden"'),
    ],
    ids=lambda answer: f"{answer.headers} {answer.body[-30:]!r}",
)
def test_a_403_that_is_a_limit_is_waited_for_and_costs_no_retry(limit: Answer) -> None:
    outcome = ask(limit, limit, OK, max_retries=0)
    assert outcome.result is not None
    assert (outcome.counts.retries, outcome.counts.refusals) == (0, 2)
    assert outcome.script.waits[0] >= (2.99 if limit.headers else 0.99)

    lasting = ask(limit, max_retries=0)
    assert isinstance(lasting.error, Limited)
    assert str(lasting.error) == "Courier returned only 403 for ten minutes"
    assert "api_key" not in lasting.error.advice


@pytest.mark.parametrize("code", [402, 404, 410])
def test_a_refusal_without_a_readable_body_may_be_a_gateways_and_is_tried_again(
    code: int,
) -> None:
    assert ask(status(code), OK).result is not None
    lasting = ask(status(code), max_retries=1)
    assert isinstance(lasting.error, Refused)
    assert lasting.error.by_gateway
    assert lasting.tries == 2


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("body", [BAD_KEY, b'{"message": "x", "type": "authentication_error"}'])
def test_a_key_that_was_never_accepted_ends_it_at_once(code: int, body: bytes) -> None:
    outcome = ask(status(code, body))
    assert isinstance(outcome.error, KeyRefused)
    assert str(outcome.error) == f"Courier does not accept the key (it answered {code})"
    assert "api_key" in outcome.error.advice
    assert outcome.tries == 1


def ask_twice(*outcomes: Answer | Exception) -> Outcome:
    """Sends a request that is answered with a page, and then another, answered with `outcomes`."""

    async def main() -> Outcome:
        script, counts = Script([OK, *outcomes]), Counts("message")
        client = CourierClient(script, Pacer(per_second=50), max_retries=0)
        await client.get("/brands", Counts("brand"))
        reply = error = None
        try:
            reply = await client.get("/messages", counts)
        except CourierError as caught:
            error = caught
        return Outcome(script, counts, reply, error, asyncio.get_running_loop().time())

    return run_virtual(main())


@pytest.mark.parametrize("stray", [status(401), status(403, BAD_KEY)], ids=lambda a: a.status)
def test_a_stray_401_after_the_key_was_accepted_is_asked_again_once(stray: Answer) -> None:
    healed = ask_twice(stray, OK)
    assert healed.result is not None
    assert (healed.counts.requests, healed.counts.retries) == (2, 1)

    withdrawn = ask_twice(stray, stray, OK)
    assert isinstance(withdrawn.error, KeyRefused)
    assert withdrawn.counts.requests == 2
    assert withdrawn.seconds < 1


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Internal server error", "type": "api_error"},
        {"errorMessage": "2026-08-14T09:31:22Z 5f2e Task timed out after 30.00 seconds"},
        {"error": {"code": 500}},
        {"type": "api_error"},
    ],
)
def test_an_error_inside_a_200_is_tried_again_and_named_where_it_stays(
    body: dict[str, Any],
) -> None:
    error = status(200, json.dumps(body).encode())
    outcome = ask(error, OK, arrays=("results",))
    assert outcome.result == ({"results": []}, OK_MS)
    assert outcome.counts.retries == 1

    lasting = ask(error, max_retries=1, arrays=("items", "results"))
    assert isinstance(lasting.error, Unavailable)
    assert "Courier answered 200 with an error in its body" in str(lasting.error)
    assert "Task timed out" not in str(lasting.error)


@pytest.mark.parametrize(
    ("body", "arrays"),
    [
        ({"results": [], "message": "x"}, ("results",)),
        ({"results": None, "type": "api_error"}, ("items", "results")),
        # parse_page reports a changed envelope.
        ({"rows": [], "paging": {}}, ("results",)),
        ({"type": "list", "rows": []}, ("items",)),
        ({"rows": [], "error": None}, ("results",)),
        # A row requested by its id.
        ({"id": "x", "type": "EMAIL", "message": "Hello"}, ()),
    ],
)
def test_a_200_that_is_no_error_is_passed_on(body: Any, arrays: tuple[str, ...]) -> None:
    outcome = ask(status(200, json.dumps(body).encode()), arrays=arrays)
    assert outcome.reply is not None
    assert outcome.reply.body == body
    assert outcome.tries == 1


def test_the_advice_of_a_connection_that_fails_reaches_the_reader() -> None:
    trouble = ConnectionTrouble("the connection failed", "Check the network.")
    outcome = ask(trouble, max_retries=1)
    assert outcome.error is not None
    assert outcome.error.advice == "Check the network."


@pytest.mark.parametrize("code", [301, 400, 402, 403, 404, 410, 422, 501])
def test_only_402_and_403_of_the_refusals_speak_of_the_key(code: int) -> None:
    outcome = ask(status(code, ERROR_403))
    assert isinstance(outcome.error, Refused)
    assert ("the key" in outcome.error.advice) == (code in (402, 403))
    assert outcome.error.advice == outcome.error.advice.strip()
    assert outcome.error.advice.endswith(".")


def test_no_retries_means_one_try() -> None:
    outcome = ask(status(503), max_retries=0)
    assert isinstance(outcome.error, Unavailable)
    assert "after 1 attempt:" in str(outcome.error)
    assert (outcome.tries, outcome.counts.retries) == (1, 0)
    assert outcome.seconds < 0.5
    assert ask(OK, max_retries=0).result is not None


def test_the_loss_of_a_connection_that_was_kept_is_asked_again_once() -> None:
    stale = ConnectionTrouble("the connection was dropped", is_stale=True)
    healed = ask(stale, OK, max_retries=0)
    assert healed.result is not None
    assert (healed.counts.requests, healed.counts.retries) == (2, 1)

    lasting = ask(stale, max_retries=0)
    assert str(lasting.error) == "no usable response after 1 attempt: the connection was dropped"
    assert (lasting.counts.requests, lasting.tries) == (2, 2)


def test_requests_lost_with_their_connections_wait_for_the_limiter() -> None:
    async def main() -> list[float]:
        stale = ConnectionTrouble("the connection was dropped", is_stale=True)
        script = Script([stale] * 5 + [OK])
        client = CourierClient(script, Pacer(per_second=10), max_retries=0)
        await asyncio.gather(*(client.get(f"/{n}", Counts(str(n))) for n in range(5)))
        return script.asked_at

    asked_at = run_virtual(main())
    assert len(asked_at) == 10
    assert most_in_a_window(asked_at, seconds=1) <= 10
    assert min(later - earlier for earlier, later in pairwise(asked_at)) > 0.09


def test_waits_double_from_a_second_with_jitter() -> None:
    runs = [ask(status(503), max_retries=5).script.waits for _ in range(20)]
    for waits in runs:
        for wait, seconds in zip(waits, [1, 2, 4, 8, 16], strict=True):
            assert seconds - 0.01 <= wait <= seconds * 1.5 + 0.1
    assert len({round(waits[0], 4) for waits in runs}) > 10, "streams must not come back together"


def after_ok(seconds: int) -> str:
    """Returns an HTTP date this many seconds after OK's."""
    return formatdate(OK_MS / 1000 + seconds, usegmt=True)


@pytest.mark.parametrize("code", [503, 429])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
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
    (wait,) = ask(status(code, b"", **headers), OK).script.waits
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
        {"retry_after": "0"},
        {"retry_after": "0.5"},
        {"retry_after_ms": "50"},
        {"retry_after_ms": "50", "retry_after": "60"},
        {"retry_after": after_ok(-60), "date": OK.headers["date"]},
        {"retry_after": after_ok(0), "date": OK.headers["date"]},
    ],
)
def test_what_the_server_asks_for_never_shortens_the_wait(
    code: int, headers: dict[str, str]
) -> None:
    (wait,) = ask(status(code, b"", **headers), OK).script.waits
    assert 0.99 <= wait <= 1.7


def test_a_429_costs_no_retry() -> None:
    outcome = ask(*[status(429, retry_after="1")] * 20, OK, max_retries=0)
    assert outcome.result is not None
    assert (outcome.counts.retries, outcome.counts.refusals, outcome.tries) == (0, 20, 21)


def test_a_429_holds_every_stream() -> None:
    async def main() -> list[float]:
        script = Script([status(429, retry_after="30"), OK])
        client = CourierClient(script, Pacer(per_second=50), max_retries=0)
        first = asyncio.create_task(client.get("/messages", Counts("message")))
        await asyncio.sleep(0.1)
        others = [client.get(f"/{number}", Counts(str(number))) for number in range(6)]
        await asyncio.gather(first, *others)
        return script.asked_at

    asked_at = run_virtual(main())
    assert asked_at[1] >= 30
    gaps = [later - earlier for earlier, later in pairwise(asked_at[1:])]
    assert min(gaps) >= 1 / 50, "not all in the same instant"


@pytest.mark.parametrize("headers", [{}, {"retry_after": "1"}, {"retry_after": "0"}])
def test_a_stream_gives_up_after_ten_minutes_of_nothing_but_429(headers: dict[str, str]) -> None:
    outcome = ask(status(429, b"", **headers), max_retries=10)
    assert isinstance(outcome.error, Limited)
    assert "429 for ten minutes" in str(outcome.error)
    assert 600 <= outcome.seconds <= 670


class ByPath:
    """A transport that answers each path in its own way, and any other with an empty page."""

    def __init__(self, **answers: Callable[[float], Answer]) -> None:
        self._answers = answers
        self.asked_at: dict[str, list[float]] = {}

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        now = asyncio.get_running_loop().time()
        name = path_and_query.strip("/")
        self.asked_at.setdefault(name, []).append(now)
        await asyncio.sleep(0.04)
        answer = self._answers.get(name)
        return OK if answer is None else answer(now)


@pytest.mark.parametrize("after", ["1", "3600"])
def test_a_limit_of_one_path_fails_its_stream_and_does_not_starve_the_others(after: str) -> None:
    async def main() -> tuple[CourierError | None, float, float]:
        loop = asyncio.get_running_loop()
        wire = ByPath(brands=lambda _: status(429, retry_after=after))
        client = CourierClient(wire, Pacer(per_second=50), max_retries=3)

        async def walk() -> float:
            for _ in range(2_000):
                (await client.get("/messages", Counts("message"))).hold.release()
            return loop.time()

        async def limited() -> tuple[CourierError | None, float]:
            try:
                await client.get("/brands", Counts("brand"))
            except CourierError as error:
                return error, loop.time()
            return None, loop.time()

        done, (error, failed_at) = await asyncio.gather(walk(), limited())
        return error, failed_at, done

    error, failed_at, done = run_virtual(main())
    assert isinstance(error, Limited)
    assert 600 <= failed_at <= 900
    # Eighty seconds of work, plus at most the first wait that the server asked for.
    assert done < (100 if after == "1" else 400)


def test_a_table_with_a_rate_of_its_own_waits_alone() -> None:
    async def main() -> tuple[list[float], float, float]:
        wire = ByPath(metrics=lambda now: status(429, retry_after="30") if now < 5 else OK)
        shared, own = Pacer(per_second=50), Pacer(per_second=1)
        client = CourierClient(wire, shared, max_retries=0)

        async def metrics() -> None:
            for _ in range(5):
                await client.get("/metrics", Counts("metric"), own_pacer=own)

        async def messages() -> float:
            for _ in range(100):
                (await client.get("/messages", Counts("message"))).hold.release()
            return asyncio.get_running_loop().time()

        _, done = await asyncio.gather(metrics(), messages())
        return wire.asked_at["metrics"], done, shared.per_second

    asked_at, messages_done, shared_rate = run_virtual(main())
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps[0] >= 30
    assert min(gaps) >= 1
    assert messages_done < 6
    assert shared_rate == 50


def test_a_page_of_a_firewall_for_one_request_alone_fails_it_and_holds_nobody_up() -> None:
    async def main() -> tuple[BaseException, float]:
        client = CourierClient(
            ByPath(blocked=lambda _: status(403, WALL)), Pacer(per_second=50), max_retries=3
        )

        async def others() -> float:
            for _ in range(2_000):
                (await client.get("/other", Counts("member"), lane=True)).hold.release()
            return asyncio.get_running_loop().time()

        error, done = await asyncio.gather(
            client.get("/blocked", Counts("member"), lane=True), others(), return_exceptions=True
        )
        assert isinstance(error, BaseException)
        assert isinstance(done, float)
        return error, done

    error, done = run_virtual(main())
    assert isinstance(error, Unavailable)
    assert str(error) == "a firewall repeatedly answered 403, for this request only"
    assert "ask its owner" in error.advice
    # Two thousand answers of 40 ms in sequence, plus the throttle's minute.
    assert done < 150


@pytest.mark.parametrize("table", ["member", "other"])
@pytest.mark.parametrize("retry_after", [None, "60"])
def test_one_request_that_is_always_limited_fails_and_does_not_hold_the_others_up(
    retry_after: str | None, table: str
) -> None:
    refusal = status(429) if retry_after is None else status(429, retry_after=retry_after)

    async def main() -> tuple[BaseException, float, float]:
        pacer = Pacer(per_second=50)
        client = CourierClient(ByPath(limited=lambda _: refusal), pacer, max_retries=3)

        async def others() -> float:
            for _ in range(10_000):
                (await client.get("/other", Counts(table), lane=True)).hold.release()
            return asyncio.get_running_loop().time()

        async def limited() -> float:
            with pytest.raises(CourierError) as caught:
                await client.get("/limited", Counts("member"), lane=True)
            errors.append(caught.value)
            return asyncio.get_running_loop().time()

        errors: list[BaseException] = []
        done, failed = await asyncio.gather(others(), limited())
        return errors[0], done, failed

    error, done, failed = run_virtual(main())
    text = "Courier returned only 429 for ten minutes"
    assert str(error) == (text if table == "other" else f"{text}, for this request only")
    assert isinstance(error, Limited if table == "other" else Unavailable)
    # Ten thousand answers of 40 ms in sequence, plus the cost of the first refusals.
    assert done < (550 if retry_after is None else 1_100)
    assert 600 <= failed < 1_200


@pytest.mark.parametrize("hold_seconds", [0, 20])
def test_a_tables_own_rate_holds_while_all_wait(hold_seconds: int) -> None:
    async def main() -> list[float]:
        wire = ByPath(metrics=lambda now: OK)
        shared, own = Pacer(per_second=50), Pacer(per_second=1)
        client = CourierClient(wire, shared, max_retries=0)
        sent_at = await shared.wait_for_turn()
        shared.refused(sent_at=sent_at, retry_after_seconds=hold_seconds)
        lanes = [asyncio.create_task(shared.wait_for_turn(lane=True)) for _ in range(400)]
        asking = [
            client.get("/metrics", Counts("metric"), lane=True, own_pacer=own) for _ in range(10)
        ]
        await asyncio.gather(*asking, *lanes)
        return wire.asked_at["metrics"]

    asked_at = run_virtual(main())
    assert min(later - earlier for earlier, later in pairwise(asked_at)) >= 1
    assert asked_at[-1] <= hold_seconds + 12


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
        all_counts = [Counts(str(number)) for number in range(3)]
        await asyncio.gather(*(client.get("/", counts) for counts in all_counts))
        return [counts.limiter_seconds for counts in all_counts]

    assert run_virtual(main()) == pytest.approx([0, 1, 2], abs=0.1)


def test_a_cancelled_request_stops_at_once() -> None:
    async def main() -> float:
        client = CourierClient(Script([status(503)]), Pacer(per_second=50), max_retries=10)
        task = asyncio.create_task(client.get("/", Counts("message")))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0.5, abs=0.01)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_header_is_a_time_to_wait_and_a_date_or_neither(after: str, date: str) -> None:
    outcome = ask(status(503, retry_after=after, date=date), Answer(200, {"date": date}, b"{}"))
    assert outcome.result is not None
    assert math.isfinite(outcome.result[1])
    assert outcome.seconds <= 301


# Over aiohttp itself, with answers from aioresponses.


def over_http(
    *, path_and_query: str = "/messages", max_retries: int = 3
) -> tuple[Any, CourierError | None, Counts]:
    async def main() -> tuple[Any, CourierError | None, Counts]:
        counts = Counts("message")
        async with HttpTransport(
            base_url="https://api.courier.com", api_key="pk_prod_KEY", timeout_seconds=60
        ) as transport:
            client = CourierClient(transport, Pacer(per_second=50), max_retries=max_retries)
            try:
                return (await client.get(path_and_query, counts)).body, None, counts
            except CourierError as error:
                return None, error, counts

    return run_virtual(main())


def test_over_http_a_page_comes_after_every_kind_of_passing_failure(mocked: aioresponses) -> None:
    url = "https://api.courier.com/messages"
    mocked.get(url, status=503)
    mocked.get(url, exception=aiohttp.ServerDisconnectedError())
    mocked.get(url, status=429, headers={"Retry-After": "5"})
    mocked.get(url, exception=TimeoutError())
    mocked.get(url, payload={"results": [{"id": "1"}]})
    body, error, counts = over_http()
    assert error is None
    assert body == {"results": [{"id": "1"}]}
    assert (counts.requests, counts.retries, counts.refusals) == (5, 3, 1)


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
    _, error, counts = over_http(max_retries=1)
    assert isinstance(error, Unavailable)
    assert SECRET not in str(error)
    assert counts.requests == 2


@pytest.mark.parametrize("cursor", ["MTU4+/A==", "a b&c=d%2B?#é\x00\n", "%", "1:EYCE", "😀"])
def test_a_cursor_reaches_the_wire_encoded_once(cursor: str) -> None:
    class Wire:
        paths: list[str] = []  # noqa: RUF012

        async def get(self, path_and_query: str, hold: Hold) -> Answer:
            self.paths.append(path_and_query)
            return OK

    async def main() -> str:
        wire = Wire()
        client = CourierClient(wire, Pacer(per_second=50), max_retries=0)
        await client.get(f"/messages?{urlencode({'cursor': cursor})}", Counts("message"))
        return wire.paths[-1]

    path, _, query = run_virtual(main()).partition("?")
    assert path == "/messages"
    assert query.isascii()
    assert parse_qs(query, strict_parsing=True) == {"cursor": [cursor]}
