"""`make demo`: the real connector and the real `fivetran debug` against a fake Courier API.

Everything happens on this machine, in a folder that is removed at the end: no account, no key,
no internet. KEEP=1 keeps its warehouse in files/demo/.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.end_to_end import DebugFolder, Run
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.warehouse import KEYS, Cells
from tools.configuration import LOCAL
from tools.console import Digest, lines
from tools.demo_tables import Tables, print_changes, print_comparison, print_rows
from tools.local_run import FILES
from tools.questions import run_three
from tools.stage import ROOT

HOUR_MS = 3_600_000
# Small enough to be read, with messages enough that a second sync is seen to ask for less.
SIZES = {
    "brand": 6, "audience": 6, "audit_event": 40, "list": 8, "message": 500, "notification": 12,
    "tenant": 10,
}  # fmt: skip


class SyncFailed(Exception):
    """What a sync that failed has said."""


def main() -> int:
    """The exit status: 0, 1 after a sync that failed, 130 after Ctrl-C."""
    # SIGINT too: a process started in the background inherits it as ignored.
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _interrupt)
    try:
        folder = Path(tempfile.mkdtemp(prefix="courier-demo-"))
        try:
            status = demo(folder)
            kept = keep(folder) if os.environ.get("KEEP") == "1" and status == 0 else None
        finally:
            remove(folder)
    except KeyboardInterrupt:
        print("\nStopped. No process and no file is left behind.")
        return 130
    print("The fake is stopped, and the folder of the demo is removed.")
    if kept is not None:
        print(f"The warehouse is kept in {kept.relative_to(ROOT)} (DuckDB, schema tester).")
        print("'make questions' answers more questions with it; 'make sql' opens a prompt on it.")
    elif status == 0:
        print("KEEP=1 keeps the tables: make demo KEEP=1")
    if status == 0:
        print(f"With a key of your own: put it into {LOCAL}, then run 'make debug'.")
    return status


def keep(folder: Path) -> Path:
    """Copies the demo's warehouse to where 'make questions' and 'make sql' find it."""
    target = FILES / "demo" / "warehouse.db"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(folder / "connector" / "files" / "warehouse.db", target)
    target.chmod(0o600)
    return target


def remove(folder: Path, *, seconds: float = 5.0) -> None:
    """Removes a folder into which a process that was just killed may still write."""
    until = time.monotonic() + seconds
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def demo(folder: Path) -> int:
    """Sync, change, sync again, and once more two hours later; what each did is printed."""
    print("A Fivetran connector for Courier, shown on this machine alone: no account, no key.")
    with FakeCourierProcess(sizes=SIZES, hostile_names=False) as fake:
        step(f"1. A fake Courier API with made-up data is up at {fake.url}")
        connector = DebugFolder(folder, {"api_key": fake.key, "base_url": fake.url})
        try:
            show(fake, connector)
        except SyncFailed as failure:
            print("", failure, "The sync failed.", "", sep="\n")
            return 1
    print()
    return 0


def show(fake: FakeCourierProcess, connector: DebugFolder) -> None:
    """The demo itself. Raises SyncFailed."""
    step("2. First sync, by the real 'fivetran debug' ...")
    first = synced(connector)
    before, first_asked = _tables(connector), _asked(fake)
    print(f"   {_summary(first, first_asked)} The warehouse now holds:")
    for table, rows in before.items():
        print_rows(table, rows)

    step("3. Something happens in Courier")
    for sentence in change_some(fake, before):
        print(f"   {sentence}")

    step("4. Second sync ...")
    fake.reset_stats()
    second = synced(connector)
    second_asked = _asked(fake)
    print(f"   {_summary(second, second_asked)}\n")
    print_comparison(_tables(connector), first_asked, second_asked, second)

    step("5. Third sync, two hours later on the fake's clock ...")
    print("   A row is marked deleted once two complete reads, an hour apart, did not find it.")
    fake.change("advance", ms=2 * HOUR_MS)
    synced(connector)

    step("6. What all that changed in the warehouse")
    after = _tables(connector)
    for table in KEYS:
        print_changes(table, before[table], after[table])
    step("7. First questions, from docs/queries.sql")
    for line in answers(connector):
        print(line.rstrip())


def synced(connector: DebugFolder) -> Run:
    """One sync. Raises SyncFailed with what it said where it failed."""
    run = connector.sync()
    if run.status:
        digest = Digest()
        for line in lines(run.output.splitlines()):
            digest.take(line)
        raise SyncFailed(digest.failure or "\n".join(digest.recent))
    return run


def answers(connector: DebugFolder) -> list[str]:
    """Three of the questions that a data team asks first, answered by the warehouse."""
    with connector.warehouse.opened() as connection:
        return run_three(connection)


def change_some(fake: FakeCourierProcess, tables: Tables) -> list[str]:
    """Changes data in the fake; a sentence for each change."""
    added = fake.change("add", stream="message", n=4)
    moved = fake.change("progress_messages", n=6, newest=40)
    brand = _named_row(tables["brand"])
    fake.change("edit", stream="brand", id=brand, fields={"name": "Spring campaign"})
    tenant = _named_row(tables["tenant"], "parent_tenant_id")
    family = (tenant, tables["tenant"][tenant]["parent_tenant_id"])
    parent = next(key for key in tables["tenant"] if key not in family)
    fake.change("edit", stream="tenant", id=tenant, fields={"parent_tenant_id": parent})
    list_ = _named_row(tables["list"])
    fake.change("delete", stream="list", id=list_)
    fake.change("add", stream="audience")
    return [
        f"{len(added)} messages are sent, and {len(moved)} earlier ones get a step further.",
        f"The brand '{tables['brand'][brand]['name']}' is renamed, and "
        f"the tenant '{tables['tenant'][tenant]['name']}' moves below "
        f"'{tables['tenant'][parent]['name']}'.",
        f"The list '{tables['list'][list_]['name']}' is deleted, and an audience is made.",
    ]


def step(title: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if _in_colour() else ("", "")
    print(f"\n{bold}{title}{plain}", flush=True)


def _named_row(rows: Mapping[str, Cells], column: str = "name") -> str:
    """The key of a row with a name and something in the column."""
    return next(key for key, row in rows.items() if row.get("name") and row.get(column))


def _summary(run: Run, asked: Mapping[str, int]) -> str:
    rows = sum(run.counts("sent").values())
    return f"{sum(asked.values())} requests, {rows:,} rows sent."


def _tables(connector: DebugFolder) -> Tables:
    return {table: connector.warehouse.rows(table) for table in KEYS}


def _asked(fake: FakeCourierProcess) -> dict[str, int]:
    """Requests a stream, those by id for rows that went missing included."""
    stats = fake.stats()
    return {name: stats["by_stream"].get(name, 0) + stats["by_id"].get(name, 0) for name in KEYS}


def _in_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
