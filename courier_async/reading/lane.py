"""One lane while it is being read: where it stands, and how far down it has certainly read."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from courier_async.catalog.positions import time_in_cursor
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key
from courier_async.reading.endless_guard import EndlessGuard
from courier_async.reading.judge import EARLIEST_MS, JudgedPage, PageOrder
from courier_async.state.position import Lane, Renewal

_RECENT_PAGES: Final = 8
# A run of back-dated records shorter than this many pages does not move a lane's place.
_PLACE_PAGES: Final = 3


@dataclass(slots=True, eq=False)
class LiveLane:
    """A lane of the current walk.

    saved: the lane as the state keeps it. opened: this or an earlier sync has read a page of it.
    done: it has read down to `reached`, its bound, or to the end of the listing (ended).
    confirming: the cursor of the request under way for what lies below its end.
    confirmed_from: the time below which that was last asked. is_confirmed: nothing was found.
    is_unproved: it asks what lies below its end although made-up cursors could not be tried, so
        only records that come back count.
    repeats_last_page: its last page is requested again, as the check told nothing.
    stuck: its next page failed. dropped: no longer part of the walk.
    is_saved_cursor: the next cursor comes from an earlier sync.
    is_resumed: an earlier sync has read part of it.
    due: how far down the part that an earlier sync read is due again; None: nothing is due.
    target: the time down to which it reads unless it meets the first records of a lane below.
    replaces: lanes whose cursors failed and whose parts it reads, until its first page arrives.
    pages_below, known_below: pages in a row below the target, and whether one of them, or the page
        before, held a known row.
    tail: keys of its last pages, with which the page below an end is compared.
    rereads_to: the last keys to read again.
    medians: the median times of its last few pages in this sync.
    """

    saved: Lane
    opened: bool = True
    done: bool = False
    ended: bool = False
    stuck: bool = False
    asking: bool = False
    asked_again: bool = False
    confirming: str | None = None
    confirmed_from: int | None = None
    is_confirmed: bool = False
    is_unproved: bool = False
    repeats_last_page: bool = False
    is_saved_cursor: bool = False
    is_resumed: bool = False
    dropped: bool = False
    due: int | None = None
    target: int = 0
    reached: int = 0
    tail: list[Key] = field(default_factory=list)
    rereads_to: set[Key] = field(default_factory=set)
    replaces: list["LiveLane"] = field(default_factory=list)
    pages_below: int = 0
    known_below: bool = False
    seam_met: int = 0
    first_density_ms: float | None = None
    guard: EndlessGuard = field(default_factory=EndlessGuard)
    order: PageOrder = field(default_factory=PageOrder)
    # Where the last few pages end, to tell how much time one covers.
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT_PAGES + 1))
    medians: deque[int] = field(default_factory=lambda: deque(maxlen=_PLACE_PAGES))
    # The newest times of its last few pages.
    tops: deque[int] = field(default_factory=lambda: deque(maxlen=_PLACE_PAGES))

    @property
    def is_made_up(self) -> bool:
        return self.saved.begins_at is not None

    @property
    def can_go_on(self) -> bool:
        return not (self.dropped or self.done or self.stuck or self.asking)

    @property
    def place(self) -> int:
        """The time of its next page, by its cursor or else by what it has read; -1: unknown."""
        told = time_in_cursor(self.saved.cursor or "")
        if told is not None and told >= EARLIEST_MS:
            return told
        return -1 if self.saved.oldest is None else self.saved.oldest

    @property
    def end_ms(self) -> int | None:
        """The median time of its last page; None before it has read one in this sync."""
        return self.medians[-1] if self.medians else None

    @property
    def lowest_ms(self) -> int | None:
        """The oldest time that its last few pages reached; None before one was read.

        Not of the last page alone, which may hold a single record with an odd time.
        """
        return min([*self.medians, self.recent[-1]]) if self.recent else None

    @property
    def end(self) -> int:
        """The time below which its end is confirmed; -1: unknown."""
        return self.place if self.end_ms is None else self.end_ms

    @property
    def is_asked_twice(self) -> bool:
        """Whether what lies below the same end was asked for again."""
        return self.confirmed_from is not None and self.confirmed_from < self.end

    @property
    def is_asked_lower(self) -> bool:
        """Whether that was asked on one of its last pages, so its records must return."""
        return self.is_asked_twice and self.confirmed_from in self.medians

    def may_renew(self, now: int) -> bool:
        """Whether its cursor may be at fault; if the same place fails again, the page is."""
        if self.saved.cursor is None:
            return False
        renewed = self.saved.renewed
        # Ignore times in the future.
        if renewed is None or not 0 <= now - renewed.at < DAY_MS:
            return True
        # A cursor from an earlier sync may just have expired before reaching that place.
        if self.is_saved_cursor and self.place > renewed.place:
            return True
        return 0 <= self.place < renewed.place

    def renew_at(self, cursor: str, *, now: int) -> None:
        renewed = Renewal(now, self.place)
        self.stuck = self.is_saved_cursor = self.repeats_last_page = False
        self.guard = EndlessGuard()
        self.saved = replace(self.saved, cursor=cursor, renewed=renewed)

    def note_place(self, page: JudgedPage) -> None:
        """Updates how far it has certainly read: a few odd times must not claim unread records."""
        if page.newest is None or page.median is None:
            return
        saved = self.saved
        top = saved.started_at if saved.begins_at is None else saved.begins_at
        oldest = top if saved.oldest is None else saved.oldest
        self.medians.append(page.median)
        self.tops.append(page.newest)
        if len(self.tops) == _PLACE_PAGES:
            oldest = min(oldest, max(self.tops))
        # A record dated ahead must not hide those that arrived since the lane began.
        seen = min(page.newest, top)
        newest = seen if saved.newest is None else max(saved.newest, seen)
        self.saved = replace(saved, newest=newest, oldest=oldest)

    def has_read_below(self, time_ms: int) -> bool:
        """Whether its last page reached down to this time."""
        return bool(self.recent) and self.recent[-1] <= time_ms

    def is_beyond(self, upper: "LiveLane") -> bool:
        """Whether, in this sync, it has read below everything that the upper lane has read."""
        if self.end_ms is None or not upper.medians or not self.tail:
            return False
        return self.end_ms < min(upper.medians) and self.tail[-1] not in upper.tail

    def aged_ms(self, since_ms: int, now_ms: int) -> float:
        """How much may have aged out of the listing between two times, with a page to spare."""
        return max(0, now_ms - since_ms) + HOUR_MS + (self.page_ms() or 0)

    def note_density(self, page: JudgedPage) -> None:
        if page.newest is None or page.oldest is None:
            return
        if not self.recent:
            self.recent.append(page.newest)
            self.first_density_ms = float(max(page.newest - page.oldest, 1))
        self.recent.append(page.oldest)

    def page_ms(self) -> float | None:
        """The average time span of this lane's recent pages; None before any."""
        if len(self.recent) < 2:
            return None
        return max((self.recent[0] - self.recent[-1]) / (len(self.recent) - 1), 0.001)
