"""The first questions of docs/queries.sql, against figures computed from the fake's truth."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.support.end_to_end import DebugFolder, succeeded
from tests.support.fake_courier.process import FakeCourierProcess
from tools.questions import MOST_ROWS, bars, questions, run_three, table

Truth = dict[str, list[dict[str, Any]]]
Rows = list[tuple[Any, ...]]

UNDELIVERED = ("UNDELIVERABLE", "UNROUTABLE", "UNMAPPED")
FAILED = (*UNDELIVERED, "FILTERED", "THROTTLED")


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[DebugFolder, Truth]:
    """A warehouse landed by a real sync, and what it must hold."""
    sizes = {"message": 3000, "audit_event": 200, "notification": 40, "tenant": 120}
    with FakeCourierProcess(sizes=sizes) as courier:
        configuration = {"api_key": courier.key, "base_url": courier.url}
        project = DebugFolder(
            tmp_path_factory.mktemp("queries"), configuration | {"requests_per_second": "1000"}
        )
        succeeded(project.sync())
        truth = {table: list(courier.truth(table)) for table in ANSWERED_FROM}
    return project, truth


ANSWERED_FROM = ("message", "notification", "audit_event", "audience", "list", "tenant")


def moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).replace(tzinfo=None)


def day(epoch_ms: int) -> date:
    return moment(epoch_ms).date()


def week(epoch_ms: int) -> date:
    return day(epoch_ms) - timedelta(days=moment(epoch_ms).weekday())


def month(iso: str) -> datetime:
    return datetime.fromisoformat(iso).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def percent(part: int, whole: int) -> float | None:
    return part * 100 / whole if whole else None


def has(message: dict[str, Any], *fields: str) -> bool:
    return any(field in message for field in fields)


def template_rates(truth: Truth) -> Rows:
    names = {row["id"]: row.get("name") or row.get("title") for row in truth["notification"]}
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for message in truth["message"]:
        groups[week(message["enqueued"]), message.get("notification")].append(message)
    rows = []
    for (start, template), messages in groups.items():
        sent = sum("sent" in m for m in messages)
        rows.append(
            (
                start,
                names.get(template, template or "no template"),
                len(messages),
                sent,
                percent(sum(has(m, "delivered", "opened", "clicked") for m in messages), sent),
                percent(sum(has(m, "opened", "clicked") for m in messages), sent),
                percent(sum("clicked" in m for m in messages), sent),
            )
        )
    return rows


def failures(truth: Truth) -> Rows:
    failed = [m for m in truth["message"] if m["status"] in FAILED]
    counts = Counter(
        (m["status"], m.get("reason", "none given"), m.get("reasonCode", "")) for m in failed
    )
    return [(*key, n, percent(n, len(failed))) for key, n in counts.items()]


def delivery_times(truth: Truth) -> Rows:
    weeks: dict[date, list[float]] = defaultdict(list)
    for m in truth["message"]:
        if has(m, "delivered") and has(m, "sent"):
            weeks[week(m["enqueued"])].append((m["delivered"] - m["sent"]) / 1000)
    rows = []
    for start, seconds in weeks.items():
        hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
        rows.append((start, len(seconds), hundredths[49], hundredths[94]))
    return rows


def never_open(truth: Truth) -> Rows:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for m in truth["message"]:
        groups[m["recipientId"]].append(m)
    rows = []
    for recipient_id, messages in groups.items():
        sent = [m["sent"] for m in messages if "sent" in m]
        if len(sent) >= 2 and not any(has(m, "opened", "clicked") for m in messages):
            recipient = max(m["recipient"] for m in messages)
            rows.append((recipient_id, recipient, len(sent), day(max(sent))))
    return rows


def undelivered_by_channel(truth: Truth) -> Rows:
    first = {
        row["id"]: row["routing"]["channels"][0]
        for row in truth["notification"]
        if "routing" in row
    }
    groups: dict[Any, list[bool]] = defaultdict(list)
    for m in truth["message"]:
        recipient = m["recipient"]
        digits = recipient.removeprefix("+")
        is_number = digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15
        kind = "mail address" if "@" in recipient else "phone number" if is_number else "user id"
        channel = first.get(m.get("notification"), "not known")
        groups[channel, kind].append(m["status"] in UNDELIVERED)
    return [(*key, len(bad), sum(bad), percent(sum(bad), len(bad))) for key, bad in groups.items()]


def growth(truth: Truth) -> Rows:
    rows = []
    for kind, field in (("audience", "created_at"), ("list", "created")):
        months = Counter(month(row[field]) for row in truth[kind] if row.get(field))
        in_all = 0
        for start, added in sorted(months.items()):
            in_all += added
            rows.append((kind, start, added, in_all))
    return rows


def who_changed_what(truth: Truth) -> Rows:
    groups: dict[Any, list[datetime]] = defaultdict(list)
    for event in truth["audit_event"]:
        actor = event.get("actor") or {}
        who = actor.get("email") or actor.get("id") or "nobody named"
        groups[who, event["type"]].append(datetime.fromisoformat(event["timestamp"]))
    return [(*key, len(times), max(times)) for key, times in groups.items()]


def tenants_by_plan(truth: Truth) -> Rows:
    groups: dict[str, list[int | None]] = defaultdict(list)
    for tenant in truth["tenant"]:
        properties = tenant["properties"] or {}
        groups[properties.get("plan", "not set")].append(properties.get("seats"))
    return [
        (plan, len(seats), sum(s for s in seats if s is not None) if any_of(seats) else None)
        for plan, seats in groups.items()
    ]


def any_of(values: list[int | None]) -> bool:
    return any(value is not None for value in values)


def unused_templates(truth: Truth) -> Rows:
    used = {m.get("notification") for m in truth["message"]}
    rows = []
    for row in truth["notification"]:
        if row["id"] not in used:
            times = (row.get(f) for f in ("updated", "updated_at", "created", "created_at"))
            changed = next(time for time in times if time is not None)
            name = row["name"] if "name" in row else row["title"]
            rows.append((row["id"], name, row.get("state", "classic"), day(changed)))
    return rows


def by_day(truth: Truth) -> Rows:
    groups: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for m in truth["message"]:
        groups[day(m["enqueued"])].append(m)
    return [
        (
            start,
            len(messages),
            sum(has(m, "delivered", "opened", "clicked") for m in messages),
            sum(has(m, "opened", "clicked") for m in messages),
            sum(m["status"] in UNDELIVERED for m in messages),
        )
        for start, messages in groups.items()
    ]


EXPECTED: tuple[tuple[str, Callable[[Truth], Rows]], ...] = (
    ("Delivery, open and click rates by template and week", template_rates),
    ("Failed messages by reason", failures),
    ("Seconds from send to delivery, half and 95 of 100 messages, by week", delivery_times),
    ("Recipients who never open", never_open),
    ("Undelivered by channel", undelivered_by_channel),
    ("Audiences and lists, new and in all, by month", growth),
    ("Who changed what", who_changed_what),
    ("Tenants by plan", tenants_by_plan),
    ("Templates nobody uses", unused_templates),
    ("Messages by day and what became of them", by_day),
)


def comparable(value: Any) -> Any:
    """Times alike, whether a date or the midnight that begins it."""
    if isinstance(value, datetime):
        naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return str(naive)
    return f"{value} 00:00:00" if isinstance(value, date) else value


def same(landed: Rows, expected: Rows) -> bool:
    """Whether the rows are the same in any order, rounded figures to within their rounding."""

    def text_first(row: tuple[Any, ...]) -> tuple[list[str], list[float]]:
        numbers = [float(v or 0) for v in row if not isinstance(v, str)]
        return [v for v in row if isinstance(v, str)], numbers

    ours = sorted((tuple(map(comparable, row)) for row in landed), key=text_first)
    theirs = sorted((tuple(map(comparable, row)) for row in expected), key=text_first)
    return len(ours) == len(theirs) and all(
        len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(ours, theirs, strict=True)
    )


def _close(a: Any, b: Any) -> bool:
    if isinstance(b, float):
        return a is not None and abs(float(a) - b) <= 0.0501
    return bool(a == b)


def test_there_are_ten_questions_and_each_is_checked_here() -> None:
    assert [question.title for question in questions()] == [title for title, _ in EXPECTED]


@pytest.mark.parametrize("number", range(1, 11))
def test_an_answer_is_what_the_records_say(synced: tuple[DebugFolder, Truth], number: int) -> None:
    project, truth = synced
    expected = EXPECTED[number - 1][1](truth)
    landed = project.warehouse.answer(questions()[number - 1].sql)
    # A question that nothing answers would be no check.
    assert len(expected) >= 3
    assert same(landed, expected), (landed[:5], expected[:5])


def test_three_of_them_are_shown_in_100_columns(
    synced: tuple[DebugFolder, Truth],
) -> None:
    project, truth = synced
    with project.warehouse.opened() as connection:
        lines = run_three(connection)
    assert max(map(len, lines)) <= 100
    titles = [title for title, _ in EXPECTED]
    assert [line for line in lines if line in titles] == [titles[0], titles[2], titles[1]]
    chart = lines[lines.index(titles[1]) + 1 :]
    wanted = sorted(failures(truth), key=lambda row: (-row[3], *row[:3]))
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
