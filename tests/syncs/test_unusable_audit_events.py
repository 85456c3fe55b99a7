"""Audit events that are null for a while land, whatever else stays null for good."""

import asyncio
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer
from courier_async.catalog.stream import DAY_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.sync import run
from tests.support.harness import Sink, copied, settings
from tests.support.message_listing import Inline
from tests.support.virtual_time import run_virtual

START_MS = 1_786_700_000_000
FOR_GOOD = 10**15
_PAGE = 10


class Trail:
    """A transport. Lists events, newest first; some are null until a given time.

    ends_at_ms: the listing ends with the page that holds this time. kept_days: and at this age.
    """

    def __init__(self, *, days: int, per_day: int) -> None:
        self.now_ms = START_MS - days * DAY_MS
        self.events: dict[tuple[int, str], dict[str, Any]] = {}
        self._newest_first: list[tuple[int, str]] = []
        self._null_until: dict[str, int] = {}
        self.pages = self.ends_at_ms = 0
        self.kept_days = 10_000
        for _ in range(days):
            self.now_ms += DAY_MS
            self.add(per_day)

    def add(self, count: int = 1, *, null_days: float | None = None) -> str:
        """Adds events of the day before now; the newest is null for some days."""
        name = ""
        for number in range(count):
            at = self.now_ms - DAY_MS + DAY_MS * (number + 1) // (count + 1)
            name = f"E{len(self.events):06d}"
            text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
            self.events[at, name] = {"auditEventId": name, "timestamp": text}
        if null_days is not None:
            self.is_null_for(name, null_days)
        return name

    def is_null_for(self, name: str, days: float) -> None:
        self._null_until[name] = self.now_ms + round(days * DAY_MS)

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        await asyncio.sleep(0.1)
        self.pages += 1
        if len(self._newest_first) != len(self.events):
            self._newest_first = sorted(self.events, reverse=True)
        oldest = self.now_ms - self.kept_days * DAY_MS
        places = [place for place in self._newest_first if place[0] >= oldest]
        (cursor,) = parse_qs(urlsplit(path_and_query).query).get("cursor", [""])
        if cursor:
            time, name = b64decode(cursor).decode().split("|")
            places = [place for place in places if place < (int(time), name)]
        page = places[:_PAGE]
        is_null = [self._null_until.get(name, 0) > self.now_ms for _, name in page]
        results = [None if null else self.events[p] for p, null in zip(page, is_null, strict=True)]
        more = len(places) > _PAGE and page[-1][0] >= self.ends_at_ms
        leads_on = b64encode(f"{page[-1][0]}|{page[-1][1]}".encode()).decode() if more else None
        packed = json.dumps({"results": results, "paging": {"more": more, "cursor": leads_on}})
        await hold.grow_to(len(packed))
        date = formatdate(self.now_ms // 1000, usegmt=True)
        return Answer(200, {"date": date}, packed.encode())


class Destination:
    def __init__(self, trail: Trail, **given: Any) -> None:
        self.trail = trail
        self.settings = given
        self.state: dict[str, Any] = {}
        self.landed: set[str] = set()
        self.sync()

    def sync(self) -> int:
        """Runs one sync and returns how many pages it has read."""
        sink, before = Sink(), self.trail.pages
        streams = (BY_TABLE["audit_event"],)
        running = run(
            settings(streams=streams, **self.settings),
            copied(self.state),
            sink,
            transport=self.trail,
            worker=Inline(),
        )
        run_virtual(running)
        self.state = sink.last_state() or self.state
        self.landed |= {row["audit_event_id"] for row in sink.sent("audit_event")}
        return self.trail.pages - before

    @property
    def missing(self) -> set[str]:
        return {event["auditEventId"] for event in self.trail.events.values()} - self.landed

    def days(self, count: int, *, per_day: int, null_days: float | None = None) -> list[int]:
        """Runs a sync a day and returns the pages that each has read."""
        pages = []
        for _ in range(count):
            self.trail.now_ms += DAY_MS
            self.trail.add(per_day, null_days=null_days)
            pages.append(self.sync())
        return pages


def test_long_after_one_that_stayed_null_on_the_first_page_a_later_one_lands() -> None:
    trail = Trail(days=200, per_day=1)
    destination = Destination(trail)
    trail.now_ms += DAY_MS
    lasting = trail.add(null_days=FOR_GOOD)
    for _ in range(60):
        trail.now_ms += DAY_MS
        destination.sync()
    destination.days(30, per_day=1)
    trail.now_ms += DAY_MS
    trail.add(null_days=5)
    destination.sync()
    destination.days(20, per_day=30)
    assert destination.missing == {lasting}


def test_each_event_that_is_null_for_some_days_lands_though_every_day_brings_another() -> None:
    destination = Destination(Trail(days=20, per_day=24))
    destination.days(50, per_day=24, null_days=5)
    destination.days(6, per_day=1)
    assert not destination.missing


def test_one_on_the_page_of_another_that_stays_null_lands_in_time() -> None:
    trail = Trail(days=200, per_day=1)
    destination = Destination(trail)
    trail.now_ms += DAY_MS
    lasting = trail.add(null_days=FOR_GOOD)
    for day in range(1, 22):
        trail.now_ms += DAY_MS
        if day % 5 == 0:
            trail.add(null_days=14 if day == 20 else None)
        destination.sync()
    destination.days(28, per_day=30)
    assert destination.missing == {lasting}


def test_the_cost_levels_off_though_one_event_a_day_stays_null_for_good() -> None:
    trail = Trail(days=20, per_day=30)
    destination = Destination(trail)
    destination.days(45, per_day=30, null_days=FOR_GOOD / DAY_MS)
    # Forty-five days at three pages, and some of those with a null once more.
    assert max(destination.days(20, per_day=30, null_days=FOR_GOOD / DAY_MS)) < 150


# With ten a day, an event is at the same place of a page each day.
@pytest.mark.parametrize("per_day", [7, 9, 10, 13])
def test_one_that_stays_null_is_looked_for_no_longer_than_thirty_days(per_day: int) -> None:
    destination = Destination(Trail(days=60, per_day=per_day))
    destination.days(1, per_day=per_day, null_days=FOR_GOOD / DAY_MS)
    assert min(destination.days(29, per_day=per_day)[15:]) > 10
    destination.days(2, per_day=per_day)
    assert max(destination.days(60, per_day=per_day)) <= 5


def test_one_that_stays_null_at_the_end_of_the_trail_is_looked_for_no_longer_either() -> None:
    trail = Trail(days=60, per_day=9)
    trail.is_null_for(sorted(trail.events)[1][1], FOR_GOOD / DAY_MS)
    destination = Destination(trail)
    assert min(destination.days(30, per_day=9)) > 50
    destination.days(2, per_day=9)
    assert max(destination.days(30, per_day=9)) <= 5


@pytest.mark.parametrize("below", [1, 8, 18, 28])
def test_one_that_is_null_near_another_that_was_null_for_weeks_lands(below: int) -> None:
    trail = Trail(days=100, per_day=10)
    since = trail.now_ms - 50 * DAY_MS
    left_out = sorted(place for place in trail.events if place[0] < since)
    (_, lasting), (_, later) = sorted(trail.events)[len(left_out) + 3], left_out[-below]
    trail.is_null_for(lasting, FOR_GOOD / DAY_MS)
    destination = Destination(trail, sync_since_ms=since)
    destination.days(45, per_day=10)
    destination.settings.clear()
    trail.is_null_for(later, 2)
    destination.sync()
    destination.days(6, per_day=10)
    assert destination.missing == {lasting}


def test_after_a_sync_with_many_nulls_a_later_sync_since_costs_no_rereads_above_it() -> None:
    trail = Trail(days=60, per_day=100)
    for _, name in sorted(trail.events)[5::10]:
        trail.is_null_for(name, 0.5)
    destination = Destination(trail)
    destination.settings["sync_since_ms"] = trail.now_ms - 30 * DAY_MS
    destination.days(1, per_day=10)
    # The day's overlap holds more events at first.
    assert max(destination.days(5, per_day=10)[1:]) < 20


@pytest.mark.parametrize("hidden_days", [20, 35])
def test_one_that_was_null_lands_however_long_sync_since_has_hidden_it(hidden_days: int) -> None:
    trail = Trail(days=100, per_day=10)
    since = trail.now_ms - 50 * DAY_MS
    lost = sorted(place for place in trail.events if place[0] < since)[-40][1]
    trail.is_null_for(lost, 0.5)
    destination = Destination(trail)
    destination.settings["sync_since_ms"] = since
    destination.days(hidden_days, per_day=10)
    destination.settings.clear()
    destination.days(2, per_day=10)
    assert not destination.missing


def test_one_hidden_by_sync_since_lands_though_many_above_it_stay_null() -> None:
    trail = Trail(days=100, per_day=10)
    since = trail.now_ms - 50 * DAY_MS
    hidden = sorted(place for place in trail.events if place[0] < since)[-40][1]
    trail.is_null_for(hidden, 0.5)
    lasting = {name for _, name in sorted(p for p in trail.events if p[0] >= since)[20:260:10]}
    for name in lasting:
        trail.is_null_for(name, FOR_GOOD / DAY_MS)
    destination = Destination(trail)
    destination.settings["sync_since_ms"] = since
    destination.days(40, per_day=10)
    destination.settings.clear()
    destination.days(3, per_day=10)
    assert destination.missing == lasting


def test_one_that_stays_null_is_looked_for_once_more_after_sync_since_has_hidden_it() -> None:
    trail = Trail(days=100, per_day=10)
    since = trail.now_ms - 50 * DAY_MS
    lasting = sorted(place for place in trail.events if place[0] < since)[-40][1]
    trail.is_null_for(lasting, FOR_GOOD / DAY_MS)
    destination = Destination(trail)
    destination.settings["sync_since_ms"] = since
    destination.days(40, per_day=10)
    destination.settings.clear()
    pages = destination.days(10, per_day=10)
    assert max(pages[0:2]) > 50
    assert max(pages[2:]) <= 5
    assert destination.missing == {lasting}


@pytest.mark.parametrize("hidden_days", [0, 20, 33])
def test_an_end_above_one_that_was_null_does_not_end_the_search_for_it(hidden_days: int) -> None:
    trail = Trail(days=60, per_day=10)
    lost = sorted(trail.events)[400][1]
    trail.is_null_for(lost, 0.5)
    destination = Destination(trail)
    assert destination.missing == {lost}
    destination.settings["sync_since_ms"] = trail.now_ms - 5 * DAY_MS
    destination.days(hidden_days, per_day=10)
    destination.settings.clear()
    # The listing ends ten days back in one sync, which is long enough ago to be believed.
    trail.ends_at_ms = trail.now_ms - 10 * DAY_MS
    destination.days(1, per_day=10)
    trail.ends_at_ms = 0
    destination.days(1, per_day=10)
    assert destination.missing == set()


def test_a_listing_that_keeps_less_than_it_did_is_read_whole_for_two_months_at_most() -> None:
    trail = Trail(days=60, per_day=10)
    lasting = sorted(trail.events)[5][1]
    trail.is_null_for(lasting, FOR_GOOD / DAY_MS)
    destination = Destination(trail)
    trail.kept_days = 30
    pages = destination.days(66, per_day=10)
    assert max(pages[61:]) <= 5


def test_long_after_one_that_stayed_null_beside_one_dated_ahead_a_later_one_lands() -> None:
    trail = Trail(days=60, per_day=10)
    destination = Destination(trail)
    trail.now_ms += DAY_MS
    trail.add(4)
    lasting = trail.add(null_days=FOR_GOOD / DAY_MS)
    trail.add(6)
    at = next(time for time, name in trail.events if name == lasting)
    above = min(place for place in trail.events if place > (at, lasting))
    ahead = datetime.fromtimestamp(above[0] / 1000 + 300 * 86_400, UTC)
    trail.events[above]["timestamp"] = ahead.isoformat(timespec="milliseconds")
    destination.sync()
    destination.days(33, per_day=10)
    trail.now_ms += DAY_MS
    trail.add(5)
    trail.add(null_days=10)
    trail.add(5)
    destination.sync()
    destination.days(12, per_day=10)
    assert destination.missing == {lasting}


def test_one_that_ages_out_of_the_listing_is_not_looked_for_in_what_is_left() -> None:
    trail = Trail(days=60, per_day=10)
    trail.is_null_for(sorted(trail.events)[5][1], FOR_GOOD / DAY_MS)
    destination = Destination(trail)
    trail.kept_days = 60
    pages = destination.days(8, per_day=10)
    assert max(pages[2:]) < 10
