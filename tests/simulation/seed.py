"""Runs one seed: several syncs with changes, faults and deaths, then quiet, then the verdict."""

import logging
import random as random_module
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec

from courier_async import sync
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading import (
    children,
    children_due,
    endless_guard,
    first_failures,
    message_children,
    rounds,
    seams,
)
from courier_async.state import sent_rows
from courier_async.writing import writer
from tests.simulation import modes
from tests.simulation.changes import DAY_MS, HOUR_MS
from tests.simulation.children import MEMBERS, OF_MESSAGES, PARENT
from tests.simulation.claims import Broken
from tests.simulation.destination import Crashed, Destination, SinkRaised
from tests.simulation.oracle import Oracle, SyncFacts
from tests.simulation.plan import (
    INTERVALS_MS,
    KEEPING,
    PAUSES_MS,
    Plan,
    add_children,
    plan_for,
)
from tests.simulation.run import MOST_STALE_PAGES, Run, check_pace
from tests.simulation.source import TIMED, Source
from tests.simulation.verdict import complete_streams
from tests.simulation.weather import Weather, calm, settings_from, weather_for
from tests.support.fake_courier import FakeApi, Options

BEGIN_MS = 1_786_700_000_000  # 2026-08-14
# The default of every option.
_USUAL = {option.name: getattr(Options(), option.name) for option in fields(Options)}

logging.getLogger("courier_async").setLevel(logging.CRITICAL + 1)


class SeedFailed(Exception):
    """An invariant is broken. `story` is what happened, one event per line."""

    def __init__(self, seed: int, reason: str, story: list[str]) -> None:
        super().__init__(f"seed {seed}: {reason}")
        self.seed = seed
        self.reason = reason
        self.story = story


