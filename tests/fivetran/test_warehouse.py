"""Tests the warehouse comparison: what it must accept and what it must report."""

from pathlib import Path

import duckdb

from courier_async.catalog.schema import schema_of
from courier_async.catalog.streams import BY_TABLE
from tests.support.warehouse import Warehouse

LIST = {"id": "l1", "name": "007", "created": 5, "preferences": {"a": [True, None]}, "new": 1}


def landed(path: Path, *changes: str) -> Warehouse:
    """Returns a warehouse with a table like the destination's LIST, then changed by SQL."""
    (table,) = schema_of([BY_TABLE["list"]])
    types = {"STRING": "VARCHAR", "UTC_DATETIME": "TIMESTAMPTZ", "JSON": "JSON"}
    columns = ", ".join(f"{name} {types[kind]}" for name, kind in table["columns"].items())
    with duckdb.connect(str(path)) as database:
        database.execute(
            f"CREATE SCHEMA tester; CREATE TABLE tester.list ({columns}, "
            "_fivetran_deleted BOOLEAN); INSERT INTO tester.list VALUES "
            "('l1', '007', '1970-01-01 00:00:00.005+00', NULL, "
            """'{"a": [true, null]}', '{"new": 1}', false)"""
        )
        for change in changes:
            database.execute(change)
    return Warehouse(path)


def test_a_table_as_the_source_has_it_has_no_differences(tmp_path: Path) -> None:
    assert landed(tmp_path / "w.db").differences("list", [LIST]) == []


def test_a_row_that_is_missing_or_too_many_or_deleted_is_told(tmp_path: Path) -> None:
    warehouse = landed(tmp_path / "w.db")
    assert warehouse.differences("list", []) == ["list 'l1' is not in the source"]
    assert warehouse.differences("list", [LIST, {"id": "l2"}]) == ["list 'l2' is missing"]
    gone = landed(tmp_path / "v.db", "UPDATE tester.list SET _fivetran_deleted = true")
    assert gone.differences("list", [LIST]) == ["list 'l1' is missing"]
    assert gone.deleted("list") == {"l1"}
    assert Warehouse(tmp_path / "none.db").differences("list", [LIST]) == ["list: no such table"]


def test_a_cell_that_differs_is_told_by_its_column(tmp_path: Path) -> None:
    changes = (
        "name = '7'",
        "name = ''",
        "created = NULL",
        "created = '1970-01-01 00:00:00+00'",
        "updated = '1970-01-01 00:00:00+00'",
        """preferences = '{"a": [1, null]}'""",
        "additional_fields = NULL",
    )
    for number, change in enumerate(changes):
        warehouse = landed(tmp_path / f"{number}.db", f"UPDATE tester.list SET {change}")
        (told,) = warehouse.differences("list", [LIST])
        assert f".{change.partition(' ')[0]} " in told


def test_a_secret_that_landed_is_told(tmp_path: Path) -> None:
    change = """UPDATE tester.list SET additional_fields = '{"new": 1, "token": "s3cret"}'"""
    warehouse = landed(tmp_path / "w.db", change)
    (told,) = warehouse.differences("list", [LIST | {"token": "s3cret"}])
    assert "additional_fields" in told
