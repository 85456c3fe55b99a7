"""The comparison itself: what it lets pass and what it must not."""

from pathlib import Path

import duckdb

from tests.support.warehouse import Warehouse, column_name

BRAND = {"id": "b1", "name": "007", "created": 5, "settings": {"a": [True, None], "b": {}}}


def landed(path: Path, *changes: str) -> Warehouse:
    """A table as the destination would keep BRAND, then changed by SQL."""
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE SCHEMA tester; CREATE TABLE tester.brand (id VARCHAR, name VARCHAR, "
            "created BIGINT, settings_a VARCHAR, _fivetran_deleted BOOLEAN); "
            "INSERT INTO tester.brand VALUES ('b1', '007', 5, '[true,null]', false)"
        )
        for change in changes:
            database.execute(change)
    return Warehouse(path)


def test_a_table_as_the_source_has_it_has_no_differences(tmp_path: Path) -> None:
    assert landed(tmp_path / "w.db").differences("brand", [BRAND]) == []


def test_a_column_that_would_only_hold_empty_text_may_be_absent(tmp_path: Path) -> None:
    warehouse = landed(tmp_path / "w.db")
    assert warehouse.differences("brand", [BRAND | {"note": ""}]) == []
    assert len(warehouse.differences("brand", [BRAND | {"note": "x"}])) == 1


def test_a_row_that_is_missing_or_too_many_or_deleted_is_told(tmp_path: Path) -> None:
    warehouse = landed(tmp_path / "w.db")
    assert warehouse.differences("brand", []) == ["brand 'b1' is not in the source"]
    assert warehouse.differences("brand", [BRAND, {"id": "b2"}]) == ["brand 'b2' is missing"]
    gone = landed(tmp_path / "v.db", "UPDATE tester.brand SET _fivetran_deleted = true")
    assert gone.differences("brand", [BRAND]) == ["brand 'b1' is missing"]
    assert gone.deleted("brand") == {"b1"}
    assert Warehouse(tmp_path / "none.db").differences("brand", [BRAND]) == [
        "brand: there is no such table"
    ]


def test_a_cell_that_differs_is_told_by_its_column(tmp_path: Path) -> None:
    for number, change in enumerate(("name = '7'", "created = NULL", "settings_a = '[true]'")):
        warehouse = landed(tmp_path / f"{number}.db", f"UPDATE tester.brand SET {change}")
        (told,) = warehouse.differences("brand", [BRAND])
        assert f".{change.partition(' ')[0]} " in told
    assert len(landed(tmp_path / "w.db").differences("brand", [BRAND | {"new": {"x": 1}}])) == 1


def test_columns_are_spelled_as_trial_runs_showed() -> None:
    spelled = {
        "HTMLBody": "htmlbody", "line2Text": "line_2_text", "Größe (cm)": "gro_e_cm_",
        "1st": "_1_st", "a__b": "a_b", "_lead": "_lead", "trail_": "trail_", "dash-é": "dash_e",
        "日本": "_", "iOSDevice": "i_osdevice", "eu2US": "eu_2_us",
        "auditEventId": "audit_event_id",
    }  # fmt: skip
    assert {name: column_name(name) for name in spelled} == spelled
