"""`make debug`: a local sync by the real `fivetran debug`, with short output and a clean stop."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.checkout import checkout
from tests.support.end_to_end import wait_for_requests
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.hermetic import hermetic_environment
from tests.support.warehouse import KEYS
from tools.stage import ROOT

COMMAND = [sys.executable, "-m", "tools.debug"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return checkout(tmp_path / "checkout")


@pytest.fixture
def fake() -> Iterator[FakeCourierThread]:
    with FakeCourierThread(sizes={"message": 50}) as courier:
        yield courier


def configure(folder: Path, fake: FakeCourierThread, name: str = "local", **more: str) -> None:
    settings = {"api_key": fake.key, "base_url": fake.url, **more}
    (folder / f"configuration.{name}.json").write_text(json.dumps(settings))


def environment(folder: Path, **changes: str) -> dict[str, str]:
    return hermetic_environment(folder.parent / "home") | {"PYTHONUTF8": "1"} | changes


def debug(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND,
        cwd=folder,
        env=environment(folder, **changes),
        capture_output=True,
        text=True,
        timeout=100,
    )


def ids_in(folder: Path, table: str) -> set[str]:
    with duckdb.connect(str(folder / "files" / "warehouse.db"), read_only=True) as connection:
        return {row[0] for row in connection.execute(f"SELECT id FROM tester.{table}").fetchall()}


def test_five_thousand_rows_are_told_in_little_and_the_last_lines_answer(folder: Path) -> None:
    with FakeCourierThread(sizes={"message": 5000}) as fake:
        configure(folder, fake, requests_per_second="1000")
        run = debug(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len((run.stdout + run.stderr).encode()) < 8_000
    assert "checkpoint recorded" not in run.stdout
    last = "\n".join(run.stdout.splitlines()[-30:])
    for answer in ("What landed in files/warehouse.db", "5,000", "complete", "Next: 'make debug'"):
        assert answer in last
    for table in KEYS:
        assert last.count(f"\n{table} ") == 2  # its counts and its newest row


def test_the_tables_land_in_the_project_for_one_account_and_afresh_where_they_are_gone(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake)
    run = debug(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert ids_in(folder, "message") == {record["id"] for record in fake.truth("message")}
    assert (folder / "requirements.txt").read_text() == (ROOT / "requirements.txt").read_text()
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (folder / "files").iterdir()
        if path.is_file()
    }
    assert set(modes) >= {"warehouse.db", "state.json"}
    assert set(modes.values()) == {0o600}

    # Another account is not read into the same rows.
    configure(folder, fake, api_key="pk_prod_0123456789")
    run = debug(folder)
    assert run.returncode == 1
    assert "Failed: The tables hold rows from " in run.stdout
    assert "\nHere: 'make reset', or another CONFIGURATION.\n" in run.stdout
    assert "What landed" not in run.stdout

    # Without the warehouse, the saved state would hide every row.
    configure(folder, fake)
    (folder / "files" / "warehouse.db").unlink()
    run = debug(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "files/warehouse.db is gone" in run.stdout
    assert ids_in(folder, "brand") == {record["id"] for record in fake.truth("brand")}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "api_key still contains the placeholder. Put a key"),
        ("", "It is empty"),
        ("{", "not JSON"),
        ('\ufeff{"api_key": "pk_test_X"}', "begins with a byte order mark"),
        ('{"api_key": "pk_test_X", "streams": "brands"}', "brands"),
        ("[]", "must be a JSON object"),
    ],
)
def test_a_bad_setting_ends_in_a_sentence_before_anything_is_done(
    folder: Path, content: str | None, expected: str
) -> None:
    if content is not None:
        (folder / "configuration.json").write_text(content)
    run = debug(folder)
    assert run.returncode == 1
    assert run.stdout.startswith("configuration.json: ")
    assert expected in run.stdout
    assert len(run.stdout.splitlines()) <= 2
    assert run.stderr == ""
    assert not (folder / "build").exists()


def test_a_refused_key_ends_in_a_sentence_and_leaves_no_crash_report(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake, api_key="pk_test_WRONG0123456789")
    run = debug(folder)
    assert run.returncode == 1
    *progress, blank, failed, advice = run.stdout.splitlines()
    assert len(progress) <= 4
    assert blank == ""
    assert failed.startswith("Failed: Courier does not accept the key")
    assert advice.startswith("What to do: ")
    for noise in ("SEVERE", "Traceback", "crash report", "RuntimeError"):
        assert noise not in run.stdout + run.stderr
    assert list(folder.rglob("crash_*.log")) == []


def test_one_reason_of_all_streams_is_told_once(folder: Path) -> None:
    settings = {"api_key": "pk_test_X", "base_url": "http://127.0.0.1:9", "max_retries": "0"}
    (folder / "configuration.local.json").write_text(json.dumps(settings))
    run = debug(folder)
    assert run.returncode == 1
    assert run.stdout.count("the connection to 127.0.0.1 failed") == 1
    assert "What landed" not in run.stdout


def test_a_bug_keeps_its_crash_report_and_says_where(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake)
    with (folder / "connector.py").open("a") as connector:
        connector.write("\n\ndef _bug(configuration, state):\n    raise KeyError('planted')\n")
        connector.write("\n\nconnector.update_method = _bug\n")
    run = debug(folder)
    assert run.returncode == 1
    (report,) = folder.rglob("crash_*.log")
    assert str(report) in run.stdout
    assert "planted" in run.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sync_that_is_stopped_says_so_in_a_sentence(folder: Path, number: int) -> None:
    with FakeCourierThread(sizes={"message": 2000}, latency_ms=50) as fake:
        configure(folder, fake, requests_per_second="20", message_lanes="1")
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        wait_for_requests(fake, 30)
        # To the whole group, as from a terminal.
        os.killpg(process.pid, number)
        printed = process.communicate(timeout=30)[0]
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1].startswith(
        "Stopped. 'make debug' continues from what is saved"
    )
    assert printed.count("\nStopping after a checkpoint ...") == 1
    counts = re.search(r"^message +([\d,]+) +([\d,]+) .* stopped$", printed, re.MULTILINE)
    assert counts is not None, printed
    assert counts[1] == counts[2] != "0"
    requests = re.search(r"^(\d+) requests, ", printed, re.MULTILINE)
    assert requests is not None
    assert int(requests[1]) >= 30
    for noise in ("SEVERE", "Traceback", "crash report", "RuntimeError"):
        assert noise not in printed
    assert list(folder.rglob("crash_*.log")) == []
    saved = json.loads((folder / "files" / "state.json").read_text())["streams"]["message"]
    # The place where the next sync continues.
    assert saved["lanes"]


def test_each_configuration_has_its_own_files_and_everything_is_shown_where_that_is_wanted(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake, "eu")
    run = debug(folder, CONFIGURATION="configuration.eu.json", VERBOSE="1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "checkpoint recorded" in run.stdout
    assert "What landed in files/eu/warehouse.db" in run.stdout
    for command in ("debug", "questions", "sql", "reset"):
        assert f"'CONFIGURATION=configuration.eu.json make {command}'" in run.stdout
    assert (folder / "files" / "eu" / "state.json").exists()
    assert not (folder / "files" / "warehouse.db").exists()


def test_a_state_that_was_cut_short_names_the_file_and_what_to_do(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake)
    (folder / "files" / "warehouse.db").touch()
    run = debug(folder)  # The checkout's leftover state is not JSON.
    assert run.returncode == 1
    assert "files/state.json is damaged. 'make reset'" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_connector_runs_by_itself_as_an_ide_does(
    folder: Path, fake: FakeCourierThread
) -> None:
    configure(folder, fake)
    (folder / "files" / "state.json").unlink()
    # In an environment that is not activated, the SDK's commands are only beside the interpreter.
    beside = folder.parent / "bin"
    beside.mkdir()
    (beside / "python").symlink_to(sys.executable)
    (beside / "pipreqs").write_text("#!/bin/sh\nexit 0\n")
    (beside / "pipreqs").chmod(0o755)
    own = environment(folder, PATH="/usr/bin:/bin", PYTHONPATH=sysconfig.get_path("purelib"))

    def run() -> dict[str, Any]:
        done = subprocess.run(
            [str(beside / "python"), str(folder / "connector.py")],
            cwd=folder.parent,
            env=own,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads((folder / "files" / "state.json").read_text())["streams"])

    assert "brand" in run()
    began = fake.stats()["requests"]
    assert "brand" in run()
    # The second run continues from the first one's state.
    assert fake.stats()["requests"] - began < began


def test_a_second_run_at_the_same_time_is_refused(folder: Path) -> None:
    with FakeCourierThread(sizes={"message": 2000}, latency_ms=50) as fake:
        configure(folder, fake, requests_per_second="10")
        (folder / "files" / "state.json").unlink()
        with subprocess.Popen(
            COMMAND, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL
        ) as first:
            wait_for_requests(fake, 1)
            second = debug(folder)
            first.send_signal(signal.SIGINT)
            time.sleep(0.2)
    assert second.returncode == 1
    assert "Another sync is writing to files/" in second.stderr
    assert first.returncode == 130
