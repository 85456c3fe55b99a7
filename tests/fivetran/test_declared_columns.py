"""The catalog through the real `fivetran debug`: any JSON that a record holds must land."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import connector
from courier_async.catalog.schema import schema_of
from courier_async.catalog.stream import Stream
from courier_async.catalog.streams import BY_TABLE, STREAMS
from tests.support.end_to_end import succeeded
from tests.support.expected_rows import Record
from tests.support.landed import CatalogFolder

LANDED_TYPES = {
    "STRING": "VARCHAR",
    "BOOLEAN": "BOOLEAN",
    "LONG": "BIGINT",
    "UTC_DATETIME": "TIMESTAMP WITH TIME ZONE",
    "JSON": "JSON",
}
# Some step on the way to a warehouse refuses each of these, or changes it silently.
HOSTILE: tuple[Any, ...] = (
    "", " ", "007", "true", "t", "1e5", "NaN", "null", "15551234567", "2024-01-01", "{}", "[1",
    "０３１２３４", "٠٥٠١", "१२३", "\x00", "a\x00b", "\u2028", "\ud800", "\udfff\ud800",
    "\U0001f600", "é", "e\u0301", "İ", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z",
    "2026-02-30", "0001-01-01T00:00:00+14:00", "2026-08-14T09:33:05.123456Z", "2026-08-14 09:33",
    "x" * 70_000,
    0, -1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 1786699985000, 253_402_300_800_000,
    0.1, -0.0, 1234567.89, 1e308, 5e-324, 1786699985000.0, float("nan"), float("inf"),
    True, False, None, {}, [], [[]], {"": {}}, {"token": "s3cret"}, [{"api-key": ["s3cret"]}],
)  # fmt: skip
NAMES = st.sampled_from(
    ("", "a", "A", "город", "会社", "отдел", "id", "settings", "additional_fields", "\x00", "é",
     "_fivetran_id", "_fivetran_deleted", "a.b", "token", "token_count", "Client-Secret", "\ud800",
     "reference", "profile")
)  # fmt: skip
SCALARS = st.sampled_from(HOSTILE) | st.integers() | st.floats() | st.text(max_size=5)
# One table of each shape: nested, with a column that is text or an object, flat, free-form, with a
# key of five columns, and with omitted fields.
DRAWN = ("brand", "audit_event", "message", "tenant", "notification_metric", "message_event")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def put(record: Record, path: tuple[str, ...], value: Any) -> None:
    """Sets a value at a path, unless something on the way is not an object."""
    place = record
    for step in path[:-1]:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            return
    place[path[-1]] = deepcopy(value)


@st.composite
def records(draw: st.DrawFn, stream: Stream) -> Record:
    """Draws a record with hostile values in columns, beside them and in place of their parents."""
    paths = st.sampled_from([column.path for column in stream.columns if column.path])
    record: Record = {}
    for path in draw(st.lists(paths, max_size=12)):
        beside = len(path) > 1 and draw(st.booleans())
        put(record, (*path[:-1], draw(NAMES)) if beside else path, draw(VALUES))
    return record | draw(st.dictionaries(NAMES, VALUES, max_size=2))


def with_keys(stream: Stream, drawn: list[Record]) -> list[Record]:
    """Returns the records with unique keys, since rows without keys are never sent."""
    others = {name: "2026-08-14T00:00:00Z" if name == "period" else 1 for name in stream.key[1:]}
    return [
        record | others | {stream.key[0]: f"{number} ключ \x00"}
        for number, record in enumerate(drawn)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> CatalogFolder:
    return CatalogFolder(tmp_path_factory.mktemp("catalog"))


def assert_landed(folder: CatalogFolder, sent: dict[str, list[Record]]) -> None:
    """Replaces everything in the tables with the records, and checks that they landed."""
    folder.warehouse.path.unlink(missing_ok=True)
    succeeded(folder.send(sent))
    for table, rows in sent.items():
        assert folder.warehouse.differences(table, rows) == []


def test_every_hostile_value_lands_in_and_beside_every_column(folder: CatalogFolder) -> None:
    sent = {}
    for table, stream in BY_TABLE.items():
        drawn: list[Record] = [{"undocumented": value} for value in HOSTILE]
        for record in drawn:
            for column in stream.columns:
                if column.path:
                    put(record, column.path, record["undocumented"])
        sent[table] = with_keys(stream, drawn)
    assert_landed(folder, sent)


@settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_arbitrary_json_lands_as_it_was_sent(folder: CatalogFolder, data: st.DataObject) -> None:
    sent = {}
    for table in DRAWN:
        stream = BY_TABLE[table]
        drawn = data.draw(st.lists(records(stream), min_size=3, max_size=6))
        sent[table] = with_keys(stream, drawn)
    assert_landed(folder, sent)


def test_json_nested_by_the_hundred_lands(folder: CatalogFolder) -> None:
    deep: Any = "bottom"
    for _ in range(200):
        deep = {"a": deep}
    sent = {"tenant": [{"id": "A", "properties": deep}, {"id": "B", "properties": {"a": deep}}]}
    succeeded(folder.send(sent))
    landed = folder.warehouse.rows("tenant")
    assert landed["A"] == {"id": "A", "properties": deep}
    assert "properties" not in landed["B"]
    assert json.loads(landed["B"]["additional_fields"]["properties"]) == {"a": deep}


def test_a_decimal_changes_neither_itself_nor_whole_numbers_that_had_landed(
    tmp_path: Path,
) -> None:
    folder = CatalogFolder(tmp_path)
    succeeded(folder.send({"tenant": [{"id": "A", "properties": {"seats": 123456789012}}]}))
    succeeded(folder.send({"tenant": [{"id": "B", "properties": {"seats": 1234567.89}}]}))
    landed = folder.warehouse.rows("tenant")
    assert landed["A"]["properties"] == {"seats": 123456789012}
    assert landed["B"]["properties"] == {"seats": 1234567.89}


def test_digits_and_keys_of_another_script_land_and_do_not_stop_the_sync(
    folder: CatalogFolder,
) -> None:
    rows: list[Record] = [
        {"id": key, "name": digits, "properties": {"zip": digits}, "x": digits}
        for key, digits in {"A": "０３１２３４", "B": "٠٥٠١"}.items()
    ]
    # Each of these keys keeps its value, although none has a Latin letter.
    keys = {"город": "Берлин", "отдел": "Продажи", "会社": "アクメ"}
    assert_landed(folder, {"tenant": [*rows, {"id": "C", "properties": keys, **keys}]})


def columns_of(folder: CatalogFolder) -> list[tuple[Any, ...]]:
    """Returns the table, name and type of each column except Fivetran's own."""
    return folder.warehouse.answer(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name = 'tester' AND NOT starts_with(column_name, '_fivetran_') ORDER BY ALL"
    )


def test_tables_are_the_same_under_both_naming_options_and_without_a_record(
    tmp_path: Path,
) -> None:
    full: dict[str, list[Record]] = {
        "audit_event": [{"auditEventId": "Z", "workspaceId": "w", "extraField": 1}],
        "message": [{"id": "1", "listId": "a", "reasonCode": "HARD"}],
        "brand": [{"id": "B", "settings": {"email": {"header": {"barColor": "#FFFFFF"}}}}],
    }
    found = []
    for number, (records, naming) in enumerate(
        [(full, "FIVETRAN"), (full, "SOURCE"), ({}, "FIVETRAN")]
    ):
        folder = CatalogFolder(tmp_path / str(number))
        succeeded(folder.send(records, "--naming", naming))
        found.append(columns_of(folder))
    declared = sorted(
        (table["table"], name, LANDED_TYPES[kind])
        for table in schema_of(BY_TABLE.values())
        for name, kind in table["columns"].items()
    )
    assert found == [declared] * 3


def test_the_connector_declares_the_tables_that_its_configuration_names() -> None:
    assert connector.schema({"api_key": "k"}) == schema_of(STREAMS)
    every_table = connector.schema({"api_key": "k", "streams": "all"})
    assert every_table == schema_of(BY_TABLE.values())
