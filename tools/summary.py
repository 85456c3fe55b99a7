"""The last lines of `make debug`: what landed, how fresh it is, what failed, what to do."""

from collections.abc import Sequence
from typing import Any, Final

from courier_async.report import counted
from tools.console import Digest, duration
from tools.local_run import LocalRun, shown
from tools.questions import cut, table
from tools.samples import Sample, samples

WIDTH: Final = 99
MOST_TABLES: Final = 17
MOST_SAMPLES: Final = 7
MOST_WARNINGS: Final = 3
MOST_REMARKS: Final = 3
# Column of the connector's last table -> its name here.
COUNTS: Final = {"sent": "sent", "unchanged": "unchanged", "deleted": "deleted"}


def summary(run: LocalRun, digest: Digest, *, seconds: float, interrupted: bool) -> list[str]:
    """Returns at most thirty lines; only the ending if the run ended early and read nothing."""
    ended_early = interrupted or bool(digest.failure)
    if ended_early and not any(_number(row["read"]) for row in digest.table):
        return ["", *_ending(run, digest, interrupted=interrupted)]
    landed = {sample.table: sample for sample in samples(run.warehouse)}
    lines = ["", f"What landed in {shown(run.warehouse)} (schema tester)"]
    lines += table(*_landed(landed, digest), most_rows=MOST_TABLES)
    lines += [cut(remark, WIDTH) for remark in digest.remarks[:MOST_REMARKS]]
    requests = sum(_number(row.get("requests", "")) for row in digest.table)
    lines += [f"{counted(requests, 'request')}, {duration(seconds)}"]
    newest = [sample for sample in landed.values() if sample.newest]
    if newest and not ended_early and len(landed) <= MOST_SAMPLES:
        lines += ["", "The newest row of each", *_newest(newest)]
    if digest.warnings:
        lines += ["", f"Warnings: {len(digest.warnings)}"]
        lines += [f"  {cut(text, WIDTH - 2)}" for text in digest.warnings[:MOST_WARNINGS]]
    return [*lines, "", *_ending(run, digest, interrupted=interrupted)]


def _landed(
    landed: dict[str, Sample], digest: Digest
) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """Returns the column names, and a row for each table that this sync read or that has rows."""
    told = {row["stream"]: row for row in digest.table}
    has_times = any("complete_to" in row for row in digest.table)
    names = ["table", "rows", *COUNTS.values()]
    names += ["complete up to"] if has_times else []
    rows = []
    for name in dict.fromkeys([*told, *landed]):
        row = told.get(name, {})
        cells: list[Any] = [name, landed[name].rows if name in landed else 0]
        cells += [_number(row.get(column, "0")) for column in COUNTS]
        cells += [_moment(row.get("complete_to", "-"))] if has_times else []
        rows.append([*cells, row.get("outcome", "not read by this sync")])
    return [*names, "outcome"], rows


def _moment(text: str) -> str:
    """Formats an ISO minute as "2026-08-14 09:31 UTC"."""
    return text.replace("T", " ").replace("Z", " UTC")


def _number(text: str) -> int:
    return int(text.replace(",", "")) if text.replace(",", "").isdigit() else 0


def _newest(newest: Sequence[Sample]) -> list[str]:
    most = max(len(sample.newest) for sample in newest)
    rows = [
        [sample.table, *sample.newest, *[""] * (most - len(sample.newest))] for sample in newest
    ]
    return table([""] * (most + 1), rows, most_rows=MOST_SAMPLES)[2:]


def _ending(run: LocalRun, digest: Digest, *, interrupted: bool) -> list[str]:
    again, afresh = run.command("debug"), run.command("reset")
    if interrupted:
        return [f"Stopped. '{again}' continues from what is saved; '{afresh}' starts over."]
    if digest.failure:
        lines = [f"Failed: {digest.failure}"]
        if digest.is_of_another_account:
            lines.append(f"Here: '{afresh}', or another CONFIGURATION.")
        if digest.is_orderly:
            return [*lines, "What to do: docs/operations.md explains each message."]
        return [*lines, f"Crash report: {digest.crash_report or 'none was written'}"]
    return [
        f"Next: '{again}' reads what has changed since",
        f"      '{run.command('questions')}' answers first questions",
        f"      '{run.command('sql')}' opens a prompt on these tables",
        f"      '{afresh}' starts over",
        "The columns: docs/local-runs.md",
    ]
