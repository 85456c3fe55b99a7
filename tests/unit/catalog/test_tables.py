"""The catalog is consistent about each table."""

from dataclasses import replace
from typing import Any

import pytest

from courier_async.catalog.child_streams import FURTHER, counts_of, topics_of
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.schema import salt_of, schema_of
from courier_async.catalog.stream import Stream, Type
from courier_async.catalog.streams import BY_TABLE, STREAMS
from tests.support.fake_courier import Account

CORE = ("brand", "audience", "audit_event", "list", "message", "notification", "tenant")
EVERY_TABLE = pytest.mark.parametrize("stream", BY_TABLE.values(), ids=list(BY_TABLE))
# Fields of the fake's records that Courier does not document by name.
UNDOCUMENTED = {"brand": {"settings"}}


def test_the_core_tables_are_the_seven_and_the_further_ones_nine() -> None:
    assert tuple(stream.table for stream in STREAMS) == CORE
    assert len(FURTHER) == 9
    assert len(BY_TABLE) == 16


@EVERY_TABLE
def test_a_column_has_one_name_and_one_path(stream: Stream) -> None:
    names = [column.name for column in stream.columns]
    paths = [column.path for column in stream.columns if column.path]
    assert len(set(names)) == len(names)
    assert len(set(paths)) == len(paths)
    assert names[-1] == "additional_fields"


@EVERY_TABLE
def test_names_are_snake_case_and_not_fivetrans_own(stream: Stream) -> None:
    for column in stream.columns:
        assert column.name.replace("_", "a").isalpha()
        assert column.name == column.name.lower()
        assert not column.name.startswith("_")


@EVERY_TABLE
def test_a_key_is_made_of_columns_that_no_json_value_fills(stream: Stream) -> None:
    types = {column.name: column.type for column in stream.columns}
    assert len(stream.key_columns) == len(stream.key)
    assert Type.JSON not in {types[name] for name in stream.key_columns}


@EVERY_TABLE
def test_what_a_stream_and_its_columns_name_is_there(stream: Stream) -> None:
    names = {column.name for column in stream.columns}
    fields = {column.path[0] for column in stream.columns if column.path}
    for column in stream.columns:
        assert column.meaning.endswith(".")
        assert column.refers_to is None or column.refers_to in BY_TABLE
        assert set(column.first_of) <= names
    assert stream.parent is None or stream.parent in BY_TABLE
    assert (stream.parent is not None) == ("{id}" in stream.path)
    assert stream.time_field is None or stream.time_field in fields
    assert {*stream.own_times, *stream.settled_times.values()} <= fields


@EVERY_TABLE
def test_what_is_left_out_is_no_column(stream: Stream) -> None:
    steps = {step for column in stream.columns for step in column.path}
    assert not steps & set(stream.left_out)


@EVERY_TABLE
def test_only_rows_that_are_kept_are_deleted(stream: Stream) -> None:
    assert stream.keeps_rows or not stream.deletes


@pytest.mark.parametrize("table", CORE)
def test_every_field_of_the_fakes_records_has_a_column(table: str) -> None:
    stream = BY_TABLE[table]
    mapper = RowMapper(stream, redact_secrets=False)
    account = Account(sizes={table: 300})
    rest: set[str] = set()
    for record in account.truth(table):
        rest |= mapper.row(record).get("additional_fields", {}).keys()
    assert rest == UNDOCUMENTED.get(table, set())


def test_the_schema_declares_every_column_with_its_type_and_the_key() -> None:
    (table,) = schema_of([BY_TABLE["list_subscription"]])
    assert table == {
        "table": "list_subscription",
        "primary_key": ["list_id", "recipient_id"],
        "columns": {
            "list_id": "STRING",
            "recipient_id": "STRING",
            "created": "UTC_DATETIME",
            "preferences": "JSON",
            "additional_fields": "JSON",
        },
    }


def test_the_salt_differs_where_rows_would() -> None:
    brand = BY_TABLE["brand"]
    others = [
        replace(brand, columns=brand.columns[1:]),
        replace(brand, columns=(replace(brand.columns[0], type=Type.JSON), *brand.columns[1:])),
        replace(brand, left_out=("name",)),
        BY_TABLE["list"],
    ]
    salts = {salt_of(stream, True) for stream in (brand, *others)} | {salt_of(brand, False)}
    assert len(salts) == 6
    assert {len(salt) for salt in salts} == {8}


def test_the_salt_is_the_same_whatever_the_documentation_says_and_in_whatever_order() -> None:
    brand = BY_TABLE["brand"]
    reworded = [replace(column, meaning="", source="") for column in reversed(brand.columns)]
    assert salt_of(replace(brand, about="", columns=tuple(reworded)), True) == salt_of(brand, True)


def test_the_topics_of_a_section_carry_its_id() -> None:
    section = {"id": "s", "topics": [{"id": "a"}, {"id": "b", "section_id": "other"}]}
    assert topics_of(section) == [
        {"id": "a", "section_id": "s"},
        {"id": "b", "section_id": "s"},
    ]


def test_the_counts_of_a_day_carry_it() -> None:
    counts = {"provider": "sendgrid", "channel": "email", "sent": 1}
    assert counts_of({"period": "2026-08-13T00:00:00Z", "data": [counts]}) == [
        {**counts, "granularity": "DAY", "period": "2026-08-13T00:00:00+00:00"}
    ]


@pytest.mark.parametrize("nothing", [{"topics": None, "data": None}, {"topics": [], "data": []}])
def test_a_section_or_day_may_hold_nothing(nothing: dict[str, Any]) -> None:
    assert topics_of(nothing) == counts_of(nothing) == []


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], {"topics": 7, "data": "x"}, {"topics": [None], "data": {"a": 1}}]
)
def test_what_is_no_section_or_day_is_a_record_that_cannot_be_stored(odd: object) -> None:
    for records, table in (
        (topics_of(odd), "subscription_topic"),
        (counts_of(odd), "notification_metric"),
    ):
        assert [BY_TABLE[table].key_of(record) for record in records] == [None]


def test_a_section_without_its_topics_is_a_record_that_cannot_be_stored() -> None:
    (record,) = topics_of({"id": "s"})
    assert BY_TABLE["subscription_topic"].key_of(record) is None


@pytest.mark.parametrize("missing", [None, ""])
def test_counts_for_which_courier_names_no_provider_or_channel_can_be_stored(
    missing: str | None,
) -> None:
    counts = {"provider": missing, "channel": missing, "undeliverable": 1}
    (record,) = counts_of({"period": "2026-08-13T00:00:00Z", "data": [counts]})
    key = BY_TABLE["notification_metric"].key_of({"notification_id": "t", **record})
    assert key == ("t", "DAY", "2026-08-13T00:00:00+00:00", "none", "none")


def test_counts_without_the_fields_of_their_key_cannot_be_stored() -> None:
    (record,) = counts_of({"period": "2026-08-13T00:00:00Z", "data": [{"undeliverable": 1}]})
    assert BY_TABLE["notification_metric"].key_of({"notification_id": "t", **record}) is None


def test_counts_without_a_time_cannot_be_stored() -> None:
    (record,) = counts_of({"period": "soon", "data": [{"provider": "a", "channel": "email"}]})
    assert BY_TABLE["notification_metric"].key_of({"notification_id": "t", **record}) is None
