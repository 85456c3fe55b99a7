"""The real `fivetran debug`, killed, stopped, and with the API restarted during the run."""

import os
import random
import signal
import time
from pathlib import Path

from tests.support.end_to_end import differences, wait_for_requests
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.kills import SIZES, folder_for, kill_again_and_again, planned


def test_killed_at_random_moments_while_data_changes_nothing_is_lost(tmp_path: Path) -> None:
    outcome = kill_again_and_again(tmp_path, syncs=3, seed=random.randrange(1_000_000))
    assert outcome.died.total() >= 1, outcome.line()
    assert outcome.requests > 100
    assert outcome.differences == []


def test_the_kills_of_a_seed_are_the_same_again_and_fall_into_each_phase() -> None:
    assert planned(25, 7) == planned(25, 7)
    assert planned(25, 7) != planned(25, 8)
    assert {kill.phase.name for kill in planned(3, 7)} == {"start-up", "walking", "end"}


def test_stopped_for_longer_than_a_request_may_take_it_goes_on(tmp_path: Path) -> None:
    def stop_a_while(group: int) -> None:
        wait_for_requests(fake, 10)
        os.killpg(group, signal.SIGSTOP)
        fake.change("add", stream="message", n=5)
        stopped_at.append(fake.stats()["requests"])
        time.sleep(1.4)
        stopped_at.append(fake.stats()["requests"])
        os.killpg(group, signal.SIGCONT)

    stopped_at: list[int] = []
    with FakeCourierThread(sizes=SIZES, latency_ms=20) as fake:
        folder = folder_for(
            tmp_path, fake, request_timeout_seconds="1", max_retries="2", message_lanes="1"
        )
        for meanwhile in (stop_a_while, None):
            run = folder.sync(meanwhile=meanwhile, changes={"requests_per_second": "1000"})
            assert run.status == 0, run.output
        assert stopped_at[1] - stopped_at[0] <= 1
        assert fake.stats()["requests"] > stopped_at[1] + 20
        assert differences(folder, fake) == []


def test_the_api_restarted_on_the_same_port_under_a_sync_costs_no_row(tmp_path: Path) -> None:
    now_ms = int(time.time() * 1000)
    first = FakeCourierThread(sizes=SIZES, latency_ms=40, now_ms=now_ms)
    with first as fake:
        port = int(fake.url.rpartition(":")[2])
        again = FakeCourierThread(sizes=SIZES, latency_ms=5, now_ms=now_ms, port=port)
        asked = []

        def restart(_: int) -> None:
            wait_for_requests(first, 10)
            asked.append(first.stats()["requests"])
            first.__exit__(None, None, None)
            # Long enough that a request finds no server, however busy the machine is.
            time.sleep(1)
            again.__enter__()

        folder = folder_for(tmp_path, fake, message_lanes="1")
        try:
            run = folder.sync(meanwhile=restart)
            assert run.status == 0, run.output
            assert asked[0] > 5
            assert again.stats()["requests"] > 5
            assert sum(run.counts("retries").values()) > 0
            assert differences(folder, again) == []
        finally:
            again.__exit__(None, None, None)
