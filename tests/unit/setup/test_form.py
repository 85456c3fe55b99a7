"""The setup form, and its connection tests as `fivetran configuration --test` runs them."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier_async.api.memory import SHARE_BYTES, Hold
from courier_async.api.transport import Answer, ConnectionTrouble
from courier_async.catalog.stream import Stream
from courier_async.settings import OPTIONS, Settings
from courier_async.setup import connection_test
from courier_async.setup.connection_test import ask, trouble_with_key, trouble_with_streams
from courier_async.setup.form import FIELDS, Kind
from tests.support.end_to_end import DebugFolder, succeeded
from tests.support.fake_courier.process import FakeCourierProcess
from tools.stage import ROOT

PAGE = b'{"results": [], "items": [], "paging": {"more": false}, "has_more": false}'


@pytest.fixture
def courier() -> Iterator[FakeCourierProcess]:
    with FakeCourierProcess(key="pk_test_KEYOFTHETESTS") as fake:
        yield fake


@pytest.fixture
def project(courier: FakeCourierProcess, tmp_path: Path) -> DebugFolder:
    return DebugFolder(tmp_path, {"api_key": courier.key, "base_url": courier.url})


def test_a_good_key_passes_both_tests(project: DebugFolder, courier: FakeCourierProcess) -> None:
    done = project.command("configuration", "--test")
    assert done.status == 0, done.output
    assert "Courier accepts the key]: PASSED" in done.output
    assert "Each table can be read]: PASSED" in done.output
    assert courier.key not in done.output


@pytest.mark.parametrize("status", [401, 403])
def test_a_bad_key_is_said_to_be_one(
    project: DebugFolder, courier: FakeCourierProcess, status: int
) -> None:
    courier.change_options(bad_key_status=status)
    bad = {"api_key": "pk_test_NOTTHATONE", "base_url": courier.url}
    project.configuration_path.write_text(json.dumps(bad))
    done = project.command("configuration", "--test")
    assert done.status == 1
    assert f"Courier does not accept the key (it answered {status}). Check api_key" in done.output
    assert "PASSED" not in done.output
    assert "NOTTHATONE" not in done.output


def test_one_forbidden_stream_is_named_and_the_readable_ones_are_listed(
    project: DebugFolder, courier: FakeCourierProcess
) -> None:
    courier.change_options(denied={"audit_event": 403})
    done = project.command("configuration", "--test")
    assert done.status == 1
    assert "Courier accepts the key]: PASSED" in done.output
    others = ["brand", "audience", "list", "message", "notification", "tenant"]
    assert f"6 of 7 streams can be read: {', '.join(others)}." in done.output
    assert "audit_event: permission (403): this key may not read it." in done.output
    assert f"set streams to: {','.join(others)}\n" in done.output
    assert courier.key not in done.output


def test_a_host_that_cannot_be_reached_is_named(
    project: DebugFolder, courier: FakeCourierProcess
) -> None:
    courier.__exit__()
    done = project.command("configuration", "--test")
    assert done.status == 1
    assert f"Courier could not be read at {courier.url} (no usable answer" in done.output
    assert "Check region and base_url" in done.output
    assert "api_key" not in done.output
    assert courier.key not in done.output


def test_a_form_filled_in_at_the_terminal_makes_a_configuration_that_works(
    project: DebugFolder, courier: FakeCourierProcess
) -> None:
    saved = project.configuration_path
    saved.unlink()
    answers = {"api_key": courier.key, "region": "other", "base_url": courier.url}
    typed = "".join(f"{answers.get(field.name, '')}\n" for field in FIELDS)
    done = project.command("configuration", typed=typed)
    assert done.status == 0, done.output
    assert courier.key not in done.output + saved.read_text()
    assert project.command("configuration", "--test").status == 0
    assert courier.key not in succeeded(project.sync()).output


def test_a_wrong_setting_is_told_without_asking_anything() -> None:
    wrong = {"api_key": "k", "base_url": "http://courier.example.com"}
    for trouble in (connection_test.key_trouble, connection_test.streams_trouble):
        assert "the key would travel unencrypted" in str(trouble(wrong))


class Answers:
    """A transport that answers by path: a status, a body, or trouble to raise."""

    def __init__(self, **by_table: int | bytes | Exception) -> None:
        self._by_table = by_table
        self.asked = 0

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        self.asked += 1
        table = {"/brands": "brand", "/messages": "message"}.get(path_and_query, "other")
        what = self._by_table.get(table, PAGE)
        if isinstance(what, Exception):
            raise what
        if isinstance(what, int):
            return Answer(what, {}, b"{}")
        return Answer(200, {}, what)


SETTINGS = Settings(api_key="k", requests_per_second=1000.0)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (402, "brand: plan (402): the plan of this account does not include it."),
        (404, "brand: not found (404): this account has no such data."),
        (400, "brand: Courier answered 400."),
        (b'{"rows": []}', "brand: the answer has no 'results'; has the API changed?"),
    ],
)
async def test_why_a_stream_cannot_be_read(what: int | bytes, reason: str) -> None:
    findings = await ask(SETTINGS, Answers(brand=what))
    text = trouble_with_streams(SETTINGS, findings)
    assert text is not None
    assert "6 of 7 streams can be read: audience," in text
    assert reason in text
    assert trouble_with_key(SETTINGS, findings) is None


async def test_a_401_to_every_request_is_about_the_key_whatever_else_is_answered() -> None:
    findings = await ask(SETTINGS, Answers(brand=401, message=503))
    assert str(trouble_with_key(SETTINGS, findings)).startswith("Courier does not accept the key")


@pytest.mark.parametrize("status", [402, 403])
async def test_a_key_that_may_read_nothing_is_about_the_key(status: int) -> None:
    findings = await ask(SETTINGS, Answers(brand=status, message=status, other=status))
    text = str(trouble_with_key(SETTINGS, findings))
    assert text.startswith(
        f"The key can read no stream (Courier answered {status}). Check api_key"
    )


@pytest.mark.parametrize(
    ("what", "advice"),
    [
        (404, "Check region and base_url; if they are right, this account has no such data."),
        (503, "The fault is on Courier's side"),
        (ConnectionTrouble("the connection failed", "Check the network."), "Check the network."),
        (b'{"rows": []}', "Look for a newer version of this connector"),
    ],
)
async def test_only_a_refusal_of_the_key_speaks_of_the_key(
    what: int | bytes | Exception, advice: str
) -> None:
    findings = await ask(SETTINGS, Answers(brand=what, message=what, other=what))
    text = str(trouble_with_key(SETTINGS, findings))
    assert text.startswith("Courier could not be read at https://api.courier.com (")
    assert advice in text
    assert "api_key" not in text


async def test_large_pages_of_all_streams_at_once_are_read() -> None:
    class Large:
        async def get(self, path_and_query: str, hold: Hold) -> Answer:
            await hold.grow_to(SHARE_BYTES + 1)
            return Answer(200, {}, PAGE)

    async with asyncio.timeout(5):
        assert trouble_with_streams(SETTINGS, await ask(SETTINGS, Large())) is None


async def test_an_envelope_that_leads_nowhere_is_told() -> None:
    nowhere = b'{"results": [{"id": "x"}], "paging": {"more": true}}'
    text = trouble_with_streams(SETTINGS, await ask(SETTINGS, Answers(brand=nowhere)))
    assert "brand: 'more' says that there is another page" in str(text)


async def test_only_the_chosen_streams_are_asked_for() -> None:
    only = Settings.from_configuration({"api_key": "k", "streams": "brand,message"})
    transport = Answers()
    assert trouble_with_streams(only, await ask(only, transport)) is None
    assert transport.asked == 2


async def test_streams_below_a_parents_row_are_left_out_and_stay_in_the_advice() -> None:
    parent, child, other = (
        Stream(table="brand", path="/brands", arrays=("results",)),
        Stream(table="x", path="/brands/{id}/x", arrays=("results",), parent="brand"),
        Stream(table="y", path="/lists/{id}/y", arrays=("results",), parent="list"),
    )
    only = dataclasses.replace(SETTINGS, streams=(parent, child, *SETTINGS.streams[1:], other))
    transport = Answers(brand=403)
    text = str(trouble_with_streams(only, await ask(only, transport)))
    assert transport.asked == 7
    assert "To leave that out, set streams to: audience,audit_event," in text
    assert text.endswith(",y")


async def test_an_api_that_holds_the_test_up_ends_it_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_test, "_WHOLE_TEST_SECONDS", 0.1)
    transport = Answers(brand=429, message=429, other=429)
    text = trouble_with_key(SETTINGS, await ask(SETTINGS, transport))
    assert "(no usable answer within 0.1 s)" in str(text)


async def test_a_failed_request_is_tried_once_more_and_no_oftener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = Settings.from_configuration({"api_key": "k", "streams": "brand"})
    transport = Answers(brand=ConnectionTrouble("the connection failed"))
    findings = await ask(only, transport)
    assert transport.asked == 2
    assert "no usable answer after 2 tries" in str(trouble_with_key(only, findings))


def test_the_form_asks_for_every_setting_and_for_nothing_else() -> None:
    assert sorted(field.name for field in FIELDS) == sorted(OPTIONS)
    assert [field.name for field in FIELDS if field.required] == ["api_key"]
    assert [field.name for field in FIELDS if field.kind is Kind.PASSWORD] == ["api_key"]


def test_the_form_tells_the_default_of_every_number() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    told = {field.name: field.description for field in FIELDS}
    numbers = [name for name, default in defaults.items() if type(default) in (int, float)]
    assert len(numbers) == 7
    for name in numbers:
        assert told[name].endswith(f" Default: {defaults[name]:g}."), name


def test_every_choice_of_the_form_is_one_that_the_settings_take() -> None:
    for field in FIELDS:
        for value, _ in field.choices:
            _, parse = OPTIONS[field.name]
            parse(field.name, value)


def test_importing_the_connector_and_building_the_form_ask_nothing_of_the_network() -> None:
    program = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import connector\n"
        "form = connector.configuration_form()\n"
        "print(len(form.to_response().fields), len(form.to_response().tests))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{len(FIELDS)} 2\n", done.stderr
