"""Compares what a user gets with the source, through the real `fivetran debug` and real HTTP."""

import os
import random
import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.state.saved import VERSION
from tests.support.end_to_end import (
    DebugFolder,
    Run,
    differences,
    succeeded,
    wait_for_requests,
)
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.warehouse import KEYS

SMALL = {
    "brand": 14, "audience": 14, "audit_event": 24, "list": 14, "message": 60,
    "notification": 14, "tenant": 14,
}  # fmt: skip
# Streams kept by fingerprint: only changes are sent, and deletes are seen.
KEPT = ("brand", "audience", "list", "notification", "tenant")


def connector(tmp_path: Path, fake: FakeCourierThread, **settings: str) -> DebugFolder:
    """Returns a project that reads from the fake as fast as it can, without retries."""
    fast = {"requests_per_second": "1000", "max_retries": "0"}
    return DebugFolder(tmp_path, {"api_key": fake.key, "base_url": fake.url} | fast | settings)


def error_of(run: Run) -> str:
    """Returns the error message that a failed run ends with."""
    assert run.status == 1, run.output
    return run.output.partition("Error: ")[2].partition("Traceback")[0]


# -- first, second and third sync --------------------------------------------------------------

ODD_PAGES = {
    "page_sizes": {"brand": 3, "audience": 3, "audit_event": 5, "list": 2, "notification": 4},
    "empty_page_every": {"message": 9, "tenant": 2, "audit_event": 4, "list": 3},
    "last_page": {"brand": "paging_null", "audience": "cursor", "message": "cursor"},
    "arrays": {"list": "results"},
    "awkward_cursors": list(KEYS),
}
ODD_PROPERTIES = {
    "HTMLBody": "<p>", "line2Text": "x", "Größe (cm)": 171, "1st": True, "a__b": 0.1,
    "日本": "東京", "nul": "a\0b", "deep": {"er": {"": [1, {"x": None}]}}, "empty": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "orders"),
    [(1200, {}), (500, dict.fromkeys(KEYS, "shuffled"))],
    ids=["usual order", "no order"],
)
def test_three_syncs_land_each_row_cell_for_cell(
    tmp_path: Path, messages: int, orders: dict[str, str]
) -> None:
    sizes = {"message": messages, "tenant": 250, "brand": 40, "list": 40, "notification": 40}
    with FakeCourierThread(sizes=sizes, orders=orders, options=ODD_PAGES) as fake:
        fake.change("edit", stream="tenant", fields={"properties": ODD_PROPERTIES})
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())
        assert fake.stats()["requests"] > messages / 10 + 50
        assert differences(folder, fake) == []

        change_everything(fake)
        succeeded(folder.sync())
        # Changes of messages are looked for by age, and deletes take a second reading.
        told = differences(folder, fake, "message")
        assert told
        assert [line for line in told if not line.endswith("is not in the source")] == []

        fake.change("advance", ms=25 * HOUR_MS)
        succeeded(folder.sync())
        assert differences(folder, fake) == []

        fake.reset_stats()
        succeeded(folder.sync())
        assert differences(folder, fake) == []
        if not orders:
            asked = fake.stats()["by_stream"]
            assert asked["message"] <= pages_since(fake, "message", "enqueued", 0, 10)
            # Of 60 events in a year: one page, and one more to see that it is enough.
            assert asked["audit_event"] <= 3


def change_everything(fake: FakeCourierThread) -> None:
    """Adds, touches, edits and deletes rows, and progresses messages."""
    for stream in KEYS:
        fake.change("add", stream=stream, n=3)
    for stream in KEPT:
        fake.change("touch", stream=stream, n=2)
        fake.change("edit", stream=stream, n=2, move="tail")
        fake.change("edit", stream=stream, n=2)
        fake.change("delete", stream=stream, n=2)
    fake.change("progress_messages", n=20, newest=150)
    fake.change("add_late", n=2, age_ms=2 * DAY_MS)


