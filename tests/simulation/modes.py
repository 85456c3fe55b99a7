"""The ways in which a server can misbehave during one sync."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from courier_async.reading.seams import SEAM_RECORDS
from tests.simulation.plan import KEEPING, Plan
from tests.support.fake_courier.replies import FAULTS

if TYPE_CHECKING:
    from tests.simulation.weather import Weather

# The random source, the plan, the weather to change, a table that is read.
Mode = Callable[[Random, Plan, "Weather", str], None]
_STATUSES = (408, 409, 425, 500, 502, 503, 504, 520, 524, 529)
_HEALING: tuple[dict[str, Any], ...] = (
    *[{"status": status} for status in _STATUSES],
    # A gateway that does not know the route, or blocks a request, for a moment.
    {"status": 404, "body": "default backend - 404"},
    {"status": 404, "body": {"message": "Not Found"}},
    {"status": 404, "body": {"type": "about:blank", "title": "Not Found", "status": 404}},
    {"status": 403, "body": {"message": "Forbidden"}},
)


def add(random: Random, plan: Plan, weather: Weather, *, times_ms: list[int], now_ms: int) -> None:
    """Adds a random mode, unless it does not apply."""
    table = random.choice(weather.settings["streams"])
    mode = random.choice(MODES)
    mode(random, plan, weather, table)
    window = weather.options.pop("window_seconds", None)
    for rule in weather.options.get("rules", ()):
        if window is not None:
            rule["from_ms"], rule["until_ms"] = now_ms, now_ms + round(window * 1000)


def _rule(weather: Weather, **rule: Any) -> None:
    weather.options.setdefault("rules", []).append(rule)


# -- failures of requests ---------------------------------------------------------------------


def faults(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options["fault_rate"] = random.choice((0.02, 0.1, 0.3))
    weather.options["fault_kinds"] = random.choice(
        (FAULTS, ("drop", "cut", "truncated"), ("500", "503", "429"))
    )
    weather.excuse_all()


def pace(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options["allow_per_second"] = random.choice((0.5, 2.0, 10.0))
    weather.options["burst"] = random.choice((1, 5))
    weather.options["retry_after"] = random.choice(("none", "seconds", "date", "ms"))
    weather.excuse_all()


def down(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options["down"] = (table,)
    weather.excuse(table)


def denied(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options["denied"] = {table: random.choice((402, 403, 404))}
    weather.options["denied_from_page"] = random.choice((1, 1, 2, 3))
    weather.excuse(table)


def other_key(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options |= {"key": "pk_test_other", "bad_key_status": random.choice((401, 403))}
    weather.excuse_all()


def failing_now_and_then(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """Any failure that a retry resolves; with three retries, no series of three matters."""
    weather.settings["max_retries"] = 3
    every = random.choice((3, 5))
    _rule(weather, stream=table, every=every, **random.choice(_HEALING))


def error_inside_200(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.settings["max_retries"] = 3
    answer = random.choice(("api_error", "task_timed_out"))
    every = random.choice((2, 3))
    # Three at most: with two lanes taking turns, one lane might get every error.
    _rule(weather, stream=table, kind="listing", answer=answer, every=every, times=3 * every)


def limit_by_403(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    answer = random.choice(("slow_down", "firewall"))
    stream = random.choice((table, "*"))
    _rule(weather, stream=stream, answer=answer, after=random.randint(0, 6), times=2)


def stray_401(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """A 401 that comes after a request of the same stream has been accepted."""
    _rule(weather, stream=table, kind="listing", answer="bad_key", after=2, times=1)


def eager_retry_after(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """For some seconds; a client that trusts the header retries too soon, too often."""
    weather.settings["max_retries"] = 3
    weather.latency_seconds = 0.05
    header = random.choice(({"Retry-After": "0"}, {"retry-after-ms": "50"}))
    _rule(weather, stream=table, status=503, headers=header)
    weather.options["window_seconds"] = 2.5


def throttle(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """Refuses every request for ten seconds, which is one throttle."""
    weather.latency_seconds = 0.05
    weather.settings["requests_per_second"] = 20.0
    _rule(weather, status=429, headers={"Retry-After": "1"})
    weather.options["window_seconds"] = 10
    weather.one_throttle = True


# -- pages ------------------------------------------------------------------------------------


def endless(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    weather.options["endless"] = (table,)
    weather.excuse(table)


def lost_way_on(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    name = random.choice(("more_without_cursor", "repeat_cursor"))
    weather.options[name] = {table: random.randint(1, 3)}
    weather.excuse(table)


def broken_envelope(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    paging = random.choice(
        ("absent", "renamed", "more_absent", "cursor_absent", "array_null", "array_absent")
    )
    _rule(weather, stream=table, kind="listing", paging=paging, page=random.choice((0, 1, 2, 3)))
    weather.excuse(table)


def more_left_out(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    _rule(weather, stream=table, kind="listing", paging="more_absent")
    weather.excuse(table)


def paging_left_out(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    # A list that renamed its flag still has its cursors.
    paging = "absent" if table == "tenant" else random.choice(("absent", "renamed"))
    _rule(weather, stream=table, kind="listing", paging=paging)
    weather.excuse(table)


def false_end(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """A false end for one of the server's own cursors; detectable where made-up ones work."""
    _end_falsely(random, plan, weather, times=0)


