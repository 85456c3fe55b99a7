"""What a seed decides: the account, the API, the settings, and each sync's weather."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from courier_async.catalog.streams import BY_TABLE, STREAMS
from courier_async.settings import Settings
from tests.simulation.source import DAY_MS, HOUR_MS
from tests.support.fake_courier.options import FAULTS, LAST_PAGES, MADE_UP

ORDERS = ("newest", "newest", "nearly_newest", "oldest", "shuffled")
TABLES = tuple(BY_TABLE)
KEEPING = tuple(stream.table for stream in STREAMS if stream.keeps_rows)
# Time between two syncs.
PAUSES_MS = (60_000, 60_000, 15 * 60_000, HOUR_MS, 6 * HOUR_MS, 30 * HOUR_MS, 4 * DAY_MS)


@dataclass(slots=True)
class Plan:
    """What stays as it is for the whole seed.

    theme: "rows" (edits, deaths, edits taken back), "lanes" (long messages), "late" (records of
    the past that show a minute after a sync, and streams in no order) or "any".
    """

    theme: str
    tables: tuple[str, ...]
    sizes: dict[str, int]
    orders: dict[str, str]
    span_days: float
    lookback_days: float
    latest_ms: dict[str, int]
    with_since: bool
    options: dict[str, Any]
    syncs: int
    most_rows: int


@dataclass(slots=True)
class Weather:
    """One sync: settings, what happens to the API, and how the sync may die.

    crash_at: (of what, its number): "request", "upsert", "delete", "checkpoint", or "second".
    raise_at: the operation, counted over all, at which the destination raises.
    slow_seconds: what a job of the writer takes; pauses: how many of its operations stand still.
    """

    settings: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    latency_seconds: float = 0.1
    slow_seconds: float = 0.0
    pauses: float = 0.0
    during: list[tuple[str, int, int]] = field(default_factory=list)
    crash_at: tuple[str, float] | None = None
    raise_at: int | None = None
    forget_before: bool = False
    forget_at: int | None = None
    quiet: bool = False


def plan_for(random: Random) -> Plan:
    theme = random.choice(("any", "any", "rows", "rows", "lanes", "late"))
    tables = _tables(random, theme)
    sizes, orders, page_sizes = {}, {}, {}
    for table in TABLES:
        orders[table] = random.choice(ORDERS)
        sizes[table] = random.choice((0, 1, 5, 12, 25, 40)) if table in tables else 0
        page_sizes[table] = random.choice((2, 3, 5, 10))
    if theme == "lanes":
        sizes["message"] = random.choice((60, 120, 180))
        page_sizes["message"] = random.choice((3, 5, 10))
        orders["message"] = random.choice(("newest", "newest", "newest", "nearly_newest"))
    if theme == "late":
        for table in tables:
            page_sizes[table], sizes[table] = random.choice((2, 3)), random.choice((5, 12, 25))
            orders[table] = random.choice(("newest", "nearly_newest", "nearly_newest", "oldest"))
            if sizes[table] == 25 and random.random() < 0.5:
                orders[table] = "shuffled"
    span_days = random.choice((0.5, 5.0, 30.0, 90.0))
    lookback_days = random.choice((0.0, 0.5, 3.0, 3.0, 3.0))
    if theme == "late" and tables[0] == "message":
        # Many within an hour, and no lookback: only the slack at the bound meets all of them.
        sizes["message"], orders["message"] = 120, "nearly_newest"
        span_days, lookback_days = 0.5, 0.0
    # Messages are presumed newest first until seen otherwise, which a bound makes final.
    with_since = random.random() < 0.3
    if with_since and orders["message"] != "nearly_newest":
        orders["message"] = "newest"
    for table in TABLES:
        # A few rows in disorder may come newest first by chance, as no stream of many does.
        if orders[table] == "shuffled" and sizes[table] < 25:
            orders[table] = "newest"
    options = _options(random, tables, page_sizes)
    if theme == "lanes" and random.random() < 0.4:
        # What only a seam of several records in their order can tell from an honest answer.
        options["made_up_cursors"] = random.choice(("partly", "gaps", "gaps"))
        options["awkward_cursors"] = ()
    return Plan(
        theme=theme,
        tables=tables,
        sizes=sizes,
        orders=orders,
        span_days=span_days,
        lookback_days=lookback_days,
        latest_ms={
            "message": round(lookback_days * DAY_MS) + 9 * 60_000,
            "audit_event": DAY_MS + 9 * 60_000,
        },
        with_since=with_since,
        options=options,
        syncs=random.choice((3, 4, 5) if theme in ("rows", "late") else (1, 2, 3, 4, 5)),
        most_rows=random.choice((50_000,) * 12 + (20,)),
    )


def _tables(random: Random, theme: str) -> tuple[str, ...]:
    if theme == "rows":
        return tuple(random.sample(KEEPING, random.choice((1, 1, 2))))
    if theme == "lanes":
        return ("message", *random.sample(KEEPING, random.choice((0, 0, 1))))
    if theme == "late":
        return random.choice((("audit_event",), ("audit_event",), ("message", "audit_event")))
    tables = random.sample(TABLES, random.choice((1, 1, 2, 3, 4, 7)))
    if random.random() < 0.3 and "message" not in tables:
        tables[0] = "message"
    return tuple(tables)


def _options(
    random: Random, tables: tuple[str, ...], page_sizes: dict[str, int]
) -> dict[str, Any]:
    """The API's own ways, which are the same from the first sync to the last."""

    def some(values: tuple[Any, ...], share: float) -> dict[str, Any]:
        return {table: random.choice(values) for table in tables if random.random() < share}

    next_url = random.choice(("relative", "absolute", "none"))
    return {
        "page_sizes": page_sizes,
        "arrays": {"list": random.choice(("items", "results"))},
        "last_page": {table: random.choice(LAST_PAGES) for table in tables},
        "empty_page_every": some((2, 3), 0.1),
        "keyless_every": some((1, 2, 3), 0.1),
        "duplicate_every": some((1, 2, 3), 0.1),
        "non_dict_every": some((1, 2, 3), 0.1),
        "tenant_next_url": next_url,
        "tenant_cursor": next_url == "none" or random.random() < 0.5,
        "awkward_cursors": tuple(
            table for table in TABLES if random.random() < (0.1 if table == "message" else 0.7)
        ),
        "made_up_cursors": random.choice(
            ("honoured",) * len(MADE_UP) + MADE_UP + ("partly", "gaps") * 3
        ),
        "forgotten_status": random.choice((400, 404, 410)),
        "slow_seconds": random.choice((2.0, 90.0)),
        "fault_seed": random.getrandbits(30),
    }


