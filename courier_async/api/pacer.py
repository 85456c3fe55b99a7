"""A shared rate: when the next request may go, and how refusals slow it down."""

import asyncio
from typing import Final, Optional

from aiolimiter import AsyncLimiter

from courier_async.api.turns import Turns

# A throttle halves the rate, but never below this many requests a second.
_SLOWEST_PER_SECOND: Final = 1.0
# This long after the hold, the rate returns to this fraction of the refused rate: time spent far
# below the server's limit is what makes a slow server slower.
_RETURN_SECONDS: Final = 0.5
_RETURN: Final = 0.85
# From there it grows by 1 % a second, to approach the limit gently, and by 10 % a second after
# this many quiet seconds, so that it is back at the setting within a minute or so.
_GENTLE_SECONDS: Final = 20
_GENTLE_GROWTH: Final = 1.01
_QUICK_GROWTH: Final = 1.10
# The first hold if the server names none; it doubles while only refusals come back.
_FIRST_HOLD_SECONDS: Final = 1.0
_LONGEST_HOLD_SECONDS: Final = 60.0


class Pacer:
    """Lets at most `per_second` requests a second through, one after another.

    Lanes yield to all other requests; otherwise the order is first come, first served. No
    half-open window of one second holds more than `per_second` requests, there is no burst at
    the start, and with enough work the pacer reaches 0.99 of the rate.

    A *throttle* lasts from a refusal until a request that was sent after the hold is answered.
    It halves the rate once; further refusals during it only lengthen the hold.
    """

    def __init__(self, *, per_second: float) -> None:
        self._setting = per_second
        self._rate = per_second
        self._limiter: AsyncLimiter | None = None
        self._started = False
        # Only one request waits in the limiter, so that a new rate applies to all those queued.
        self._turn = Turns()
        self._held_until = 0.0
        self._throttled = False
        self._throttle_ended_at = 0.0
        # The rate that was refused and what it was cut to; None before any refusal.
        self._cut: tuple[float, float] | None = None
        self._refusals_in_a_row = 0

    @property
    def per_second(self) -> float:
        """The current rate: the setting, or less after refusals."""
        return self._rate

    def set_per_second(self, per_second: float) -> None:
        """Changes the setting, for example to the limit that a server reports."""
        if per_second != self._setting:
            self._setting = per_second
            self._set_rate(per_second if self._cut is None else min(self._rate, per_second))

    async def wait_for_turn(self, *, lane: bool = False, then: Optional["Pacer"] = None) -> float:
        """Returns the time on the loop's clock at which the request may be sent.

        then: another pacer to wait for as well, so that both rates are respected at that time.
        """
        loop = asyncio.get_running_loop()
        await self._turn.take(low_priority=lane)
        try:
            await self._until_released()
            limiter = await self._limiter_at(loop.time())
            await limiter.acquire()
            await self._until_released()  # a refusal may have come meanwhile
            if then is None:
                return loop.time()
            moment = await then.wait_for_turn(lane=lane)
            # Capacity that built up in the bucket meanwhile must not go out as a burst.
            self._limiter = None
            return moment
        finally:
            self._turn.give_back()

    async def _until_released(self) -> None:
        loop = asyncio.get_running_loop()
        # A loop, since another refusal may extend the hold meanwhile.
        while (seconds := self._held_until - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(seconds)

    def answered(self, *, sent_at: float) -> None:
        """Records that a request sent at `sent_at` was answered with anything but a refusal."""
        if self._throttled and sent_at >= self._held_until:
            self._throttled = False
            self._throttle_ended_at = asyncio.get_running_loop().time()
            self._refusals_in_a_row = 0

    def refused(self, *, sent_at: float, retry_after_seconds: float | None) -> None:
        """Records that a request sent at `sent_at` was refused: holds everyone and slows down."""
        now = asyncio.get_running_loop().time()
        hold = retry_after_seconds or 0.0
        # Refusals of requests sent before the hold ended add no information.
        if sent_at >= max(self._held_until, self._throttle_ended_at):
            hold = wait_seconds(self._refusals_in_a_row, retry_after_seconds=retry_after_seconds)
            self._refusals_in_a_row += 1
            if not self._throttled:
                self._throttled = True
                slowest = min(_SLOWEST_PER_SECOND, self._setting)
                self._cut = (self._rate, max(self._rate / 2, slowest))
                self._rate = self._cut[1]
        self._held_until = max(self._held_until, now + hold)
        # Capacity that built up in the bucket meanwhile must not go out as a burst.
        self._limiter = None

    def _set_rate(self, per_second: float) -> None:
        if per_second != self._rate:
            self._rate = per_second
            self._limiter = None

    async def _limiter_at(self, now: float) -> AsyncLimiter:
        """Returns the limiter at the rate for this moment."""
        if self._cut is not None:
            # Growth starts after the hold: a hold does not prove that the server bears the rate.
            refused, cut = self._cut
            grown = _grown(refused, cut, quiet_seconds=now - self._held_until)
            self._set_rate(min(grown, self._setting))
            if self._rate == self._setting:
                self._cut = None
        if self._limiter is None:
            # A capacity slightly above one makes up for late wake-ups. With a leak of
            # rate + 1 - capacity, no window of one second holds more than the rate.
            capacity = 1 + self._rate / 100
            leak = self._rate + 1 - capacity
            self._limiter = AsyncLimiter(capacity, capacity / leak)
            # An empty bucket would let a burst through, so fill a new one beforehand.
            await self._limiter.acquire(capacity if self._started else capacity - 1)
            self._started = True
        return self._limiter


def wait_seconds(refusals_before: int, *, retry_after_seconds: float | None) -> float:
    """Returns how long to wait after a refusal: as told, or doubling each time; at least 1 s."""
    if retry_after_seconds is not None and retry_after_seconds >= _FIRST_HOLD_SECONDS:
        return retry_after_seconds
    return float(min(_FIRST_HOLD_SECONDS * 2 ** min(refusals_before, 16), _LONGEST_HOLD_SECONDS))


def _grown(refused: float, cut: float, *, quiet_seconds: float) -> float:
    """Returns the rate after `quiet_seconds` without a refusal, in steps of a second."""
    if quiet_seconds < _RETURN_SECONDS:
        return cut
    seconds = min(int(quiet_seconds), 600)
    gentle = _GENTLE_GROWTH ** min(seconds, _GENTLE_SECONDS)
    return float(
        max(cut, _RETURN * refused) * gentle * _QUICK_GROWTH ** max(0, seconds - _GENTLE_SECONDS)
    )
