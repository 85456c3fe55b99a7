"""Where lanes are of use and where two of them meet: pure functions over lanes and records.

A made-up cursor is never believed. Before the first lane, one made up for a place that has been
read must give the very records that the server's own cursors gave; and a lane counts only once
the lane above it, by the server's own cursors, comes to its first records in their order.
"""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from courier_async.catalog.stream import HOUR_MS, Key
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane

# Fewer could be met by chance: by a record listed twice, or a cursor honoured only in part.
SEAM_RECORDS: Final = 10
# A lane costs the page in which it is found and often the one in which it is met: so much of
# its gap at first, and of small gaps, at the end, so little of all that has been read.
_WORTHWHILE_PAGES: Final = 24
# Where few lanes have been begun, there may not be many pages at all to make up for them.
_WORTHWHILE_AT_FIRST: Final = 36
_FIRST_LANES: Final = 32
# A shorter reading ends sooner in one lane than lanes would pay for.
_LONG_READING_PAGES: Final = 40
_FEWEST_PAGES: Final = 3
_PAGES_A_LANE: Final = 30
# Lanes that are begun at once where nobody knows how far back the records go.
SCATTERED: Final = 8
_VAST: Final = 4
# Courier was founded in 2019.
FIRST_MESSAGE_MS: Final = 1_546_300_800_000
_TRAIL_RECORDS: Final = 60


@dataclass(slots=True)
class Trail:
    """The last records that the server's own cursors gave in this walk, as they followed."""

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
    """The answer to a cursor made up for `time_ms`, if made-up cursors are honoured.

    above: the records that stand before it.
    """

    time_ms: int
    keys: list[Key]
    more: bool
    above: list[Key]


def probe_of(trail: Trail) -> Expected | None:
    """A place within the trail at which a made-up cursor can be tried; None: there is none yet.

    The latest such place of a whole page's length, since the newest records may still move.
    """
    count = len(trail.keys)
    for at in range(count - SEAM_RECORDS - (0 if trail.ended else 1), 0, -1):
        time, above = trail.times[at], trail.times[:at]
        below = [t for t in trail.times[at:] if t is not None]
        if time is None or len(below) != count - at or max(below) > time:
            continue
        # One dated back by more than an hour stands where it stands; it blurs no place below.
        if any(t is None or time - HOUR_MS < t <= time for t in above):
            continue
        return Expected(time, trail.keys[at:], not trail.ended, trail.keys[:at])
    return None


def holds(expected: Expected, page: JudgedPage) -> bool:
    """Whether a made-up cursor was answered as the server's own cursors had answered.

    One that came unusable may be any of those between which it stands.
    """
    keys = list(dict.fromkeys(page.keys))
    least = min(SEAM_RECORDS, len(expected.keys))
    if len(keys) + page.unusable < least:
        return False
    # A few may have become visible since.
    keys = [key for key in keys if key in expected.keys or key in expected.above]
    count = len(keys) + page.unusable
    # In the same order, with gaps for what came unusable.
    rest = iter(expected.keys[:count])
    if 2 * len(keys) < least or not all(key in rest for key in keys[: len(expected.keys)]):
        return False
    more = page.next_cursor is not None
    return more if count < len(expected.keys) else more or not expected.more


def first_names(page: JudgedPage, before: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a lane's first records, until there are enough of them."""
    wanted = SEAM_RECORDS - len(before)
    if wanted <= 0:
        return before
    return (*before, *[b64encode(name).decode() for name in page.names[:wanted]])


def follow(upper: LiveLane, lower: LiveLane, page: JudgedPage) -> int:
    """How many of the lower lane's first records the upper one has come to, one after another."""
    first = lower.saved.first
    if len(first) < SEAM_RECORDS:
        return 0
    # A lane holds nothing newer than where it was made up to begin, but for some disorder.
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
    """Whether a whole page lies below where the lower lane's first records are."""
    began = lower.saved.newest
    if page.newest is None or began is None or upper.seam_met:
        return False
    return page.newest < began - HOUR_MS


class Gap(NamedTuple):
    """An unread span between two lanes, and about how many pages it is."""

    top: int
    bottom: int
    pages: float


def worthwhile_pages(pages_read: int, lanes_begun: int) -> int:
    """How many pages a gap must have to be worth a lane."""
    if not lanes_begun:
        return _LONG_READING_PAGES
    if lanes_begun * _PAGES_A_LANE < pages_read:
        return _FEWEST_PAGES
    return _WORTHWHILE_AT_FIRST if lanes_begun < _FIRST_LANES else _WORTHWHILE_PAGES


def widest_gap(lanes: Iterable[LiveLane], bottom: int, worthwhile: int) -> Gap | None:
    """The gap with the most pages, as far as its ends tell; None where none has enough."""
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
    """About how many pages a span is, by what the lanes at its two ends read there."""
    if span_ms < 2:
        return 0.0
    densities = [lane.page_ms(), None if below is None else below.first_density_ms]
    known = [1 / page_ms for page_ms in densities if page_ms is not None]
    return span_ms * sum(known) / len(known) if known else 0.0


def places(gap: Gap, newest: int) -> list[int]:
    """The times at which lanes are to begin in a gap: its middle, or several where it is vast.

    Where its bottom is only the earliest time there can be, the middle would lie far below the
    oldest record: so by age, each as many times older than the one before.
    """
    top_age, bottom_age = max(newest - gap.top, 1), newest - gap.bottom
    if bottom_age <= _VAST * top_age:
        return [gap.bottom + (gap.top - gap.bottom) // 2]
    ratio = (bottom_age / top_age) ** (1 / (SCATTERED + 1))
    ages = [int(top_age * ratio**step) for step in range(1, SCATTERED + 1)]
    return [newest - age for age in ages if gap.bottom < newest - age < gap.top]