def pages_since(
    fake: FakeCourierThread, stream: str, field: str, span_ms: int, page_size: int
) -> int:
    """Returns the pages of rows within the span, plus an hour of disorder and two to stop."""
    times = sorted(int(record[field]) for record in fake.truth(stream))
    # The watermark stays ten minutes behind the sync that set it.
    newest = max(time for time in times if time < times[-1] - 10 * 60_000)
    young = sum(time >= newest - span_ms - HOUR_MS for time in times)
    # Every ninth page follows an empty one.
    return (young // page_size + 2) * 9 // 8 + 1


IDENTIFIERS = {
    "message": ("recipient", "recipientId", "listId", "listMessageId", "idempotencyKey", "runId",
                "jobId"),
    "notification": ("topic_id", "subscription_topic_id", "creator", "updater"),
    "audit_event": ("workspaceId",),
}  # fmt: skip


def test_identifiers_land_as_text_though_all_look_like_numbers_or_booleans(tmp_path: Path) -> None:
    sizes = dict.fromkeys(KEYS, 2)
    with FakeCourierThread(sizes=sizes) as fake:
        for stream, names in IDENTIFIERS.items():
            fields = dict.fromkeys(names, "15551234567")
            fake.change("edit", stream=stream, n=2, fields=fields)
        person = {"id": "t", "email": "x@acme.example"}
        fake.change("edit", stream="audit_event", n=2, fields={"actor": person, "target": person})
        condition = {"path": "1.10", "operator": "EQ", "value": "NaN"}
        fake.change("edit", stream="audience", n=2, fields={"filter": condition})
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())
        assert differences(folder, fake) == []
        for stream, names in IDENTIFIERS.items():
            types = folder.warehouse.types(stream)
            columns = {column.path: column.name for column in BY_TABLE[stream].columns}
            assert {types[columns[(name,)]] for name in names} == {"VARCHAR"}


def test_five_requests_and_more_are_in_flight_at_once(tmp_path: Path) -> None:
    pages = {"brand": 2, "audience": 2, "audit_event": 3, "list": 2, "notification": 2}
    options = {"page_sizes": pages}
    with FakeCourierThread(sizes=SMALL, latency_ms=40, options=options) as fake:
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())
        assert fake.stats()["most_in_flight"] >= 5
        assert differences(folder, fake) == []


# -- killed, and what a state may hold ---------------------------------------------------------


def test_killed_again_and_again_it_completes_without_starting_over(tmp_path: Path) -> None:
    sizes = SMALL | {"message": 2000}
    with FakeCourierThread(sizes=sizes, latency_ms=5) as fake:
        # Slow enough that only the last run can finish.
        folder = connector(
            tmp_path,
            fake,
            checkpoint_interval_seconds="1",
            requests_per_second="20",
            message_lanes="1",
        )
        reached = []
        for _ in range(4):
            most = fake.stats()["requests"] + random.randint(45, 60)
            folder.sync(meanwhile=partial(kill_after, fake, most))
            lanes = folder.state.get("streams", {}).get("message", {}).get("lanes", [])
            reached.append(min((lane["oldest"] for lane in lanes), default=1 << 60))
        succeeded(folder.sync(changes={"requests_per_second": "1000"}))
        assert differences(folder, fake) == []
        asked = fake.stats()["by_stream"]["message"]
    assert reached == sorted(reached, reverse=True), "a bookmark went back"
    assert len(set(reached)) >= 2, "the bookmark never moved"
    assert asked < 2 * 200


def kill_after(fake: FakeCourierThread, requests: int, group: int) -> None:
    wait_for_requests(fake, requests)
    os.killpg(group, signal.SIGKILL)


def test_nothing_of_an_unusable_state_hides_a_row(tmp_path: Path) -> None:
    far = 4_000_000_000_000
    own = {"version": VERSION, "source": "127.0.0.1 pk_test"}
    older = {"watermark": far, "newest_first": True, "deep_read_at": far, "rows": {"007": "x"}}
    states: dict[str, Any] = {
        "the example connector's": {
            "brands_last_updated": far, "audit_events_last_timestamp": "2100-01-01T00:00:00Z",
            "messages_cursor": "MTc4", "tenants_next_url": "/tenants?cursor=x",
        },
        "an older version's": own | {"version": 1, "streams": dict.fromkeys(KEYS, older)},
        "a list for streams": own | {"streams": [1, 2]},
        "wrong parts": own | {"streams": {
            "brand": "complete", "audience": {"lanes": [{"cursor": 7}]}, "list": {"sent": [1]},
            "message": {"watermark": "today"}, "notification": {"lanes": {}}, "tenant": None,
            "audit_event": {"watermark": far, "newest_first": "yes"},
        }},
    }  # fmt: skip
    with FakeCourierThread(sizes=SMALL) as fake:
        for name, state in states.items():
            folder = connector(tmp_path / name, fake)
            folder.state = state
            succeeded(folder.sync())
            assert differences(folder, fake) == [], name


