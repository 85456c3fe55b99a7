"""What thirty days cost: requests, rows that Fivetran bills, and how late changes land.

`python -m benchmark.cost` computes it for three accounts from the functions that decide what a
sync reads (state/plan.py), and writes benchmark/results/cost.json and the table in docs/cost.md.
"""

import json
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from benchmark.figures import RESULTS, ROOT, commit
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.reading.changes import SETTLING_MS
from courier_async.state.plan import INDEX_LAG_MS, Depth, plan_walk, with_reading
from courier_async.state.position import Reading, StreamState
from courier_async.state.sent_rows import MOST_MESSAGES

DOCS: Final = ROOT / "docs" / "cost.md"
MESSAGES_A_DAY: Final = (200, 10_000, 1_000_000)
INTERVALS_MS: Final = {
    "15 minutes": HOUR_MS // 4,
    "6 hours": 6 * HOUR_MS,
    "24 hours": 24 * HOUR_MS,
}
# Steady state: the first month's messages have passed the lookback before counting begins.
_BEFORE_DAYS: Final = 35
_DAYS: Final = 30
_RETENTION_DAYS: Final = 30
_LOOKBACK_MS: Final = 30 * DAY_MS
_PAGE: Final = 10
_SAMPLE: Final = 2_000
# The other six streams: requests per sync, and rows. The example's tenant pages hold twenty.
_OTHER_REQUESTS: Final = {"connector": 28, "example": 108}
_OTHER_ROWS: Final = 2_245
_OTHER_CHANGES_A_DAY: Final = 29
# At 100 ms per response, the example, which waits for each one, makes ten requests a second.
_EXAMPLE_PER_SECOND: Final = 10.0
# The default, except for the largest account.
_RATES: Final = {1_000_000: 200.0}


class Sync(NamedTuple):
    """bound: the time back to which it read. pages: of messages. ends: when the last landed."""

    starts: int
    bound: int
    pages: int
    ends: int


class Message(NamedTuple):
    """When it was enqueued, and when it changed after that."""

    time: int
    changes: list[int]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of thirty days. Delays run from a message's change until its row has landed."""

    requests_a_day: float
    rows_sent: float
    monthly_active_rows: float
    p50_minutes: float
    p95_minutes: float


def connector_syncs(per_day: int, interval_ms: int) -> list[Sync]:
    """Returns every sync from the first on, as planned for an even flow of messages."""
    depth = Depth(lookback_ms=_LOOKBACK_MS, overlap_ms=HOUR_MS)
    state, now, syncs = StreamState(), _RETENTION_DAYS * DAY_MS, list[Sync]()
    end = now + (_BEFORE_DAYS + _DAYS) * DAY_MS
    while now < end:
        bound = plan_walk(state, now, depth).bound
        read_ms = now - max(bound, now - _RETENTION_DAYS * DAY_MS)
        # The walk stops after two pages below its bound.
        pages = ceil(per_day * read_ms / DAY_MS / _PAGE) + 2
        ends = now + int((pages + _OTHER_REQUESTS["connector"]) / _RATES.get(per_day, 50.0) * 1000)
        syncs.append(Sync(now, bound, pages, ends))
        readings, closed = with_reading(state, Reading(now, bound), lookback_ms=_LOOKBACK_MS)
        state = replace(state, readings=readings, closed=closed, watermark=now - INDEX_LAG_MS)
        now = max(now + interval_ms, ends)
    return syncs


def example_syncs(per_day: int, interval_ms: int) -> list[Sync]:
    """Returns the example connector's syncs, which read every message that Courier keeps."""
    pages = ceil(per_day * _RETENTION_DAYS / _PAGE)
    took_ms = int((pages + _OTHER_REQUESTS["example"]) / _EXAMPLE_PER_SECOND * 1000)
    now, syncs = _RETENTION_DAYS * DAY_MS, list[Sync]()
    end = now + (_BEFORE_DAYS + _DAYS) * DAY_MS
    while now < end:
        syncs.append(Sync(now, 0, pages, now + took_ms))
        now += max(interval_ms, took_ms)
    return syncs


def messages(seed: int = 1) -> list[Message]:
    """Draws a sample: sent and delivered at once, 40 % opened, some clicked or reopened later.

    The time to the first open has a median of four hours and a tail of weeks, up to the lookback.
    """
    chance = random.Random(seed)
    drawn = []
    for _ in range(_SAMPLE):
        time = _first_ms() + int(chance.random() * (_BEFORE_DAYS + _DAYS) * DAY_MS)
        ages = [5_000, 30_000]
        if chance.random() < 0.4:
            opened = 4 * HOUR_MS * chance.lognormvariate(0, 1.8)
            ages.append(int(opened))
            if chance.random() < 0.25:
                ages.append(int(opened) + 5 * 60_000)
            if chance.random() < 0.1:
                ages.append(int(opened + chance.random() * 20 * DAY_MS))
        drawn.append(Message(time, [time + age for age in ages if age < _LOOKBACK_MS]))
    return drawn


