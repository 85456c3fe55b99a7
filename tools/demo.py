"""`make demo`: the real connector and the real `fivetran debug` against a fake Courier API.

Everything happens on this machine, in a folder that is removed at the end: no account, no key,
no internet. KEEP=1 keeps its warehouse in files/demo/.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from tests.support.end_to_end import DebugFolder, Run
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.warehouse import KEYS, Cells
from tools.configuration import LOCAL
from tools.console import Digest, lines
from tools.local_run import FILES
from tools.questions import run_three
from tools.stage import ROOT

# The fake API with names that people recognise.
FAMILIAR = "tests.support.fake_courier.familiar"
WIDTH = 99
GUTTER = 15
LONGEST_CELL = 24
SHOWN_ROWS = 3
SHOWN_CHANGES = 2  # of a kind
# Table -> the columns that are shown; "/" stands between those of the two shapes of templates.
COLUMNS = {
    "brand": ("id", "name", "settings_colors_primary"),
    "audience": ("id", "name", "filter_path", "filter_value", "updated_at"),
    "audit_event": ("audit_event_id", "timestamp", "type", "actor_id"),
    "list": ("id", "name", "created", "updated"),
    "message": ("id", "status", "enqueued", "recipient"),
    "notification": ("id", "title/name", "created/created_at", "updated/updated_at"),
    "tenant": ("id", "name", "parent_tenant_id", "properties_seats"),
}
TIMES = ("timestamp", "created", "created_at", "updated", "updated_at", "enqueued", "sent",
         "delivered", "opened", "clicked")  # fmt: skip

Tables = dict[str, dict[str, Cells]]


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
    """Sync, change, sync again; what each did is printed."""
    print("A Fivetran connector for Courier, shown on this machine alone: no account, no key.")
    with FakeCourierProcess(program=FAMILIAR) as fake:
        step(f"1. A fake Courier API with made-up data is up at {fake.url}")
        connector = DebugFolder(folder, {"api_key": fake.key, "base_url": fake.url})
        step("2. First sync, by the real 'fivetran debug' ...")
        first = connector.sync()
        if first.status:
            return failed(first)
        before, first_asked = _tables(connector), _asked(fake)
        print(f"   {_summary(first, first_asked)} The warehouse now holds:")
        for table, rows in before.items():
            print_rows(table, rows)

        step("3. Something happens in Courier")
        for sentence in change_some(fake, before):
            print(f"   {sentence}")

        step("4. Second sync ...")
        fake.reset_stats()
        second = connector.sync()
        if second.status:
            return failed(second)
        after, second_asked = _tables(connector), _asked(fake)
        print(f"   {_summary(second, second_asked)}\n")
        print_comparison(after, first_asked, second_asked, second)
        step("5. What that changed in the warehouse")
        for table in KEYS:
            print_changes(table, before[table], after[table])
        step("6. First questions, from docs/queries.sql")
        for line in answers(connector):
            print(line.rstrip())
    print()
    return 0


def answers(connector: DebugFolder) -> list[str]:
    """Three of the questions that a data team asks first, answered by the warehouse."""
    with connector.warehouse.opened() as connection:
        return run_three(connection)


def change_some(fake: FakeCourierProcess, tables: Tables) -> list[str]:
    """Changes data in the fake; a sentence for each change."""
    added = fake.change("add", stream="message", n=4)
    moved = fake.change("progress_messages", n=6, newest=40)
    brand = _plain_row(tables["brand"])
    fake.change("edit", stream="brand", id=brand, fields={"name": "Spring campaign"})
    tenant = _plain_row(tables["tenant"], "parent_tenant_id")
    parent = next(key for key in tables["tenant"] if key != tenant)
    fake.change("edit", stream="tenant", id=tenant, fields={"parent_tenant_id": parent})
    list_ = _plain_row(tables["list"])
    fake.change("delete", stream="list", id=list_)
    fake.change("add", stream="audience")
    return [
        f"{len(added)} messages are sent, and {len(moved)} earlier ones get a step further.",
        f"The brand '{tables['brand'][brand]['name']}' is renamed, and "
        f"the tenant '{tables['tenant'][tenant]['name']}' moves below another.",
        f"The list '{tables['list'][list_]['name']}' is deleted, and an audience is made.",
    ]


def failed(run: Run) -> int:
    digest = Digest()
    for line in lines(run.output.splitlines()):
        digest.take(line)
    print("", digest.failure or "\n".join(digest.recent), "The sync failed.", "", sep="\n")
    return 1


# -- what is shown -----------------------------------------------------------------------------


def step(title: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if _in_colour() else ("", "")
    print(f"\n{bold}{title}{plain}", flush=True)


def print_rows(table: str, rows: Mapping[str, Cells]) -> None:
    """The first of the rows that have most to show, beside the table's name and size."""
    columns = COLUMNS[table]
    full = sorted(
        rows.values(),
        key=lambda row: (sum(not _cell(row, c) for c in columns), not _is_plain(row)),
    )
    shown = [[_cell(row, column) for column in columns] for row in full[:SHOWN_ROWS]]
    lines = _aligned([[column.partition("/")[0] for column in columns], *shown])
    print()
    for left, line in zip_longest((table, f"{len(rows):,} rows"), lines, fillvalue=""):
        print(f"   {left:<{GUTTER}}{line}".rstrip())


