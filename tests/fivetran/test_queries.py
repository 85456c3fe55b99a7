"""Compares the answers of docs/queries.sql with figures computed from the records alone."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.accounts import Landed, empty_account, full_account, young_account
from tests.support.declared_warehouse import land
from tests.support.expected_marts import (
    attempt_rows,
    bounce_type,
    day,
    is_clicked,
    is_delivered,
    is_failed,
    is_opened,
    is_sent,
    is_skipped,
    moment,
    recipient,
    seconds,
)
from tools.questions import MOST_ROWS, bars, questions, run_three, table

Rows = list[tuple[Any, ...]]

UNDELIVERED = ("UNDELIVERABLE", "UNROUTABLE", "UNMAPPED")
FAILED = (*UNDELIVERED, "FILTERED", "THROTTLED")
# This time zone is half a day ahead of UTC.
FAR_AWAY = "Pacific/Auckland"


class Warehouse:
    """A warehouse with the tables of one account, and the account's records."""

    def __init__(self, path: Path, account: Landed) -> None:
        self.path = path
        self.account = account
        land(path, "tester", account.truth, deleted=account.deleted)

    def opened(self, *, time_zone: str = "UTC") -> duckdb.DuckDBPyConnection:
        database = duckdb.connect(str(self.path), read_only=True)
        return database.execute(f"USE tester; SET TimeZone = '{time_zone}'")

    def answer(self, number: int, *, time_zone: str = "UTC") -> Rows:
        with self.opened(time_zone=time_zone) as database:
            return database.execute(questions()[number - 1].sql).fetchall()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("full") / "warehouse.db", full_account())


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("young") / "warehouse.db", young_account())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("empty") / "warehouse.db", empty_account())


def week(epoch_ms: int) -> date:
    return day(epoch_ms) - timedelta(days=day(epoch_ms).weekday())


def percent(part: int, whole: int) -> float | None:
    return part * 100 / whole if whole else None


def template_rates(account: Landed) -> Rows:
    names = {
        row["id"]: row.get("name") or row.get("title") for row in account.truth["notification"]
    }
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for message in account.truth["message"]:
        groups[week(message["enqueued"]), message.get("notification")].append(message)
    rows = []
    for (start, template), messages in groups.items():
        sent = sum(map(is_sent, messages))
        rows.append(
            (
                start,
                names.get(template, template or "no template"),
                len(messages),
                sent,
                percent(sum(map(is_delivered, messages)), sent),
                percent(sum(map(is_opened, messages)), sent),
                percent(sum(map(is_clicked, messages)), sent),
            )
        )
    return rows


def failures(account: Landed) -> Rows:
    failed = [m for m in account.truth["message"] if m["status"] in FAILED]
    counts = Counter(
        (m["status"], m.get("reason", "none given"), m.get("reasonCode", "")) for m in failed
    )
    return [(*key, n, percent(n, len(failed))) for key, n in counts.items()]


def delivery_times(account: Landed) -> Rows:
    weeks: dict[date, list[float]] = defaultdict(list)
    for m in account.truth["message"]:
        taken = seconds(m, "sent", "delivered")
        if taken is not None:
            weeks[week(m["enqueued"])].append(taken)
    rows = []
    for start, taken_seconds in weeks.items():
        hundredths = statistics.quantiles(taken_seconds, n=100, method="inclusive")
        rows.append((start, len(taken_seconds), hundredths[49], hundredths[94]))
    return rows


def never_open(account: Landed) -> Rows:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for m in account.truth["message"]:
        if named := recipient(m):
            groups[named].append(m)
    rows = []
    for recipient_id, messages in groups.items():
        sent = [m.get("sent") or m["enqueued"] for m in messages if is_sent(m)]
        if len(sent) >= 2 and not any(map(is_opened, messages)):
            address = max(m["recipient"] for m in messages)
            rows.append((recipient_id, address, len(sent), day(max(sent))))
    return rows


