"""A summary of a local warehouse: rows per table, and the newest row of each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

SCHEMA: Final = "tester"
# The columns that identify a row, best first; a sample shows its id and the first two it has.
TELLING: Final = ("name", "title", "status", "type", "topic_name", "recipient", "user_id",
                  "recipient_id")  # fmt: skip
TIMES: Final = ("enqueued", "timestamp", "updated", "updated_at", "created", "created_at", "sent")
MOST_TELLING: Final = 2


class Sample(NamedTuple):
    """A table's number of rows not marked deleted, and a few cells of its newest row."""

    table: str
    rows: int
    newest: list[str]


def samples(warehouse: Path) -> list[Sample]:
    """Returns one per table, in order of name; none if the warehouse cannot be opened."""
    if not warehouse.exists():
        return []
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return [_sample(connection, table) for table in _tables(connection)]
    except duckdb.Error:
        return []


def holds_rows(warehouse: Path) -> bool:
    """Whether it has rows. True if it cannot be opened (a sync writes): reading then says why."""
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            counted = connection.execute(
                "SELECT sum(estimated_size) FROM duckdb_tables() WHERE schema_name = ?", [SCHEMA]
            ).fetchone()
    except duckdb.Error:
        return True
    return bool(counted and counted[0])


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = ? ORDER BY table_name",
        [SCHEMA],
    )
    return [name for (name,) in found.fetchall()]


def _sample(connection: duckdb.DuckDBPyConnection, table: str) -> Sample:
    described = connection.execute(f'DESCRIBE {SCHEMA}."{table}"').fetchall()
    types = {row[0]: str(row[1]) for row in described}
    alive = "WHERE NOT coalesce(_fivetran_deleted, false)" if "_fivetran_deleted" in types else ""
    source = f'FROM {SCHEMA}."{table}" {alive}'
    counted = connection.execute(f"SELECT count(*) {source}").fetchone()
    count = counted[0] if counted else 0
    time = next((name for name in TIMES if name in types), None)
    telling = [name for name in TELLING if name in types][:MOST_TELLING]
    key = [name for name in types if name == "id" or name.endswith("_id")][:1]
    cells = [f'"{name}"::VARCHAR' for name in dict.fromkeys([*key, *telling])]
    if time is not None:
        cells.append(f'"{time}"' if "INT" in types[time] else f'epoch_ms("{time}")')
    if not count or not cells:
        return Sample(table, count, [])
    order = f'ORDER BY "{time}" DESC NULLS LAST' if time else ""
    row = connection.execute(f"SELECT {', '.join(cells)} {source} {order} LIMIT 1").fetchone()
    return Sample(table, count, _texts(row or (), has_time=time is not None))


def _texts(row: Sequence[Any], *, has_time: bool) -> list[str]:
    """Returns the non-empty cells, each on one line; with `has_time`, the last is in epoch ms."""
    texts = [" ".join(str(cell).split()) for cell in row[: len(row) - has_time] if cell]
    if has_time and row[-1] is not None:
        texts.append(datetime.fromtimestamp(row[-1] / 1000, UTC).strftime("%Y-%m-%d %H:%M"))
    return texts