def test_a_state_of_another_account_or_of_a_newer_version_fails_the_sync_and_is_kept(
    tmp_path: Path,
) -> None:
    with FakeCourierThread(sizes=SMALL) as fake:
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())
        saved, asked = folder.state, fake.stats()["requests"]
        other_region = fake.url.replace("127.0.0.1", "localhost")
        other_key = fake.key.replace("pk_test", "pk_prod")
        for changed in ({"api_key": other_key}, {"base_url": other_region}):
            error = error_of(folder.sync(changes=changed))
            assert "'127.0.0.1 pk_test', but the configuration points to" in error
            assert "use a new connection, or start a historical re-sync" in error
            assert folder.state == saved
        newer = saved | {"version": VERSION + 1}
        folder.state = newer
        assert "written by a newer version of this connector" in error_of(folder.sync())
        assert folder.state == newer
        assert fake.stats()["requests"] == asked
        assert differences(folder, fake) == []
        # With the right setting again, nothing has been lost and nothing is sent twice.
        folder.state = saved
        assert sum(succeeded(folder.sync()).counts("sent").values()) == 0


def test_a_bookmark_that_the_api_has_forgotten_costs_no_row(tmp_path: Path) -> None:
    with FakeCourierThread(
        sizes={"message": 400, "tenant": 250},
        options={"denied": {"message": 403, "tenant": 403}, "denied_from_page": 2},
    ) as fake:
        folder = connector(tmp_path, fake)
        assert "message" in error_of(folder.sync())
        assert folder.state["streams"]["message"]["lanes"][0]["cursor"]
        for status in (404, 410):
            # The first sync already tried that place from the head, which happens once a day.
            fake.change("advance", ms=25 * HOUR_MS)
            fake.change_options(denied={}, forgotten_status=status)
            fake.forget_cursors()
            run = succeeded(folder.sync())
            assert "no longer accepts the saved cursor" in run.output or status == 410
            assert differences(folder, fake) == []


# -- refusals, outages, faults -----------------------------------------------------------------


def test_a_stream_that_is_denied_is_named_in_a_warning_and_the_others_land(tmp_path: Path) -> None:
    with FakeCourierThread(sizes=SMALL, options={"denied": {"audit_event": 403}}) as fake:
        folder = connector(tmp_path, fake)
        run = succeeded(folder.sync())
        assert re.search(r"WARNING .* audit_event: .*403", run.output)
        assert differences(folder, fake, "audit_event") == []
        assert folder.warehouse.rows("audit_event") == {}


def test_a_stream_that_is_down_fails_the_sync_and_lands_when_it_is_back(tmp_path: Path) -> None:
    with FakeCourierThread(sizes=SMALL, options={"down": ["audience"]}) as fake:
        folder = connector(tmp_path, fake)
        assert "audience" in error_of(folder.sync())
        assert differences(folder, fake, "audience") == []
        assert folder.state["streams"]["message"]["watermark"]
        fake.change_options(down=[])
        succeeded(folder.sync())
        assert differences(folder, fake) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_sync_with_a_sentence_without_the_key(
    tmp_path: Path, status: int
) -> None:
    secret = "pk_test_NOT0THE0KEY"
    with FakeCourierThread(sizes=SMALL, options={"bad_key_status": status}) as fake:
        folder = connector(tmp_path, fake, api_key=secret, max_retries="3")
        run = folder.sync()
        # No retries: once per stream, and once more to see whether it is the key.
        assert fake.stats()["requests"] <= 2 * len(KEYS)
    error = error_of(run)
    assert "api_key" in error
    assert str(status) in error
    assert folder.files_with(secret) == []


