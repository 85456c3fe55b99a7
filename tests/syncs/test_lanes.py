"""Long readings in several places at once: all rows land, for few requests more."""

import pytest

from courier_async.state import sent_rows
from tests.support.harness import expected
from tests.support.virtual_sync import virtual_api, virtual_sync


def test_lanes_land_messages_beyond_those_that_the_state_remembers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 500)
    api = virtual_api({"message": 4_000}, latency_ms=300.0)

    synced = virtual_sync(api, requests_per_second=200.0)

    assert synced.error is None
    assert {row["id"] for row in synced.sink.sent("message")} == set(
        expected(api.account, "message")
    )
