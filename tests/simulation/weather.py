"""What a seed decides for one sync: its settings, what the API does, and how the sync may die."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from courier_async.catalog.stream import DAY_MS
from courier_async.catalog.streams import ALL
from courier_async.settings import Settings
from tests.simulation import modes
from tests.simulation.children import PARENT
from tests.simulation.plan import Plan


@dataclass(slots=True)
class Weather:
    """One sync: settings, what happens to the API, and how the sync may die.

    crash_at: (what, its number): "request", "upsert", "delete", "checkpoint", or "second".
    raise_at: the operation, counted over all, at which the destination raises. slow_seconds: what
    a job of the writer takes; pauses: the share of its operations that pause. put_seconds: the
    longest wait before a batch is on the queue. excused: the streams that may fail; None: any.
    blind: those whose listings say nothing. fails_below: pages of messages at or below this time
    fail. bad_parent: a table of children, and the one parent whose children fail while nothing
    else does. before: changes that come ahead of the sync, (stream, kind).
    """

    settings: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    latency_seconds: float = 0.1
    slow_seconds: float = 0.0
    pauses: float = 0.0
    put_seconds: float = 0.0
    during: list[tuple[str, int, int]] = field(default_factory=list)
    before: list[tuple[str, str]] = field(default_factory=list)
    crash_at: tuple[str, float] | None = None
    raise_at: int | None = None
    forget_before: bool = False
    forget_at: int | None = None
    quiet: bool = False
    excused: set[str] | None = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    fails_below: int | None = None
    one_throttle: bool = False
    bad_parent: tuple[str, str] | None = None

    def excuse(self, *tables: str) -> None:
        if self.excused is not None:
            self.excused |= set(tables)

    def excuse_all(self) -> None:
        self.excused = None


def weather_for(
    random: Random, plan: Plan, *, last_counts: Mapping[str, int], times_ms: list[int], now_ms: int
) -> Weather:
    """Draws a sync's weather. times_ms: of the existing messages and audit events."""
    weather = Weather(_settings(random, plan))
    _set_pace(random, plan, weather)
    if random.random() < 0.15:
        weather.settings["streams"] = tuple(
            random.sample(plan.tables, random.randint(1, len(plan.tables)))
        )
    _change_settings(random, plan, weather, times_ms)
    share = {"rows": 0.3, "late": 0.3, "weeks": 0.25}.get(plan.theme, 0.8)
    if random.random() < share:
        modes.add(random, plan, weather, times_ms=times_ms, now_ms=now_ms)
    for _ in range(random.choice((0, 0, 1, 3, 8)) if plan.theme != "weeks" else 0):
        table = random.choice(plan.tables)
        weather.during.append((table, random.randint(1, 12), random.choice((1, 1, 2))))
    pages = sum(-(-plan.sizes[t] // plan.options["page_sizes"][t]) for t in plan.tables)
    requests = max(4, last_counts.get("request", pages))
    if random.random() < 0.15:
        weather.forget_before = True
    if random.random() < 0.15:
        weather.forget_at = random.randint(1, requests)
    if weather.forget_before or weather.forget_at:
        weather.options["forgotten_status"] = random.choice(
            (400, 400, 403, 404, 409, 410, 412, 422, 500, 200)
        )
        weather.excuse_all()
    if plan.theme == "rows" and last_counts and random.random() < 0.6:
        weather.crash_at = ("upsert", random.choice((1, 2, 4, 8, 16)))
    elif plan.theme == "late" and random.random() < 0.6:
        # In the last pages: the rest of an unordered stream may by chance come in order there.
        weather.crash_at = ("request", requests + random.randint(-2, 0))
        if not last_counts:
            weather.settings["checkpoint_interval_seconds"] = 0.0
            weather.during.clear()
    elif plan.theme == "weeks":
        if random.random() < 0.2:
            _add_death(random, weather, last_counts)
    elif plan.theme != "rows" or last_counts:
        _add_death(random, weather, last_counts)
    return weather


def calm(random: Random, plan: Plan) -> Weather:
    """Returns weather in which nothing happens to the API or the sync."""
    weather = Weather(_settings(random, plan), quiet=True)
    _set_pace(random, plan, weather)
    weather.settings |= {"capture_deletes": True, "message_lookback_days": 30.0}
    return weather


def settings_from(weather: Weather, *, api_key: str) -> Settings:
    chosen = dict(weather.settings)
    tables = {*chosen.pop("streams")}
    tables |= {child for child in chosen.pop("children") if PARENT[child] in tables}
    return Settings(
        api_key=api_key,
        base_url="http://localhost",
        streams=tuple(stream for stream in ALL if stream.table in tables),
        **chosen,
    )


def _settings(random: Random, plan: Plan) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "requests_per_second": random.choice((1.0, 2.5, 20.0, 50.0)),
        "max_retries": random.choice((0, 1, 3)),
        "request_timeout_seconds": 60.0,
        "message_lookback_days": 3.0,
        "sync_since_ms": None,
        "capture_deletes": random.random() < 0.9,
        "checkpoint_interval_seconds": random.choice((0.0, 0.0, 0.3, 3.0, 60.0)),
        "message_lanes": random.choice((None, None, 1, 2, 3, 8, 16)),
        "streams": plan.tables,
        "children": plan.children,
        "children_refresh_hours": plan.refresh_hours,
        "redact_secrets": True,
    }
    if plan.theme == "lanes":
        settings["message_lanes"] = random.choice((None, 2, 3, 8, 16))
    if plan.theme == "rows":
        settings["checkpoint_interval_seconds"] = random.choice((0.0, 3.0, 60.0, 60.0))
    return settings


def _set_pace(random: Random, plan: Plan, weather: Weather) -> None:
    weather.latency_seconds = random.choice((0.0, 0.05, 0.05, 0.5, 5.0, 55.0))
    weather.slow_seconds = random.choice((0.0, 0.01, 1.0, 20.0))
    weather.pauses = random.choice((0.0, 0.0, 0.0, 0.02, 0.2))
    weather.put_seconds = random.choice((0.0, 0.0, 0.1, 10.0))
    if plan.theme == "weeks":
        weather.settings["requests_per_second"] = 50.0
        weather.latency_seconds = random.choice((0.05, 0.05, 0.5, 5.0))
        weather.slow_seconds, weather.pauses, weather.put_seconds = 0.01, 0.0, 0.0


def _change_settings(random: Random, plan: Plan, weather: Weather, times_ms: list[int]) -> None:
    """Changes what a user may change between two syncs."""
    settings = weather.settings
    if random.random() < 0.1:
        settings["redact_secrets"] = False
    # If all messages lie within five days, some of them pass the age of three between syncs.
    usual = 30.0 if plan.theme == "weeks" and plan.span_days > 5.0 else 3.0
    settings["message_lookback_days"] = random.choice((usual,) * 6 + (0.0, 0.5, 3.0, 10.0, 30.0))
    if plan.with_since and times_ms and random.random() < 0.7:
        # The exact time of some record, because bounds are likeliest to go wrong there.
        settings["sync_since_ms"] = random.choice(
            (random.choice(times_ms), max(times_ms) + 60_000, min(times_ms) - DAY_MS)
        )


def _add_death(random: Random, weather: Weather, last_counts: Mapping[str, int]) -> None:
    """Makes the sync die somewhere in what the last sync did, or a little beyond."""
    kind = random.random()
    if kind < 0.45:
        what = random.choice(("request", "request", "upsert", "upsert", "checkpoint", "second"))
        most = max(3, last_counts.get(what, 20)) * 1.3
        if what == "second":
            weather.crash_at = (what, random.random() * most)
        else:
            weather.crash_at = (what, random.randint(1, round(most)))
    elif kind < 0.55:
        most = sum(last_counts.get(name, 10) for name in ("upsert", "checkpoint"))
        weather.raise_at = random.randint(1, max(3, round(most)))
