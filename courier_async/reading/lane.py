"""One lane while it is being read, and the requests of a walk's lanes under way."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Optional

from msgspec.structs import replace

from courier_async.api.pages import Page
from courier_async.catalog.positions import time_in_cursor
from courier_async.catalog.stream import DAY_MS, Key
from courier_async.errors import BadAnswer, CourierError
from courier_async.reading.judge import EARLIEST_MS, JudgedPage, PageOrder
from courier_async.state.position import Lane

# Pages in a row without a new record, after which the listing is taken to be endless.
MOST_STALE_PAGES: Final = 1_000
_RECENT_PAGES: Final = 8
# Fewer back-dated records in a row than so many pages hold do not move a lane's place.
_PLACE_PAGES: Final = 3


class Asked(NamedTuple):
    """A page, the server's time in epoch milliseconds, and what gives its memory back.

    seconds: how long the answer took, the wait for the limiter left out.
    """

    page: Page
    server_ms: int
    release: Callable[[], None]
    seconds: float = 0.0


# Asks for the page at a cursor (None: the head); the second says whether other streams go first.
Ask = Callable[[str | None, bool], Awaitable[Asked]]


class Purpose(Enum):
    """Why a page was asked for."""

    READ = "read"
    PROBE = "probe"
    CONFIRM = "confirm"


class EndlessGuard:
    """Ends a lane that gets nowhere, in memory that does not grow with it."""

    def __init__(self) -> None:
        # Brent's cycle detection: one cursor is kept, and replaced at every power of two.
        self._kept: str | None = None
        self._steps = 0
        self._limit = 1
        self._previous: str | None = None
        # Pages whose records were all on a page not long before bring nothing new.
        self._recent: dict[int, None] = {}
        self._stale_pages = 0

    def trouble(self, page: JudgedPage) -> BadAnswer | None:
        """What is wrong where a cursor returns, or page after page brings nothing new."""
        cursor = page.next_cursor
        if cursor is None:
            return None
        if cursor in (self._kept, self._previous):
            return BadAnswer("a cursor came a second time: the pages go round in a circle")
        self._previous = cursor
        if self._kept is None or self._steps == self._limit:
            self._kept, self._steps = cursor, 0
            self._limit *= 2
        self._steps += 1
        return self._stale(page)

    def go_on_elsewhere(self) -> None:
        """The lane continues at another cursor, which may lead to one it has already had."""
        self._kept = self._previous = None

    @property
    def is_stale(self) -> bool:
        """Whether the pages brought nothing new for so long that no other cursor would help."""
        return self._stale_pages >= MOST_STALE_PAGES

    def _stale(self, page: JudgedPage) -> BadAnswer | None:
        content = hash(tuple(page.keys))
        if page.keys and content not in self._recent:
            self._stale_pages = 0
            self._recent[content] = None
            if len(self._recent) > MOST_STALE_PAGES:
                del self._recent[next(iter(self._recent))]
            return None
        self._stale_pages += 1
        if not self.is_stale:
            return None
        return BadAnswer(
            f"{MOST_STALE_PAGES:,} pages in a row brought no new record, and each said that "
            "there is more"
        )


@dataclass(slots=True, eq=False)
class LiveLane:
    """A lane of the present walk.

    saved: what the state holds of it. opened: a page of it has been read, in whatever sync.
    done: it has come down to `reached`, its bound, or to the end of the listing (ended).
    confirming: the cursor at which what lies below its end is being asked for.
    confirmed_from: the time below which that was asked last. is_confirmed: nothing was found.
    stuck: its next page failed. dropped: no longer part of the walk.
    is_saved_cursor: the next cursor comes from an earlier sync.
    target: the time down to which it reads where no lane below it is met by its first records.
    renewed_from: the place of the lane whose failed cursor it makes good. replaces: that lane,
        until this one has been answered.
    pages_below, known_below: pages in a row below the target, and whether one held a known row.
    tail: keys of its last pages, against which a confirmed end is held.
    end_ms: about the time at which its last page stands; None before one was read in this sync.
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
    is_saved_cursor: bool = False
    dropped: bool = False
    target: int = 0
    reached: int = 0
    tail: list[Key] = field(default_factory=list)
    end_ms: int | None = None
    renewed_from: int | None = None
    replaces: Optional["LiveLane"] = None
    pages_below: int = 0
    known_below: bool = False
    seam_met: int = 0
    first_density_ms: float | None = None
    guard: EndlessGuard = field(default_factory=EndlessGuard)
    order: PageOrder = field(default_factory=PageOrder)
    # Times at the ends of the last few pages: how much time a page covers here.
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT_PAGES + 1))
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
        """Where its next page stands, by its cursor or else by what it has surely read; or -1."""
        told = time_in_cursor(self.saved.cursor or "")
        if told is not None and told >= EARLIEST_MS:
            return told
        return -1 if self.saved.oldest is None else self.saved.oldest

    @property
    def end(self) -> int:
        """The time below which an end that it has come to is confirmed; -1: unknown."""
        return self.place if self.end_ms is None else self.end_ms

    @property
    def is_asked_twice(self) -> bool:
        """Whether what lies below the same end has been asked for once more, a little lower."""
        return self.confirmed_from is not None and self.confirmed_from < self.end

    def may_renew(self, now: int) -> bool:
        """Whether its cursor may be at fault; a place that fails again is at fault itself."""
        if self.saved.cursor is None:
            return False
        if self.is_saved_cursor:
            renewed_at = self.saved.renewed_at
            # A time from the future tells nothing.
            return renewed_at is None or not 0 <= now - renewed_at < DAY_MS
        if self.renewed_from is None:
            return True
        return 0 <= self.place < self.renewed_from

    def renew_at(self, cursor: str, *, now: int) -> None:
        """Goes on at its own place by another cursor."""
        self.renewed_from = self.place
        self.stuck = self.is_saved_cursor = False
        self.guard = EndlessGuard()
        self.saved = replace(self.saved, cursor=cursor, renewed_at=now)

    def note_place(self, page: JudgedPage) -> None:
        """How far down the lane has surely read: a few odd times must not claim what is unread."""
        if page.newest is None:
            return
        saved = self.saved
        top = saved.started_at if saved.begins_at is None else saved.begins_at
        oldest = top if saved.oldest is None else saved.oldest
        self.end_ms = page.median
        self.tops.append(page.newest)
        if len(self.tops) == _PLACE_PAGES:
            oldest = min(oldest, max(self.tops))
        # A record that is dated ahead must not hide what came since the lane began.
        seen = min(page.newest, top)
        newest = seen if saved.newest is None else max(saved.newest, seen)
        self.saved = replace(saved, newest=newest, oldest=oldest)

    def has_read_below(self, time_ms: int) -> bool:
        """Whether its last page reached down to a time."""
        return bool(self.recent) and self.recent[-1] <= time_ms

    def note_density(self, page: JudgedPage) -> None:
        if page.newest is None or page.oldest is None:
            return
        if not self.recent:
            self.recent.append(page.newest)
            self.first_density_ms = float(max(page.newest - page.oldest, 1))
        self.recent.append(page.oldest)

    def page_ms(self) -> float | None:
        """The time that a page of this lane has covered lately; None before any."""
        if len(self.recent) < 2:
            return None
        return max((self.recent[0] - self.recent[-1]) / (len(self.recent) - 1), 0.001)


