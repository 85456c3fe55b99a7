"""Parses what `fivetran debug` prints. Everything that depends on its wording is here."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from courier_async.report import counted

_ENTRY: Final = re.compile(
    r"\d\d:\d\d:\d\d\.\d+ (?P<level>[A-Z]+)\s+\S+ (?P<source>sdk|connector)\s+(?P<text>.*)"
)
_FAILURE: Final = re.compile(r"\w+\(\) error: (.+)|invalid configuration error: (.+)")
# update() raises only RuntimeError, with a sentence; _UNEXPECTED matches the one about a bug.
_ORDERLY: Final = re.compile(r"RuntimeError: ")
_OTHER_ACCOUNT: Final = re.compile(r"The tables hold rows from ")
_UNEXPECTED: Final = re.compile(r"was stopped by \w+ at ")
_CRASH_REPORT: Final = re.compile(r"crash report saved to (.+)")
_DUMP: Final = re.compile(r"checkpoint recorded: |previous state:|\{")
_HEADING: Final = re.compile(r"stream\s+read\s+sent\s")
_REMARK: Final = re.compile(r"\w+: (every message within|[\d,]+ secret values)")
_PROGRESS: Final = re.compile(r"(?P<stream>\w+): (?P<records>[\d,]+) records?\b")
_ENDED: Final = re.compile(r"pages?, (done|FAILED|skipped .*|stopped|key refused)$")
_RATE: Final = re.compile(r"([\d.]+) requests/s")
_REACHED: Final = re.compile(r"(?:reached|back to) (\d{4}-\d\d-\d\d(?: \d\d:\d\d)?)")
_SHARE: Final = re.compile(r"(\d+) ?% of the way")

MOST_RECENT: Final = 20


@dataclass(frozen=True)
class Line:
    """One printed line. A line that continues an entry has the entry's level and source."""

    text: str
    level: str = ""
    source: str = ""

    @property
    def is_dump(self) -> bool:
        """Whether it shows a whole state, which may be megabytes."""
        return self.source == "sdk" and _DUMP.match(self.text) is not None


@dataclass(frozen=True)
class Progress:
    """How far a stream has got. share: of the way back to where its reading ends, 0 to 1.

    ended: how it ended; "" while it runs.
    """

    stream: str
    records: int
    requests_per_second: float | None
    reached: str
    share: float | None
    ended: str = ""

    def line(self, elapsed_seconds: float) -> str:
        """Formats the stream, its rows, its rate, how far back it has read, and the time left."""
        text = f"{self.stream:<18} {counted(self.records, 'row'):>15}"
        if self.ended:
            return f"{text}  {self.ended}"
        if self.requests_per_second is not None:
            text += f"  {self.requests_per_second:5.1f} requests/s"
        if self.reached:
            text += f"  back to {self.reached}"
        if self.share is not None:
            text += f" ({self.share:.0%})"
        if self.share:
            text += f", {duration(elapsed_seconds * (1 / self.share - 1))} left"
        return text


def lines(printed: Iterable[str]) -> Iterator[Line]:
    """Yields each printed line once, as it arrives."""
    level = source = ""
    for raw in printed:
        text = raw.rstrip()
        if found := _ENTRY.fullmatch(text):
            level, source = found["level"], found["source"]
            yield Line(found["text"], level, source)
        elif text[:1] in ("", " "):
            yield Line(text.strip(), level, source)
        else:
            level = source = ""
            yield Line(text)


def progress(line: Line) -> Progress | None:
    """Parses a progress line; returns None for any other line."""
    found = _PROGRESS.match(line.text) if line.source == "connector" else None
    if found is None:
        return None
    patterns = (_RATE, _REACHED, _SHARE, _ENDED)
    rate, reached, share, ended = (pattern.search(line.text) for pattern in patterns)
    return Progress(
        stream=found["stream"],
        records=int(found["records"].replace(",", "")),
        requests_per_second=float(rate[1]) if rate else None,
        reached=reached[1] if reached else "",
        share=int(share[1]) / 100 if share else None,
        ended=ended[1] if ended else "",
    )


@dataclass
class Digest:
    """What matters about a run: warnings, the last table and the remarks above it, the failure."""

    warnings: list[str] = field(default_factory=list)
    table: list[dict[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failure: str = ""
    crash_report: str = ""
    recent: list[str] = field(default_factory=list)
    _is_orderly: bool = False
    _heading: list[str] = field(default_factory=list)

    def take(self, line: Line) -> None:
        """Remembers what a line says."""
        if line.source == "connector":
            if line.level == "INFO":
                self._take_table(line.text)
            elif line.level == "WARNING":
                self.warnings.append(line.text)
        elif found := _FAILURE.search(line.text):
            self.failure = self.failure or found[1] or found[2]
        elif found := _CRASH_REPORT.search(line.text):
            self.crash_report = found[1]
        if _ORDERLY.match(line.text):
            self._is_orderly = True
        if line.text and not line.is_dump:
            self.recent = [*self.recent, line.text][-MOST_RECENT:]

    @property
    def has_ended(self) -> bool:
        """Whether the last table has begun."""
        return bool(self._heading or self.table)

    @property
    def is_orderly(self) -> bool:
        """Whether the sync failed with a sentence of the connector's own, not with a crash."""
        return self._is_orderly and _UNEXPECTED.search(self.failure) is None

    @property
    def is_of_another_account(self) -> bool:
        """Whether the tables hold rows of another host or kind of key."""
        return _OTHER_ACCOUNT.match(self.failure) is not None

    def _take_table(self, text: str) -> None:
        if _REMARK.match(text):
            self.remarks.append(text)
        elif _HEADING.match(text):
            self._heading, self.table = text.split(), []
        elif self._heading:
            # The outcome, which is the last cell, may have several words.
            cells = text.split(maxsplit=len(self._heading) - 1)
            if len(cells) == len(self._heading):
                self.table.append(dict(zip(self._heading, cells, strict=True)))


def duration(seconds: float) -> str:
    """Formats seconds as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
