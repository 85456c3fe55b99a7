"""`make demo`: what it prints, and what it leaves behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from courier_async.catalog.streams import ALL
from tests.support.checkout import checkout
from tests.support.warehouse import KEYS
from tools.demo_tables import terminal_width
from tools.questions import questions
from tools.stage import ROOT

DEMO = [sys.executable, "-m", "tools.demo"]


def environment(folder: Path) -> dict[str, str]:
    """Returns an environment whose temporary files are all in `folder`."""
    return os.environ | {"TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def processes_of(folder: Path) -> list[str]:
    """Returns the ids of the processes started with `environment(folder)`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (process / "environ").read_bytes() + b"\0":
                found.append(process.name)
        except OSError:
            continue
    return found


def left_behind(folder: Path) -> list[str]:
    """Returns the remaining processes, after giving killed ones time to exit."""
    until = time.monotonic() + 5
    while (found := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_the_demo_is_short_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = subprocess.run(
        DEMO, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=100
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
    # Of some fifty pages of messages, the second sync requests only those in the lookback.
    asked = re.search(r"message +(\d+) +(\d+) ", demo.stdout)
    assert asked is not None
    assert int(asked[2]) < int(asked[1]) / 3
    # Recognizable names only; names that are hard to store belong in tests.
    assert not any(name in demo.stdout for name in ("2024-01-01", "日本語", "Größe", "1e5"))
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


def demo_of(streams: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `make demo STREAMS=...` to its end."""
    own = environment(folder) | {"STREAMS": streams}
    return subprocess.run(DEMO, cwd=ROOT, env=own, capture_output=True, text=True, timeout=100)


def test_a_demo_of_all_tables_shows_each_and_compares_it_with_the_source(tmp_path: Path) -> None:
    demo = demo_of("all", tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert max(map(terminal_width, demo.stdout.splitlines())) <= 100
    shown, _, rest = demo.stdout.partition("3. Something happens")
    comparison, _, changes = rest.partition("6. What changed")
    for stream in ALL:
        assert re.search(rf"^   {stream.table} .*\n   [\d,]+ rows", shown, re.MULTILINE)
        assert re.search(rf"^   {stream.table} +\d+ ", comparison, re.MULTILINE)
        assert re.search(rf"^   {stream.table} +[-+~=] ", changes, re.MULTILINE)
    assert f"match Courier cell by cell: {len(ALL) - 1} of {len(ALL) - 1}." in changes
    assert "Not compared: notification_metric" in changes
    # Deleted together with its list.
    assert re.search(r"- beta-testers \S+ +marked deleted$", changes, re.MULTILINE)
    # A value that is not a time is not shown as one.
    assert "1970" not in demo.stdout


def test_a_demo_of_some_tables_shows_only_those(tmp_path: Path) -> None:
    demo = demo_of(" list, list_subscription ", tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Tables that match Courier cell by cell: 2 of 2." in demo.stdout
    assert "2 users subscribe to a list." in demo.stdout
    for other in ("brand", "message", "First questions"):
        assert other not in demo.stdout


@pytest.mark.parametrize("streams", ["lists", "message_event"])
def test_a_demo_of_tables_that_the_setting_refuses_says_so(streams: str, tmp_path: Path) -> None:
    demo = demo_of(streams, tmp_path)
    assert demo.returncode == 1
    assert re.fullmatch(rf"STREAMS: streams names '?{streams}\b.*\n", demo.stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_kept_can_be_asked_further_questions(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "temporary").mkdir()
    folder = checkout(tmp_path / "checkout")
    shutil.rmtree(folder / "tests")
    for name in ("tests", "docs"):
        (folder / name).symlink_to(ROOT / name)
    own = environment(tmp_path / "temporary") | {"KEEP": "1", "PYTHONUTF8": "1"}

    def run(module: str) -> str:
        command = [sys.executable, "-m", module]
        done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "The warehouse is kept in files/demo/warehouse.db" in run("tools.demo")
    answers = run("tools.questions")
    assert answers.startswith("Answered by files/demo/warehouse.db, the newest with rows (CONF")
    assert len(re.findall(r"^\d+\. ", answers, re.MULTILINE)) == len(questions())
    # The last question needs a table outside the core seven.
    before, _, last = answers.rpartition(f"\n{len(questions())}. ")
    assert "Not answered" not in before
    assert "Not answered: a required table" in last
    prompt = subprocess.run(
        [sys.executable, "-m", "tools.sql"],
        cwd=folder,
        env=own,
        input="SELECT 'rows: ' || count(*) FROM tenant;\n",
        capture_output=True,
        text=True,
    )
    assert prompt.returncode == 0, prompt.stderr
    assert "rows: 10" in prompt.stdout
    assert "Reads" not in prompt.stdout


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
    # To the whole group, as from a terminal, once `fivetran debug` is running.
    while len(processes_of(tmp_path)) < 3:
        assert demo.poll() is None
        time.sleep(0.05)
    os.killpg(demo.pid, number)
    output = demo.communicate(timeout=20)[0]
    assert demo.returncode == 130
    assert output.endswith("Stopped. No processes or files are left behind.\n")
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []
