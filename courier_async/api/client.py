"""Sends requests to Courier: waits for the rate limiter, retries, and maps failures to errors."""

import asyncio
import random
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any, Final

import backoff
import msgspec

from courier_async.api.answers import BadKey, Body, Failed, TooMany, meaning_of
from courier_async.api.headers import LONGEST_WAIT_SECONDS, now_ms, server_ms
from courier_async.api.memory import Hold, MemoryBudget
from courier_async.api.pacer import Pacer, wait_seconds
from courier_async.api.refusals import GIVE_UP_SECONDS, Refusals
from courier_async.api.transport import MAX_BODY_BYTES, BodyTooLarge, ConnectionTrouble, Transport
from courier_async.counts import Counts
from courier_async.errors import (
    LIMIT_ADVICE,
    BadAnswer,
    KeyRefused,
    Limited,
    Refused,
    Unavailable,
)

_FIRST_DELAY_SECONDS: Final = 1.0
# Beyond this, while others of its stream are answered, a limit affects one request alone.
_MOST_ISOLATED_LIMITS: Final = 5
# After this many refusals by a gateway that outlasted their retries, a table has no such route.
_MOST_LASTING: Final = 20


class Reply(msgspec.Struct, frozen=True):
    """A 200 and its decoded JSON.

    server_ms: the response's Date in epoch milliseconds, or, without one, when it was requested,
        since a walk must not be dated too late.
    seconds: since the request was sent.
    hold: the memory that it takes, released by the last user of the page.
    """

    body: Any
    server_ms: int
    headers: Mapping[str, str]
    hold: Hold
    seconds: float


class _Request(msgspec.Struct, frozen=True):
    path_and_query: str
    counts: Counts
    lane: bool
    own_pacer: Pacer | None
    arrays: tuple[str, ...]


class _Limit(msgspec.Struct, frozen=True):
    """A limit met by a request that was sent at `sent_at`."""

    refusal: TooMany
    sent_at: float


class _LimitsMet(msgspec.Struct):
    """The limits that one request has met in a row, and since when on the loop's clock.

    isolated: how many it met while others of its stream were answered.
    """

    since: float | None = None
    isolated: int = 0


