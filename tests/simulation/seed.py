"""One seed: several syncs with changes, faults and deaths, then quiet, then the verdict."""

import asyncio
import logging
import random as random_module
from collections.abc import Callable
from dataclasses import fields
from random import Random
from typing import Any

from courier_async import sync
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading import walk
from courier_async.state import sent_rows as known_rows
from tests.simulation.destination import Crashed, Destination, SinkRaised
from tests.simulation.oracle import Broken, Oracle
from tests.simulation.plan import (
    KEEPING,
    PAUSES_MS,
    Plan,
    Weather,
    plan_for,
    settings_from,
    weather_for,
)
from tests.simulation.seam import SimulatedTransport, SimulatedWorker
from tests.simulation.source import DAY_MS, HOUR_MS, Source
from tests.support.fake_courier import FakeApi, Options
from tests.support.virtual_time import Stalled, VirtualTimeLoop

BEGIN_MS = 1_786_700_000_000  # 2026-08-14
MOST_REQUESTS = 4_000
MOST_SECONDS = 24 * 3600.0
MOST_STALE_PAGES = 30
# Every option as it is where nothing is said of it.
_USUAL = {option.name: getattr(Options(), option.name) for option in fields(Options)}
# What the real worker's thread is given at the end.
JOIN_SECONDS = 5.0

logging.getLogger("courier_async").setLevel(logging.CRITICAL + 1)


class SeedFailed(Exception):
    """An invariant is broken. `story` is what happened, a line an event."""

    def __init__(self, seed: int, reason: str, story: list[str]) -> None:
        super().__init__(f"seed {seed}: {reason}")
        self.seed = seed
        self.reason = reason
        self.story = story


class _Loop(VirtualTimeLoop):
    """Virtual time that goes on where the sync before has left it, and ends."""

    turns_left = 3_000_000

    def _turn(self, timeout: float | None) -> None:
        self.turns_left -= 1
        if self.turns_left < 0:
            raise Broken("a sync that turns without end")
        super()._turn(timeout)


