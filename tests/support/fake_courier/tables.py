"""The tables of a new account: sizes, orders, spans of time."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.support.fake_courier.names import Names
from tests.support.fake_courier.preferences import preference_makers
from tests.support.fake_courier.records import makers
from tests.support.fake_courier.table import Table
from tests.support.fake_courier.timeline import DAY_MS, Timeline

DEFAULT_SIZES = {
    "brand": 25, "audience": 25, "audit_event": 60, "list": 25, "message": 500,
    "notification": 30, "tenant": 40,
    "preference_change": 40, "preference_section": 3, "subscription_topic": 9,
    # The mean per parent.
    "list_subscription": 6, "audience_member": 4, "tenant_user": 3,
}  # fmt: skip
DEFAULT_ORDERS = {
    "brand": "shuffled", "audience": "newest", "audit_event": "newest", "list": "oldest",
    "message": "newest", "notification": "newest", "tenant": "oldest",
    "preference_change": "newest", "preference_section": "oldest", "subscription_topic": "oldest",
    "list_subscription": "newest", "audience_member": "newest", "tenant_user": "oldest",
}  # fmt: skip
SPAN_DAYS = {"audit_event": 365.0, "preference_change": 90.0}
OTHER_SPAN_DAYS = 700.0


def make_tables(
    *,
    seed: int,
    sizes: Mapping[str, int],
    orders: Mapping[str, str],
    made_ms: int,
    span_days: float,
    cluster_share: float,
    targets: str,
    names: Names,
) -> dict[str, Table]:
    """Returns a table for every stream without parents. Account describes the arguments."""
    every_maker = makers(seed, names, targets=targets)
    every_maker |= preference_makers(
        seed,
        sections=sizes["preference_section"],
        template_id=every_maker["notification"].id_of,
        audience_id=every_maker["audience"].id_of,
    )
    tables = {}
    for number, (stream, maker) in enumerate(every_maker.items()):
        days = span_days if stream == "message" else SPAN_DAYS.get(stream, OTHER_SPAN_DAYS)
        timeline = Timeline(
            sizes[stream],
            start_ms=made_ms - round(days * DAY_MS),
            end_ms=made_ms - 60_000,
            cluster_share=cluster_share if stream == "message" else 0.0,
            salt=seed * 7 + number,
        )
        order = orders[stream]
        tables[stream] = Table(maker, timeline, order=order, as_of_ms=made_ms, seed=seed)
    return tables


def over(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the defaults, overridden by what is given. Raises ValueError for unknown streams."""
    unknown = set(given or {}) - set(defaults)
    if unknown:
        raise ValueError(f"no such stream: {', '.join(sorted(unknown))}")
    return {**defaults, **(given or {})}


class Growth:
    """Records added over time: so many a day, evenly, from when the account was made."""

    def __init__(self, daily: Mapping[str, float], made_ms: int) -> None:
        self._daily = over(dict.fromkeys(DEFAULT_SIZES, 0.0), daily)
        self._made_ms = made_ms
        self._come: Counter[str] = Counter()

    def reach(self, stream: str, table: Table, now_ms: int) -> None:
        """Adds the records due by now, each with the moment at which it came as its time."""
        rate = self._daily[stream]
        due = int((now_ms - self._made_ms) * rate / DAY_MS)
        while self._come[stream] < due:
            self._come[stream] += 1
            at = self._made_ms + round(self._come[stream] * DAY_MS / rate)
            table.add(at, as_of_ms=at, position=at)
