"""What a sync may tell, however it ends: never the key, never what a record holds."""

import base64
import logging
import reprlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import connector
from courier_async.client import CourierClient
from courier_async.pacer import Pacer
from courier_async.settings import Settings
from courier_async.transport import HttpTransport
from tests.end_to_end import DebugFolder
from tests.fake_courier.process import FakeCourierProcess
from tests.harness import Crash, Sink
from tests.warehouse import KEYS

# Of characters that change when it is encoded.
KEY = "pk_test_SECRET/+=&0123456789"
PERSON = "ana.7431@acme.example"
SMALL = dict.fromkeys(KEYS, 12)


def spellings(secret: str) -> list[str]:
    """As it is, URL-encoded, and base64 at each of the three places where it may begin."""
    texts = [secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]]
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + secret.encode()).decode()
        # Without the letters that what stands before and after has a part in.
        texts.append(encoded[4 if lead else 0 : len(encoded) // 4 * 4 - 4])
    return texts


def found(secret: str, text: str) -> list[str]:
    return [spelling for spelling in spellings(secret) if spelling in text]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCourierProcess]:
    with FakeCourierProcess(sizes=SMALL, key=KEY) as running:
        for stream in KEYS:
            fields = {"who": PERSON, "properties": {PERSON: PERSON}, "recipient": PERSON}
            running.change("edit", stream=stream, n=12, fields=fields)
        yield running


class Everything(logging.Handler):
    """Every record of every logger from DEBUG up, with tracebacks, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)}")

    def ours(self) -> str:
        return "\n".join(line for line in self.lines if line.startswith("courier_async"))


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
    # Else the package's lines would go to the SDK alone, from INFO up.
    monkeypatch.setattr(connector, "_forward_logs", lambda: None)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    package_log.setLevel(usual[0])
    package_log.propagate, package_log.handlers = usual[1:]


def rendered(error: BaseException) -> str:
    """The traceback with locals of all frames but this test's own."""
    assert error.__traceback__ is not None
    own = error.__traceback__.tb_next
    lines = traceback.TracebackException(type(error), error, own, capture_locals=True).format(
        chain=True
    )
    return "".join(lines)


def update(fake: FakeCourierProcess, sink: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """One sync through connector.update; what left it, with locals, or nothing."""
    monkeypatch.setattr(connector, "op", sink)
    fast = {"requests_per_second": "1000", "max_retries": "0", "checkpoint_interval_seconds": "0"}
    try:
        connector.update({"api_key": KEY, "base_url": fake.url} | fast, {})
    except RuntimeError as error:
        return rendered(error)
    return ""


class PersonalCrash(Sink):
    """A destination whose own error shows the row that it did not take."""

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        if PERSON in str(data):
            raise ValueError(f"cannot store {data}")
        super().upsert(table, data)


def assert_silent(sink: Sink, left: str, logged: Everything) -> None:
    everything = "\n".join(logged.lines)
    told = "\n".join(sink.warnings)
    assert found(KEY, everything) == []
    for text in (left, told, str(sink.checkpoints), str(sink.operations)):
        assert found(KEY, text) == []
    for text in (left, told, logged.ours()):
        assert PERSON not in text
    assert PERSON not in everything
    assert found(PERSON, everything + left) == []


def test_a_good_sync_tells_neither_key_nor_record(
    fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink()
    assert update(fake, sink, monkeypatch) == ""
    assert PERSON in str(sink.operations)
    assert "elapsed" in logged.ours()
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
        left = update(fake, sink, monkeypatch)
    finally:
        fake.change_options(**usual)
    assert sentence in left
    assert bool(left) == bool(sentence)
    assert_silent(sink, left, logged)


@pytest.mark.parametrize("sink", [Sink(crash_at=3), PersonalCrash()], ids=["crash", "with a row"])
def test_a_sync_whose_destination_crashes_tells_neither_key_nor_record(
    sink: Sink, fake: FakeCourierProcess, logged: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = update(fake, sink, monkeypatch)
    assert "The sync was stopped by" in left
    assert_silent(sink, left, logged)


@pytest.mark.parametrize("error", [ZeroDivisionError, Crash])
def test_a_crash_inside_tells_neither_key_nor_record(
    error: type[BaseException],
    fake: FakeCourierProcess,
    logged: Everything,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(self: HttpTransport, path: str) -> Any:
        headers = dict(self._headers)
        raise error(f"{headers} {PERSON}")

    monkeypatch.setattr(HttpTransport, "get", crash)
    sink = Sink()
    left = update(fake, sink, monkeypatch)
    assert left
    assert_silent(sink, left, logged)


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


LOUD = """

import logging
logging.basicConfig(level=logging.DEBUG)
_forward_logs_as_usual = _forward_logs


def _forward_logs():
    _forward_logs_as_usual()
    logging.getLogger("courier_async").setLevel(logging.DEBUG)
"""


def test_a_real_run_at_debug_level_leaves_the_key_in_no_file(
    tmp_path: Path, fake: FakeCourierProcess
) -> None:
    folder = DebugFolder(tmp_path, {"api_key": KEY, "base_url": fake.url, "max_retries": "0"})
    folder.append("connector.py", LOUD)
    assert folder.sync().status == 0
    fake.change_options(down=["tenant"])
    try:
        failed = folder.sync()
    finally:
        fake.change_options(down=[])
    assert failed.status == 1
    assert "tenant" in failed.output
    assert [folder.files_with(spelling) for spelling in spellings(KEY)] == [[]] * 7
    assert PERSON not in failed.output