@dataclass(slots=True)
class Arrival:
    """An answer to one of a walk's requests, or how it failed.

    answered_at: when it came, by the loop's clock; it may wait long before the walk takes it.
    """

    lane: LiveLane
    purpose: Purpose
    asked: Asked | None
    error: CourierError | None = None
    answered_at: float = 0.0


class Fetches:
    """The requests of one walk under way. They only fetch; the walk alone decides.

    Use as an asynchronous context manager: at its end nothing is under way and nothing is held.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrivals: asyncio.Queue[Arrival | BaseException] = asyncio.Queue()
        self.under_way = 0

    async def __aenter__(self) -> "Fetches":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._arrivals.empty():
            arrival = self._arrivals.get_nowait()
            if isinstance(arrival, Arrival) and arrival.asked is not None:
                arrival.asked.release()

    def start(
        self,
        lane: LiveLane,
        cursor: str | None,
        *,
        purpose: Purpose = Purpose.READ,
        yields: bool = False,
    ) -> None:
        """Asks for a page. yields: other streams' requests go first."""
        self.under_way += 1
        lane.asking = lane.asking or purpose is Purpose.READ
        task = asyncio.create_task(self._fetch(lane, cursor, purpose, yields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def next(self) -> Arrival:
        """The next answer, whichever lane it is for. Raises what no stream's error is."""
        arrival = await self._arrivals.get()
        self.under_way -= 1
        if not isinstance(arrival, Arrival):
            raise arrival
        if arrival.purpose is Purpose.READ:
            arrival.lane.asking = False
        return arrival

    async def _fetch(
        self, lane: LiveLane, cursor: str | None, purpose: Purpose, yields: bool
    ) -> None:
        try:
            asked = await self._ask(cursor, yields)
            now = asyncio.get_running_loop().time()
            arrival = Arrival(lane, purpose, asked, answered_at=now)
        except CourierError as error:
            arrival = Arrival(lane, purpose, None, error)
        except Exception as error:  # a fault of our own must end the sync, not hang it
            self._arrivals.put_nowait(error)
            return
        self._arrivals.put_nowait(arrival)
