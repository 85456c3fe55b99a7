"""The real `fivetran debug`, killed, stopped, and with the API restarted under it."""

import os
import random
import signal
import time
from pathlib import Path

from tests.end_to_end import DebugFolder, differences, wait_for_requests
from tests.fake_courier.process import FakeCourierProcess
from tests.warehouse import KEYS

SIZES = dict.fromkeys(KEYS, 14) | {"message": 900, "audit_event": 40}
KEPT = ("brand", "audience", "list", "notification", "tenant")


def folder_for(tmp_path: Path, fake: FakeCourierProcess, **settings: str) -> DebugFolder:
    usual = {
        "requests_per_second": "100",
        "checkpoint_interval_seconds": "1",
        "message_lanes": "2",
    }
    return DebugFolder(tmp_path, {"api_key": fake.key, "base_url": fake.url} | usual | settings)


def change_everything(fake: FakeCourierProcess) -> None:
    for stream in KEPT:
        fake.change("edit", stream=stream, n=2, keep_updated=True)
        fake.change("delete", stream=stream, n=1)
    for stream in KEYS:
        fake.change("add", stream=stream, n=2)
    fake.change("progress_messages", n=10, newest=100)


def test_killed_at_random_moments_while_data_changes_nothing_is_lost(tmp_path: Path) -> None:
    with FakeCourierProcess(sizes=SIZES, latency_ms=10) as fake:
        folder = folder_for(tmp_path, fake)
        ended = []
        for _ in range(3):
            # Of a sync of about two seconds; the changes fall into it as well.
            fake.change_after("message", 20, "add", stream="message", n=5)
            fake.change_after("brand", 1, "edit", stream="brand", n=3)
            run = folder.sync(
                kill_after_seconds=random.uniform(0.05, 1.2),
                meanwhile=lambda _: change_everything(fake),
            )
            ended.append(run.status)
        # A sync that resumes a stream deletes nothing of it; the next one does.
        for _ in range(2):
            run = folder.sync(changes={"requests_per_second": "1000"})
            assert run.status == 0, run.output
        assert -signal.SIGKILL in ended
        assert differences(folder, fake) == []


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
    with FakeCourierProcess(sizes=SIZES, latency_ms=20) as fake:
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
    first = FakeCourierProcess(sizes=SIZES, latency_ms=40, now_ms=now_ms)
    with first as fake:
        port = int(fake.url.rpartition(":")[2])
        again = FakeCourierProcess(sizes=SIZES, latency_ms=5, now_ms=now_ms, port=port)
        asked = []

        def restart(_: int) -> None:
            wait_for_requests(first, 10)
            asked.append(first.stats()["requests"])
            first.__exit__(None, None, None)
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