# tests/unit/test_settings.py tests all other bad values.
BAD_SETTINGS = [
    ("api_key", "<YOUR_COURIER_API_KEY>"),
    ("api_key", "pk_test_SECRET0123 and a note"),
    ("streams", "message,brands"),
]


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_a_bad_setting_is_named_before_any_request(tmp_path: Path, name: str, value: str) -> None:
    with FakeCourierThread(sizes=SMALL) as fake:
        good = {"api_key": "pk_test_SECRET0123", "base_url": fake.url}
        folder = DebugFolder(tmp_path, good | {name: value})
        run = folder.sync()
        assert fake.stats()["requests"] == 0
    assert error_of(run).split("error: ")[-1].startswith(name)
    assert folder.files_with("pk_test_SECRET0123") == []


def test_pages_that_lead_nowhere_end_in_an_error_that_names_the_stream(tmp_path: Path) -> None:
    broken = {
        "more_without_cursor": {"brand": 2, "tenant": 1},
        "repeat_cursor": {"audit_event": 2, "message": 3},
        "arrays": {"list": "subscription_lists"},
        "endless": ["notification"],
    }
    with FakeCourierThread(sizes=SMALL | {"tenant": 120}, options=broken) as fake:
        folder = connector(tmp_path, fake)
        run = folder.sync()
        error = error_of(run)
        for stream in ("brand", "tenant", "audit_event", "message", "list", "notification"):
            assert re.search(rf" {stream}[:,] ", error), stream
        assert "audience" not in error
        # A thousand pages, and a thousand more when that part is read again from the head.
        assert fake.stats()["by_stream"]["notification"] < 2100
        assert folder.warehouse.differences("audience", fake.truth("audience")) == []
        fake.change_options(**{name: [] if name == "endless" else {} for name in broken})
        succeeded(folder.sync())
        assert differences(folder, fake) == []


def test_one_answer_in_twenty_faulty_and_still_complete_and_the_key_nowhere(
    tmp_path: Path,
) -> None:
    sizes = {"message": 800, "tenant": 250, "audit_event": 100}
    faults = {"fault_rate": 0.05, "slow_seconds": 0.5, "retry_after_seconds": 0.2}
    with FakeCourierThread(sizes=sizes, options=faults) as fake:
        folder = connector(tmp_path, fake, max_retries="5")
        for _ in range(2):
            succeeded(folder.sync())
            fake.change("edit", stream="brand", n=3)
        statuses = fake.stats()["by_status"]
        fake.change_options(fault_rate=0.0)
        succeeded(folder.sync())
        assert differences(folder, fake) == []
        assert statuses["200"] < sum(statuses.values())
        assert folder.files_with(fake.key) == []
        assert fake.key not in folder.warehouse.text()


@pytest.mark.parametrize(
    "trouble", ["ZeroDivisionError(self)", "KeyboardInterrupt(self)", "SystemExit(0)"]
)
def test_no_crash_report_holds_the_key_whatever_is_raised(tmp_path: Path, trouble: str) -> None:
    with FakeCourierThread(sizes=SMALL) as fake:
        folder = connector(tmp_path, fake)
        folder.append(
            "courier_async/api/transport.py",
            "\n\nasync def _broken(self, path, hold):\n"
            f"    headers = self._headers\n    raise {trouble}\n\n\n"
            "HttpTransport.get = _broken\n",
        )
        run = folder.sync()
        named = "interrupted" if "Interrupt" in trouble else trouble.partition("(")[0]
        assert named in error_of(run)
        assert list(folder.project.glob("crash-reports/*"))
        assert folder.files_with(fake.key) == []


# -- only what changed is sent, and what has gone is deleted -----------------------------------

EVEN = {"brand": 60, "audience": 60, "audit_event": 60, "list": 60, "notification": 60,
        "tenant": 60, "message": 300}  # fmt: skip