class _Retry(Exception):
    """One attempt failed in a way that a retry may fix."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


class CourierClient:
    """Sends GETs over one transport, one pacer and one retry policy for all streams."""

    def __init__(
        self,
        transport: Transport,
        pacer: Pacer,
        *,
        max_retries: int,
        budget: MemoryBudget | None = None,
    ) -> None:
        self._transport = transport
        self._pacer = pacer
        self._tries = max_retries + 1
        self._budget = budget or MemoryBudget()
        self._refusals = Refusals()
        self._key_accepted = False
        # Table -> refusals by a gateway in a row that outlasted their retries.
        self._lasting: Counter[str] = Counter()
        # Created once: creating it costs more than parsing a page.
        self._try = backoff.on_exception(
            _delays,
            _Retry,
            max_tries=self._tries,
            jitter=None,
            on_backoff=_count_retry,
            logger=None,
        )(self._try_once)

    async def get(
        self,
        path_and_query: str,
        counts: Counts,
        *,
        lane: bool = False,
        own_pacer: Pacer | None = None,
        arrays: tuple[str, ...] = (),
    ) -> Reply:
        """Returns the response to one request. The caller releases its `hold`.

        lane: one of many concurrent requests of one stream, which yield to all others.
        own_pacer: the pacer of a table with a rate of its own; no other table waits for it.
        arrays: the keys that may hold the records; a 200 with none of them and with an error is
            retried. Empty: any JSON will do.
        Raises KeyRefused, Refused for a status that no retry can change, Limited for a limit that
        lasts ten minutes, Unavailable if the retries are used up or the limit affects this
        request alone, and BadAnswer for a body that is too large.
        """
        try:
            return await self._try(_Request(path_and_query, counts, lane, own_pacer, arrays))
        except _Retry as retry:
            failed = retry.failed
        if failed.refusal is not None:
            self._lasting[counts.table] += 1
            raise failed.refusal
        times = "attempt" if self._tries == 1 else "attempts"
        text = f"no usable response after {self._tries} {times}: {failed.reason}"
        raise Unavailable(text, failed.advice)

    async def _try_once(self, request: _Request) -> Reply:
        # Raise here, where no local holds the body: the traceback lives as long as a retry waits,
        # and that of a refusal until the garbage collector runs.
        outcome = await self._reply_or_failure(request)
        if isinstance(outcome, Refused):
            raise outcome
        table = request.counts.table
        if isinstance(outcome, Failed):
            if outcome.refusal is not None and self._lasting[table] >= _MOST_LASTING:
                raise outcome.refusal
            raise _Retry(outcome)
        self._lasting[table] = 0
        return outcome

    async def _reply_or_failure(self, request: _Request) -> Reply | Failed | Refused:
        """Repeats the request while limited, and once after a stray 401 or a lost connection."""
        asked_again, was_stale = False, False
        met, answers = _LimitsMet(), self._refusals.answers
        while True:
            answered_before = answers[request.counts.table]
            outcome = await self._ask_within_budget(request)
            if isinstance(outcome, Failed) and outcome.is_stale and not was_stale:
                was_stale = True
                request.counts.retries += 1
                continue
            if isinstance(outcome, Reply | Failed | Refused):
                return outcome
            if isinstance(outcome, _Limit):
                # Stays true once the others have ended.
                is_isolated = met.isolated > _MOST_ISOLATED_LIMITS
                met.isolated += is_isolated or answers[request.counts.table] > answered_before
                await asyncio.sleep(self._limited(request, outcome, met))
                continue
            if asked_again or not self._key_accepted:
                raise KeyRefused(outcome.status)
            asked_again = True
            request.counts.retries += 1

    async def _ask_within_budget(
        self, request: _Request
    ) -> Reply | Failed | Refused | BadKey | _Limit:
        """Sends one request. Only a reply keeps its share of the memory."""
        hold = await self._budget.take(request.counts.table, lane=request.lane)
        is_kept = False
        try:
            outcome = await self._ask(request, hold)
            is_kept = isinstance(outcome, Reply)
            return outcome
        finally:
            if not is_kept:
                hold.release()

    async def _ask(
        self, request: _Request, hold: Hold
    ) -> Reply | Failed | Refused | BadKey | _Limit:
        sent_at = await self._wait_for_turn(request)
        asked_ms = now_ms()
        try:
            answer = await self._transport.get(request.path_and_query, hold)
        except ConnectionTrouble as trouble:
            return Failed(str(trouble), advice=trouble.advice, is_stale=trouble.is_stale)
        except BodyTooLarge:
            most = f"{MAX_BODY_BYTES >> 20} MB"
            text = f"a response is larger than any page should be (over {most})"
            raise BadAnswer(text) from None
        meaning = meaning_of(answer.status, answer.headers, answer.body, arrays=request.arrays)
        if isinstance(meaning, TooMany):
            return _Limit(meaning, sent_at)
        self._refusals.answered(request.counts.table)
        for pacer in filter(None, (self._pacer, request.own_pacer)):
            pacer.answered(sent_at=sent_at)
        if not isinstance(meaning, Body):
            return meaning
        self._key_accepted = True
        request.counts.bytes_read += len(answer.body)
        seconds = asyncio.get_running_loop().time() - sent_at
        answered_ms = server_ms(answer.headers)
        moment_ms = asked_ms if answered_ms is None else answered_ms
        return Reply(meaning.value, moment_ms, answer.headers, hold, seconds)

    async def _wait_for_turn(self, request: _Request) -> float:
        """Waits for the rate limiter. Returns the loop's time at which the request may be sent."""
        counts = request.counts
        asked_at = asyncio.get_running_loop().time()
        if request.own_pacer is not None:
            # These are too few to yield to lanes, and a long wait of one would delay the next.
            sent_at = await request.own_pacer.wait_for_turn(then=self._pacer)
        else:
            sent_at = await self._pacer.wait_for_turn(lane=request.lane)
        counts.limiter_seconds += sent_at - asked_at
        counts.requests += 1
        return sent_at

    def _limited(self, request: _Request, limit: _Limit, met: _LimitsMet) -> float:
        """Slows down whatever a limit affects. Returns how long this request alone must wait.

        A limit uses up no retry. Raises Limited or Unavailable if it lasts too long.
        """
        now = asyncio.get_running_loop().time()
        table, refusal, sent_at = request.counts.table, limit.refusal, limit.sent_at
        retry_after_seconds = refusal.retry_after_seconds
        request.counts.refusals += 1
        met.since = now if met.since is None else met.since
        if met.isolated > _MOST_ISOLATED_LIMITS:
            _raise_if_hopeless(refusal, seconds=now - met.since)
            return wait_seconds(
                met.isolated - _MOST_ISOLATED_LIMITS, retry_after_seconds=retry_after_seconds
            )
        alone_seconds = self._refusals.refused(
            table, sent_at=sent_at, now=now, retry_after_seconds=retry_after_seconds
        )
        if self._refusals.gives_up(table, now):
            raise Limited(f"Courier returned only {refusal.status} for ten minutes")
        if request.own_pacer is not None:
            request.own_pacer.refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)
        elif alone_seconds > 0:
            return alone_seconds
        else:
            self._pacer.refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)
        return 0.0


def _raise_if_hopeless(refusal: TooMany, *, seconds: float) -> None:
    """Raises Unavailable if a request keeps meeting limits while others are answered."""
    if refusal.is_wall:
        text = "a firewall repeatedly answered 403, for this request only"
        raise Unavailable(text, LIMIT_ADVICE)
    if seconds >= GIVE_UP_SECONDS:
        text = f"Courier returned only {refusal.status} for ten minutes, for this request only"
        raise Unavailable(text, LIMIT_ADVICE)


def _count_retry(details: Any) -> None:
    (request,) = details["args"]
    request.counts.retries += 1


def _delays() -> Generator[float, Any, None]:
    """Yields the seconds before each retry: 1, 2, 4 … plus up to half as much again.

    A wait that the server asks for can lengthen them, but never shortens them.
    """
    retry: _Retry = yield 0.0  # backoff primes the generator and drops this
    seconds = _FIRST_DELAY_SECONDS
    while True:
        # Jitter, so that streams that failed together do not retry together.
        own = seconds * random.uniform(1.0, 1.5)  # noqa: S311
        retry = yield max(own, retry.failed.retry_after_seconds or 0.0)
        seconds = min(seconds * 2, LONGEST_WAIT_SECONDS)
