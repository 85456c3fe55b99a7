"""docs/queries.sql as data, and its answers for a terminal; `make questions` prints them all."""

import re
import signal
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

import duckdb

from tools.local_run import latest_warehouse, taken
from tools.stage import ROOT

QUERIES = ROOT / "docs" / "queries.sql"
WIDTH = 100
MOST_ROWS = 8
MOST_ANSWERS = 20
_WIDEST_CELL = 28
_BLOCKS = " ▏▎▍▌▋▊▉█"


class Question(NamedTuple):
    """title: in words. sql: one statement, without its comment and its semicolon."""

    title: str
    sql: str


class Cursor(Protocol):
    """The part of a DuckDB connection used here: rows, and the names of their columns."""

    @property
    def description(self) -> Sequence[Sequence[Any]]: ...
    def execute(self, query: str) -> Any: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


def questions() -> list[Question]:
    """Returns the questions of docs/queries.sql. Raises ValueError if one is out of order."""
    parts = re.split(r"^-- (\d+)\. (.+)$", QUERIES.read_text(), flags=re.MULTILINE)[1:]
    numbers, titles, bodies = parts[0::3], parts[1::3], parts[2::3]
    if [int(number) for number in numbers] != list(range(1, len(numbers) + 1)):
        raise ValueError(f"the questions are numbered {', '.join(numbers)}")
    return [
        Question(
            title, re.sub(r"^--.*\n", "", body.lstrip("\n"), flags=re.MULTILINE).strip(" \n;")
        )
        for title, body in zip(titles, bodies, strict=True)
    ]


def run_three(connection: Cursor) -> list[str]:
    """Answers questions 1 and 3 as tables and question 2 as a chart, at most 100 columns wide.

    `connection` reads the tables by their bare names (in DuckDB after `USE tester`).
    """
    rates, failures, seconds, *_ = questions()
    lines = []
    for question in (rates, seconds):
        lines += [question.title, *table(*_answer(connection, question)), ""]
    _, rows = _answer(connection, failures)
    counts = [(" ".join(filter(None, row[:3])), row[3]) for row in rows]
    return [*lines, failures.title, *bars(counts)]


def _answer(connection: Cursor, question: Question) -> tuple[list[str], list[tuple[Any, ...]]]:
    connection.execute(question.sql)
    names = [str(column[0]) for column in connection.description]
    return names, connection.fetchall()


def table(
    names: Sequence[str], rows: Sequence[Sequence[Any]], *, most_rows: int = MOST_ROWS
) -> list[str]:
    """Formats the first rows as a table of at most 100 columns, with numbers right-aligned."""
    shown = [[_text(value) for value in row] for row in rows[:most_rows]]
    numeric = [all(isinstance(row[at], (int, float)) for row in rows) for at in range(len(names))]
    widths = [
        min(max(len(name), *(_columns(row[at]) for row in shown), 1), _WIDEST_CELL)
        for at, name in enumerate(names)
    ]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for cells in ([*names], ["-" * width for width in widths], *shown):
        padded = [
            _padded(cell, width, right=number)
            for cell, width, number in zip(cells, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    if len(rows) > most_rows:
        lines.append(f"… and {len(rows) - most_rows:,} more")
    return lines


def bars(values: Sequence[tuple[str, int]]) -> list[str]:
    """Draws a bar per value, between its label and its number; at most 100 columns."""
    most = max((value for _, value in values), default=0)
    label_width = max((_columns(label) for label, _ in values), default=0)
    room = WIDTH - label_width - len(f"{most:,}") - 2
    lines = []
    for label, value in values:
        eighths = round(room * 8 * value / most) if most else 0
        bar = _BLOCKS[-1] * (eighths // 8) + _BLOCKS[eighths % 8].strip()
        lines.append(f"{_padded(label, label_width, right=False)} {bar} {value:,}")
    return lines


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (date, datetime)):
        return value.isoformat()[:10]
    # A control character would break the line.
    return f"{value:,}" if isinstance(value, int) else re.sub(r"\s+", " ", str(value))


def _columns(text: str) -> int:
    """Returns how many columns of a terminal a text takes: East Asian letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _padded(text: str, width: int, *, right: bool) -> str:
    """Pads the text to `width` columns, or cuts it if it is longer."""
    text = cut(text, width)
    blanks = " " * (width - _columns(text))
    return blanks + text if right else text + blanks


def cut(text: str, width: int) -> str:
    """Cuts a text to at most `width` columns, with an ellipsis if anything is cut."""
    if _columns(text) <= width:
        return text
    while _columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def main() -> None:
    """`make questions`: answers every question from the newest local warehouse."""
    # As with other tools, `make questions | head` ends without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    path = latest_warehouse()
    print(f"Answered by {taken(path)}")
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("USE tester")
        for number, question in enumerate(questions(), 1):
            print(f"\n{number}. {question.title}")
            try:
                names, rows = _answer(connection, question)
                print(*table(names, rows, most_rows=MOST_ANSWERS), sep="\n")
            except (duckdb.CatalogException, duckdb.BinderException):
                print("Not answered: a required table or column has not landed yet.")


if __name__ == "__main__":
    main()
