"""Long readings in several places at once: all rows land, with few extra requests."""

from typing import Any

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.reading import lane_count
from courier_async.reading.lane_count import MOST_LANES, LaneCount
from courier_async.state import sent_rows
from tests.support.fake_courier import FakeApi
from tests.support.harness import expected_keys
from tests.support.virtual_sync import VirtualSync, virtual_api, virtual_sync

PAGES = 300
RATE = 200.0
MESSAGES = (BY_TABLE["message"],)

# How a server may treat cursors that it never gave out.
REFUSALS: dict[str, dict[str, Any]] = {
    mode: {"made_up_cursors": mode}
    for mode in ("honoured", "refused", "not_found", "gone", "head", "partly", "gaps", "newer")
} | {
    "thin": {"made_up_cursors": "thin"},
    "empty": {"made_up_cursors": "empty"},
    "failing": {"rules": ({"stream": "message", "cursor": "made_up", "status": 500},)},
    "failing after the probe": {
        "rules": ({"stream": "message", "cursor": "made_up", "status": 500, "after": 1},)
    },
    "forbidden": {"rules": ({"stream": "message", "cursor": "made_up", "status": 403},)},
    "false end": {
        "rules": (
            {"stream": "message", "cursor": "own", "paging": "false_end", "after": 20, "times": 1},
        )
    },
}


def _landed_all(api: FakeApi, synced: VirtualSync) -> bool:
    landed = {row["id"] for row in synced.sink.sent("message")}
    return synced.error is None and landed == expected_keys(api.account, "message")


@pytest.mark.parametrize("cluster_share", [0.0, 0.98], ids=["even", "clustered"])
@pytest.mark.parametrize("server", REFUSALS)
def test_all_messages_land_for_few_requests_whatever_a_server_makes_of_lanes(
    server: str, cluster_share: float
) -> None:
    account = {"cluster_share": cluster_share}
    options = {"latency_ms": 300.0} | REFUSALS[server]
    api = virtual_api({"message": PAGES * 10}, account=account, **options)

    synced = virtual_sync(api, streams=MESSAGES, requests_per_second=RATE, max_retries=0)

    assert _landed_all(api, synced), synced.error
    assert api.traffic.by_stream["message"] <= 350


@pytest.mark.parametrize("after", range(40, 280, 40))
def test_the_other_lanes_go_on_while_an_end_is_confirmed(after: int) -> None:
    rule = {"stream": "message", "cursor": "own", "paging": "false_end", "times": 1}
    api = virtual_api({"message": PAGES * 10}, latency_ms=300.0, rules=[rule | {"after": after}])

    synced = virtual_sync(api, streams=MESSAGES, requests_per_second=RATE)

    assert _landed_all(api, synced), synced.error
    # A single lane would take 90 seconds.
    assert synced.seconds < 20


def test_an_end_that_an_empty_page_shows_to_be_none_does_not_end_the_lanes() -> None:
    rule = {"stream": "message", "cursor": "own", "paging": "false_end", "after": 10, "times": 1}
    every_other = {"message": 2}
    api = virtual_api(
        {"message": PAGES * 10}, latency_ms=300.0, rules=(rule,), empty_page_every=every_other
    )

    synced = virtual_sync(api, streams=MESSAGES, requests_per_second=RATE, max_retries=0)

    assert _landed_all(api, synced), synced.error
    assert "no_lanes_until" not in synced.sink.last_state()["streams"]["message"]


def test_lanes_keep_the_rate_in_use_without_being_set() -> None:
    api = virtual_api({"message": 15_000}, latency_ms=100.0)

    synced = virtual_sync(api, streams=MESSAGES, requests_per_second=RATE)

    assert _landed_all(api, synced), synced.error
    # The start and end, which have less parallel work, weigh more here than in 6,000 pages.
    assert api.traffic.requests >= 0.8 * RATE * synced.seconds
    assert api.traffic.requests <= 1.06 * 1_500


def test_a_server_slower_than_the_rate_does_not_get_ever_more_lanes() -> None:
    count = LaneCount(None)
    for _ in range(20):
        count.answered(per_second=RATE, seconds=0.05)
    unhurried = count.wanted

    # The server answers 100 a second, so the more lanes ask at once, the longer each waits.
    for _ in range(1_000):
        count.answered(per_second=RATE, seconds=max(0.05, count.wanted / 100))

    assert unhurried < count.wanted < MOST_LANES / 2


def test_lanes_land_messages_beyond_those_that_the_state_remembers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 500)
    api = virtual_api({"message": 4_000}, latency_ms=300.0)

    synced = virtual_sync(api, requests_per_second=RATE)

    assert _landed_all(api, synced), synced.error


def test_lanes_that_begin_close_to_each_other_are_still_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With this many lanes, the lane above may have read past a new one before it is answered.
    monkeypatch.setattr(lane_count, "_SPARE_SHARE", 0.12)
    api = virtual_api({"message": 60_000}, account={"cluster_share": 0.98}, latency_ms=300.0)

    synced = virtual_sync(api, streams=MESSAGES, requests_per_second=RATE)

    assert _landed_all(api, synced), synced.error
    assert api.traffic.requests <= 1.05 * 6_000
