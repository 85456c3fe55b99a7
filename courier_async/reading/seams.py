"""Where lanes are useful and where two of them meet: pure functions over lanes and records.

A made-up cursor is never trusted. Before the first lane begins, a cursor made up for a place
already read must return exactly the records that the server's own cursors returned. A lane counts
only once the lane above it, by the server's own cursors, reaches its first records in order.
"""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from courier_async.catalog.stream import HOUR_MS, Key
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane

# Fewer could match by chance: a record may be listed twice, or a cursor honoured only in part.
SEAM_RECORDS: Final = 10
# A lane costs its first page and often the page where it is met. At first its gap must be large
# enough to pay for that; at the end a small gap will do, if few lanes began for the pages read.
_WORTHWHILE_PAGES: Final = 24
# While few lanes have begun, there may not be enough pages in total to pay for them.
_WORTHWHILE_AT_FIRST: Final = 36
_FIRST_LANES: Final = 32
# A shorter reading ends before more lanes would pay off.
_LONG_READING_PAGES: Final = 40
_FEWEST_PAGES: Final = 3
_PAGES_A_LANE: Final = 30
# How many lanes to begin at once while it is unknown how far back the records go.
SCATTERED: Final = 8
_VAST: Final = 4
# Courier was founded in 2019.
FIRST_MESSAGE_MS: Final = 1_546_300_800_000
_TRAIL_RECORDS: Final = 60


@dataclass(slots=True)
class Trail:
    """The last records that the server's own cursors returned in this walk, in order."""

    keys: list[Key] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)
    ended: bool = False

    def add(self, page: JudgedPage) -> None:
        for key, time in zip(page.keys, page.times, strict=True):
            # Some servers list the last record of a page again as the first of the next.
            if key not in self.keys:
                self.keys.append(key)
                self.times.append(time)
        del self.keys[:-_TRAIL_RECORDS], self.times[:-_TRAIL_RECORDS]
        self.ended = page.next_cursor is None


class Expected(NamedTuple):
    """The response to a cursor made up for `time_ms`, if made-up cursors are honoured.

    above: the keys of the records before it.
    """

    time_ms: int
    keys: list[Key]
    more: bool
    above: list[Key]


def probe_of(trail: Trail) -> Expected | None:
    """Returns a place in the trail at which to try a made-up cursor, or None if there is none yet.

    Picks the last such place with a whole page below it, since the newest records may still move.
    """
    count = len(trail.keys)
    for at in range(count - SEAM_RECORDS - (0 if trail.ended else 1), 0, -1):
        time, above = trail.times[at], trail.times[:at]
        below = [t for t in trail.times[at:] if t is not None]
        if time is None or len(below) != count - at or max(below) > time:
            continue
        # A record dated back by more than an hour does not make places below it ambiguous.
        if any(t is None or time - HOUR_MS < t <= time for t in above):
            continue
        return Expected(time, trail.keys[at:], not trail.ended, trail.keys[:at])
    return None


def holds(expected: Expected, page: JudgedPage) -> bool:
    """Returns whether a made-up cursor returned what the server's own cursors had returned.

    An unusable record may be any of the records expected between its neighbours.
    """
    keys = list(dict.fromkeys(page.keys))
    least = min(SEAM_RECORDS, len(expected.keys))
    if len(keys) + page.unusable < least:
        return False
    # Ignore other records: a few may have become visible since.
    keys = [key for key in keys if key in expected.keys or key in expected.above]
    count = len(keys) + page.unusable
    # The order must be the same, with gaps for unusable records.
    rest = iter(expected.keys[:count])
    if 2 * len(keys) < least or not all(key in rest for key in keys[: len(expected.keys)]):
        return False
    more = page.next_cursor is not None
    return more if count < len(expected.keys) else more or not expected.more


def first_names(page: JudgedPage, before: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of a lane's first records, adding this page's until there are enough."""
    wanted = SEAM_RECORDS - len(before)
    if wanted <= 0:
        return before
    return (*before, *[b64encode(name).decode() for name in page.names[:wanted]])


def follow(upper: LiveLane, lower: LiveLane, page: JudgedPage) -> int:
    """Returns how many of the lower lane's first records the upper one has met, in order."""
    first = lower.saved.first
    if len(first) < SEAM_RECORDS:
        return 0
    # A lane holds nothing newer than its made-up beginning, apart from some disorder.
    if page.oldest is not None and page.oldest > (lower.saved.begins_at or 0) + HOUR_MS:
        return 0
    met = upper.seam_met
    for name in page.names:
        text = b64encode(name).decode()
        if met and text == first[met - 1]:
            continue
        met = met + 1 if text == first[met] else int(text == first[0])
        if met == SEAM_RECORDS:
            break
    return met


def has_passed(upper: LiveLane, lower: LiveLane, page: JudgedPage) -> bool:
    """Returns whether a whole page lies below the lower lane's first records."""
    began = lower.saved.newest
    if page.newest is None or began is None or upper.seam_met:
        return False
    return page.newest < began - HOUR_MS


class Gap(NamedTuple):
    """An unread span between two lanes, and about how many pages it holds."""

    top: int
    bottom: int
    pages: float


def worthwhile_pages(pages_read: int, lanes_begun: int) -> int:
    if not lanes_begun:
        return _LONG_READING_PAGES
    if lanes_begun * _PAGES_A_LANE < pages_read:
        return _FEWEST_PAGES
    return _WORTHWHILE_AT_FIRST if lanes_begun < _FIRST_LANES else _WORTHWHILE_PAGES


def widest_gap(lanes: Iterable[LiveLane], bottom: int, worthwhile: int) -> Gap | None:
    """Returns the gap with the most estimated pages, or None if none has enough."""
    widest: Gap | None = None
    for lane, below in pairwise([*lanes, None]):
        top = None if lane is None else _bottom_of(lane)
        if lane is None or top is None or lane.done or lane.stuck:
            continue
        low = bottom if below is None else _top_of(below, bottom)
        pages = _pages_in(lane, below, top - low)
        if pages >= worthwhile and (widest is None or pages > widest.pages):
            widest = Gap(top, low, pages)
    return widest


def _bottom_of(lane: LiveLane) -> int | None:
    if not lane.opened:
        return lane.saved.begins_at
    return lane.recent[-1] if lane.recent else lane.saved.oldest


def _top_of(lane: LiveLane, bottom: int) -> int:
    top = lane.saved.newest if lane.saved.begins_at is None else lane.saved.begins_at
    return bottom if top is None else max(top, bottom)


def _pages_in(lane: LiveLane, below: LiveLane | None, span_ms: int) -> float:
    if span_ms < 2:
        return 0.0
    densities = [lane.page_ms(), None if below is None else below.first_density_ms]
    known = [1 / page_ms for page_ms in densities if page_ms is not None]
    return span_ms * sum(known) / len(known) if known else 0.0


def places(gap: Gap, newest: int) -> list[int]:
    """Returns the times at which to begin lanes in a gap: its middle, or several if it is vast.

    If its bottom is only the earliest possible time, its middle would lie far below the oldest
    record. So these are spaced by age, each older than the previous one by the same factor.
    """
    top_age, bottom_age = max(newest - gap.top, 1), newest - gap.bottom
    if bottom_age <= _VAST * top_age:
        return [gap.bottom + (gap.top - gap.bottom) // 2]
    ratio = (bottom_age / top_age) ** (1 / (SCATTERED + 1))
    ages = [int(top_age * ratio**step) for step in range(1, SCATTERED + 1)]
    return [newest - age for age in ages if gap.bottom < newest - age < gap.top]
