"""The real `fivetran debug` with no room left under files/."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.end_to_end import DebugFolder
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.warehouse import KEYS


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mounts a file system of 300 kB as the folder."""
    folder.mkdir(exist_ok=True)
    if not mount(folder, "size=300k"):
        pytest.skip("skipped: this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_in_a_sentence_and_costs_no_row_once_there_is_room(
    tmp_path: Path,
) -> None:
    sizes = dict.fromkeys(KEYS, 14) | {"message": 1500}
    with FakeCourierThread(sizes=sizes) as fake:
        fast = {"requests_per_second": "1000", "checkpoint_interval_seconds": "2"}
        folder = DebugFolder(tmp_path, {"api_key": fake.key, "base_url": fake.url} | fast)
        files = folder.project / "files"
        with small_disk(files):
            full = folder.sync()
            assert full.status == 1
            assert "The sync was stopped by" in full.output
            assert mount(files, "remount,size=200m")
            assert folder.sync().status == 0
            for table in KEYS:
                assert folder.warehouse.differences(table, fake.truth(table)) == []