class Simulation:
    """One seed's world."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.plan: Plan = plan_for(self.random)
        self.story: list[str] = []
        self._base_ms = BEGIN_MS
        self._loop: _Loop | None = None
        self.destination = Destination({t: s.key for t, s in BY_TABLE.items()}, self.random)
        self.last_counts: dict[str, int] = {}
        self.requests = 0
        self._accounts = 0
        self._use_new_account()

    def now_ms(self) -> int:
        seconds = self._loop.time() if self._loop is not None else 0.0
        return self._base_ms + int(seconds * 1000)

    def tell(self, text: str) -> None:
        self.story.append(f"{(self.now_ms() - BEGIN_MS) / 1000:>12.1f} s  {text}")

    def _use_new_account(self) -> None:
        plan = self.plan
        self._accounts += 1
        self._prefix = ("pk_test", "pk_prod")[self._accounts % 2]
        self.source = Source(
            random=self.random,
            seed=self.seed * 2 + self._accounts,
            sizes=plan.sizes,
            orders=plan.orders,
            now_ms=self.now_ms,
            span_days=plan.span_days,
            latest_ms=plan.latest_ms,
            tell=self.tell,
        )
        self._since_ms = self._choose_since()
        self.api = FakeApi(self.source, clock=self._seconds)
        self.oracle = Oracle(
            self.source, self.destination, since_ms=self._since_ms, most_rows=plan.most_rows
        )
        rows = ", ".join(f"{t} {plan.sizes[t]} {plan.orders[t]}" for t in plan.tables)
        self.tell(f"an account of {self._prefix}: {rows}")

    def _choose_since(self) -> int | None:
        """The time of some record to the millisecond, as a bound is likeliest to go wrong."""
        table = self.random.choice(("message", "audit_event"))
        if not self.plan.with_since or not self.source.past[table]:
            return None
        return self.random.choice([*self.source.past[table].values()]).time_ms

    def _seconds(self) -> float:
        return self.now_ms() / 1000

    # -- the course --------------------------------------------------------------------------

    def run(self) -> None:
        """Raises SeedFailed."""
        kept = known_rows.MOST_ROWS, walk._MOST_STALE_PAGES
        known_rows.MOST_ROWS, walk._MOST_STALE_PAGES = self.plan.most_rows, MOST_STALE_PAGES
        random_module.seed(self.seed)
        try:
            self._course()
        except Broken as broken:
            self.tell(f"BROKEN: {broken}")
            raise SeedFailed(self.seed, str(broken), self.story) from None
        finally:
            known_rows.MOST_ROWS, walk._MOST_STALE_PAGES = kept

    def _course(self) -> None:
        random, plan = self.random, self.plan
        self.tell(f"options {plan.options}")
        swap_at = random.randrange(20)
        for number in range(plan.syncs):
            self._pause(60_000 if plan.theme == "late" else random.choice(PAUSES_MS))
            if number == swap_at:
                self._use_new_account()
            for kind in {"rows": ("edit", "add"), "late": ("late", "add")}.get(plan.theme, ()):
                self.source.change_at_random(random.choice(plan.tables), kind)
            for _ in range(random.choice((0, 1, 2, 5))):
                self.source.change_at_random(random.choice(plan.tables))
            ended = self._sync(
                weather_for(random, plan, quiet=False, last_counts=self.last_counts)
            )
            if random.random() < (0.2 if ended else 0.9):
                self.source.take_back()
        self._quiet_end()

    def _quiet_end(self) -> None:
        self._pause(self.random.choice(PAUSES_MS))
        self._sync(self._calm())
        self._pause(30 * HOUR_MS)
        self._sync(self._calm())
        if "message" in self.plan.tables:
            self.oracle.quiet_deep_read(deep_ms=30 * DAY_MS)
        self._check_nothing_sent()
        self._pause(self.random.choice(PAUSES_MS))
        self._sync(self._calm())
        self._check_nothing_sent()
        if self.oracle.deletes_wait():
            # A reading that was resumed first, then more than half gone, then archived.
            self._sync(self._calm())
        self.oracle.tables_equal(self.plan.tables)

    def _calm(self) -> Weather:
        return weather_for(self.random, self.plan, quiet=True, last_counts=self.last_counts)

    def _check_nothing_sent(self) -> None:
        given_up = self.oracle.given_up()
        for table in KEEPING:
            sent = self.destination.sent.get(table, 0)
            if sent and table not in given_up:
                raise Broken(f"{table}: {sent} rows sent again though nothing has changed")

    def _pause(self, ms: int) -> None:
        self._base_ms += ms + self.random.randint(1, 5_000)

    # -- a sync ------------------------------------------------------------------------------

    def _sync(self, weather: Weather) -> bool:
        """Whether it ended by itself."""
        plan, destination = self.plan, self.destination
        settings = settings_from(
            weather,
            since_ms=self._since_ms,
            lookback_days=plan.lookback_days,
            api_key=f"{self._prefix}_simulated",
        )
        self.api.change_options(**(_USUAL | plan.options | weather.options))
        if weather.forget_before:
            self.api.forget_cursors()
        self.source.calm = weather.quiet
        for table, after, times in weather.during:
            self.api.change_after(table, after, {"do": "random", "stream": table, "times": times})
        raw = destination.begin()
        self.tell(f"SYNC {weather}")
        self.oracle.begin(raw, source_name=settings.source, now_ms=self.now_ms())
        self.oracle.made_up_cursors_work = self.plan.options["made_up_cursors"] == "honoured"
        destination.on_checkpoint = self.oracle.on_checkpoint
        destination.on_delete = self.oracle.on_delete
        death = _Death(self, weather)
        destination.before = death.at_operation
        transport = SimulatedTransport(
            self.api,
            random=self.random,
            latency_seconds=weather.latency_seconds,
            timeout_seconds=settings.request_timeout_seconds,
            most_requests=MOST_REQUESTS,
            before=death.at_request,
            answered=self.oracle.answered,
            under_way=self.oracle.under_way,
            whole=self.oracle.whole,
        )
        worker = SimulatedWorker(
            random=self.random, slow_seconds=weather.slow_seconds, pauses=weather.pauses
        )
        death.stand_still = worker.stand_still
        outcome = self._run(settings, raw, transport, worker, death)
        seconds = self._end_loop()
        died = isinstance(outcome, (Crashed, SinkRaised))
        destination.ended(normally=not died)
        landed = destination.settle() if died else 0
        self.requests += len(transport.times)
        self.last_counts = dict(destination.counts) | {
            "request": len(transport.times),
            "second": round(seconds),
        }
        told = "complete" if outcome is None else f"{type(outcome).__name__}: {outcome}"
        self.tell(f"{told}; {self.last_counts}; {landed} unsaved rows landed")
        _check_pace(transport.times, settings.requests_per_second)
        complete: set[str] = set()
        if weather.quiet and outcome is not None:
            raise Broken(f"a quiet sync failed: {outcome}")
        if not died:
            complete = self._complete(weather, settings, outcome)
        self.oracle.after(
            complete=complete,
            source_name=settings.source,
            lookback_ms=settings.message_lookback_ms,
        )
        return not died

    def _run(
        self,
        settings: Any,
        raw: Any,
        transport: SimulatedTransport,
        worker: SimulatedWorker,
        death: "_Death",
    ) -> BaseException | None:
        """How the sync ended: None, SyncFailed, SinkRaised or Crashed."""

        async def main() -> None:
            death.task = asyncio.current_task()
            death.arm()
            async with asyncio.timeout(MOST_SECONDS):
                try:
                    await sync.run(
                        settings, raw, self.destination, transport=transport, worker=worker
                    )
                finally:
                    self.destination.over()
                    if death.struck:
                        worker.kill()
                    await worker.join(JOIN_SECONDS)

        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(main())
        except (sync.SyncFailed, SinkRaised) as error:
            if death.struck:
                return Crashed()
            return error
        except Stalled:
            raise Broken("a sync that waits for ever") from None
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

    def _new_loop(self) -> _Loop:
        self._loop = _Loop()
        return self._loop

    def _end_loop(self) -> float:
        assert self._loop is not None
        seconds = self._loop.time()
        self._base_ms += int(seconds * 1000)
        self._loop = None
        return seconds

    def _complete(
        self, weather: Weather, settings: Any, outcome: BaseException | None
    ) -> set[str]:
        """The streams that were read to the end, by the sync's own word."""
        tables = {stream.table for stream in settings.streams}
        skipped = {
            table
            for table in tables
            if any(
                text.startswith(f"{table}: Courier answered") and "skipped" in text
                for text in self.destination.warnings
            )
        }
        troubled = _troubled(weather)
        if outcome is None:
            lost = tables & set(weather.options.get("down", ()))
            if lost:
                raise Broken(f"{lost} was down, and the sync says that it is complete")
            return tables - skipped
        text = str(outcome)
        if "refused the key" in text or "not accept the key" in text:
            return set()
        named = _named(text)
        if not named:
            raise Broken(f"the error names no stream: {text}")
        if troubled is not None and named.keys() - troubled:
            raise Broken(f"failed without a reason: {text}")
        for table, reason in named.items():
            if reason.startswith("no usable answer"):
                self.oracle.check_bookmark_kept(table)
        return tables - skipped - named.keys()