def print_comparison(
    tables: Tables, first: Mapping[str, int], second: Mapping[str, int], run: Run
) -> None:
    """A line a table: what both syncs asked, and what the second one sent."""
    sent, unchanged, deleted = (run.counts(name) for name in ("sent", "unchanged", "deleted"))
    lines = [["table", "requests, 1st", "2nd", "rows sent", "unchanged", "deleted", "in table"]]
    for name, rows in tables.items():
        counts = (first[name], second[name], sent[name], unchanged[name], deleted[name], len(rows))
        lines.append([name, *(f"{count:,}" if count else "-" for count in counts)])
    for line in _aligned(lines, numbers=True):
        print(f"   {line}")
    print("\n   Only new and changed rows are sent: Fivetran bills by the rows it gets.")


def print_changes(table: str, before: Mapping[str, Cells], after: Mapping[str, Cells]) -> None:
    changed = [
        (f"~ {_cut(key)}", _change(before[key], after[key]))
        for key in after
        if key in before and before[key] != after[key]
    ]
    new = [
        (f"+ {_cut(key)}", f"new: {_called(after[key])}") for key in sorted(after.keys() - before)
    ]
    gone = [
        (f"- {_cut(key)}", f"marked deleted: {_called(before[key])}")
        for key in sorted(before.keys() - after)
    ]
    lines = []
    for kind in (changed, new, gone):
        lines += kind[:SHOWN_CHANGES]
        if len(kind) > SHOWN_CHANGES:
            lines.append((kind[0][0][:2] + f"{len(kind) - SHOWN_CHANGES} more", ""))
    for left, line in zip_longest((table,), _aligned(lines) or ["= as it was"], fillvalue=""):
        print(_cut(f"   {left:<{GUTTER}}{line}".rstrip(), WIDTH))


def _summary(run: Run, asked: Mapping[str, int]) -> str:
    rows = sum(run.counts("sent").values())
    return f"{sum(asked.values())} requests, {rows:,} rows sent."


def _aligned(lines: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Cells under one another; all but the first to the right where they are numbers."""
    widths = [max(map(terminal_width, column)) for column in zip(*lines, strict=True)]
    aligned = []
    for line in lines:
        padded = []
        for place, (cell, width) in enumerate(zip(line, widths, strict=True)):
            blanks = " " * (width - terminal_width(cell))
            padded.append(blanks + cell if numbers and place else cell + blanks)
        aligned.append("  ".join(padded))
    return aligned


def terminal_width(text: str) -> int:
    """Columns on a terminal: letters of East Asia and emojis take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _cell(row: Cells, columns: str) -> str:
    found = next((column for column in columns.split("/") if column in row), "")
    return _cut(_shown(found, row.get(found)))


def _shown(column: str, value: Any) -> str:
    """A value as people read it; a time, in epoch ms or (landed as a time) µs, as a date."""
    if isinstance(value, int) and column in TIMES:
        seconds = value / (1_000_000 if value > 10**14 else 1_000)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    return "" if value is None else str(value)


def _change(before: Cells, after: Cells) -> str:
    """The cells of a row that changed; times only where nothing else did."""
    columns = [name for name in before | after if before.get(name) != after.get(name)]
    telling = [name for name in columns if name not in TIMES] or columns
    return ", ".join(
        f"{name}: {_shown(name, before.get(name)) or '(empty)'} -> "
        f"{_shown(name, after.get(name)) or '(empty)'}"
        for name in telling
    )


def _called(row: Cells) -> str:
    """What people call a row; of a message its status and recipient."""
    if "name" in row:
        return str(row["name"])
    return f"{row.get('status')} to {row.get('recipient')}"


def _plain_row(rows: Mapping[str, Cells], column: str = "name") -> str:
    """The key of a row with a plain name and something in the column."""
    return next(key for key, row in rows.items() if column in row and _is_plain(row))


def _is_plain(row: Cells) -> bool:
    name = row.get("name") or row.get("title") or ""
    return re.fullmatch(r"[A-Z][a-z ]+ [0-9]+", name) is not None


def _cut(text: str, length: int = LONGEST_CELL) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


# -- what is read ------------------------------------------------------------------------------


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
