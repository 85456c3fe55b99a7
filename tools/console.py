"""What `fivetran debug` prints, line by line: all that depends on its wording stands here."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

_ENTRY: Final = re.compile(
    r"\d\d:\d\d:\d\d\.\d+ (?P<level>[A-Z]+)\s+\S+ (?P<source>sdk|connector)\s+(?P<text>.*)"
)
_FAILURE: Final = re.compile(r"\w+\(\) error: (.+)|invalid configuration error: (.+)")
# update() lets nothing but RuntimeError out, with a sentence; one of these names a bug.
_ORDERLY: Final = re.compile(r"RuntimeError: ")
_UNEXPECTED: Final = re.compile(r"was stopped by \w+ at ")
_CRASH_REPORT: Final = re.compile(r"crash report saved to (.+)")
_DUMP: Final = re.compile(r"checkpoint recorded: |previous state:|\{")
_HEADING: Final = re.compile(r"stream\s+read\s+sent\s")
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)(?: UTC)?")
_PROGRESS: Final = re.compile(r"(?P<stream>\w+): (?P<records>[\d,]+) records\b")
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
    """How far a stream has come. share: of the way back to where its reading ends, 0 to 1."""

    stream: str
    records: int
    requests_per_second: float | None
    reached: str
    share: float | None

    def line(self, elapsed_seconds: float) -> str:
        """The stream, its rows, its rate, how far back it has read, and the time left."""
        text = f"{self.stream:<18} {self.records:>10,} rows"
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
    """Each printed line, once, as it comes."""
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
    """What a progress line says; None of any other."""
    found = _PROGRESS.match(line.text) if line.source == "connector" else None
    if found is None:
        return None
    rate, reached, share = (pattern.search(line.text) for pattern in (_RATE, _REACHED, _SHARE))
    return Progress(
        stream=found["stream"],
        records=int(found["records"].replace(",", "")),
        requests_per_second=float(rate[1]) if rate else None,
        reached=reached[1] if reached else "",
        share=int(share[1]) / 100 if share else None,
    )


@dataclass
class Digest:
    """What matters of a run: its warnings, its last table by column, and how it failed."""

    warnings: list[str] = field(default_factory=list)
    table: list[dict[str, str]] = field(default_factory=list)
    failure: str = ""
    crash_report: str = ""
    recent: list[str] = field(default_factory=list)
    _is_orderly: bool = False
    _heading: list[str] = field(default_factory=list)

    def take(self, line: Line) -> None:
        """Remember what a line says."""
        if line.source == "connector":
            self._take_table(line.text)
            if line.level != "INFO":
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

    def _take_table(self, text: str) -> None:
        if _HEADING.match(text):
            self._heading, self.table = text.replace("complete up to", "complete").split(), []
        elif self._heading:
            # A time is one cell, and the outcome, which is the last, may be of several words.
            cells = _MOMENT.sub(r"\1T\2", text).split(maxsplit=len(self._heading) - 1)
            if len(cells) < len(self._heading):
                self._heading = []
                return
            moments = [re.sub(r"(?<=\d)T(?=\d\d:\d\d$)", " ", cell) for cell in cells]
            self.table.append(dict(zip(self._heading, moments, strict=True)))


def duration(seconds: float) -> str:
    """Seconds as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