class _Death:
    """Lets a sync die where its weather has it."""

    def __init__(self, simulation: Simulation, weather: Weather) -> None:
        self._simulation = simulation
        self._weather = weather
        self.task: asyncio.Task[None] | None = None
        self.struck = False
        self.stand_still: Callable[[], None] = lambda: None

    def arm(self) -> None:
        at = self._weather.crash_at
        if at is not None and at[0] == "second":
            asyncio.get_running_loop().call_later(at[1], self._strike)

    def at_request(self, number: int) -> None:
        if number == self._weather.forget_at:
            self._simulation.tell("all cursors forgotten")
            self._simulation.api.forget_cursors()
        if self._weather.crash_at == ("request", number):
            self._strike()

    def at_operation(self, name: str, number: int) -> None:
        if self._weather.crash_at == (name, self._simulation.destination.counts[name]):
            self._strike()
            raise Crashed
        if number == self._weather.raise_at:
            raise SinkRaised
        self.stand_still()

    def _strike(self) -> None:
        self.struck = True
        self._simulation.destination.dead = True
        if self.task is not None:
            self.task.cancel()


def _named(text: str) -> dict[str, str]:
    """Each stream that a failed sync names, and its reason."""
    reasons = text.partition(" could not be read to the end. ")[2]
    return {
        table: reason
        for part in reasons.split("; ")
        for tables, colon, reason in [part.partition(": ")]
        for table in (tables.split(", ") if colon else ())
        if table in BY_TABLE
    }


def _troubled(weather: Weather) -> set[str] | None:
    """The streams that may fail in this weather; None: any."""
    options = weather.options
    if {"fault_rate", "allow_per_second", "key"} & options.keys():
        return None
    if weather.forget_at is not None:
        return None
    troubled = {*options.get("down", ()), *options.get("endless", ())}
    for name in ("denied", "more_without_cursor", "repeat_cursor"):
        troubled |= {*options.get(name, ())}
    return troubled


def _check_pace(times: list[float], per_second: float) -> None:
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


def run_seed(seed: int) -> Simulation:
    """Raises SeedFailed where an invariant does not hold."""
    simulation = Simulation(seed)
    simulation.run()
    return simulation
