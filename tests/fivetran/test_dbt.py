"""The dbt package: builds it on three accounts, and compares its marts with the records."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from courier_async.catalog.streams import BY_TABLE
from tests.support import dbt
from tests.support.accounts import CORE_TABLES, Landed, empty_account, full_account, young_account
from tests.support.dbt import PACKAGE, Dbt, duckdb_output
from tests.support.declared_warehouse import land
from tests.support.end_to_end import succeeded
from tests.support.expected_marts import (
    attempt_rows,
    counts,
    daily_rows,
    is_opened,
    is_sent,
    message_row,
    moment,
    opt_out_rows,
    recipient,
    recipient_rows,
    seconds,
)
from tests.support.landed import CatalogFolder
from tools.dbt_sources import SOURCES, sources

# The timeout is long because the first test of a fresh checkout makes dbt's environment. One
# worker, so that the models are built once for all of these tests.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("dbt")]
# Except tests that run dbt themselves: their group, "dbt_own", can go to the other worker.
own_run = pytest.mark.xdist_group("own")

# The time zone of the building sessions, half a day ahead of UTC.
FAR_AWAY = "Pacific/Auckland"
FULL, YOUNG, EMPTY = "tester", "courier_young", "courier_empty"
CONNECTIONS = [
    {"schema": FULL, "streams": "all"},
    {"schema": YOUNG, "streams": "core"},
    {"schema": EMPTY, "streams": ["all"]},
]
PASS_THROUGH = {"tenant": ["plan", {"key": ["address", "city"], "alias": "city"}]}
MARTS = (
    "courier__messages", "courier__daily_template_metrics", "courier__recipients",
    "courier__recipient_templates", "courier__daily_template_metrics_by_channel",
    "courier__subscriptions", "courier__opt_outs", "courier__list_health",
    "courier__message_attempts",
)  # fmt: skip

Rows = list[dict[str, Any]]


class Built:
    """A warehouse in which the package has been built."""

    def __init__(self, folder: Path, run: Dbt, accounts: dict[str, Landed]) -> None:
        self._path = folder / "warehouse.db"
        self.run = run
        # Read now, because each later dbt run in the same folder replaces them.
        self.results = run.results()
        self.accounts = accounts

    def query(self, sql: str) -> Rows:
        with duckdb.connect(str(self._path), read_only=True) as database:
            found = database.execute("SET TimeZone = 'UTC'").execute(sql)
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def rows(self, model: str, *, source: str | None = None) -> Rows:
        """Returns the rows of a model, or only those of one connection, `source`."""
        schema = "stg_courier" if model.startswith(("stg_", "int_")) else "courier"
        found = self.query(f"SELECT * FROM analytics_{schema}.{model}")
        return [row for row in found if source in (None, row["source_relation"])]

    @contextmanager
    def brands_twice(self, schema: str) -> Iterator[None]:
        """Duplicates each brand of a connection in its table until the block ends."""
        table = f"{schema}.brand"
        with duckdb.connect(str(self._path)) as database:
            database.execute(f"CREATE TABLE kept AS FROM {table}")
            database.execute(f"INSERT INTO {table} FROM kept")
        try:
            yield
        finally:
            with duckdb.connect(str(self._path)) as database:
                database.execute(f"DELETE FROM {table}; INSERT INTO {table} FROM kept")
                database.execute("DROP TABLE kept")


def build(folder: Path, accounts: dict[str, Landed], variables: dict[str, Any]) -> Built:
    """Lands accounts, each in its own schema, and builds the package on them."""
    path = folder / "warehouse.db"
    for schema, account in accounts.items():
        land(path, schema, account.truth, deleted=account.deleted)
    run = Dbt(folder, duckdb_output(path, time_zone=FAR_AWAY), variables)
    run.run("build")
    return Built(folder, run, accounts)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    young = young_account()
    accounts = {FULL: full_account(), YOUNG: young, EMPTY: empty_account()}
    variables = {"courier_schemas": CONNECTIONS, "courier_pass_through": PASS_THROUGH}
    return build(tmp_path_factory.mktemp("dbt"), accounts, variables)


@pytest.fixture(scope="module")
def full(built: Built) -> Landed:
    return built.accounts[FULL]


def messages(landed: Landed) -> Rows:
    return landed.alive("message")


def same(landed: Rows, expected: Rows) -> bool:
    """Returns whether the rows hold the expected columns with these values, in any order."""
    ours = [{name: row[name] for name in expected[0]} for row in landed]
    return sorted(map(_text, ours)) == sorted(map(_text, expected))


def _text(row: dict[str, Any]) -> str:
    def value(v: Any) -> str:
        is_number = not isinstance(v, bool | str | type(None)) and hasattr(v, "__float__")
        return f"{float(v):.6f}" if is_number else str(v)

    return json.dumps({name: value(v) for name, v in row.items()}, sort_keys=True)


def test_every_test_passes_on_full_young_and_empty_accounts_together(built: Built) -> None:
    results = built.results
    assert {result["status"] for result in results} == {"success", "pass"}
    tests = [result for result in results if result["unique_id"].startswith("test.")]
    assert len(tests) > 100
    sources = {row["source_relation"] for row in built.rows("courier__messages")}
    assert sources == {FULL, YOUNG}


def test_each_message_has_the_outcome_that_its_record_shows(built: Built, full: Landed) -> None:
    expected = [message_row(m) for m in messages(full)]
    assert len(expected) == len(full.truth["message"]) - 1
    assert same(built.rows("courier__messages", source=FULL), expected)


def test_outcomes_are_told_in_words(built: Built) -> None:
    rows = {row["message_id"]: row for row in built.rows("courier__messages", source=FULL)}
    told = {
        f"1-edge-{number}": (outcome, reason)
        for number, outcome, reason in (
            (0, "in progress", None),
            (1, "in progress", None),
            (2, "in progress", None),
            (3, "opened", None),
            (10, "bounced", "Soft bounce: the address was unavailable"),
            (11, "bounced", "Bounced"),
            (12, "bounced", "Hard bounce: the address accepts no messages"),
            (13, "failed", "The provider returned an error"),
            (14, "failed", "A_NEW_REASON"),
            (15, "failed", "No reason given"),
            (17, "clicked", None),
        )
    }
    found = {key: (rows[key]["outcome"], rows[key]["outcome_reason"]) for key in told}
    assert found == told
    outcomes = {row["outcome"] for row in rows.values()}
    assert {"sent", "delivered", "skipped", "canceled", "simulated"} <= outcomes


def test_a_message_names_its_template_list_and_brand_even_where_they_are_deleted(
    built: Built, full: Landed
) -> None:
    names = {
        "template": {t["id"]: t.get("name", t.get("title")) for t in full.truth["notification"]},
        "list": {row["id"]: row["name"] for row in full.truth["list"]},
    }
    brand = full.truth["brand"][0]
    branded = {t["id"] for t in full.truth["notification"] if "brand" in t}
    rows = built.rows("courier__messages", source=FULL)
    for row in rows:
        assert row["template_name"] == names["template"].get(row["template_id"])
        assert row["list_name"] == names["list"].get(row["list_id"])
        expected = (brand["id"], brand["name"]) if row["template_id"] in branded else (None, None)
        assert (row["brand_id"], row["brand_name"]) == expected
    assert any(row["template_id"] in full.deleted for row in rows)
    assert any(row["list_id"] in full.deleted for row in rows)
    assert any(row["brand_name"] for row in rows)


def test_channel_and_provider_are_those_of_the_attempt_that_went_through(
    built: Built, full: Landed
) -> None:
    def way(m: dict[str, Any]) -> dict[str, Any]:
        taken: tuple[Any, ...] = (None, None, 0)
        if "sent" in m:
            taken = ("email", "sendgrid", 2 if m["enqueued"] % 2 == 0 else 1)
        elif m["status"] == "UNDELIVERABLE":
            taken = ("sms", "twilio", 2)  # the last failed one
        elif m["status"] == "SIMULATED":
            taken = (("push", "inbox", None)[m["enqueued"] % 3], "mock", 1)
        return dict(zip(("channel", "provider", "number_of_attempts"), taken, strict=True))

    expected = [{"message_id": m["id"]} | way(m) for m in messages(full)]
    assert len({tuple(way(m).values()) for m in messages(full)}) == 7
    assert same(built.rows("courier__messages", source=FULL), expected)


def test_an_attempt_has_its_channel_and_whether_the_message_went_that_way(
    built: Built, full: Landed
) -> None:
    expected = attempt_rows(full.alive("message_provider", key="message_id"))
    assert len(expected) < len(full.truth["message_provider"])
    ways = {(row["channel"], row["provider"]) for row in expected}
    assert ways == {
        ("email", "sendgrid"), ("email", "mailgun"), ("sms", "twilio"), ("push", "mock"),
        ("inbox", "mock"), (None, "mock"),
    }  # fmt: skip
    assert any(row["is_failed"] and row["is_final"] for row in expected)
    assert same(built.rows("courier__message_attempts"), expected)


def test_the_first_open_comes_from_the_history(built: Built, full: Landed) -> None:
    first = {
        m["id"]: min(m["sent"] + 60_000, m["opened"])
        for m in messages(full)
        if "sent" in m and "opened" in m
    }
    expected = [
        {
            "message_id": m["id"],
            "first_opened_at": moment(first.get(m["id"])),
            "seconds_to_first_open": seconds(m | {"first": first.get(m["id"])}, "sent", "first"),
        }
        for m in messages(full)
    ]
    rows = built.rows("courier__messages", source=FULL)
    assert same(rows, expected)
    assert sum(row["first_opened_at"] != row["last_opened_at"] for row in rows) > 100


def test_a_connection_without_histories_leaves_its_columns_empty(built: Built) -> None:
    rows = built.rows("courier__messages", source=YOUNG)
    assert len(rows) == 3
    assert {row["seconds_to_first_open"] for row in rows} == {None}
    assert {row["channel"] for row in rows} == {None}


@pytest.mark.parametrize("source", [FULL, YOUNG])
def test_daily_metrics_count_and_rate_what_the_records_say(built: Built, source: str) -> None:
    expected = daily_rows(messages(built.accounts[source]))
    assert same(built.rows("courier__daily_template_metrics", source=source), expected)


@pytest.mark.parametrize("source", [FULL, YOUNG])
def test_recipients_are_what_the_records_say(built: Built, source: str) -> None:
    found = messages(built.accounts[source])
    expected = recipient_rows(found, by_template=False)
    assert same(built.rows("courier__recipients", source=source), expected)
    expected = recipient_rows(found, by_template=True)
    assert same(built.rows("courier__recipient_templates", source=source), expected)


def test_subscriptions_are_those_of_living_lists(built: Built, full: Landed) -> None:
    expected = [
        {
            "list_id": row["list_id"],
            "recipient_id": row["recipientId"],
            "subscribed_at": moment(row["created"]),
        }
        for row in full.alive("list_subscription", key="list_id")
    ]
    assert len(expected) < len(full.truth["list_subscription"])
    assert same(built.rows("courier__subscriptions"), expected)


def test_an_opt_out_lasts_until_the_next_change_of_status(built: Built, full: Landed) -> None:
    expected = opt_out_rows(full.truth["preference_change"])
    assert {row["is_current"] for row in expected} == {True, False}
    rows = built.rows("courier__opt_outs")
    assert same(rows, expected)
    # The fourth topic is gone, so its name is the one at the time of the change.
    assert {row["topic_name"] for row in rows} == {
        "Topic 0", "Topic 1", "Topic 2", "Name at the time",
    }  # fmt: skip


def test_list_health_counts_subscribers_silent_ones_and_messages(
    built: Built, full: Landed
) -> None:
    sends: dict[str, int] = {}
    opened = {recipient(m) for m in messages(full) if is_opened(m)}
    sent_to = {recipient(m) for m in messages(full) if is_sent(m)}
    expected = []
    for row in full.alive("list"):
        users = [
            s["recipientId"] for s in full.truth["list_subscription"] if s["list_id"] == row["id"]
        ]
        found = [m for m in messages(full) if m.get("listId") == row["id"]]
        sends[row["id"]] = len(found)
        expected.append(
            {"list_id": row["id"], "number_of_subscribers": len(users)}
            | {"number_of_silent_subscribers": len(sent_to.intersection(users) - opened)}
            | counts(found)
        )
    assert sum(1 for count in sends.values() if count) >= 3
    assert any(row["number_of_silent_subscribers"] for row in expected)
    assert same(built.rows("courier__list_health", source=FULL), expected)


def test_metrics_by_channel_and_provider_are_couriers_own(built: Built, full: Landed) -> None:
    expected = [
        {
            "date_day": moment(row["period"]).date(),  # type: ignore[union-attr]
            "template_id": row["notification_id"],
            "channel": row["channel"],
            "provider": row["provider"],
            "number_of_sends": row["sent"],
            "number_of_undeliverable": row["undeliverable"],
            "open_rate": row["opened"] / row["sent"] if row["sent"] else None,
        }
        for row in full.alive("notification_metric", key="notification_id")
    ]
    assert same(built.rows("courier__daily_template_metrics_by_channel"), expected)


def test_days_are_utc_days_though_the_session_is_elsewhere(built: Built) -> None:
    # In the session's time zone, the first two would be the same day, as would the last two.
    rows = {row["message_id"]: row for row in built.rows("courier__messages", source=FULL)}
    days = [str(rows[f"1-edge-{number}"]["enqueued_date"]) for number in (18, 19, 20, 21)]
    assert days == ["2026-08-13", "2026-08-14", "2026-08-09", "2026-08-10"]


def test_pass_through_keys_become_columns(built: Built, full: Landed) -> None:
    expected = [
        {
            "tenant_id": row["id"],
            "plan": (row["properties"] or {}).get("plan"),
            "city": (row["properties"].get("address") or {}).get("city"),
            "is_deleted": row["id"] in full.deleted,
        }
        for row in full.truth["tenant"]
    ]
    assert {row["is_deleted"] for row in expected} == {True, False}
    assert same(built.rows("stg_courier__tenant", source=FULL), expected)


def test_the_example_analyses_answer_from_the_marts(built: Built, full: Landed) -> None:
    built.run.run("compile", "--select", "resource_type:analysis")
    folder = built.run.target / "compiled" / "courier" / "analyses"
    answers = {file.stem: built.query(file.read_text()) for file in folder.glob("*.sql")}
    ours = {
        name: [row for row in rows if row["source_relation"] == FULL]
        for name, rows in answers.items()
    }
    found = messages(full)
    assert sum(row["number_of_sends"] for row in ours["delivery_rate_by_template_and_week"]) == (
        sum(map(is_sent, found))
    )
    assert {row["bounce_reason"] for row in ours["bounce_reasons_by_list"]} == {
        "550 No such user", "Soft bounce: the address was unavailable", "Bounced",
        "Hard bounce: the address accepts no messages",
    }  # fmt: skip
    failed = [
        row for row in attempt_rows(full.alive("message_provider", key="message_id"))
        if row["is_failed"]
    ]  # fmt: skip
    by_channel = ours["failed_attempts_by_channel_and_provider"]
    assert sum(row["number_of_failures"] for row in by_channel) == len(failed)
    assert {(row["channel"], row["provider"], row["error"]) for row in by_channel} == {
        (row["channel"], row["provider"], row["error"]) for row in failed
    }
    # Every attempt by mailgun and twilio failed.
    assert sum(row["share_of_attempts"] for row in by_channel) == pytest.approx(2)
    [email] = [row for row in ours["time_to_open"] if row["channel"] == "email"]
    assert email["p50_to_first_open"] == pytest.approx(60)
    assert email["p50_to_last_open"] > 3600
    silent = [
        {"recipient_id": row["recipient_id"], "number_of_sends": row["number_of_sends"]}
        for row in recipient_rows(found, by_template=False)
        if row["number_of_sends"] >= 2 and not row["number_of_opens"]
    ]
    assert same(ours["silent_recipients"], silent)


def test_a_row_that_is_there_twice_fails_the_build(built: Built) -> None:
    fails = pytest.raises(AssertionError, match="unique_combination_stg_courier__brand")
    with built.brands_twice(FULL), fails:
        built.run.run("build", "--select", "stg_courier__brand")


def test_every_column_of_every_model_is_documented(built: Built) -> None:
    nodes = built.run.manifest()["nodes"].values()
    models = [node for node in nodes if node["resource_type"] == "model"]
    passed = {"plan", "city"}
    assert len(models) == len(BY_TABLE) + len(MARTS) + 1
    for model in models:
        documented = {c["name"] for c in model["columns"].values() if c["description"]}
        rows = built.rows(model["name"])
        assert rows, model["name"]
        assert set(rows[0]) - passed == documented, model["name"]
        assert model["description"], model["name"]


def test_the_sources_are_written_from_the_catalog() -> None:
    assert SOURCES.read_text() == sources(), "run `python -m tools.dbt_sources`"


def test_every_column_of_the_catalog_is_staged() -> None:
    # Staged as template_name, created_at and updated_at, for both generations of templates.
    merged = {"name", "title", "created", "created_at", "updated", "updated_at"}
    for table, stream in BY_TABLE.items():
        model = (PACKAGE / "models" / "staging" / f"stg_courier__{table}.sql").read_text()
        staged = set(re.findall(r"src\.(\w+)", model))
        left_out = merged if table == "notification" else set()
        assert staged == {column.name for column in stream.columns} - left_out, table


@own_run
@pytest.mark.parametrize(
    ("output", "spelled"),
    [
        (
            {"type": "snowflake", "account": "a", "user": "u", "password": "p", "database": "D",
             "warehouse": "w", "schema": "analytics"},
            ("convert_timezone('UTC', src.enqueued)", "src.properties['address']['city']",
             "datediff('millisecond', enqueued_at, sent_at)"),
        ),
        (
            {"type": "postgres", "host": "127.0.0.1", "port": 9, "user": "u", "password": "p",
             "dbname": "d", "schema": "analytics"},
            ("src.enqueued at time zone 'UTC'", "jsonb_extract_path_text(", "extract(epoch from"),
        ),
    ],
    ids=["snowflake", "postgres"],
)  # fmt: skip
def test_it_compiles_for_other_warehouses_without_a_server(
    tmp_path: Path, output: dict[str, Any], spelled: Iterable[str]
) -> None:
    variables = {"courier_schemas": CONNECTIONS, "courier_pass_through": PASS_THROUGH}
    run = Dbt(tmp_path, output, variables)
    run.run("compile", "--no-introspect", "--no-populate-cache")
    compiled = (run.target / "compiled" / "courier" / "models").rglob("*.sql")
    files = [file for file in compiled if file.parent.suffix != ".yml"]  # the others are its tests
    assert len(files) == len(BY_TABLE) + len(MARTS) + 1
    text = "\n".join(file.read_text() for file in files)
    for dialect in spelled:
        assert dialect in text
    assert "json_extract_string" not in text


@own_run
def test_another_project_that_installs_it_gets_its_marts_for_an_empty_account(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(
        "name: theirs\nversion: 1.0.0\nprofile: courier\nvars:\n  courier_schema: landed\n"
    )
    (project / "packages.yml").write_text(json.dumps({"packages": [{"local": str(PACKAGE)}]}))
    path = tmp_path / "warehouse.db"
    land(path, "landed", {table: [] for table in CORE_TABLES})
    run = Dbt(tmp_path, duckdb_output(path), {}, project=project)
    run.run("deps")
    run.run("build")
    assert {result["status"] for result in run.results()} == {"success", "pass"}
    empty = Built(tmp_path, run, {})
    assert [empty.rows(model) for model in MARTS[:4]] == [[], [], [], []]


@pytest.mark.parametrize("account", [young_account(), empty_account()], ids=["young", "empty"])
def test_the_warehouses_made_here_have_the_shape_of_synced_ones(
    tmp_path: Path, account: Landed
) -> None:
    folder = CatalogFolder(tmp_path)
    records = {table: account.truth.get(table, []) for table in BY_TABLE}
    succeeded(folder.send(records))
    land(tmp_path / "made.db", "tester", records)
    assert shape(tmp_path / "made.db") == shape(folder.warehouse.path)


def shape(path: Path) -> set[tuple[str, str, str]]:
    """Returns the table, column and type of everything that has landed in a warehouse."""
    with duckdb.connect(str(path), read_only=True) as database:
        found = database.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = 'tester'"
        )
        return set(found.fetchall())


def test_a_python_that_dbt_does_not_know_gives_way_to_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python3.12"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    assert dbt.interpreter() == str(python)
    python.unlink()
    with pytest.raises(RuntimeError, match=r"one of Python 3\.13, 3\.12, 3\.11 on PATH"):
        dbt.interpreter()
