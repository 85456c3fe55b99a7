"""What a request to Courier comes to: paced, retried, and its failures named."""

import asyncio
import json
import math
import random
import time
from collections.abc import Generator
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

import backoff
import orjson

from courier_async.api.large_answers import LargeAnswers
from courier_async.api.pacer import Pacer
from courier_async.api.transport import Answer, BodyTooLarge, ConnectionTrouble, Transport
from courier_async.errors import BadAnswer, KeyRefused, Refused, Unavailable
from courier_async.report import Tally

_RETRIED_STATUSES: Final = frozenset({408, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS: Final = 300.0
# Error types that the documentation names; any other text of an error body is not shown,
# since nobody knows what it may hold.
_KNOWN_KINDS: Final = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "authorization_error",
        "rate_limit_error",
        "api_error",
    }
)
# Each digit as 0 and what may stand before a number as a comma: a long number is then found at
# a third of what a regular expression costs, and long runs of digits in ids are not taken for one.
_DIGITS_ALIKE: Final = bytes.maketrans(b"0123456789[:", b"0000000000,,")
_LONG_NUMBERS: Final = (b"," + b"0" * 20, b",-" + b"0" * 19)


class _Retry(Exception):
    """One try failed in a way that another may not. The text says how."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class CourierClient:
    """GETs over one transport, one pacer and one rule of retries for all streams."""

    def __init__(self, transport: Transport, pacer: Pacer, *, max_retries: int) -> None:
        self._transport = transport
        self._pacer = pacer
        self._tries = max_retries + 1
        self._large = LargeAnswers()
        # Made once: making it costs more than parsing a page.
        self._try = backoff.on_exception(
            _delays,
            _Retry,
            max_tries=self._tries,
            jitter=None,
            on_backoff=_count_retry,
            logger=None,
        )(self._try_once)

    async def get(self, path_and_query: str, tally: Tally) -> tuple[Any, int]:
        """The parsed JSON of a 200, and the server's time in epoch milliseconds.

        A large one is waited for while another task holds such, until it is put away.
        Raises KeyRefused on 401, Refused on any other status that no retry changes, Unavailable
        when the retries are used up, BadAnswer on a body that is too large.
        """
        self._large.release()
        try:
            return await self._try(path_and_query, tally)
        except _Retry as failure:
            times = "try" if self._tries == 1 else "tries"
            raise Unavailable(f"no usable answer after {self._tries} {times}: {failure}") from None

    def put_away(self) -> None:
        """What this task was answered is on the queue, so another may have a large answer."""
        self._large.release()

    async def _try_once(self, path_and_query: str, tally: Tally) -> tuple[Any, int]:
        try:
            answer = await self._unless_refused(path_and_query, tally)
        except ConnectionTrouble as trouble:
            raise _Retry(str(trouble)) from None
        except BodyTooLarge:
            raise BadAnswer("an answer is larger than any page should be (over 16 MB)") from None
        status = answer.status
        if status in _RETRIED_STATUSES:
            raise _Retry(f"Courier answered {status}", _retry_after_seconds(answer))
        if status == 401:
            raise KeyRefused("Courier does not accept the key (it answered 401)")
        if 300 <= status < 400:
            raise Refused(status, ", a redirect, which is not followed; check base_url")
        if status != 200:
            raise Refused(status, _kind(answer.body))
        # Where there is no Date, now: before a wait that would date the walk's start too late.
        server_ms = _server_ms(answer)
        await self._large.admit(size_bytes=len(answer.body))
        tally.bytes_read += len(answer.body)
        try:
            body = parse_json(answer.body)
        except ValueError:
            raise _Retry("Courier answered with something that is not JSON") from None
        return body, server_ms

    async def _unless_refused(self, path_and_query: str, tally: Tally) -> Answer:
        """The first answer that is not a 429, which costs no retry: the pacer slows down."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            sent_at = await self._pacer.wait_for_turn()
            tally.limiter_seconds += sent_at - asked_at
            tally.requests += 1
            answer = await self._transport.get(path_and_query)
            if answer.status != 429:
                self._pacer.answered()
                return answer
            tally.refusals += 1
            if not self._pacer.refused(
                sent_at=sent_at, retry_after_seconds=_retry_after_seconds(answer)
            ):
                raise Unavailable("Courier answered nothing but 429 for ten minutes")


def _count_retry(details: Any) -> None:
    _, tally = details["args"]
    tally.retries += 1


def _delays() -> Generator[float, Any, None]:
    """Seconds before each further try: 1, 2, 4 … and up to half as much again; or as told."""
    failure: _Retry = yield 0.0  # backoff primes the generator and drops this
    seconds = 1.0
    while True:
        wait = failure.retry_after_seconds
        # Jitter, so that streams that failed together do not come back together.
        failure = yield seconds * random.uniform(1.0, 1.5) if wait is None else wait  # noqa: S311
        seconds = min(seconds * 2, _LONGEST_WAIT_SECONDS)


def parse_json(body: bytes) -> Any:
    """The parsed body. Raises ValueError on what is not JSON, however it fails to be."""
    # orjson turns an integer beyond 64 bits into a float without a word: such a body is parsed
    # by the standard library, which keeps every digit.
    if not _has_long_number(body):
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # perhaps only a lone surrogate, which the standard library can read
    try:
        return _without_surrogates(
            json.loads(
                body,
                parse_constant=_no_constant,
                parse_float=_float_or_text,
                parse_int=_int_or_text,
            )
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _has_long_number(body: bytes) -> bool:
    """Whether an integer beyond 64 bits may be in it; never False where one is."""
    numbers = (b"," + body).translate(_DIGITS_ALIKE, b" \t\r\n")
    return any(long in numbers for long in _LONG_NUMBERS)


def _without_surrogates(value: Any) -> Any:
    """The same JSON with each half of a broken pair, which no database stores, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def _float_or_text(number: str) -> float | str:
    """A number beyond what a float holds stays as it was written."""
    value = float(number)
    return value if math.isfinite(value) else number


def _int_or_text(number: str) -> int | str:
    try:
        return int(number)
    except ValueError:  # beyond 4,300 digits, Python's bound
        return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _kind(body: bytes) -> str:
    """The documented type of an error, as " (type)", or nothing."""
    try:
        kind = orjson.loads(body)["type"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f" ({kind})" if isinstance(kind, str) and kind in _KNOWN_KINDS else ""


def _server_ms(answer: Answer) -> int:
    """The moment of the answer by the server's clock, or by ours where it does not say."""
    moment_ms = _epoch_ms(answer.headers.get("date", ""))
    return int(time.time() * 1000) if moment_ms is None else moment_ms


# The answers of one second all carry the same text.
@lru_cache(maxsize=8)
def _epoch_ms(http_date: str) -> int | None:
    try:
        moment = parsedate_to_datetime(http_date)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str, *, scale: float = 1.0) -> float | None:
    try:
        return float(text) * scale
    except ValueError:
        return None


def _retry_after_seconds(answer: Answer) -> float | None:
    """How long the server asks to wait, at most five minutes; None where it does not say."""
    seconds = _number(answer.headers.get("retry-after-ms", ""), scale=0.001)
    if seconds is None:
        seconds = _number(answer.headers.get("retry-after", ""))
    if seconds is None:
        moment_ms = _epoch_ms(answer.headers.get("retry-after", ""))
        if moment_ms is None:
            return None
        seconds = (moment_ms - _server_ms(answer)) / 1000
    if not seconds >= 0:  # also NaN
        return None
    return min(seconds, _LONGEST_WAIT_SECONDS)
