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

from tests.support.checkout import checkout
from tests.support.warehouse import KEYS
from tools.demo_tables import terminal_width
from tools.questions import questions
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
    # Of some fifty pages of messages the second sync asks for those of the lookback.
    asked = re.search(r"message +(\d+) +(\d+) ", demo.stdout)
    assert asked is not None
    assert int(asked[2]) < int(asked[1]) / 3
    # Names that people recognise; those that are hard to store belong in tests.
    assert not any(name in demo.stdout for name in ("2024-01-01", "日本語", "Größe", "1e5"))
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


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
    assert answers.startswith("Answered by files/demo/warehouse.db\n")
    assert len(re.findall(r"^\d+\. ", answers, re.MULTILINE)) == len(questions())
    # The last one needs a table that is not among the seven.
    before, _, last = answers.rpartition(f"\n{len(questions())}. ")
    assert "Not answered" not in before
    assert "Not answered: a table" in last
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
