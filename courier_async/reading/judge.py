"""Judges pages: which records can be stored, their times, and whether pages come in order.

Pure functions and one small counter: no requests, no queues.
"""

from bisect import bisect_left, insort
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Record, Stream
from courier_async.errors import BadAnswer
from courier_async.state.position import Lane
from courier_async.state.sent_rows import short_hash

# Courier did not exist before 2015. Times over a year ahead are ignored too.
EARLIEST_MS: Final = 1_420_070_400_000
_FURTHEST_AHEAD_MS: Final = 366 * DAY_MS
# How many pages' times are kept to judge a walk's order; pages out of order are only counted.
_MOST_TAILS: Final = 2_048
# This many pages may be out of order, but at most a quarter of a short walk.
_FEW_PAGES: Final = 3
# So many pages that are older than the one before tell an order even within an hour.
_MANY_STEPS: Final = 9


class JudgedPage(msgspec.Struct, kw_only=True):
    """The records of a page that can be stored, with their keys and times, in order.

    times: epoch milliseconds; None if unreadable.
    gaps: for each record that cannot be stored, how many come before it. names: hashed keys.
    newest, oldest, median: of the known times; of two middle times, the median is the older.
    """

    records: list[Record]
    keys: list[Key]
    times: list[int | None]
    gaps: list[int]
    next_cursor: str | None
    newest: int | None = None
    oldest: int | None = None
    median: int | None = None

    @property
    def unusable(self) -> int:
        return len(self.gaps)

    @property
    def names(self) -> list[bytes]:
        return [short_hash(key) for key in self.keys]

    def is_below(self, bound: int) -> bool:
        """Whether every record with a readable time is older than the bound."""
        return self.newest is not None and self.newest < bound


def judge_page(stream: Stream, page: Page, *, now_ms: int) -> JudgedPage:
    """Returns the page's usable records with their keys and times."""
    records: list[Record] = []
    keys: list[Key] = []
    gaps: list[int] = []
    for record in page.records:
        key = stream.key_of(record)
        if key is None:
            gaps.append(len(records))
        else:
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
        gaps=gaps,
        next_cursor=page.next_cursor,
        newest=known[-1] if known else None,
        oldest=known[0] if known else None,
        median=known[(len(known) - 1) // 2] if known else None,
    )


def no_usable(page: JudgedPage) -> BadAnswer | None:
    """Returns an error if a page has records but none of them can be stored."""
    if page.records or not page.unusable:
        return None
    return BadAnswer(f"none of the records on a page can be stored ({page.unusable})")


def time_of(value: Any, latest_ms: int) -> int | None:
    """Returns a field's epoch milliseconds, given as such or as ISO 8601; else None.

    Does not guess at seconds, microseconds or digits in a text.
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
    """Judges by median times whether pages come newest first, with an hour's tolerance.

    To find the longest descending subsequence, it keeps the newest time at which one of each
    length can end; for a long walk, only the last part of that list.
    """

    def __init__(self) -> None:
        self.pages = 0
        self.in_order = 0
        self._was_told = False
        self.first_two: list[int] = []
        self._last = 0
        # How many pages were older or newer than the one before them.
        self._steps_down = self._steps_up = 0
        # The oldest and the newest pages: the few that may be odd, and one more.
        self._lowest: list[int] = []
        self._highest: list[int] = []
        self._tails: list[int] = []  # descending, stored negated for bisect

    def add(self, median: int | None) -> None:
        if median is None:
            return
        self.pages += 1
        if self.first_two:
            self._steps_down += median < self._last
            self._steps_up += median > self._last
        if len(self.first_two) < 2:
            self.first_two.append(median)
        self._last = median
        insort(self._lowest, median)
        insort(self._highest, median)
        del self._lowest[_FEW_PAGES + 1 :]
        del self._highest[: -_FEW_PAGES - 1]
        at = bisect_left(self._tails, -median)
        self._tails.insert(at, -median)
        # This page cannot follow the first end that is more than an hour older: replace that end.
        beyond = bisect_left(self._tails, -(median - HOUR_MS) + 1, at)
        if beyond < len(self._tails):
            del self._tails[beyond]
        else:
            self.in_order += 1
        if len(self._tails) > _MOST_TAILS:
            del self._tails[0]

    def resume(self, pages: int, in_order: int, *, tells: bool) -> None:
        """Takes over the counts of an earlier sync, or of a lane that this one continues."""
        self.pages, self.in_order, self._was_told = pages, in_order, tells

    @property
    def tells(self) -> bool:
        """Whether all pages but a few span more than an hour; within it, any order passes."""
        highest, lowest = self._highest[-1 - self._few :], self._lowest[self._few :]
        return self._was_told or (bool(lowest) and highest[0] - lowest[0] > HOUR_MS)

    @property
    def _few(self) -> int:
        return min(_FEW_PAGES, self.pages // 4)

    @property
    def is_newest_first(self) -> bool:
        """Whether all pages but a few form one descending subsequence."""
        return self.pages - self.in_order <= max(self.pages // 100, self._few)

    @property
    def falls(self) -> bool:
        """Whether many pages are older than the one before them, and few are newer."""
        few_up = 10 * self._steps_up <= self._steps_down
        return self._steps_down >= _MANY_STEPS and few_up and not self.rises

    @property
    def rises(self) -> bool:
        """Whether the last page is newer than the first, if only by milliseconds."""
        return bool(self.first_two) and self._last > self.first_two[0]

    @property
    def ends_newer(self) -> bool:
        """Whether the last page is newer than the first, as it is if the newest come last.

        If more than a few are older than the first, the last is merely dated ahead. If more than
        a few are newer than the last, and the second is one, the first is merely dated back.
        """
        if not self.rises or self._last - self.first_two[0] <= HOUR_MS:
            return False
        is_ahead = self.first_two[0] - self._lowest[-1] > HOUR_MS
        # Two such pages would end a walk above what is new.
        is_back = min(self._highest[0], self.first_two[-1]) - self._last > HOUR_MS
        return not (is_ahead or is_back)

    @property
    def is_hopeless(self) -> bool:
        """Whether more than a few pages are out of order; only a longer walk could hide that."""
        return self.pages - self.in_order > _FEW_PAGES and not self.is_newest_first


def lacks_order(lane: Lane) -> bool:
    """Whether more than a few pages of a saved lane are out of order."""
    order = PageOrder()
    order.resume(lane.pages, lane.in_order, tells=True)
    return order.is_hopeless
