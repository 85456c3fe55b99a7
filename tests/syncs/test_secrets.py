"""However a sync ends, its output never contains the key or any record's content."""

import asyncio
import base64
import gc
import json
import logging
import os
import reprlib
import signal
import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import connector
from courier_async.api.client import CourierClient
from courier_async.api.memory import Hold
from courier_async.api.pacer import Pacer
from courier_async.api.transport import HttpTransport
from courier_async.counts import Counts
from courier_async.ending import SyncFailed
from courier_async.errors import CourierError
from courier_async.settings import Settings
from courier_async.sync import sync
from tests.support.end_to_end import DebugFolder, succeeded, wait_for_requests
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.harness import Crash, Sink
from tests.support.spellings import KEY, found, spellings
from tests.support.warehouse import KEYS

PERSON = "ana.7431@acme.example"
SMALL = dict.fromkeys(KEYS, 12)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCourierProcess]:
    with FakeCourierProcess(sizes=SMALL, key=KEY) as running:
        for stream in KEYS:
            fields = {"who": PERSON, "properties": {PERSON: PERSON}, "recipient": PERSON}
            running.change("edit", stream=stream, n=12, fields=fields)
        yield running


class Everything(logging.Handler):
    """Collects every record of every logger, from DEBUG up, with tracebacks, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)}")


async def telling_each_callback(*arguments: Any) -> None:
    """Runs a sync in which asyncio's debug mode reports every step as slow."""
    asyncio.get_running_loop().slow_callback_duration = 0.0
    await sync(*arguments)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Everything]:
    handler, root = Everything(), logging.getLogger()
    package_log, level = logging.getLogger("courier_async"), root.level
    usual = (package_log.level, package_log.propagate, package_log.handlers)
    package_log.setLevel(logging.DEBUG)
    package_log.propagate = True
    package_log.handlers = []
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # Otherwise the package's lines would go only to the SDK, from INFO up.
    monkeypatch.setattr(connector, "_forward_logs", lambda: None)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setattr(connector, "sync", telling_each_callback)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    package_log.setLevel(usual[0])
    package_log.propagate, package_log.handlers = usual[1:]


def rendered(error: BaseException) -> str:
    """Returns the traceback, with the locals of all frames except this test's own."""
    assert error.__traceback__ is not None
    own = error.__traceback__.tb_next
    lines = traceback.TracebackException(type(error), error, own, capture_locals=True).format(
        chain=True
    )
    return "".join(lines)


def at_once() -> Generator[float, Any, None]:
    """Yields delays of zero before retries."""
    while True:
        yield 0.0


def update(url: str, sink: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs one sync through connector.update; returns its error with locals, or "".

    By then asyncio has also logged what it says only when a task is collected.
    """
    monkeypatch.setattr(connector, "op", sink)
    monkeypatch.setattr("courier_async.api.client._delays", at_once)
    fast = {"requests_per_second": "1000", "max_retries": "1", "checkpoint_interval_seconds": "0"}
    try:
        connector.update({"api_key": KEY, "base_url": url} | fast, {})
    except RuntimeError as error:
        return rendered(error)
    finally:
        gc.collect()
    return ""


class PersonalCrash(Sink):
    """A destination whose own error shows the row that it refused."""

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        if PERSON in str(data):
            raise ValueError(f"cannot store {data}")
        super().upsert(table, data)


def assert_silent(sink: Sink, left: str, logged: Everything) -> None:
    everything = "\n".join(logged.lines)
    told = "\n".join(sink.warnings)
    for text in (everything, left, told, str(sink.checkpoints), str(sink.operations)):
        assert found(KEY, text) == []
    for text in (everything, left, told, str(sink.checkpoints)):
        assert found(PERSON, text) == []


def test_a_good_sync_tells_neither_key_nor_record(
    fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink()
    assert update(fake.url, sink, monkeypatch) == ""
    assert PERSON in str(sink.operations)
    assert "elapsed" in "\n".join(logged.lines)
    assert any(line.startswith("asyncio ") for line in logged.lines)
    assert_silent(sink, "", logged)


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "down": ({"down": ["audience", "message"]}, "audience"),
    "denied": ({"denied": {"audit_event": 403}}, ""),
    "key refused": ({"key": "another"}, "api_key"),
    "faults": ({"fault_rate": 1.0, "fault_kinds": ["cut", "drop", "html"]}, "brand"),
    "odd envelopes": ({"arrays": {"list": PERSON}, "more_without_cursor": {"brand": 1}}, "list"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_or_denied_sync_tells_neither_key_nor_record(
    name: str, fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, sentence = FAILURES[name]
    usual = {"down": [], "denied": {}, "key": KEY, "fault_rate": 0.0, "arrays": {},
             "more_without_cursor": {}}  # fmt: skip
    sink = Sink()
    fake.change_options(**changes)
    try:
        left = update(fake.url, sink, monkeypatch)
    finally:
        fake.change_options(**usual)
    assert sentence in left
    assert bool(left) == bool(sentence)
    assert_silent(sink, left, logged)


@pytest.mark.parametrize("sink", [Sink(crash_at=3), PersonalCrash()], ids=["crash", "with a row"])
def test_a_sync_whose_destination_crashes_tells_neither_key_nor_record(
    sink: Sink, fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = update(fake.url, sink, monkeypatch)
    assert "Fivetran did not accept a row (upsert raised " in left
    assert_silent(sink, left, logged)


@pytest.mark.parametrize("error", [ZeroDivisionError, Crash, KeyboardInterrupt, SystemExit])
def test_a_crash_inside_tells_neither_key_nor_record(
    error: type[BaseException],
    fake: FakeCourierProcess,
    logged: Everything,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(self: HttpTransport, path: str, hold: Hold) -> Any:
        headers = dict(self._headers)
        raise error(f"{headers} {PERSON}")

    monkeypatch.setattr(HttpTransport, "get", crash)
    sink = Sink()
    left = update(fake.url, sink, monkeypatch)
    assert left
    assert_silent(sink, left, logged)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serves with this handler and yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 503])
def test_an_answer_that_hands_the_key_back_makes_no_sync_tell_it(
    status: int, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            key = self.headers["Authorization"]
            body = {"type": key, "message": f"{key} {PERSON}", key: PERSON}
            self.send_response(status, f"{key} {PERSON}")
            self.send_header("Location", f"http://localhost:9/echo?{key}")
            self.send_header("X-Who", f"{key} {PERSON}")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    asked: list[str] = []
    sink = Sink()
    with serving(Echo) as url:
        left = update(url, sink, monkeypatch)
    assert left
    assert asked
    assert not any("echo" in path for path in asked)
    assert "The sync was stopped by" not in left
    assert_silent(sink, left, logged)


def test_what_fails_in_a_callback_of_asyncio_is_told_by_its_kind_alone(
    fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(header: str) -> None:
        raise ZeroDivisionError(f"{header} {PERSON}")

    async def failing_besides(*arguments: Any) -> None:
        asyncio.get_running_loop().call_later(0.0, fail, KEY)
        await sync(*arguments)

    monkeypatch.setattr(connector, "sync", failing_besides)
    sink = Sink()
    assert update(fake.url, sink, monkeypatch) == ""
    assert "Unexpected error outside any stream: ZeroDivisionError" in "\n".join(logged.lines)
    assert_silent(sink, "", logged)


async def test_no_repr_shows_the_key() -> None:
    settings = Settings(api_key=KEY)
    async with HttpTransport(
        base_url="http://127.0.0.1:9", api_key=KEY, timeout_seconds=1
    ) as transport:
        client = CourierClient(transport, Pacer(per_second=1), max_retries=0)
        for holder in (settings, transport, client, transport._session):
            for text in (repr(holder), str(holder), f"{holder}", reprlib.repr(holder)):
                assert found(KEY, text) == []
    assert found(KEY, f"x={quote(KEY, safe='')}")
    assert found(KEY, base64.b64encode(f"Bearer {KEY}".encode()).decode())


REFUSED_REQUESTS: dict[str, dict[str, Any]] = {
    "503": {"down": ["brand"]},
    "403": {"denied": {"brand": 403}},
    "cut": {"fault_once": {"brand": ["cut"]}},
    "dropped": {"fault_once": {"brand": ["drop"] * 3}},
    "not JSON": {"fault_once": {"brand": ["html"]}},
    "nobody there": {},
}


@pytest.mark.parametrize("name", REFUSED_REQUESTS)
async def test_no_traceback_with_locals_of_a_failed_request_shows_the_key(
    name: str, fake: FakeCourierProcess
) -> None:
    url = "http://127.0.0.1:9" if name == "nobody there" else fake.url
    fake.change_options(**REFUSED_REQUESTS[name])
    try:
        async with HttpTransport(base_url=url, api_key=KEY, timeout_seconds=5) as transport:
            client = CourierClient(transport, Pacer(per_second=1000), max_retries=0)
            with pytest.raises(CourierError) as caught:
                await client.get("/brands", Counts("brand"))
    finally:
        fake.change_options(down=[], denied={}, fault_once={})
    shown = rendered(caught.value)
    assert "client = <" in shown or "self = <" in shown
    assert found(KEY, shown) == []


async def test_no_traceback_with_locals_of_a_failed_sync_shows_key_or_record(
    fake: FakeCourierProcess,
) -> None:
    fake.change_options(down=["tenant"])
    try:
        with pytest.raises(SyncFailed) as caught:
            await sync(Settings(api_key=KEY, base_url=fake.url, max_retries=0), {}, Sink())
    finally:
        fake.change_options(down=[])
    shown = rendered(caught.value)
    assert "settings = Settings(" in shown
    assert found(KEY, shown) == []
    assert found(PERSON, str(caught.value)) == []


LOUD = """

import logging
logging.basicConfig(level=logging.DEBUG)
_forward_logs_as_usual = _forward_logs


def _forward_logs():
    _forward_logs_as_usual()
    logging.getLogger("courier_async").setLevel(logging.DEBUG)
"""


def assert_kept_nowhere(folder: DebugFolder) -> None:
    """Checks files as bytes and cells as read, because the destination packs its texts."""
    assert [folder.files_with(spelling) for spelling in spellings(KEY)] == [[]] * 7
    assert found(KEY, folder.warehouse.text()) == []
    assert found(PERSON, json.dumps(folder.state)) == []


@pytest.fixture
def loud(
    tmp_path: Path, fake: FakeCourierProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DebugFolder]:
    """Yields a project whose runs log everything; changes the fake back at the end."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    folder = DebugFolder(tmp_path, {"api_key": KEY, "base_url": fake.url, "max_retries": "0"})
    folder.append("connector.py", LOUD)
    yield folder
    fake.change_options(down=[], latency_ms=0.0)


def test_real_runs_at_debug_level_leave_the_key_nowhere_and_of_records_only_ids_in_the_state(
    loud: DebugFolder, fake: FakeCourierProcess
) -> None:
    succeeded(loud.sync())
    state = json.dumps(loud.state)
    ids = {table: [str(r[key]) for r in fake.truth(table)] for table, key in KEYS.items()}
    in_state = {table for table, keys in ids.items() if any(key in state for key in keys)}
    assert in_state == {"brand", "audience", "list", "notification", "tenant"}
    assert PERSON in loud.warehouse.text()
    assert_kept_nowhere(loud)

    fake.change_options(down=["tenant"])
    failed = loud.sync()
    assert failed.status == 1
    assert "tenant" in failed.output
    assert found(PERSON, failed.output) == []
    reports = [path.read_bytes() for path in loud.project.glob("crash-reports/*")]
    assert reports
    assert [found(PERSON, report) for report in reports] == [[]] * len(reports)
    assert_kept_nowhere(loud)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, -15)])
def test_a_real_run_that_is_stopped_tells_neither_key_nor_record(
    number: signal.Signals, status: int, loud: DebugFolder, fake: FakeCourierProcess
) -> None:
    def stop(group: int) -> None:
        wait_for_requests(fake, 3)
        os.killpg(group, number)

    fake.change_options(latency_ms=250.0)
    fake.reset_stats()
    stopped = loud.sync(meanwhile=stop, changes={"checkpoint_interval_seconds": "0"})
    assert stopped.status == status
    assert ("The sync was interrupted." in stopped.output) == (number == signal.SIGINT)
    assert found(PERSON, stopped.output) == []
    assert_kept_nowhere(loud)
