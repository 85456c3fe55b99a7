"""`make demo` and `make debug`: what they print, and what they leave behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.checkout import checkout
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.hermetic import hermetic_environment
from tests.support.warehouse import KEYS, Warehouse
from tools.demo import terminal_width
from tools.stage import ROOT

DEMO = [sys.executable, "-m", "tools.demo"]


def environment(folder: Path) -> dict[str, str]:
    """One in which all that is made temporarily lies in `folder`."""
    return os.environ | {"TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def processes_of(folder: Path) -> list[str]:
    """The numbers of the processes that were started with `environment(folder)`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (process / "environ").read_bytes() + b"\0":
                found.append(process.name)
        except OSError:
            continue
    return found


def left_behind(folder: Path) -> list[str]:
    """The same, once a process that was killed has had the time to go."""
    until = time.monotonic() + 5
    while (found := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_the_demo_is_short_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = subprocess.run(
        DEMO, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    lines = demo.stdout.splitlines()
    assert len(lines) < 120
    assert max(map(terminal_width, lines)) <= 100
    for table in KEYS:
        assert re.search(rf"   {table} .*\n   \d+ rows", demo.stdout)
    assert re.search(r"list +- .* marked deleted", demo.stdout)
    assert re.search(r"brand +~ .* name: .* -> Spring campaign", demo.stdout)
    # Of some fifty pages of messages the second sync asks for those of the lookback.
    asked = re.search(r"message +(\d+) +(\d+) ", demo.stdout)
    assert asked is not None
    assert int(asked[2]) < int(asked[1]) / 3
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    demo = subprocess.Popen(
        DEMO,
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    # As on a terminal: the whole group gets it, once `fivetran debug` is at work.
    while len(processes_of(tmp_path)) < 3:
        assert demo.poll() is None
        time.sleep(0.05)
    os.killpg(demo.pid, number)
    output = demo.communicate(timeout=20)[0]
    assert demo.returncode == 130
    assert output.endswith("Stopped. No process and no file is left behind.\n")
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


def debug(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.debug"],
        cwd=folder,
        env=hermetic_environment(home),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (None, "api_key still holds the placeholder. Put a key"),
        ("", "not JSON"),
        ('{"api_key": "pk_test_X", "streams": "brands"}', "streams names 'brands'"),
        ("[]", "must be a JSON object"),
    ],
)
def test_debug_says_what_to_put_where_before_it_does_anything(
    tmp_path: Path, configuration: str | None, expected: str
) -> None:
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout")
    if configuration is not None:
        (folder / "configuration.json").write_text(configuration)
    run = debug(folder, tmp_path / "home")
    assert run.returncode == 1
    assert run.stdout.startswith("configuration.json: ")
    assert expected in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert not (folder / "build").exists()


def test_debug_lands_the_tables_in_the_project_and_leaves_the_pins_alone(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout")
    (folder / "files" / "state.json").unlink()
    with FakeCourierProcess(sizes={"message": 50}) as fake:
        settings = {"api_key": fake.key, "base_url": fake.url}
        (folder / "configuration.json").write_text(json.dumps(settings))
        run = debug(folder, tmp_path / "home")
        assert run.returncode == 0, run.stdout + run.stderr
        warehouse = Warehouse(folder / "files" / "warehouse.db")
        assert warehouse.differences("message", fake.truth("message")) == []
    pins = (ROOT / "requirements.txt").read_text()
    assert (folder / "requirements.txt").read_text() == pins
