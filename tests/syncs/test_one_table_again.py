"""A table that was dropped is filled again by the steps of docs/deploying.md."""

from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from tests.support.harness import Tables, copied, expected_of
from tests.support.virtual_sync import virtual_api, virtual_sync

HOUR_MS = 3_600_000
PARENT = {table: stream.parent for table, stream in BY_TABLE.items() if stream.parent}
REMOVED = {"message", "audit_event", "preference_change"}
OF_MESSAGES = {"message_event", "message_provider"}
# Metrics are left out: with each sync their window moves on.
TABLES = sorted(BY_TABLE.keys() - {"notification_metric"})
SIZES = {table: 10 for table in TABLES if table not in OF_MESSAGES}


def as_documented(state: dict[str, Any], table: str) -> dict[str, Any]:
    state = copied(state)
    if table in REMOVED:
        del state["streams"][table]
    elif table in OF_MESSAGES:
        del state["streams"]["message"]
    else:
        state["streams"][table]["open"] = True
    return state


@pytest.mark.parametrize("table", TABLES)
def test_a_dropped_table_is_filled_again(table: str) -> None:
    names = {table, PARENT.get(table, table)}
    streams = tuple(stream for stream in BY_TABLE.values() if stream.table in names)
    api = virtual_api(SIZES)
    tables, state = Tables(), dict[str, Any]()
    for number in range(4):
        if number == 2:
            assert tables.rows[table] == expected_of(api, table)
            tables.rows[table].clear()
            state = as_documented(state, table)
        synced = virtual_sync(api, state, streams=streams)
        assert synced.error is None
        tables.apply(synced.sink)
        state = synced.sink.last_state()
        # A round begins after a day.
        api.account.advance(25 * HOUR_MS)
    assert tables.rows[table] == expected_of(api, table)
    assert expected_of(api, table)
