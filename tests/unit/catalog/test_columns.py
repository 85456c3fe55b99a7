"""Which columns there are and of what type: as documented, as declared, and as they land."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from courier_async.catalog.rows import Flattener, column_name
from courier_async.catalog.streams import BY_TABLE, STREAMS, Record
from tests.support.columns import Column, documented_columns
from tests.support.end_to_end import DebugFolder, succeeded
from tests.support.fake_courier import Account
from tests.support.fake_courier.process import FakeCourierProcess

# Each looks like something that it is not.
AWKWARD = ("15551234567", "true", "t", "1e5", "007", "2024-01-01")
LANDED = {
    "text": "VARCHAR",
    "JSON text": "VARCHAR",
    "epoch ms": "BIGINT",
    "time": "TIMESTAMP WITH TIME ZONE",
    "boolean": "BOOLEAN",
}
FIVETRANS_OWN = {"_fivetran_synced", "_fivetran_deleted"}
DECLARED = {
    stream.table: {column_name(name) for name in (stream.key, *stream.text_columns)}
    for stream in STREAMS
}
# Large enough for each column that there is to have a value.
SIZES = {stream.table: 300 for stream in STREAMS}


@pytest.fixture(scope="module")
def documented() -> dict[str, list[Column]]:
    return documented_columns()


@pytest.fixture(scope="module")
def fakes_rows() -> dict[str, list[dict[str, Any]]]:
    """Every record of a fake account, flat, under the destination's names."""
    account = Account(sizes=SIZES)
    rows = {}
    for stream in STREAMS:
        flattener = Flattener(stream.table)
        rows[stream.table] = [
            {column_name(name): value for name, value in flattener.row(record).items()}
            for record in account.truth(stream.table)
        ]
    return rows


def of_column(columns: list[Column], name: str) -> Column | None:
    """The documentation's row for a column of the destination, a pattern only if need be."""
    return next((column for column in columns if column.covers(name)), None)


def looks_like(value: Any) -> set[str]:
    """The documented types that a value may have."""
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"epoch ms"} if value > 10**12 else set()
    if not isinstance(value, str):
        return set()
    types = {"text"}
    try:
        datetime.fromisoformat(value)
        types.add("time")
    except ValueError:
        pass
    if value.startswith("["):
        types.add("JSON text")
    return types


def test_every_table_is_documented_and_no_other(documented: dict[str, list[Column]]) -> None:
    assert sorted(documented) == sorted(BY_TABLE)


@pytest.mark.parametrize("table", list(BY_TABLE))
def test_every_column_of_the_fakes_records_is_documented_with_its_type(
    documented: dict[str, list[Column]], fakes_rows: dict[str, list[dict[str, Any]]], table: str
) -> None:
    for row in fakes_rows[table]:
        for name, value in row.items():
            column = of_column(documented[table], name)
            assert column is not None, f"{table}.{name} is in no document"
            assert column.type == "by its look" or column.type in looks_like(value), name


@pytest.mark.parametrize("table", list(BY_TABLE))
def test_every_documented_column_is_filled_by_a_record_or_marked(
    documented: dict[str, list[Column]], fakes_rows: dict[str, list[dict[str, Any]]], table: str
) -> None:
    seen = {of_column(documented[table], name) for row in fakes_rows[table] for name in row}
    unfilled = {column.name for column in documented[table] if column not in seen}
    marked = {c.name for c in documented[table] if c.empty.endswith("documented only")}
    assert unfilled == marked


@pytest.mark.parametrize("table", list(BY_TABLE))
def test_what_is_documented_as_never_empty_never_is_and_only_that(
    documented: dict[str, list[Column]], fakes_rows: dict[str, list[dict[str, Any]]], table: str
) -> None:
    rows = fakes_rows[table]
    always = {name for name in rows[0] if all(name in row for row in rows)}
    assert {c.name for c in documented[table] if c.empty.startswith("never")} == always


@pytest.mark.parametrize("table", list(BY_TABLE))
def test_what_is_documented_as_text_is_what_the_schema_declares(
    documented: dict[str, list[Column]], table: str
) -> None:
    text = {column.name for column in documented[table] if column.type in ("text", "JSON text")}
    assert text == DECLARED[table]


