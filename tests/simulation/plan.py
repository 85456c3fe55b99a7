"""What a seed decides once: the account, the API's behavior, and the sequence of syncs."""

from dataclasses import dataclass
from random import Random
from typing import Any

from courier_async.catalog.streams import STREAMS
from tests.simulation.changes import DAY_MS, HOUR_MS
from tests.simulation.children import MEMBERS, OF_MESSAGES, PARENT
from tests.support.fake_courier.options import MADE_UP, MADE_UP_ENDS

ORDERS = ("newest", "newest", "nearly_newest", "oldest", "shuffled")
TABLES = tuple(stream.table for stream in STREAMS)
KEEPING = tuple(stream.table for stream in STREAMS if stream.keeps_rows)
# Time between two syncs.
PAUSES_MS = (60_000, 60_000, 15 * 60_000, HOUR_MS, 6 * HOUR_MS, 30 * HOUR_MS, 4 * DAY_MS)
# For "weeks", where the user chooses the time between two syncs: a day at most.
INTERVALS_MS = (15 * 60_000, HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS)
LAST_PAGES = ("cursor_null", "cursor", "cursor_absent", "paging_null", "paging_empty")
# Neighbours that swap places must lie within an hour of each other.
_DENSE_MS = 40 * 60_000


@dataclass(slots=True)
class Plan:
    """What stays the same for the whole seed.

    theme: "rows" (edits, deaths, edits taken back), "lanes" (many messages), "late" (old records
    that show a minute after a sync, and unordered streams), "weeks" (messages that change at any
    age, and settings that change) or "any". most_messages: how many messages are remembered.
    queue_pages: how many pages may wait. children: tables of children that are read too, and
    refresh_hours: how often. most_due: how many messages may wait for their children.
    most_owed: how many parents may be owed theirs.
    """

    theme: str
    tables: tuple[str, ...]
    sizes: dict[str, int]
    orders: dict[str, str]
    span_days: float
    latest_ms: dict[str, int]
    with_since: bool
    options: dict[str, Any]
    syncs: int
    most_rows: int
    most_messages: int
    queue_pages: int
    children: tuple[str, ...] = ()
    refresh_hours: float = 24.0
    most_due: int = 20_000
    most_owed: int = 1_000

    @property
    def made_up_work(self) -> bool:
        return bool(self.options["made_up_cursors"] == "honoured")


def plan_for(random: Random) -> Plan:
    theme = random.choice(("any", "any", "any", "rows", "rows", "lanes", "late", "weeks"))
    tables = _tables(random, theme)
    sizes, orders, page_sizes = {}, {}, {}
    for table in TABLES:
        orders[table] = random.choice(ORDERS)
        sizes[table] = random.choice((0, 1, 5, 12, 25, 40)) if table in tables else 0
        page_sizes[table] = random.choice((2, 3, 5, 10))
    span_days = random.choice((0.5, 5.0, 30.0, 90.0))
    if theme == "lanes":
        # Lanes open only on pages this long, and only for many of them.
        sizes["message"], page_sizes["message"] = random.choice((120, 240, 400)), 10
        orders["message"] = random.choice(("newest", "newest", "newest", "nearly_newest"))
    if theme == "weeks":
        sizes["message"] = random.choice((20, 40))
        page_sizes["message"] = random.choice((3, 5, 10))
        orders["message"] = "newest"
        span_days = random.choice((5.0, 30.0))
    if theme == "late":
        for table in tables:
            page_sizes[table], sizes[table] = random.choice((2, 3)), random.choice((5, 12, 25))
            orders[table] = random.choice(("newest", "nearly_newest", "nearly_newest", "oldest"))
            if sizes[table] == 25 and random.random() < 0.5:
                orders[table] = "shuffled"
        if tables[0] == "message":
            # Many within an hour, so that only the slack at the bound meets all of them.
            sizes["message"], orders["message"], span_days = 120, "nearly_newest", 0.5
    with_since = random.random() < (0.5 if theme == "weeks" else 0.3)
    _settle_orders(orders, sizes, page_sizes, span_days=span_days, with_since=with_since)
    options = _options(random, tables, page_sizes)
    if theme == "lanes" and random.random() < 0.4:
        # Only a seam of several records in order can tell these from an honest answer.
        options["made_up_cursors"] = random.choice(("partly", "gaps", "gaps"))
        options["awkward_cursors"] = ()
    most_messages = random.choice((50_000,) * 5 + (15,))
    return Plan(
        theme=theme,
        tables=tables,
        sizes=sizes,
        orders=orders,
        span_days=span_days,
        latest_ms={
            "message": HOUR_MS + 9 * 60_000,
            "audit_event": DAY_MS + 9 * 60_000,
            # Below what is remembered, records that show more than three days late can be missed.
            "settled": (9 if most_messages > 1_000 else 2) * DAY_MS,
        },
        with_since=with_since,
        options=options,
        syncs=_syncs(random, theme),
        most_rows=random.choice((50_000,) * 12 + (20,)),
        most_messages=most_messages,
        queue_pages=random.choice((64, 64, 8, 1)),
    )


