"""The files of local runs: one folder per configuration, private to the user.

files/ holds those of the usual configuration, files/eu/ those of configuration.eu.json.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.configuration import chosen, environment_name
from tools.samples import holds_rows
from tools.stage import ROOT, stage

FILES = ROOT / "files"
OWN_FILES = ("warehouse.db", "warehouse.db.wal", "state.json")


class LocalRun:
    """One configuration's project, which the SDK runs, and what its runs leave in `files`."""

    def __init__(self, configuration: Path) -> None:
        # No name begins with an underscore, so the folders that do are no configuration's.
        self.name = environment_name(configuration)
        self.configuration = configuration
        self.project = ROOT / "build" / "debug" / (self.name or "_usual")
        self.files = FILES / self.name
        self.warehouse = self.files / "warehouse.db"
        self.state = self.files / "state.json"
        self.temporary = self.files / "_tmp"

    def command(self, name: str) -> str:
        """Returns what a person types to run a command on this configuration."""
        if self.configuration == chosen({}):
            return f"make {name}"
        path = self.configuration
        return f"CONFIGURATION={shown(path) if path.is_relative_to(ROOT) else path} make {name}"

    def prepare(self) -> list[str]:
        """Makes the private folders and cleans up after earlier runs; returns any remarks.

        Raises SystemExit if the saved state cannot be read.
        """
        stage(self.project)
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.project / "files").symlink_to(self.files)
        for folder in (FILES, self.files):
            folder.chmod(0o700)
        for name in OWN_FILES:
            if (self.files / name).exists():
                (self.files / name).chmod(0o600)
        # A run that was killed leaves its temporary files behind; this folder is ours alone.
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(mode=0o700)
        return self._check_state()

    def _check_state(self) -> list[str]:
        if not self.state.exists():
            return []
        if not self.warehouse.exists():
            self.state.unlink()
            return [
                f"{shown(self.warehouse)} is gone, so its saved state was removed too: this sync "
                "starts over."
            ]
        try:
            is_state = isinstance(json.loads(self.state.read_text(encoding="utf-8")), dict)
        except (ValueError, OSError):
            is_state = False
        if not is_state:
            sys.exit(
                f"{shown(self.state)} is damaged. '{self.command('reset')}' removes it together "
                "with the warehouse; the next sync then reads everything again."
            )
        return []

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other runs of this configuration out. Raises SystemExit if one is active."""
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.files / ".lock", os.O_RDWR | os.O_CREAT, 0o600)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                sys.exit(f"Another sync is writing to {shown(self.files)}/. Wait until it ends.")
            yield

    def reset(self) -> str:
        """Removes what the runs have landed and saved; returns a sentence that says so."""
        gone = [name for name in OWN_FILES if (self.files / name).exists()]
        for name in gone:
            (self.files / name).unlink()
        shutil.rmtree(self.temporary, ignore_errors=True)
        shutil.rmtree(self.project, ignore_errors=True)
        if not gone:
            return f"Nothing to reset in {shown(self.files)}/."
        return f"Removed from {shown(self.files)}/: {', '.join(gone)}."


def latest_warehouse() -> Path:
    """Finds CONFIGURATION's warehouse, or the newest with rows. Raises SystemExit without one."""
    if os.environ.get("CONFIGURATION"):
        found = [_chosen_run().warehouse]
    else:
        found = [*FILES.glob("warehouse.db"), *FILES.glob("*/warehouse.db")]
    found = [path for path in found if path.exists() and holds_rows(path)]
    if not found:
        sys.exit("No rows have landed yet: run 'make debug', or 'make demo KEEP=1'.")
    return max(found, key=lambda path: path.stat().st_mtime)


def taken(path: Path) -> str:
    """Says which warehouse is read, and how to read another."""
    if os.environ.get("CONFIGURATION"):
        return shown(path)
    return f"{shown(path)}, the newest with rows (CONFIGURATION=... chooses another)"


def _chosen_run() -> LocalRun:
    """Returns the chosen run. Raises SystemExit if its configuration file does not exist."""
    path = chosen(os.environ)
    if not path.exists():
        sys.exit(f"{path.name}: There is no such file.")
    return LocalRun(path)


def shown(path: Path) -> str:
    """Returns a path inside the project, as people type it."""
    return str(path.relative_to(ROOT))


def main() -> None:
    """`make reset`."""
    run = _chosen_run()
    with run.alone():
        print(run.reset())


if __name__ == "__main__":
    main()