def undelivered_by_channel(account: Landed) -> Rows:
    first = {
        row["id"]: row["routing"]["channels"][0]
        for row in account.truth["notification"]
        if "routing" in row
    }
    groups: dict[Any, list[bool]] = defaultdict(list)
    for m in account.truth["message"]:
        channel = first.get(m.get("notification"), "unknown")
        groups[channel, kind_of(m.get("recipient"))].append(m["status"] in UNDELIVERED)
    return [(*key, len(bad), sum(bad), percent(sum(bad), len(bad))) for key, bad in groups.items()]


def kind_of(address: str | None) -> str:
    if not address:
        return "unknown"
    digits = address.removeprefix("+")
    is_number = digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15
    return "email address" if "@" in address else "phone number" if is_number else "user id"


def growth(account: Landed) -> Rows:
    rows = []
    for kind, field in (("audience", "created_at"), ("list", "created")):
        created = [moment(row[field]) for row in account.alive(kind) if row.get(field)]
        months = Counter(time.date().replace(day=1) for time in created if time)
        in_all = 0
        for start, added in sorted(months.items()):
            in_all += added
            rows.append((kind, start, added, in_all))
    return rows


def who_changed_what(account: Landed) -> Rows:
    groups: dict[Any, list[datetime]] = defaultdict(list)
    for event in account.truth["audit_event"]:
        actor = event.get("actor") or {}
        who = actor.get("email") or actor.get("id") or "unknown"
        time = moment(event["timestamp"])
        assert time is not None
        groups[who, event.get("type")].append(time)
    return [(*key, len(times), max(times)) for key, times in groups.items()]


def tenants_by_plan(account: Landed) -> Rows:
    groups: dict[str, list[int | None]] = defaultdict(list)
    for tenant in account.alive("tenant"):
        properties = tenant.get("properties") or {}
        groups[properties.get("plan", "not set")].append(properties.get("seats"))
    rows: Rows = []
    for plan, seats in groups.items():
        known = [number for number in seats if number is not None]
        rows.append((plan, len(seats), sum(known) if known else None))
    return rows


def unused_templates(account: Landed) -> Rows:
    used = {m.get("notification") for m in account.truth["message"]}
    rows = []
    for row in account.alive("notification"):
        if row["id"] not in used:
            times = (row.get(f) for f in ("updated", "updated_at", "created", "created_at"))
            changed = next(time for time in times if time is not None)
            name = row["name"] if "name" in row else row["title"]
            rows.append((row["id"], name, row.get("state", "legacy"), day(changed)))
    return rows


def by_day(account: Landed) -> Rows:
    groups: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for m in account.truth["message"]:
        groups[day(m["enqueued"])].append(m)
    return [
        (
            start,
            len(messages),
            sum(map(is_delivered, messages)),
            sum(map(is_opened, messages)),
            sum(bounce_type(m) is not None for m in messages),
            sum(map(is_failed, messages)),
            sum(map(is_skipped, messages)),
        )
        for start, messages in groups.items()
    ]


def failed_attempts(account: Landed) -> Rows:
    rows = attempt_rows(account.truth["message_provider"])
    tried = Counter((row["channel"] or "unknown", row["provider"]) for row in rows)
    failed = Counter(
        (row["channel"] or "unknown", row["provider"], row["error"] or "none given")
        for row in rows
        if row["is_failed"]
    )
    return [(*key, n, percent(n, tried[key[:2]])) for key, n in failed.items()]


EXPECTED: tuple[tuple[str, Callable[[Landed], Rows]], ...] = (
    ("Delivery, open and click rates by template and week", template_rates),
    ("Failed messages by reason", failures),
    ("Seconds from send to delivery, p50 and p95, by week", delivery_times),
    ("Recipients who never open", never_open),
    ("Undelivered by channel", undelivered_by_channel),
    ("Audiences and lists, new and in all, by month", growth),
    ("Who changed what", who_changed_what),
    ("Tenants by plan", tenants_by_plan),
    ("Templates nobody uses", unused_templates),
    ("Messages by day and what became of them", by_day),
    ("Failed attempts by channel, provider and error", failed_attempts),
)
# All others need only the core tables.
NEEDS_A_FURTHER_TABLE = 11