def add_children(random: Random, plan: Plan) -> None:
    """Adds children, from a random source of its own, so that seeds without them do not change."""
    if random.random() < 0.5:
        return
    possible = [child for child, parent in PARENT.items() if parent in plan.tables]
    # Children of the many messages of "weeks" only rarely, as each costs a request.
    is_long = plan.theme == "weeks" and random.random() < 0.9
    # If each sync reads every message and few are remembered, it requests all their children too.
    has_no_end = plan.most_messages <= 1_000 and plan.orders["message"] != "newest"
    if is_long or has_no_end or plan.sizes["message"] > 50:
        possible = [child for child in possible if child in MEMBERS]
    if not possible:
        return
    plan.children = tuple(random.sample(possible, random.randint(1, len(possible))))
    plan.refresh_hours = random.choice((0.0, 0.0, 24.0))
    for child in plan.children:
        if child in OF_MESSAGES:
            plan.options["history_delay_seconds"] = random.choice((0.0, 300.0))
        else:
            plan.sizes[child] = random.choice((1, 2, 3))
            plan.options["page_sizes"][child] = random.choice((1, 2, 3))
            plan.options["most_per_page"][child] = plan.options["page_sizes"][child]
            plan.sizes[PARENT[child]] = min(12, plan.sizes[PARENT[child]])


def _syncs(random: Random, theme: str) -> int:
    if theme == "weeks":
        return random.choice((15, 25, 40))
    return random.choice((3, 4, 5) if theme in ("rows", "late") else (1, 2, 3, 4, 5))


def _settle_orders(
    orders: dict[str, str],
    sizes: dict[str, int],
    page_sizes: dict[str, int],
    *,
    span_days: float,
    with_since: bool,
) -> None:
    """Replaces orders that prove nothing, because the records could be in order by chance."""
    # Messages are presumed newest first until seen otherwise, which a bound makes final.
    if with_since and orders["message"] != "nearly_newest":
        orders["message"] = "newest"
    spans = {"message": span_days, "audit_event": 365.0}
    for table in TABLES:
        # A few unordered pages may be newest first by chance, unlike those of a long stream; and
        # the fake's shuffle drifts downwards over pages of two, three or five.
        if orders[table] == "shuffled" and table in spans:
            if sizes[table] < 25:
                orders[table] = "newest"
            else:
                sizes[table], page_sizes[table] = 50, 4
        gap_ms = spans.get(table, 0.0) * DAY_MS / max(1, sizes[table])
        if orders[table] == "nearly_newest" and gap_ms > _DENSE_MS:
            orders[table] = "newest"


def _tables(random: Random, theme: str) -> tuple[str, ...]:
    if theme == "rows":
        return tuple(random.sample(KEEPING, random.choice((1, 1, 2))))
    if theme == "lanes":
        return ("message", *random.sample(KEEPING, random.choice((0, 0, 1))))
    if theme == "weeks":
        return ("message", *random.sample(KEEPING, random.choice((0, 0, 0, 1))))
    if theme == "late":
        return random.choice((("audit_event",), ("audit_event",), ("message", "audit_event")))
    tables = random.sample(TABLES, random.choice((1, 1, 2, 3, 4, 7)))
    if random.random() < 0.3 and "message" not in tables:
        tables[0] = "message"
    return tuple(tables)


def _options(
    random: Random, tables: tuple[str, ...], page_sizes: dict[str, int]
) -> dict[str, Any]:
    """Returns the API's behavior, which stays the same from the first sync to the last."""

    def some(values: tuple[Any, ...], share: float) -> dict[str, Any]:
        return {table: random.choice(values) for table in tables if random.random() < share}

    next_url = random.choice(("relative", "absolute", "none"))
    return {
        "page_sizes": page_sizes,
        # Pages of a hundred, as requested, would hold all tenants.
        "most_per_page": {"tenant": page_sizes["tenant"]},
        "arrays": {"list": random.choice(("items", "results"))},
        "last_page": {table: random.choice(LAST_PAGES) for table in tables},
        "empty_page_every": some((2, 3), 0.1),
        "duplicate_every": some((1, 2, 3), 0.1),
        "tenant_next_url": next_url,
        "tenant_cursor": next_url == "none" or random.random() < 0.5,
        "awkward_cursors": tuple(
            table for table in TABLES if random.random() < (0.1 if table == "message" else 0.7)
        ),
        "made_up_cursors": random.choice(
            ("honoured",) * (len(MADE_UP) + 3) + MADE_UP + MADE_UP_ENDS + ("partly", "gaps") * 2
        ),
        "drafts_by_id": random.random() < 0.7,
        "slow_seconds": random.choice((2.0, 90.0)),
        "fault_seed": random.getrandbits(30),
    }