def test_the_columns_land_with_their_documented_types(
    documented: dict[str, list[Column]], tmp_path: Path
) -> None:
    with FakeCourierProcess(sizes=SIZES) as courier:
        project = DebugFolder(tmp_path, {"api_key": courier.key, "base_url": courier.url})
        succeeded(project.sync())
    landed = project.warehouse.answer(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'tester'"
    )
    for table, name, kind in landed:
        if name in FIVETRANS_OWN:
            continue
        column = of_column(documented[table], name)
        assert column is not None, f"{table}.{name} is in no document"
        assert column.type == "by its look" or kind == LANDED[column.type], f"{table}.{name}"
    # Those that nothing fills are there all the same.
    there = {(table, name) for table, name, _ in landed}
    assert {(table, name) for table in DECLARED for name in DECLARED[table]} <= there


class Records:
    """An API with the records it is given, a page a table."""

    def __init__(self) -> None:
        self.url = ""
        self.by_path: dict[str, list[Record]] = {}

    def serve(self, records: dict[str, list[Record]]) -> None:
        self.by_path = {BY_TABLE[table].path: rows for table, rows in records.items()}


@pytest.fixture
def records() -> Iterator[Records]:
    api = Records()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows = api.by_path.get(urlsplit(self.path).path)
            body = {"results": rows, "items": rows, "has_more": False, "paging": {"more": False}}
            self.send_response(404 if rows is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield api
    server.shutdown()
    thread.join()
    server.server_close()


def with_text(text: str) -> dict[str, list[Record]]:
    """A record a stream with this text in every declared column, its key among them."""
    return {
        stream.table: [dict.fromkeys((stream.key, *stream.text_columns), text)]
        for stream in STREAMS
    }


# A number alone in the first sync, or a boolean, is what would decide a column's type.
@pytest.mark.parametrize("first", ["15551234567", "t", "2024-01-01"])
def test_text_that_looks_like_something_else_lands_unchanged_in_every_declared_column(
    records: Records, tmp_path: Path, first: str
) -> None:
    project = DebugFolder(tmp_path, {"api_key": "k", "base_url": records.url})
    records.serve(with_text(first))
    succeeded(project.sync())
    all_rows: dict[str, list[Record]] = {table: [] for table in BY_TABLE}
    for text in AWKWARD:
        for table, rows in with_text(text).items():
            all_rows[table] += rows
    records.serve(all_rows)
    succeeded(project.sync())
    for table, columns in DECLARED.items():
        names = sorted(columns)
        selected = ", ".join(f'"{name}"' for name in names)
        landed = project.warehouse.answer(
            f'SELECT {selected} FROM "{table}" WHERE NOT _fivetran_deleted'
        )
        assert sorted(landed) == sorted((text,) * len(names) for text in AWKWARD), table


def test_what_is_no_text_lands_as_text_in_a_declared_column(
    records: Records, tmp_path: Path
) -> None:
    project = DebugFolder(tmp_path, {"api_key": "k", "base_url": records.url, "streams": "brand"})
    values = {"1": 7, "2": True, "3": 1.5, "4": ["a", 1]}
    records.serve({"brand": [{"id": key, "version": value} for key, value in values.items()]})
    succeeded(project.sync())
    landed = dict(project.warehouse.answer("SELECT id, version FROM brand"))
    assert landed == {"1": "7", "2": "true", "3": "1.5", "4": '["a",1]'}


def test_what_becomes_of_such_text_in_a_column_that_a_customer_named(
    records: Records, tmp_path: Path
) -> None:
    project = DebugFolder(tmp_path, {"api_key": "k", "base_url": records.url, "streams": "tenant"})
    alone = {f"c{number}": text for number, text in enumerate(AWKWARD)}
    records.serve({"tenant": [{"id": "first", "properties": alone}]})
    succeeded(project.sync())
    columns = ", ".join(f"properties_c_{number}" for number in range(len(AWKWARD)))
    kinds = ", ".join(f"typeof(properties_c_{number})" for number in range(len(AWKWARD)))
    typed = ("BIGINT", "BOOLEAN", "BOOLEAN", "VARCHAR", "VARCHAR", "DATE")
    assert project.warehouse.answer(f"SELECT {kinds} FROM tenant") == [typed]

    # A value that does not fit: the column is text from then on, for what came before too.
    plain = dict.fromkeys(alone, "007")
    records.serve(
        {"tenant": [{"id": "first", "properties": alone}, {"id": "second", "properties": plain}]}
    )
    succeeded(project.sync())
    landed = {
        row[0]: row[1:] for row in project.warehouse.answer(f"SELECT id, {columns} FROM tenant")
    }
    assert landed["second"] == ("007",) * len(AWKWARD)
    # The first row has not changed and so was not sent again: `t` stays what it was read as.
    assert landed["first"] == ("15551234567", "true", "true", "1e5", "007", "2024-01-01")