def same(landed: Rows, expected: Rows) -> bool:
    """Returns whether the rows are equal in any order, rounded figures within rounding."""

    def text_first(row: tuple[Any, ...]) -> tuple[list[str], list[float]]:
        texts = [str(v) for v in row if v is None or isinstance(v, str | date)]
        return texts, [float(v) for v in row if not (v is None or isinstance(v, str | date))]

    ours, theirs = sorted(landed, key=text_first), sorted(expected, key=text_first)
    return len(ours) == len(theirs) and all(
        len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(ours, theirs, strict=True)
    )


def _close(a: Any, b: Any) -> bool:
    if isinstance(b, float):
        return a is not None and abs(float(a) - b) <= 0.0501
    return bool(a == b)


def test_there_are_eleven_questions_and_each_is_checked_here() -> None:
    assert [question.title for question in questions()] == [title for title, _ in EXPECTED]


@pytest.mark.parametrize("number", range(1, 12))
def test_an_answer_is_what_the_records_say(full: Warehouse, number: int) -> None:
    expected = EXPECTED[number - 1][1](full.account)
    landed = full.answer(number)
    # A question without answers would check nothing.
    assert len(expected) >= 3
    assert same(landed, expected), (landed[:5], expected[:5])


@pytest.mark.parametrize("number", range(1, 12))
def test_an_answer_does_not_depend_on_the_time_zone_of_the_session(
    full: Warehouse, number: int
) -> None:
    assert full.answer(number, time_zone=FAR_AWAY) == full.answer(number)


@pytest.mark.parametrize("number", range(1, 11))
def test_a_young_account_gets_its_answers(young: Warehouse, number: int) -> None:
    expected = EXPECTED[number - 1][1](young.account)
    landed = young.answer(number)
    assert same(landed, expected), (landed, expected)


@pytest.mark.parametrize("number", range(1, 12))
def test_an_empty_account_gets_empty_answers(empty: Warehouse, number: int) -> None:
    assert empty.answer(number) == []


def test_a_question_to_a_table_that_is_not_synced_is_refused_by_name(young: Warehouse) -> None:
    with pytest.raises(duckdb.CatalogException, match="message_provider does not exist"):
        young.answer(NEEDS_A_FURTHER_TABLE)


def test_three_of_them_are_shown_in_100_columns(full: Warehouse) -> None:
    with full.opened() as connection:
        lines = run_three(connection)
    assert max(map(len, lines)) <= 100
    titles = [title for title, _ in EXPECTED]
    assert [line for line in lines if line in titles] == [titles[0], titles[2], titles[1]]
    chart = lines[lines.index(titles[1]) + 1 :]
    wanted = sorted(failures(full.account), key=lambda row: (-row[3], *row[:3]))
    assert [line.split()[0] for line in chart] == [row[0] for row in wanted]
    assert [line.split()[-1] for line in chart] == [str(row[3]) for row in wanted]


def test_a_letter_that_takes_two_columns_is_counted_as_two() -> None:
    lines = table(["name", "n"], [("日本語", 1), ("x", 2)])
    assert lines[2:] == ["日本語  1", "x       2"]


def test_the_longest_bar_fills_the_line_and_the_others_are_in_proportion() -> None:
    lines = bars([("a", 1000), ("bb", 500), ("c", 0)])
    assert len(lines[0]) == 100
    assert lines[0].count("█") == 91
    assert lines[1].count("█") == 45
    assert lines[2] == "c   0"
    assert bars([("a", 0)]) == ["a  0"]
    assert bars([]) == []


def test_a_table_shows_its_first_rows_and_cuts_what_is_too_wide() -> None:
    rows = [("x" * 200, "two\nlines", number) for number in range(MOST_ROWS + 5)]
    lines = table(["first", "second", "third"], rows)
    assert max(map(len, lines)) <= 100
    assert lines[2].startswith("xxxx")
    assert "…  two lines" in lines[2]
    assert lines[-1] == "… and 5 more"