class Simulation:
    """The account, API, destination and checks of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.plan: Plan = plan_for(self.random)
        self._child_random = Random(f"{seed}/what happens to children")
        add_children(self._child_random, self.plan)
        # Drawn apart, so that nothing else of a seed changes.
        self.plan.most_owed = Random(f"{seed}/owed").choice((1_000, 1_000, 4))
        self._envelope_random = Random(f"{seed}/envelopes of children")
        self._choice_random = Random(f"{seed}/tables of children that are read")
        self._unknown_random = Random(f"{seed}/messages that Courier does not know yet")
        self._outage_random = Random(f"{seed}/outages of children of messages")
        if set(self.plan.children) & set(OF_MESSAGES):
            self.plan.most_due = self._outage_random.choice((20_000, 3))
        self.story: list[str] = []
        self._base_ms = BEGIN_MS
        self._run: Run | None = None
        keys = {table: stream.key_columns for table, stream in BY_TABLE.items()}
        self.destination = Destination(keys, self.random)
        self.last_counts: dict[str, int] = {}
        self.requests = 0
        self._is_complete = False
        self._forgot_ms = 0
        self._prefix = self.random.choice(("pk_test", "pk_prod"))
        self.source = Source(
            random=self.random,
            seed=seed,
            sizes=self.plan.sizes,
            orders=self.plan.orders,
            now_ms=self.now_ms,
            span_days=self.plan.span_days,
            latest_ms=self.plan.latest_ms,
            children=self.plan.children,
            tell=self.tell,
        )
        self.api = FakeApi(self.source, clock=lambda: self.now_ms() / 1000)
        self.oracle = Oracle(self.source, self.destination, most_rows=self.plan.most_rows)
        self.oracle.claims.made_up_work = self.plan.made_up_work
        # A page that fails: until which sync, from which record time to which, and how.
        self._bad_place: tuple[int, int, int, int] | None = None
        # A parent whose children fail: until which sync, the table, the parent, and how.
        self._bad_parent: tuple[int, str, str, int] | None = None
        rows = ", ".join(
            f"{t} {self.plan.sizes[t]} {self.plan.orders[t]}" for t in self.plan.tables
        )
        rows += "".join(f", {child}" for child in self.plan.children)
        self.tell(f"an account of {self._prefix}: {rows}")

    def now_ms(self) -> int:
        seconds = self._run.seconds if self._run is not None else 0.0
        return self._base_ms + int(seconds * 1000)

    def tell(self, text: str) -> None:
        self.story.append(f"{(self.now_ms() - BEGIN_MS) / 1000:>12.1f} s  {text}")

    # -- the sequence of syncs ---------------------------------------------------------------

    def run(self) -> None:
        """Runs the seed. Raises SeedFailed if an invariant is broken."""
        random_module.seed(self.seed)
        with small_bounds(self.plan):
            try:
                self._course()
            except Broken as broken:
                self.tell(f"BROKEN: {broken}")
                raise SeedFailed(self.seed, str(broken), self.story) from None

    def _course(self) -> None:
        random, plan = self.random, self.plan
        self.tell(f"{plan}")
        interval = random.choice(INTERVALS_MS)
        rare = Random(f"{self.seed}/a long pause after the first sync")
        if rare.random() < 0.05:
            self._first_sync_before_a_long_pause(rare)
        else:
            ending = Random(f"{self.seed}/a false end in the first sync")
            if ending.random() < 0.05:
                self._sync_with_a_false_end(ending, pages=(0, 1, 2, 3, 5))
                later = Random(f"{self.seed}/a false end after a long pause")
                if later.random() < 0.5:
                    self._pause_with_news(later)
                    # An empty first page delays what is new to the next sync.
                    self._sync_with_a_false_end(later, pages=(2, 3, 5, 8))
        for number in range(plan.syncs):
            if plan.theme == "weeks":
                interval = random.choice((interval,) * 5 + INTERVALS_MS + (5 * DAY_MS,))
                self._pause(interval)
                self._change_over_time(interval)
                self._place_fault(number)
            else:
                self._pause(60_000 if plan.theme == "late" else random.choice(PAUSES_MS))
                self._change()
            self._change_children(number)
            if random.random() < 0.05:
                self._sync_with_another_key()
            weather = weather_for(
                random,
                plan,
                last_counts=self.last_counts,
                times_ms=self._times_ms(),
                now_ms=self.now_ms(),
            )
            if self._choice_random.random() < 0.1:
                # Children of messages read meanwhile come only once the message changes.
                kept = tuple(child for child in plan.children if child not in MEMBERS)
                weather.settings["children"] = kept
            ended = self._sync(weather)
            if random.random() < (0.2 if ended else 0.9) and plan.theme != "weeks":
                self.source.take_back()
        self._quiet_end()

    def _change(self) -> None:
        random, plan = self.random, self.plan
        for kind in {"rows": ("edit", "add"), "late": ("late", "add")}.get(plan.theme, ()):
            self.source.change_at_random(random.choice(plan.tables), kind)
        for _ in range(random.choice((0, 1, 2, 5))):
            self.source.change_at_random(random.choice(plan.tables))

    def _change_over_time(self, interval_ms: int) -> None:
        """Makes the changes of a pause at moments spread over it."""
        random = self.random
        count = random.choice((0, 1, 1, 2, 4))
        for moment in sorted(random.random() for _ in range(count)):
            kept, self._base_ms = self._base_ms, self._base_ms - int(moment * interval_ms)
            self.source.change_at_random("message", random.choice(("add", "aged", "aged", "late")))
            self._base_ms = kept
        if random.random() < 0.2:
            self.source.change_at_random(random.choice(self.plan.tables))

    def _change_children(self, number: int) -> None:
        """Changes members; now and then one parent's children fail for some syncs."""
        random, plan = self._child_random, self.plan
        for child in plan.children:
            for _ in range(random.choice((0, 1, 2, 4))):
                self.source.change_at_random(child)
        if self._bad_parent is not None and number >= self._bad_parent[0]:
            self._bad_parent = None
        if plan.children and self._bad_parent is None and random.random() < 0.3:
            child = random.choice(plan.children)
            listed = [past.id for past in self.source.past[PARENT[child]].values() if past.listed]
            if listed:
                status = random.choice((403, 422, 429, 500))
                until = number + random.choice((1, 2, 4))
                self._bad_parent = (until, child, random.choice(listed), status)
        if plan.children:
            # What exists a second before a sync must land in it.
            self._base_ms += 1_000

    def _times_ms(self) -> list[int]:
        return [
            past.time_ms for table in sorted(TIMED) for past in self.source.past[table].values()
        ]

    def _place_fault(self, number: int) -> None:
        """Makes one place in the history of messages fail for some syncs."""
        random = self.random
        if self._bad_place is not None and number >= self._bad_place[0]:
            self._bad_place = None
        times = sorted(past.time_ms for past in self.source.past["message"].values())
        if self._bad_place is None and len(times) > 20 and random.random() < 0.08:
            at = times[random.randrange(len(times) * 3 // 4)]
            status = random.choice((400, 410, 422, 500, 403))
            self._bad_place = (number + random.choice((1, 4, 8)), at, at + 1, status)

    def _quiet_end(self) -> None:
        self._bad_place = self._bad_parent = None
        # A cursor that fails again within a day of its renewal stays, as does a lane that
        # contradicts an end.
        recently = self.now_ms() - self._forgot_ms < DAY_MS or self.plan.theme == "weeks"
        recently = recently or "contradicted_at" in str(self.destination.saved)
        self._pause(49 * HOUR_MS if recently else self.random.choice(PAUSES_MS))
        long_pause = Random(f"{self.seed}/a long pause before the end")
        if long_pause.random() < 0.1:
            if long_pause.random() < 0.5:
                self._hide_for_weeks()
            self._pause(40 * DAY_MS)
        self._sync(calm(self.random, self.plan))
        self._wait_for_held_lanes()
        for pause in (30 * HOUR_MS, 30 * HOUR_MS):
            self._pause(pause)
            self._sync(calm(self.random, self.plan))
        self._check_nothing_sent()
        # A walk of several syncs forgets none, so the next reads down to them once more.
        looks_for_unusable = "unusable" in str(self.destination.saved)
        self._pause(60_000)
        self._sync(calm(self.random, self.plan))
        self._check_nothing_sent()
        given_up = self.oracle.given_up()
        for table in self.plan.children:
            if self.destination.sent.get(table) and table not in given_up:
                raise Broken(f"{table}: rows sent again though nothing has changed")
        if self.plan.theme == "weeks" and not looks_for_unusable:
            self.oracle.check_cost(self.plan.options["page_sizes"]["message"])
        self.oracle.tables_equal(self.plan.tables)

    def _first_sync_before_a_long_pause(self, random: Random) -> None:
        """Meets unusable records of any age, which no sync can look for in the next weeks."""
        weather = calm(self.random, self.plan)
        weather.quiet = False
        timed = [table for table in self.plan.tables if table in TIMED]
        modes.unusable(random, self.plan, weather, random.choice(timed or self.plan.tables))
        self._sync(weather)
        if random.random() < 0.5:
            self._hide_for_weeks()
        self._pause(40 * DAY_MS)

    def _pause_with_news(self, random: Random) -> None:
        """Adds records over days without a sync."""
        pause_ms = random.choice((2, 6, 9, 20)) * DAY_MS
        count = random.choice((10, 40, 120))
        timed = [table for table in self.plan.tables if table in TIMED]
        kept = self._base_ms
        for number in range(count) if timed else ():
            self._base_ms = kept + (number + 1) * pause_ms // (count + 1)
            self.source.change_at_random(random.choice(timed), "add")
        self._base_ms = kept
        self._pause(pause_ms)

    def _sync_with_a_false_end(self, random: Random, *, pages: tuple[int, ...]) -> None:
        """Ends a listing too early once, where no earlier sync has read further."""
        weather = calm(self.random, self.plan)
        weather.quiet = False
        timed = [table for table in self.plan.tables if table in TIMED]
        if timed:
            modes.false_end_once(weather, random.choice(timed), page=random.choice(pages))
            self._sync(weather)

    def _hide_for_weeks(self) -> None:
        """Syncs for forty days with a `sync_since` that leaves out nearly everything."""
        for _ in range(4):
            self._pause(10 * DAY_MS)
            weather = calm(self.random, self.plan)
            weather.settings["sync_since_ms"] = self.now_ms() - DAY_MS
            self._sync(weather)

    def _wait_for_held_lanes(self) -> None:
        """Waits while a lane whose cursor has expired contradicts an end: a day for each lane."""
        for _ in range(8):
            if self._is_complete or "contradicted_at" not in str(self.destination.saved):
                return
            self._pause(25 * HOUR_MS)
            self._sync(calm(self.random, self.plan))
        raise Broken("after eight days, a lane still contradicts an end")

    def _check_nothing_sent(self) -> None:
        given_up = self.oracle.given_up()
        for table in (*KEEPING, *(c for c in self.plan.children if c in MEMBERS)):
            sent = self.destination.sent.get(table, 0)
            if sent and table not in given_up:
                raise Broken(f"{table}: {sent} rows sent again though nothing has changed")

    def _pause(self, ms: int) -> None:
        self._base_ms += ms + self.random.randint(1, 5_000)

    # -- a sync ------------------------------------------------------------------------------

    def _sync(self, weather: Weather) -> bool:
        """Runs a sync and returns whether it ended by itself."""
        for table, kind in weather.before:
            self.source.change_at_random(table, kind)
        settings = settings_from(weather, api_key=f"{self._prefix}_simulated")
        self._set_up(weather)
        raw = self.destination.begin()
        self.tell(f"SYNC {weather}")
        self.oracle.begin(
            raw,
            now_ms=self.now_ms(),
            since_ms=settings.sync_since_ms,
            redacts=settings.redact_secrets,
            blind=weather.blind,
        )
        self.oracle.claims.refresh_ms = settings.children_refresh_ms
        self.oracle.claims.children_read = tuple(weather.settings["children"])
        run = self._run = Run(self, weather, settings)
        outcome = run.whole(raw)
        self._base_ms, self._run = self.now_ms(), None
        died = isinstance(outcome, (Crashed, SinkRaised)) or self.destination.raised
        self.destination.ended(normally=not died)
        landed = self.destination.settle() if died else 0
        self.requests += len(run.times)
        self.last_counts = dict(self.destination.counts)
        self.last_counts |= {"request": len(run.times), "second": round(run.seconds)}
        self._is_complete = outcome is None
        told = "complete" if outcome is None else f"{type(outcome).__name__}: {outcome}"
        self.tell(f"{told}; {self.last_counts}; {landed} unsaved rows landed")
        check_pace(run.times, settings.requests_per_second)
        complete: set[str] = set()
        if not died:
            run.check_end()
            read_before = {t for t, part in raw.get("streams", {}).items() if "read_at" in part}
            complete = complete_streams(
                weather, settings, outcome, self.destination.warnings, read_before
            )
            if "the key" not in str(outcome):
                self.oracle.check_pages_landed()
        self.oracle.after(
            SyncFacts(
                died=died,
                complete=complete,
                lookback_ms=settings.message_lookback_ms,
                source_name=settings.source,
                blind=weather.blind,
                fails_below=weather.fails_below,
                bad_parent=weather.bad_parent,
            )
        )
        return not died

    def _set_up(self, weather: Weather) -> None:
        """Sets up the API's behavior during this sync."""
        options = _USUAL | self.plan.options | weather.options
        if self._bad_place is not None and not weather.quiet:
            _, low, high, status = self._bad_place
            rule = {"stream": "message", "status": status, "kind": "listing"}
            rule |= {"holds_from_ms": low, "holds_until_ms": high}
            options["rules"] = [*options["rules"], rule]
            weather.excuse("message")
            if status == 403 and {*weather.settings["streams"]} == {"message"}:
                # At the head of the only stream, a 403 means that the key is refused.
                weather.excuse_all()
            if any(rule.get("answer") == "bad_key" for rule in options["rules"]):
                # So does a 401 if no request has been accepted before it.
                weather.excuse_all()
            if not weather.options and "message" in weather.settings["streams"]:
                weather.fails_below = self._page_above(low, high)
        if self._bad_parent is not None and not weather.quiet:
            _, child, parent, status = self._bad_parent
            options["rules"] = [
                *options["rules"],
                {"stream": child, "parent": parent, "status": status},
            ]
            weather.excuse(child)
            # A rate-limited parent is a throttle of its own.
            weather.one_throttle = weather.one_throttle and status != 429
            is_read = child in weather.settings["children"]
            if is_read and not weather.options and weather.excused == {child}:
                weather.bad_parent = (child, parent)
        members = [child for child in self.plan.children if child in MEMBERS]
        if members and not weather.quiet and self._envelope_random.random() < 0.15:
            # Pages of children without any sign of a next page.
            child = self._envelope_random.choice(members)
            rule = {"stream": child, "paging": "absent"}
            options["rules"] = [*options["rules"], rule]
            weather.excuse(child)
            weather.bad_parent = None
        of_messages = [child for child in self.plan.children if child in OF_MESSAGES]
        may_be_unknown = not weather.quiet and b'"due"' not in self.destination.saved
        if of_messages and may_be_unknown and self._unknown_random.random() < 0.05:
            # Courier does not know messages that it has just listed.
            child, times = self._unknown_random.choice(of_messages), (1, 8, 40)
            rule = {"stream": child, "status": 404, "times": self._unknown_random.choice(times)}
            rule["body"] = {"message": "not found", "type": "invalid_request_error"}
            options["rules"] = [*options["rules"], rule]
            weather.bad_parent = None
        if of_messages and not weather.quiet and self._outage_random.random() < 0.2:
            # Once enough children are due, nothing more can be noted as due.
            child, times = self._outage_random.choice(of_messages), (4, 24, 100)
            rule = {"stream": child, "status": 500, "times": self._outage_random.choice(times)}
            options["rules"] = [*options["rules"], rule]
            weather.excuse(child)
            weather.bad_parent = None
        is_refused = self._bad_place is not None and self._bad_place[3] != 500
        if weather.forget_before or weather.forget_at or is_refused or self._lanes_refused():
            # Without made-up cursors, ends cannot be confirmed, and the server's word is believed.
            options["rules"] = [r for r in options["rules"] if r.get("cursor") != "own"]
        told_ms = self.now_ms() + round(options["date_shift_seconds"] * 1000)
        if told_ms - self._forgot_ms < DAY_MS and not weather.quiet:
            # If a place's cursor fails again within a day, the place itself is at fault.
            weather.excuse_all()
        self.api.change_options(**options)
        if weather.forget_before or weather.forget_at:
            self._forgot_ms = self.now_ms() + DAY_MS
        if weather.forget_before:
            self.api.forget_cursors()
        shift_ms = round(abs(options["date_shift_seconds"]) * 1000)
        self.oracle.off_ms = max(self.oracle.off_ms, shift_ms)
        self.oracle.claims.ahead_ms = self.oracle.off_ms
        self.source.calm = weather.quiet
        for table, after, times in weather.during:
            self.api.change_after(table, after, {"do": "random", "stream": table, "times": times})
        for child in self.plan.children if self._child_random.random() < 0.3 else ():
            change = {"do": "random", "stream": child, "times": 1}
            self.api.change_after(child, self._child_random.randint(1, 9), change)

    def _page_above(self, low_ms: int, high_ms: int) -> int | None:
        """Returns a place so far above the records of these times that no page holds both.

        Records count where they stand: one with an odd time stands at the head.
        """
        rows, past = self.source.listing("message"), self.source.past["message"]
        times = [past[id_].time_ms for _, id_, _ in rows]
        bad = next((n for n, time_ms in enumerate(times) if low_ms <= time_ms < high_ms), 0)
        first = bad - 2 * self.plan.options["page_sizes"]["message"]
        return rows[first][0] if first >= 0 else None

    def _lanes_refused(self) -> bool:
        """Returns whether the state remembers that made-up cursors do not work."""
        streams = msgspec.json.decode(self.destination.saved).get("streams", {})
        return "no_lanes_until" in streams.get("message", {})

    def _sync_with_another_key(self) -> None:
        """Checks that a wrong kind of key costs nothing: no request, no operation."""
        raw = self.destination.begin()
        if not raw:
            self.destination.over()
            return
        other = "dk_prod"
        weather = calm(self.random, self.plan)
        run = self._run = Run(self, weather, settings_from(weather, api_key=f"{other}_simulated"))
        outcome = run.whole(raw)
        self._base_ms, self._run = self.now_ms(), None
        self.tell(f"a sync with a key of {other}: {outcome}")
        if not isinstance(outcome, sync.SyncFailed):
            raise Broken("a sync with a key of another kind did not fail")
        if run.times or any(self.destination.counts.values()):
            raise Broken("a sync with a key of another kind made requests or operations")

    def forget_cursors(self) -> None:
        self.tell("all cursors forgotten")
        self.api.forget_cursors()


@contextmanager
def small_bounds(plan: Plan) -> Iterator[Any]:
    """Sets bounds small enough for a small account to reach."""
    few_due = plan.most_due < children_due.MOST_DUE
    with (
        patch.object(sent_rows, "MOST_ROWS", plan.most_rows),
        patch.object(sent_rows, "MOST_MESSAGES", plan.most_messages),
        patch.object(children_due, "MOST_DUE", plan.most_due),
        # Otherwise more children are in progress at once than such an account has.
        patch.object(message_children, "AT_ONCE", 2 if few_due else message_children.AT_ONCE),
        patch.object(first_failures, "_MOST_NEW", 3 if few_due else first_failures._MOST_NEW),
        patch.object(rounds, "MOST_OWED", plan.most_owed),
        patch.object(children, "MOST_OWED", plan.most_owed),
        patch.object(children, "_MOST_FAILURES", min(plan.most_owed, children._MOST_FAILURES)),
        patch.object(endless_guard, "MOST_STALE_PAGES", MOST_STALE_PAGES),
        # Accounts are small here, and lanes should be tried all the same.
        patch.object(seams, "_LONG_READING_PAGES", 24),
        patch.object(writer, "QUEUE_PAGES", plan.queue_pages),
    ):
        yield


def run_seed(seed: int) -> Simulation:
    """Runs a seed. Raises SeedFailed if an invariant is broken."""
    simulation = Simulation(seed)
    simulation.run()
    return simulation