def false_end_in_an_outage(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """A false end that comes once, while made-up cursors fail for another reason."""
    if _end_falsely(random, plan, weather, times=1):
        _rule(weather, stream="message", cursor="made_up", status=503)
        weather.excuse("message")


def false_end_once(weather: Weather, table: str, *, page: int) -> None:
    """A false end that comes once; detectable where no sync has read further."""
    _rule(weather, stream=table, kind="listing", page=page, paging="false_end", times=1)
    weather.excuse(table)


def _end_falsely(random: Random, plan: Plan, weather: Weather, *, times: int) -> bool:
    """Adds a false end, and returns whether it can be noticed. times: how often; 0: always."""
    size = plan.options["page_sizes"]["message"]
    if not plan.made_up_work or plan.orders["message"] != "newest" or plan.theme == "any":
        return False
    if size < SEAM_RECORDS:
        # A made-up cursor is probed with a whole page of this many records.
        return False
    page = 2 + -(-24 // size) + random.randint(0, 2)
    empty_every = plan.options["empty_page_every"].get("message")
    if empty_every and page % empty_every == 0:
        # An end that the server repeats on an empty page is believed (docs/reliability.md).
        return False
    _rule(weather, stream="message", cursor="own", page=page, paging="false_end", times=times)
    return True


def empty_listing(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    _rule(weather, stream=table, kind="listing", paging="false_end")
    weather.blind.add(table)


def unusable(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    how = random.choice(("null", "keyless", "key_null", "text"))
    times = random.choice((0, 1))
    share = random.choice((0.3, 1.0))
    _rule(weather, stream=table, kind="listing", records=how, share=share, times=times)
    weather.excuse(table)


def spoiled_histories(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    """Histories of messages come empty, or some of their events as null, in this sync."""
    how = random.choice(({"records": "null", "share": 0.3}, {"paging": "no_records"}))
    _rule(weather, stream="message_event", **how)
    weather.blind.add("message_event")
    # A history that holds nothing but nulls fails.
    weather.excuse("message_event")


def extra_records(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    name = random.choice(("keyless_every", "non_dict_every"))
    weather.options[name] = {table: random.choice((1, 2, 3))}
    # A page that holds nothing else is an error.
    weather.excuse(table)


# -- cursors, ids, clocks, odd records -----------------------------------------------------------


def short_lives(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    name, value = random.choice((("cursor_seconds", 5.0), ("cursor_requests", 3)))
    weather.options[name] = value
    weather.excuse_all()


def no_answers_by_id(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    status = random.choice((400, 403, 404))
    if status == 404:
        # A gateway without these routes.
        _rule(weather, kind="by_id", status=status, body={"message": "Not Found"})
    else:
        weather.options["denied_by_id"] = dict.fromkeys(KEEPING, status)


def wrong_clock(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    seconds = random.choice((-1800.0, -5 * 86_400.0, -3 * 3600.0, 1800.0, 3 * 3600.0))
    weather.options["date_shift_seconds"] = seconds


def odd_times(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    # Below what is remembered, a message that looks settled can be missed.
    is_remembered = plan.most_messages > 1_000
    if "message" in plan.tables and plan.orders["message"] == "newest" and is_remembered:
        weather.before.append(("message", "odd"))


def late_and_settled(random: Random, plan: Plan, weather: Weather, table: str) -> None:
    if "message" in plan.tables:
        weather.before.append(("message", "settled"))


MODES: tuple[Mode, ...] = (
    faults, faults, pace, down, denied, other_key, failing_now_and_then, error_inside_200,
    limit_by_403, stray_401, eager_retry_after, throttle, endless, lost_way_on, broken_envelope,
    broken_envelope, false_end, false_end_in_an_outage, empty_listing, unusable,
    spoiled_histories, extra_records, short_lives, no_answers_by_id, wrong_clock, odd_times,
    odd_times, late_and_settled,
)  # fmt: skip
