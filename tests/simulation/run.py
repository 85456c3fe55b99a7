"""Runs one simulated sync: the real code on a virtual-time loop, until it ends or dies."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from courier_async import sync
from courier_async.api.pacer import Pacer
from courier_async.settings import Settings
from courier_async.writing import writer
from tests.simulation.claims import Broken
from tests.simulation.death import Death
from tests.simulation.destination import Crashed, SinkRaised
from tests.simulation.seam import SimulatedTransport, SimulatedWorker
from tests.support.virtual_time import Stalled, VirtualTimeLoop

if TYPE_CHECKING:
    from tests.simulation.seed import Simulation
    from tests.simulation.weather import Weather

MOST_REQUESTS = 4_000
MOST_SECONDS = 24 * 3600.0
MOST_STALE_PAGES = 30
# How long a sync waits at its end for the real worker's thread.
JOIN_SECONDS = 5.0


class _Loop(VirtualTimeLoop):
    """A virtual-time loop with a limited number of turns."""

    turns_left = 3_000_000

    def _turn(self, timeout: float | None) -> None:
        self.turns_left -= 1
        if self.turns_left < 0:
            raise Broken("a sync that never ends")
        super()._turn(timeout)


class _SlowQueue(asyncio.Queue[Any]):
    """A queue whose put waits now and then, as it does for a slow destination."""

    random = Random(0)
    most_seconds = 0.0

    async def put(self, item: Any) -> None:
        if self.most_seconds and self.random.random() < 0.3:
            await asyncio.sleep(self.random.random() * self.most_seconds)
        await super().put(item)


class _WatchedPacer(Pacer):
    """A pacer that remembers its slowest rate."""

    slowest = 1000.0

    def refused(self, *, sent_at: float, retry_after_seconds: float | None) -> None:
        super().refused(sent_at=sent_at, retry_after_seconds=retry_after_seconds)
        _WatchedPacer.slowest = min(_WatchedPacer.slowest, self.per_second)


class Run:
    """Runs one sync of a simulation in its weather."""

    def __init__(self, simulation: Simulation, weather: Weather, settings: Settings) -> None:
        self._destination = simulation.destination
        self._random = simulation.random
        self._weather = weather
        self._settings = settings
        self._loop: _Loop | None = None
        oracle = simulation.oracle
        self._destination.on_checkpoint = oracle.claims.check
        self._destination.on_saved = oracle.claims.saved
        self._destination.on_delete = oracle.on_delete
        self._death = Death(weather, self._destination, simulation.forget_cursors)
        self._destination.before = self._death.at_operation
        self._transport = SimulatedTransport(
            simulation.api,
            random=simulation.random,
            latency_seconds=weather.latency_seconds,
            timeout_seconds=settings.request_timeout_seconds,
            most_requests=MOST_REQUESTS,
            before=self._death.at_request,
            answers=oracle.answers,
        )
        self._worker = SimulatedWorker(
            random=simulation.random, slow_seconds=weather.slow_seconds, pauses=weather.pauses
        )
        self._death.stand_still = self._worker.stand_still

    @property
    def seconds(self) -> float:
        return self._loop.time() if self._loop is not None else 0.0

    @property
    def times(self) -> list[float]:
        """When each request was made."""
        return self._transport.times

    def whole(self, raw: Any) -> BaseException | None:
        """Runs the sync; returns how it ended: None, SyncFailed, SinkRaised or Crashed."""
        _SlowQueue.random, _SlowQueue.most_seconds = self._random, self._weather.put_seconds
        _WatchedPacer.slowest = 1000.0
        with (
            patch.object(writer.asyncio, "Queue", _SlowQueue),
            patch.object(sync, "Pacer", _WatchedPacer),
        ):
            return self._outcome(raw)

    def check_end(self) -> None:
        """Checks a sync that ended by itself."""
        self._transport.check_holds()
        least = max(1.0, self._settings.requests_per_second / 2)
        if self._weather.one_throttle and _WatchedPacer.slowest < least:
            raise Broken(f"one throttle cut the rate to {_WatchedPacer.slowest:g} a second")

    def _outcome(self, raw: Any) -> BaseException | None:
        death = self._death
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._main(raw))
        except (sync.SyncFailed, SinkRaised) as error:
            return Crashed() if death.struck else error
        except Stalled:
            raise Broken("a sync that waits forever") from None
        except TimeoutError:
            raise Broken(f"a sync of more than {MOST_SECONDS:g} s") from None
        except BaseException as error:
            broken = _find(error, Broken)
            if broken is not None:
                raise broken from None
            if death.struck:
                return Crashed()
            raise Broken(f"the sync ended with {error!r}") from error
        return Crashed() if death.struck else None

    async def _main(self, raw: Any) -> None:
        self._death.task = asyncio.current_task()
        self._death.arm()
        async with asyncio.timeout(MOST_SECONDS):
            try:
                await sync.run(
                    self._settings,
                    raw,
                    self._destination,
                    transport=self._transport,
                    worker=self._worker,
                )
            finally:
                self._destination.over()
                if self._death.struck:
                    self._worker.kill()
                await self._worker.join(JOIN_SECONDS)

    def _new_loop(self) -> _Loop:
        self._loop = _Loop()
        return self._loop


def check_pace(times: list[float], per_second: float) -> None:
    """Checks that no second holds more requests than the setting allows."""
    most = max(1, int(-(-per_second // 1)))
    first = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= 1.0:
            first += 1
        if last - first + 1 > most:
            raise Broken(f"{last - first + 1} requests within a second, {per_second:g} allowed")


def _find(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    if isinstance(error, kind):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found = _find(inner, kind)
            if found is not None:
                return found
    return None