def test_only_changes_are_sent_and_deletes_are_seen(tmp_path: Path) -> None:
    with FakeCourierThread(sizes=EVEN) as fake:
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())

        sent = succeeded(folder.sync()).counts("sent")
        assert sent == dict.fromkeys(KEYS, 0)

        for stream, n in zip(KEPT, (2, 1, 1, 1, 1), strict=True):
            fake.change("edit", stream=stream, n=n, keep_updated=True)
        sent = succeeded(folder.sync()).counts("sent")
        assert sum(sent[stream] for stream in KEPT) == 6
        assert differences(folder, fake) == []

        gone = {
            stream: set(fake.change("delete", stream=stream, n=n))
            for stream, n in zip(KEPT, (1, 2, 1, 1, 1), strict=True)
        }
        gone["notification"] |= set(fake.change("archive"))
        fake.change("retention", older_than_ms=now_ms(fake) - 20 * DAY_MS)
        kept = folder.warehouse.rows("message").keys()
        succeeded(folder.sync())
        assert deleted(folder) == {stream: set() for stream in KEPT}
        fake.change("advance", ms=2 * HOUR_MS)
        succeeded(folder.sync())
        # The id of an archived template still answers, so deleting templates takes a day.
        assert deleted(folder) == gone | {"notification": set()}
        fake.change("advance", ms=DAY_MS)
        succeeded(folder.sync())
        assert deleted(folder) == gone
        assert folder.warehouse.deleted("message") == set()
        assert folder.warehouse.rows("message").keys() == kept
        assert folder.warehouse.deleted("audit_event") == set()
        assert differences(folder, fake, "message") == []

        fake.change("restore", stream="list", ids=list(gone["list"]))
        succeeded(folder.sync())
        assert differences(folder, fake, "message") == []


def deleted(folder: DebugFolder) -> dict[str, set[str]]:
    """Returns the ids of each table's rows that are marked deleted."""
    return {stream: folder.warehouse.deleted(stream) for stream in KEPT}


def now_ms(fake: FakeCourierThread) -> int:
    """Returns the time of the newest message, which is a minute old at the fake's start."""
    return max(int(record["enqueued"]) for record in fake.truth("message"))


def test_rows_that_move_under_way_and_a_stream_that_is_down_delete_nothing(
    tmp_path: Path,
) -> None:
    options = {"page_sizes": dict.fromkeys(("brand", "audience", "notification"), 4)}
    orders = dict.fromkeys(KEPT, "newest")
    with FakeCourierThread(sizes=SMALL, orders=orders, options=options) as fake:
        folder = connector(tmp_path, fake)
        succeeded(folder.sync())
        for _ in range(2):
            for stream in ("brand", "audience", "notification"):
                rows = [str(record["id"]) for record in fake.truth(stream)]
                for request in (2, 3, 4):
                    fake.change_after(stream, request, "touch", stream=stream, ids=rows[-request:])
            fake.change_options(down=["list", "tenant"])
            assert "list" in error_of(folder.sync())
            fake.change("advance", ms=25 * HOUR_MS)
        fake.change_options(down=[])
        assert deleted(folder) == {stream: set() for stream in KEPT}
        succeeded(folder.sync())
        assert differences(folder, fake) == []


# Each row lands at its upsert, the state only at its checkpoint; then the process is killed.
DIES_AFTER = """

import os
import signal


class _Dying:
    def __init__(self, real, left):
        self.real, self.left, self.state = real, left, None

    def upsert(self, table, data):
        self.count()
        self.real.upsert(table, data)
        if self.state is not None:
            self.real.checkpoint(self.state)

    def delete(self, table, keys):
        self.count()
        self.real.delete(table, keys)

    def checkpoint(self, state):
        self.count()
        self.state = state
        self.real.checkpoint(state)

    def warning(self, message):
        self.real.warning(message)

    def count(self):
        if not self.left:
            os.killpg(0, signal.SIGKILL)
        self.left -= 1


op = _Dying(op, {operations})
"""


def test_an_edit_that_was_sent_by_a_sync_that_died_and_taken_back_is_undone(
    tmp_path: Path,
) -> None:
    with FakeCourierThread(sizes=SMALL) as fake:
        folder = connector(tmp_path, fake, streams=",".join(KEPT))
        succeeded(folder.sync())
        plain = (folder.project / "connector.py").read_text()
        for operations in (1, 8):
            edited = {s: fake.change("edit", stream=s, n=3, keep_updated=True) for s in KEPT}
            folder.append("connector.py", DIES_AFTER.replace("{operations}", str(operations)))
            assert folder.sync().status == -9
            (folder.project / "connector.py").write_text(plain)
            for stream, ids in edited.items():
                fake.change("revert", stream=stream, ids=ids)
            succeeded(folder.sync())
            assert differences(folder, fake, "message", "audit_event") == []
        assert sum(succeeded(folder.sync()).counts("sent").values()) == 0
