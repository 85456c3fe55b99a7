"""Daily metrics of a template: counts by provider and channel, bucket by bucket."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.fake_courier.drawing import Draw, seed_key
from tests.support.fake_courier.maker import Record

DAY = timedelta(days=1)
VIA = (("sendgrid", "email", True), ("twilio", "sms", False), ("firebase-fcm", "push", False))
WIDEST_DAYS = {"HOUR": 7, "DAY": 90}
MOST_BUCKETS = 1000
COUNTS = ("sent", "delivered", "opened", "clicked", "errors", "undeliverable")
# How long the opens and clicks of a day keep coming.
SETTLED_AFTER = 3 * DAY
DURATION = re.compile(r"P(?:(\d+)([DWMY])|T(\d+)H)")
DAYS_IN = {"D": 1, "W": 7, "M": 30, "Y": 365}


class Window:
    """The buckets that a query asks for. Raises ValueError if the query is not allowed."""

    def __init__(self, query: Mapping[str, str], now_ms: int) -> None:
        self.granularity = query.get("granularity", "DAY")
        if self.granularity not in ("HOUR", "DAY", "WEEK", "MONTH"):
            raise ValueError("Invalid granularity")
        self.now = datetime.fromtimestamp(now_ms / 1000, UTC)
        start, end = self._asked(query)
        self.reaches_back = self.now - start
        self.start = self._floor(start)
        self.end = self._floor(end)
        if self.end < end:
            self.end = self.next_period(self.end)
        widest = WIDEST_DAYS.get(self.granularity)
        if end <= start or (widest and end - start > widest * DAY):
            raise ValueError("Invalid window")
        self.periods = list(self._periods())
        if len(self.periods) > MOST_BUCKETS:
            raise ValueError("Too many buckets")

    def _asked(self, query: Mapping[str, str]) -> tuple[datetime, datetime]:
        if ("start" in query) != ("end" in query):
            raise ValueError("start and end go together")
        if "start" in query:
            times = [datetime.fromisoformat(query[name]) for name in ("start", "end")]
            if any(time.tzinfo is None for time in times):
                raise ValueError("Times need an offset")
            return times[0].astimezone(UTC), times[1].astimezone(UTC)
        found = DURATION.fullmatch(query.get("lookback", "P30D"))
        if found is None:
            raise ValueError("Invalid lookback")
        days = int(found[1] or 0) * DAYS_IN[found[2] or "D"]
        return self.now - timedelta(days=days, hours=int(found[3] or 0)), self.now

    def _periods(self) -> Iterator[datetime]:
        at = self.start
        while at < self.end:
            yield at
            at = self.next_period(at)

    def _floor(self, time: datetime) -> datetime:
        if self.granularity == "HOUR":
            return time.replace(minute=0, second=0, microsecond=0)
        day = time.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.granularity == "WEEK":  # begins on Sunday
            return day - DAY * ((day.weekday() + 1) % 7)
        return day.replace(day=1) if self.granularity == "MONTH" else day

    def next_period(self, time: datetime) -> datetime:
        step = {"HOUR": timedelta(hours=1), "DAY": DAY, "WEEK": 7 * DAY, "MONTH": 32 * DAY}
        return self._floor(time + step[self.granularity])


def metrics_body(seed: int, template: str, window: Window, *, is_sent: bool) -> Record:
    """Returns the answer. is_sent: whether messages are sent with the template."""
    series: list[dict[str, Any]] = []
    for period in window.periods:
        until = window.next_period(period)
        data = _data(seed, template, period, until, window.now) if is_sent else []
        series.append({"period": _text(period), "data": data})
    return {
        "notificationId": template,
        "granularity": window.granularity,
        "start": _text(window.start),
        "end": _text(window.end),
        "series": series,
    }


def _data(
    seed: int, template: str, period: datetime, until: datetime, now: datetime
) -> list[Record]:
    rows = []
    for number, (provider, channel, tracks_opens) in enumerate(VIA):
        total = dict.fromkeys(COUNTS, 0)
        day = period.replace(hour=0)
        while day < until:
            counts = _of_day(seed, template, number, day, now, tracks_opens=tracks_opens)
            share = 24 if until - period < DAY else 1
            total = {name: total[name] + counts[name] // share for name in COUNTS}
            day += DAY
        if any(total.values()):
            rows.append({"provider": provider, "channel": channel, **total})
    return rows


def _of_day(
    seed: int, template: str, number: int, day: datetime, now: datetime, *, tracks_opens: bool
) -> dict[str, int]:
    """Returns a whole day's counts, as far as known by now; nothing for most days."""
    draw = Draw(seed_key(seed, f"metrics of {template}"), day.toordinal() * 8 + number)
    if draw.take(3) or day > now:
        return dict.fromkeys(COUNTS, 0)
    sent = int((20 + draw.take(500)) * min(1.0, (now - day) / DAY))
    undeliverable = sent * draw.take(5) // 100
    delivered = sent - undeliverable
    opened = delivered * draw.take(60) // 100 if tracks_opens else 0
    opened = int(opened * min(1.0, (now - day) / SETTLED_AFTER))
    clicked = opened * draw.take(40) // 100
    errors = undeliverable // 2
    return dict(
        zip(COUNTS, (sent, delivered, opened, clicked, errors, undeliverable), strict=True)
    )


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