def weather_for(
    random: Random, plan: Plan, *, quiet: bool, last_counts: dict[str, int]
) -> Weather:
    settings: dict[str, Any] = {
        "requests_per_second": random.choice((1.0, 2.5, 20.0, 50.0)),
        "max_retries": random.choice((0, 1, 3)),
        "request_timeout_seconds": 60.0,
        "message_deep_lookback_days": random.choice((0.0, 7.0, 30.0, 30.0, 365.0)),
        "capture_deletes": random.random() < 0.9,
        "checkpoint_interval_seconds": random.choice((0.0, 0.0, 0.3, 3.0, 60.0)),
        "message_lanes": random.choice((1, 2, 3, 8, 16)),
        "streams": plan.tables,
    }
    if plan.theme == "lanes":
        settings["message_lanes"] = random.choice((2, 3, 8, 16))
    if plan.theme == "rows":
        settings["checkpoint_interval_seconds"] = random.choice((0.0, 3.0, 60.0, 60.0))
    weather = Weather(settings, quiet=quiet)
    weather.latency_seconds = random.choice((0.0, 0.05, 0.05, 0.5, 5.0, 55.0))
    weather.slow_seconds = random.choice((0.0, 0.01, 1.0, 20.0))
    weather.pauses = random.choice((0.0, 0.0, 0.0, 0.02, 0.2))
    if quiet:
        settings["message_deep_lookback_days"] = 30.0
        settings["capture_deletes"] = True
        return weather
    if random.random() < 0.15:
        settings["streams"] = tuple(
            random.sample(plan.tables, random.randint(1, len(plan.tables)))
        )
    if plan.theme in ("any", "lanes") or random.random() < 0.3:
        _add_faults(random, plan, weather)
    for _ in range(random.choice((0, 0, 1, 3, 8))):
        table = random.choice(plan.tables)
        weather.during.append((table, random.randint(1, 12), random.choice((1, 1, 2))))
    pages = sum(-(-plan.sizes[t] // plan.options["page_sizes"][t]) for t in plan.tables)
    requests = max(4, last_counts.get("request", pages))
    weather.forget_before = random.random() < 0.15
    if random.random() < 0.15:
        weather.forget_at = random.randint(1, requests)
    if plan.theme == "rows" and last_counts and random.random() < 0.6:
        weather.crash_at = ("upsert", random.choice((1, 2, 4, 8, 16)))
    elif plan.theme == "late" and random.random() < 0.6:
        # In the last pages, of which what is left of a stream in disorder may come in order.
        weather.crash_at = ("request", requests + random.randint(-2, 0))
        if not last_counts:
            settings["checkpoint_interval_seconds"] = 0.0
            weather.during.clear()
    elif plan.theme != "rows" or last_counts:
        _add_death(random, weather, last_counts)
    return weather


def _add_faults(random: Random, plan: Plan, weather: Weather) -> None:
    options, table = weather.options, random.choice(plan.tables)
    kind = random.random()
    if kind < 0.2:
        options["fault_rate"] = random.choice((0.02, 0.1, 0.3))
        options["fault_kinds"] = random.choice(
            (FAULTS, ("drop", "cut", "truncated"), ("500", "503", "429"))
        )
    elif kind < 0.3:
        options["allow_per_second"] = random.choice((0.5, 2.0, 10.0))
        options["burst"] = random.choice((1, 5))
        options["retry_after"] = random.choice(("none", "seconds", "date", "ms"))
    elif kind < 0.4:
        options["down"] = (table,)
    elif kind < 0.5:
        options["denied"] = {table: random.choice((402, 403, 404))}
        options["denied_from_page"] = random.choice((1, 1, 2, 3))
    elif kind < 0.53:
        options["endless"] = (table,)
    elif kind < 0.62:
        options[random.choice(("more_without_cursor", "repeat_cursor"))] = {
            table: random.randint(1, 3)
        }
    elif kind < 0.64:
        options["key"] = "pk_test_other"
        options["bad_key_status"] = random.choice((401, 403))
    elif kind < 0.68:
        options["denied_by_id"] = dict.fromkeys(KEEPING, 403)


def _add_death(random: Random, weather: Weather, last_counts: dict[str, int]) -> None:
    """Somewhere in what the sync before did, or a little beyond."""
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
        weather.raise_at = random.randint(1, max(3, most))


def settings_from(
    weather: Weather, *, since_ms: int | None, lookback_days: float, api_key: str
) -> Settings:
    chosen = dict(weather.settings)
    tables = chosen.pop("streams")
    return Settings(
        api_key=api_key,
        base_url="http://localhost",
        streams=tuple(stream for stream in STREAMS if stream.table in tables),
        sync_since_ms=since_ms,
        message_lookback_days=lookback_days,
        **chosen,
    )