def cost(who: str, syncs: list[Sync], per_day: int, sample: list[Message]) -> Cost:
    """Returns what the syncs of the last thirty days cost."""
    begins = _first_ms() + _BEFORE_DAYS * DAY_MS
    counted = [sync for sync in syncs if sync.starts >= begins]
    starts = [sync.starts for sync in syncs]
    delays: list[float] = []
    sent, active = 0, 0
    for message in sample:
        readings = _readings(syncs, starts, message)
        sending = [sync for sync in _sending(readings, message, per_day) if sync.starts >= begins]
        sent += len(sending)
        active += bool(sending)
        for change in message.changes:
            landed = next((sync for sync in readings if sync.starts >= change), None)
            if landed is not None and landed.starts >= begins:
                delays.append((landed.ends - change) / 60_000)
    delays.sort()
    scale = per_day * (_BEFORE_DAYS + _DAYS) / _SAMPLE
    requests = sum(sync.pages + _OTHER_REQUESTS[who] for sync in counted)
    changed = _OTHER_CHANGES_A_DAY * _DAYS
    rows, monthly = sent * scale + changed, active * scale + changed
    if who == "example":
        # It sends whatever it reads, so every row that Courier kept at any time in the month.
        rows = len(counted) * (per_day * _RETENTION_DAYS + _OTHER_ROWS)
        monthly = per_day * (_RETENTION_DAYS + _DAYS) + _OTHER_ROWS
    return Cost(requests / _DAYS, rows, monthly, *(_quantile(delays, q) for q in (0.5, 0.95)))


def _first_ms() -> int:
    return _RETENTION_DAYS * DAY_MS


def _readings(syncs: list[Sync], starts: list[int], message: Message) -> list[Sync]:
    """Returns the syncs that read a message while it may change, and for two days after."""
    last = bisect_left(starts, message.time + _LOOKBACK_MS + 2 * DAY_MS)
    return [
        sync
        for sync in syncs[bisect_left(starts, message.time) : last]
        if sync.bound <= message.time
    ]


def _sending(readings: list[Sync], message: Message, per_day: int) -> list[Sync]:
    """Returns the readings that send it: it is new, has changed, or may have (changes.py)."""
    times = [message.time, *sorted(message.changes)]
    sending = readings[:1]
    for before, sync in pairwise(readings):
        is_remembered = (sync.starts - message.time) / DAY_MS * per_day <= MOST_MESSAGES
        newest = times[bisect_right(times, sync.starts) - 1]
        since = before.starts if is_remembered else before.starts - SETTLING_MS
        if newest >= since:
            sending.append(sync)
    return sending


def _quantile(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def rows_of(per_day: int, interval: str) -> dict[str, dict[str, float]]:
    """Returns both costs of one account at one interval, rounded for saving."""
    interval_ms, sample = INTERVALS_MS[interval], messages()
    costs = {
        "connector": cost("connector", connector_syncs(per_day, interval_ms), per_day, sample),
        "example": cost("example", example_syncs(per_day, interval_ms), per_day, sample),
    }
    return {
        who: {name: round(getattr(each, name), 1) for name in Cost.__dataclass_fields__}
        for who, each in costs.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Returns the table of docs/cost.md."""
    lines = [
        "| messages a day | sync interval | connector | requests a day | rows sent a month | "
        "monthly active rows | delay p50 | delay p95 |",
        "|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for case, both in figures.items():
        per_day, interval = case.split(", ")
        for who, each in both.items():
            name = "this one" if who == "connector" else "Fivetran's example"
            lines.append(
                f"| {int(per_day):,} | {interval} | {name} | {each['requests_a_day']:,.0f} "
                f"| {each['rows_sent']:,.0f} | {each['monthly_active_rows']:,.0f} "
                f"| {_duration(each['p50_minutes'])} | {_duration(each['p95_minutes'])} |"
            )
    return "\n".join(lines)


def _duration(minutes: float) -> str:
    if minutes < 100:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def document(text: str, figures: dict[str, Any]) -> str:
    """Returns docs/cost.md with its table replaced."""
    lines = text.splitlines()
    rows = [at for at, line in enumerate(lines) if line.startswith("|")]
    return "\n".join([*lines[: rows[0]], table(figures), *lines[rows[-1] + 1 :], ""])


def main() -> None:
    figures = {
        f"{per_day}, {interval}": rows_of(per_day, interval)
        for per_day in MESSAGES_A_DAY
        for interval in INTERVALS_MS
    }
    kept = {"command": "python -m benchmark.cost", "commit": commit(), "figures": figures}
    (RESULTS / "cost.json").write_text(json.dumps(kept, indent=1) + "\n")
    DOCS.write_text(document(DOCS.read_text(), figures))
    print(table(figures))


if __name__ == "__main__":
    main()
