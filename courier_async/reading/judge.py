"""What a page says: which of its records can be stored, their times, and whether order holds.

Pure functions and one small counter: no request, no queue.
"""

from bisect import bisect_left, insort
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Record, Stream
from courier_async.errors import BadAnswer
from courier_async.state.sent_rows import short_hash

# Courier was founded in 2015 at the earliest: an older time is none, nor is one a year ahead.
EARLIEST_MS: Final = 1_420_070_400_000
_FURTHEST_AHEAD_MS: Final = 366 * DAY_MS
# Pages whose times are kept to judge the order of a walk; what stands outside is counted.
_MOST_TAILS: Final = 2_048
# So many pages may stand outside of the order, a quarter of a short walk at most.
_FEW_PAGES: Final = 3


class JudgedPage(msgspec.Struct, kw_only=True):
    """records, keys, times: of the records that can be stored, in order.

    times: epoch milliseconds; None where none can be read. unusable: records left out;
    ends_unusable: one of them comes last.
    newest, oldest, median: of the times there are; of two in the middle the older.
    """

    records: list[Record]
    keys: list[Key]
    times: list[int | None]
    unusable: int
    next_cursor: str | None
    ends_unusable: bool = False
    newest: int | None = None
    oldest: int | None = None
    median: int | None = None

    @property
    def names(self) -> list[bytes]:
        """The hashed keys."""
        return [short_hash(key) for key in self.keys]

    def is_below(self, bound: int) -> bool:
        """Whether every record with a readable time is older than the bound."""
        return self.newest is not None and self.newest < bound


def judge_page(stream: Stream, page: Page, *, now_ms: int) -> JudgedPage:
    """The page's usable records with their keys and times."""
    records: list[Record] = []
    keys: list[Key] = []
    key: Key | None = ()
    for record in page.records:
        key = stream.key_of(record)
        if key is not None:
            records.append(record)
            keys.append(key)
    times: list[int | None] = [None] * len(records)
    field = stream.time_field
    if field is not None:
        latest_ms = now_ms + _FURTHEST_AHEAD_MS
        times = [time_of(record.get(field), latest_ms) for record in records]
    known = sorted([time for time in times if time is not None])
    return JudgedPage(
        records=records,
        keys=keys,
        times=times,
        unusable=len(page.records) - len(records),
        next_cursor=page.next_cursor,
        ends_unusable=key is None,
        newest=known[-1] if known else None,
        oldest=known[0] if known else None,
        median=known[(len(known) - 1) // 2] if known else None,
    )


def no_usable(page: JudgedPage) -> BadAnswer | None:
    """What is wrong with a page of which not one record can be stored."""
    if page.records or not page.unusable:
        return None
    return BadAnswer(f"none of the {page.unusable} records of a page can be stored")


def time_of(value: Any, latest_ms: int) -> int | None:
    """Epoch milliseconds in a field, given as such or as ISO 8601; else None.

    Seconds, microseconds and digits in a text are not guessed at.
    """
    kind = type(value)
    if kind is float and value.is_integer():
        value, kind = int(value), int
    if kind is str and not value.isdigit():
        try:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            value, kind = int(moment.timestamp() * 1000), int
        except (ValueError, OverflowError):
            return None
    return value if kind is int and EARLIEST_MS <= value <= latest_ms else None


class PageOrder:
    """Whether pages come newest first, judged by their median times with an hour's play.

    The longest row of pages that descend is kept as the list of the newest times at which a row
    of each length can end; of a long walk only its last part.
    """

    def __init__(self) -> None:
        self.pages = 0
        self.in_order = 0
        # Within the hour of play, any order passes: only a longer span tells something.
        self.tells = False
        self._newest: int | None = None
        # How much newer the last page is than the first.
        self._first: int | None = None
        self._rise_ms = 0
        # The oldest pages: the few that may be odd, and one more.
        self._lowest: list[int] = []
        self._tails: list[int] = []  # descending, stored negated for bisect

    def add(self, median: int | None) -> None:
        if median is None:
            return
        self.pages += 1
        self._newest = median if self._newest is None else max(median, self._newest)
        self._first = median if self._first is None else self._first
        self._rise_ms = median - self._first
        insort(self._lowest, median)
        del self._lowest[_FEW_PAGES + 1 :]
        self.tells = self.tells or self._newest - self._lowest[0] > HOUR_MS
        at = bisect_left(self._tails, -median)
        self._tails.insert(at, -median)
        # The first row end more than an hour older can no longer be followed by this page.
        beyond = bisect_left(self._tails, -(median - HOUR_MS) + 1, at)
        if beyond < len(self._tails):
            del self._tails[beyond]
        else:
            self.in_order += 1
        if len(self._tails) > _MOST_TAILS:
            del self._tails[0]

    def resume(self, pages: int, in_order: int, *, tells: bool) -> None:
        """Counts the pages of an earlier sync, or of a lane that this one goes on from."""
        self.pages, self.in_order, self.tells = pages, in_order, tells

    @property
    def is_newest_first(self) -> bool:
        """All pages but a few stand in one descending row."""
        return self.pages - self.in_order <= max(
            self.pages // 100, min(_FEW_PAGES, self.pages // 4)
        )

    @property
    def ends_newer(self) -> bool:
        """Whether the last page is newer than the first, as where the newest come last.

        Where more than a few pages are older than the first, the last is only dated ahead.
        """
        descends = (
            self._first is not None
            and len(self._lowest) > _FEW_PAGES
            and self._first - self._lowest[-1] > HOUR_MS
        )
        return self._rise_ms > HOUR_MS and not descends

    @property
    def is_hopeless(self) -> bool:
        """More pages stand outside than a few, and a longer walk alone would hide that."""
        return self.pages - self.in_order > _FEW_PAGES and not self.is_newest_first
