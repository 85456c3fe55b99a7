"""The shared rate: when the next request may go, for all streams alike."""

import asyncio
import math
from typing import Final

from aiolimiter import AsyncLimiter

# A refusal halves the rate, but never below this many requests a second.
_SLOWEST_PER_SECOND: Final = 1.0
# So long after the hold it comes back to this part of the rate that was refused: what is lost
# far below the server's limit is what makes a slow server slower.
_RETURN_SECONDS: Final = 0.5
_RETURN: Final = 0.85
# From there it grows by a tenth in ten seconds, in small steps, so that the limit is met gently.
_GROWTH_SECONDS: Final = 1.0
_GROWTH: Final = 1.01
# The first wait after a refusal that names no time; it doubles while nothing else is answered.
_FIRST_HOLD_SECONDS: Final = 1.0
_LONGEST_HOLD_SECONDS: Final = 60.0
# So long may every request be refused before a stream gives up.
_GIVE_UP_SECONDS: Final = 600.0


class Pacer:
    """Lets requests go at most `per_second` a second, one after another, in order of asking.

    No half-open window of one second holds more than `per_second` of them, there is no burst at
    the start, and where there is work the rate reached is 0.99 of it. A 429 slows every stream.
    """

    def __init__(self, *, per_second: float) -> None:
        self._setting = per_second
        self._rate = per_second
        self._ceiling = per_second
        self._changed_at: float | None = None
        self._limiter: AsyncLimiter | None = None
        # One at a time waits in the limiter, so that a new rate holds for all who still queue.
        self._turn = asyncio.Lock()
        self._held_until = 0.0
        self._refusals_in_a_row = 0
        self._refused_at = -math.inf
        self._first_refusal_at: float | None = None

    @property
    def per_second(self) -> float:
        """The rate now; the setting, or less after refusals."""
        return self._rate

    async def wait_for_turn(self) -> float:
        """Returns the time on the loop's clock at which the request was let go."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await self._until_released()
            limiter = await self._limiter_at(loop.time())
            await limiter.acquire()
            await self._until_released()  # a refusal may have come meanwhile
            return loop.time()

    async def _until_released(self) -> None:
        loop = asyncio.get_running_loop()
        # A loop, since a further refusal may hold everyone longer meanwhile.
        while (seconds := self._held_until - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(seconds)

    def answered(self) -> None:
        """Some request was answered with anything but a refusal."""
        self._refusals_in_a_row = 0
        self._first_refusal_at = None

    def refused(self, *, sent_at: float, retry_after_seconds: float | None) -> bool:
        """A 429 to a request let go at `sent_at`: hold everyone, go slower.

        Returns False once nothing but refusals has come for ten minutes.
        """
        now = asyncio.get_running_loop().time()
        if self._first_refusal_at is None:
            self._first_refusal_at = now
        hold = retry_after_seconds
        # What was under way when the last refusal came tells nothing new.
        if sent_at > self._refused_at:
            self._refused_at = now
            if hold is None:
                hold = min(_FIRST_HOLD_SECONDS * 2**self._refusals_in_a_row, _LONGEST_HOLD_SECONDS)
            self._refusals_in_a_row = min(self._refusals_in_a_row + 1, 16)
            self._ceiling = self._rate
            slowest = min(_SLOWEST_PER_SECOND, self._setting)
            self._set_rate(max(self._rate / 2, slowest), now)
        self._held_until = max(self._held_until, now + (hold or 0.0))
        # What ran up in the bucket during the hold must not go at once after it.
        self._limiter = None
        return now - self._first_refusal_at < _GIVE_UP_SECONDS

    def _set_rate(self, per_second: float, now: float) -> None:
        self._rate = per_second
        self._changed_at = now
        self._limiter = None

    async def _limiter_at(self, now: float) -> AsyncLimiter:
        """The limiter at the rate that is due now."""
        starting = self._changed_at is None
        if self._changed_at is None:
            self._changed_at = now
        elif self._rate < self._setting:
            # A hold is no proof that the server bears the rate.
            self._grow(now - max(self._changed_at, self._held_until), now)
        if self._limiter is None:
            # A capacity a little over one makes up for late wake-ups; with a leak of
            # rate + 1 - capacity no window of a second holds more than the rate.
            capacity = 1 + self._rate / 100
            leak = self._rate + 1 - capacity
            self._limiter = AsyncLimiter(capacity, capacity / leak)
            # A new bucket is empty; what it would let through at once is filled beforehand.
            await self._limiter.acquire(capacity - 1 if starting else capacity)
        return self._limiter

    def _grow(self, unchanged_seconds: float, now: float) -> None:
        returning = min(_RETURN * self._ceiling, self._setting)
        if self._rate < returning and unchanged_seconds >= _RETURN_SECONDS:
            self._set_rate(returning, now)
        elif unchanged_seconds >= _GROWTH_SECONDS:
            self._set_rate(min(self._rate * _GROWTH, self._setting), now)
