"""Prints the tables of `make demo`: rows, counts and changes, at most 99 columns wide."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any
from unicodedata import east_asian_width

from courier_async.catalog.streams import BY_TABLE
from tests.support.end_to_end import Run
from tests.support.warehouse import Cells, RowKey

WIDTH = 99
LONGEST_CELL = 24
LONGEST_PARENT = 12  # before the rest of a child's key
SHOWN_ROWS = 3
SHOWN_CHANGES = 2  # of each kind
# Table -> columns to show; "/" separates a column's names in the two shapes of templates.
COLUMNS = {
    "brand": ("id", "name", "settings_colors_primary"),
    "audience": ("id", "name", "filter_path", "filter_value", "updated_at"),
    "audit_event": ("audit_event_id", "timestamp", "type", "actor_id"),
    "list": ("id", "name", "created", "updated"),
    "message": ("id", "status", "enqueued", "recipient"),
    "notification": ("id", "title/name", "created/created_at", "updated/updated_at"),
    "tenant": ("id", "name", "parent_tenant_id", "properties_seats"),
    "preference_change": ("timestamp", "user_id", "topic_name", "status"),
    "preference_section": ("id", "name", "created"),
    "subscription_topic": ("id", "name", "default_status"),
    "list_subscription": ("list_id", "recipient_id", "created"),
    "audience_member": ("audience_id", "member_id", "added_at"),
    "tenant_user": ("tenant_id", "user_id", "type"),
    "notification_metric": ("notification_id", "period", "channel", "sent", "opened"),
    "message_provider": ("message_id", "position", "provider", "status"),
    "message_event": ("message_id", "position", "type", "ts"),
}
TIMES = ("timestamp", "created", "created_at", "updated", "updated_at", "enqueued", "sent",
         "delivered", "opened", "clicked", "added_at", "period", "ts")  # fmt: skip

Tables = dict[str, dict[RowKey, Cells]]


def gutter(tables: Iterable[str]) -> int:
    """Returns the width of the column for the names of these tables."""
    return max(15, *(len(table) + 2 for table in tables))


def print_rows(table: str, rows: Mapping[RowKey, Cells], width: int) -> None:
    """Prints the rows that have the most to show, next to the table's name and size."""
    columns = COLUMNS[table]
    full = sorted(
        rows.values(),
        key=lambda row: sum(not _cell(row, c) for c in columns),
    )
    shown = [[_cell(row, column) for column in columns] for row in full[:SHOWN_ROWS]]
    lines = _aligned([[column.partition("/")[0] for column in columns], *shown])
    print()
    for left, line in zip_longest((table, f"{len(rows):,} rows"), lines, fillvalue=""):
        print(f"   {left:<{width}}{line}".rstrip())


def print_comparison(tables: Tables, first: Run, second: Run) -> None:
    """Prints a line per table: how much both syncs requested, and what the second one sent."""
    asked, again = first.counts("requests"), second.counts("requests")
    sent, unchanged = second.counts("sent"), second.counts("unchanged")
    lines = [["table", "requests, 1st", "2nd", "rows sent", "unchanged", "in table"]]
    for name, rows in tables.items():
        counts = (asked[name], again[name], sent[name], unchanged[name], len(rows))
        lines.append([name, *(f"{count:,}" if count else "-" for count in counts)])
    for line in _aligned(lines, numbers=True):
        print(f"   {line}")
    print("\n   Unchanged rows are not sent again: Fivetran bills by the rows it receives.")


def print_changes(
    table: str, before: Mapping[RowKey, Cells], after: Mapping[RowKey, Cells], width: int
) -> None:
    changed = [
        (f"~ {_key(table, key)}", _change(before[key], after[key]))
        for key in after
        if key in before and before[key] != after[key]
    ]
    new = [
        (f"+ {_key(table, key)}", _said("new", table, after[key]))
        for key in sorted(after.keys() - before)
    ]
    gone = [
        (f"- {_key(table, key)}", _said("marked deleted", table, before[key]))
        for key in sorted(before.keys() - after)
    ]
    lines = []
    for kind in (changed, new, gone):
        lines += kind[:SHOWN_CHANGES]
        if len(kind) > SHOWN_CHANGES:
            lines.append((kind[0][0][:2] + f"{len(kind) - SHOWN_CHANGES} more", ""))
    for left, line in zip_longest((table,), _aligned(lines) or ["= unchanged"], fillvalue=""):
        print(_cut(f"   {left:<{width}}{line}".rstrip(), WIDTH))


def _aligned(lines: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Aligns cells in columns; with `numbers`, right-aligns all but the first column."""
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
    """Returns the columns on a terminal: East Asian letters and emojis take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _cell(row: Cells, columns: str) -> str:
    found = next((column for column in columns.split("/") if column in row), "")
    return _cut(_shown(found, row.get(found)))


def _shown(column: str, value: Any) -> str:
    """Formats a value for people; a time, in epoch ms or (landed as a time) µs, as a date."""
    # Excludes counts: metrics have counts with the same names as times.
    if isinstance(value, int) and column in TIMES and value > 10**11:
        seconds = value / (1_000_000 if value > 10**14 else 1_000)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    return "" if value is None else str(value)


def _change(before: Cells, after: Cells) -> str:
    """Describes the cells of a row that changed; times only if nothing else did."""
    columns = [name for name in before | after if before.get(name) != after.get(name)]
    telling = [name for name in columns if name not in TIMES] or columns
    return ", ".join(
        f"{name}: {_shown(name, before.get(name)) or '(empty)'} -> "
        f"{_shown(name, after.get(name)) or '(empty)'}"
        for name in telling
    )


def _key(table: str, key: RowKey) -> str:
    """Returns a row's key; for a child, its parent's id, shortened, and the rest."""
    if not isinstance(key, tuple):
        return _cut(key)
    columns = BY_TABLE[table].key_columns
    parent, *rest = (
        _shown(column, part)
        for column, part in zip(columns, key, strict=True)
        if column != "granularity"
    )
    return _cut(" ".join((_cut(parent, LONGEST_PARENT), *rest)))


def _said(what: str, table: str, row: Cells) -> str:
    called = _called(table, row)
    return f"{what}: {called}" if called else what


def _called(table: str, row: Cells) -> str:
    """Returns what people call a row, or, if it has no name, its other shown cells."""
    if "name" in row:
        return str(row["name"])
    if table == "message":
        return f"{row.get('status')} to {row.get('recipient')}"
    keys = BY_TABLE[table].key_columns
    cells = (_cell(row, column) for column in COLUMNS[table] if column not in keys)
    return ", ".join(filter(None, cells))


def _cut(text: str, length: int = LONGEST_CELL) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
