"""The setup form and its connection tests, as `fivetran configuration` runs them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier_async.setup.form import FIELDS
from tests.support.end_to_end import DebugFolder, succeeded
from tests.support.fake_courier.thread import FakeCourierThread
from tools.stage import ROOT


@pytest.fixture
def courier() -> Iterator[FakeCourierThread]:
    with FakeCourierThread(key="pk_test_KEYOFTHETESTS") as fake:
        yield fake


@pytest.fixture
def project(courier: FakeCourierThread, tmp_path: Path) -> DebugFolder:
    return DebugFolder(tmp_path, {"api_key": courier.key, "base_url": courier.url})


def test_a_good_key_passes_both_tests(project: DebugFolder, courier: FakeCourierThread) -> None:
    done = project.command("configuration", "--test")
    assert done.status == 0, done.output
    assert "Courier accepts the key]: PASSED" in done.output
    assert "Each table can be read]: PASSED" in done.output
    assert courier.key not in done.output


@pytest.mark.parametrize("status", [401, 403])
def test_a_bad_key_is_said_to_be_one(
    project: DebugFolder, courier: FakeCourierThread, status: int
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
    project: DebugFolder, courier: FakeCourierThread
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
    project: DebugFolder, courier: FakeCourierThread
) -> None:
    courier.__exit__()
    done = project.command("configuration", "--test")
    assert done.status == 1
    assert f"Courier could not be read at {courier.url} (no usable response" in done.output
    assert "Check region and base_url" in done.output
    assert "api_key" not in done.output
    assert courier.key not in done.output


def test_a_form_filled_in_at_the_terminal_makes_a_configuration_that_works(
    project: DebugFolder, courier: FakeCourierThread
) -> None:
    saved = project.configuration_path
    saved.unlink()
    answers = {"api_key": courier.key, "max_retries": "2"}
    typed = "".join(f"{answers.get(field.name, '')}\n" for field in FIELDS)
    done = project.command("configuration", typed=typed)
    assert done.status == 0, done.output
    assert courier.key not in done.output + saved.read_text()
    # The form does not ask for an address, so that nobody can be led to another host.
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"base_url": courier.url}))
    assert project.command("configuration", "--test").status == 0
    assert courier.key not in succeeded(project.sync()).output


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
