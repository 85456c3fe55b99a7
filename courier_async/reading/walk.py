"""One walk of a stream, page by page, in one lane or in several side by side.

A *lane* is an unbroken chain of pages: from the head, or from a cursor made up for some time.
Message cursors are positions, base64 of `<enqueued in epoch ms>,<message id>` (docs, paging),
so a long reading need not wait for each page before it asks for one further back. Nothing
depends on the guess: a lane counts only once the lane above it, going on by the server's own
cursors, comes to its first records in their own order (see `Walk._follow`).
"""

import asyncio
import base64
import binascii
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from courier_async.api.pages import Page
from courier_async.catalog.streams import DAY_MS, Stream
from courier_async.errors import BadAnswer, CourierError, KeyRefused, Refused
from courier_async.reading.judge import FIRST_MESSAGE_MS, Taken, is_below_bound, take
from courier_async.settings import Settings
from courier_async.state.saved import (
    DISORDER_MS,
    INDEX_LAG_MS,
    Lane,
    LaneOpened,
    LanesDropped,
    LanesJoined,
    PageRead,
    Step,
    StreamState,
    WalkDropped,
    WalkEnded,
    advance,
    frame_for,
    may_stop_early,
)
from courier_async.state.sent_rows import Deletions

log = logging.getLogger(__name__)

# Asks for the page at a cursor (None: the head) and returns it with the server's time in epoch ms.
Ask = Callable[[str | None], Awaitable[tuple[Page, int]]]

# Fewer could be met by chance: by a record listed twice, or a cursor honoured only in part.
SEAM_RECORDS: Final = 10
# A lane costs the page in which it is found and the one in which it is met.
_WORTHWHILE_PAGES: Final = 12
_RECENT_PAGES: Final = 8
# Lanes that were of no use, after which a server's cursors are taken not to be positions.
_MOST_WASTED_LANES: Final = 3
_TRY_LANES_AGAIN_MS: Final = 7 * DAY_MS
_MOST_STALE_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """What one page brings: records to write, then the step to take, and what to tell.

    read: records on the page, of which those not in `records` need not be written.
    """

    records: list[Any]
    step: Step | None
    read: int = 0
    warning: str | None = None
    deletions: Deletions | None = None

    @property
    def ends_walk(self) -> bool:
        return isinstance(self.step, WalkEnded)


Emit = Callable[[Batch], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Chain:
    """A lane while it is being read."""

    lane: Lane
    guard: "_EndlessGuard"
    opened: bool
    # Times at the ends of the last few pages: how much time a page covers here.
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT_PAGES + 1))
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        return self.opened and self.lane.cursor is None

    def pages_in(self, span_ms: int) -> float:
        """About how many pages a span is, by what this lane has read last; 0 before any."""
        if len(self.recent) < 2:
            return 0.0
        page_ms = max((self.recent[0] - self.recent[-1]) / (len(self.recent) - 1), 0.001)
        return span_ms / page_ms


class Walk:
    """One walk: on from the state's bookmark if there is one, else from the head."""

    def __init__(
        self, stream: Stream, state: StreamState, settings: Settings, ask: Ask, emit: Emit
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._ask = ask
        self._emit = emit
        # Moves with what has been put on the queue, and so ahead of the writer's.
        self.state = state
        bookmark = state.walk
        self._frame = bookmark.frame if bookmark else None
        lanes = bookmark.lanes if bookmark else (Lane(),)
        self._chains = [
            _Chain(lane, _EndlessGuard(stream), opened=bookmark is not None) for lane in lanes
        ]
        self._pages = 1 if bookmark else 0
        self._checked = False
        self._may_stop = may_stop_early(stream, state)
        # What a page brings is judged, emitted and noted as one: lanes never see half of it.
        self._moving = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None
        self._with_lanes = settings.message_lanes > 1 and stream.cursors_are_positions
        self._wasted_lanes = 0
        self._next_id = max(lane.id for lane in lanes) + 1
        self._floor = FIRST_MESSAGE_MS

    async def run(self) -> None:
        """Reads to the end or the bound. Raises what stands in the way, as it came."""
        top = self._chains[0]
        if not self._with_lanes:
            await self._drop(self._chains[1:])
        # Alone at first: the head's answer tells whether lanes can be of use.
        while await self._turn(top) and not self._lanes_wanted():
            pass
        if self.state.walk is None:
            return
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                for chain in list(self._chains):
                    if not chain.done:
                        self._start(chain)
                self._open_lanes()
        except* CourierError as group:
            failure = _weightiest(group)
        if failure is not None:
            raise failure

    def _start(self, chain: _Chain) -> None:
        assert self._group is not None  # noqa: S101
        chain.task = self._group.create_task(self._read(chain))

    async def _read(self, chain: _Chain) -> None:
        try:
            while await self._turn(chain):
                self._open_lanes()
        except Refused as refusal:
            # Of a lane from the middle no harm: the lane above it reads on.
            if chain is self._chains[0] or not refusal.may_mean_cursor:
                raise
            async with self._moving:
                if chain.opened:
                    await self._drop([chain])
                else:
                    await self._end_lanes("refused a cursor made up for it")
        self._open_lanes()

    async def _turn(self, chain: _Chain) -> bool:
        """One page of one lane. Returns whether the lane goes on."""
        page, server_ms = await self._ask(chain.lane.cursor)
        async with self._moving:
            if chain not in self._chains:
                return False
            if self._frame is None:
                self._frame = frame_for(
                    self._stream, self.state, self._settings, started_at=server_ms
                )
            elif not self._checked and not self._is_credible(server_ms):
                await self._put(Batch([], WalkDropped()))
                return False
            self._checked = True
            self._pages = min(self._pages + 1, 2)
            return await self._take(chain, page)

    async def _take(self, chain: _Chain, page: Page) -> bool:
        """Judges a page, puts it on the queue, and notes where the lane stands now."""
        frame = self._frame
        assert frame is not None  # noqa: S101
        taken = take(self._stream, frame, chain.lane, page, may_stop=self._may_stop)
        top = chain is self._chains[0]
        if not top and not chain.opened and not await self._is_as_asked(chain, page, taken):
            return False
        try:
            chain.guard.check(page, taken.lane.cursor)
        except BadAnswer:
            # The rows are good; only the way on is not, so the bookmark stays where it was.
            await self._put(Batch(taken.records, None, read=len(page.records)))
            raise
        lane = _with_first(self._stream, taken, page) if not top else taken.lane
        lower = self._lower(chain)
        met = self._follow(lane, lower, page, taken)
        if met != lane.met:
            lane = replace(lane, met=met)
        ended = page.next_cursor is None or (self._may_stop and self._is_below_bound(taken))
        if ended:
            lane = replace(lane, cursor=None)
        chain.lane = lane
        self._note_density(chain, taken)
        step: Step
        if ended and top:
            reached_end = page.next_cursor is None
            step = WalkEnded(frame, lane, self._pages > 1, reached_end)
        elif lower is not None and lane.met == SEAM_RECORDS and not ended:
            step = LanesJoined(lane, lower.lane.id)
        else:
            step = PageRead(frame, lane) if chain.opened or top else LaneOpened(lane)
        await self._put(Batch(taken.records, step, read=len(page.records)))
        chain.opened = True
        if isinstance(step, LanesJoined) and lower is not None:
            self._join(chain, lower)
            return False
        if ended:
            await self._drop([] if top else self._below(chain))
        elif not lane.ordered and len(self._chains) > 1:
            await self._end_lanes("does not come newest first")
            return chain in self._chains
        elif lower is not None and _has_passed(taken, lower):
            await self._waste(lower)
        if self.state.walk is None:
            self._cancel(self._chains)
        return not ended and chain in self._chains

    async def _put(self, batch: Batch) -> None:
        await self._emit(batch)
        if batch.step is not None:
            self.state = advance(self.state, batch.step)

    def _is_credible(self, server_ms: int) -> bool:
        """Whether this connector can have set the bookmark: its bound must have been earned."""
        frame = self._frame
        assert frame is not None  # noqa: S101
        if frame.started_at > server_ms + INDEX_LAG_MS:
            return False
        watermark, read_at = self.state.watermark, self.state.deep_read_at
        # A walk takes nothing from a time that lies after its own start.
        if watermark is not None and watermark > frame.started_at:
            watermark = None
        if frame.lean is not None and (
            watermark is None
            or read_at is None
            or frame.lean.after != self.state.deep_read_to
            or frame.lean.below > watermark
            or frame.lean.unchanged_since > min(read_at, frame.started_at)
        ):
            return False
        earned = [t for t in (watermark, self._settings.sync_since_ms) if t is not None]
        bounds = [time for time in (frame.stop_at, frame.emit_from) if time is not None]
        return not bounds or (bool(earned) and max(bounds) <= max(earned))

    def _is_below_bound(self, taken: Taken) -> bool:
        assert self._frame is not None  # noqa: S101
        # A walk that meets nothing as new as the bound cannot have come newest first from the
        # head, or the newest have gone: reading on costs requests, stopping might cost rows.
        newest = self._chains[0].lane.newest if taken.lane.start is not None else taken.lane.newest
        must_have_met = None if self.state.watermark is None else self._frame.stop_at
        if must_have_met is not None and (newest is None or newest < must_have_met):
            return False
        return is_below_bound(self._frame, taken)

    # -- lanes ----------------------------------------------------------------------------------

    def _lanes_wanted(self) -> bool:
        """Whether what is left is worth more than one lane, or a bookmark already has more."""
        if len(self._chains) > 1:
            return True
        frame, refused_at = self._frame, self.state.lanes_refused_at
        if not self._with_lanes or frame is None or not frame.deep or not self._may_stop:
            return False
        if refused_at is not None and frame.started_at - refused_at < _TRY_LANES_AGAIN_MS:
            return False
        top = self._chains[0]
        if not top.lane.ordered or not _is_position(top.lane):
            return False
        return self._widest_gap() is not None

    def _open_lanes(self) -> None:
        """Gives idle lanes the older part of what is widest: one at first, then twice as many."""
        if self._group is None or self.state.walk is None or not self._lanes_wanted():
            return
        while True:
            reading = [chain for chain in self._chains if not chain.done]
            asking = sum(not chain.opened for chain in reading)
            if len(reading) >= self._settings.message_lanes or asking >= len(reading) - asking:
                return
            gap = self._widest_gap()
            if gap is None:
                return
            index, top_ms, bottom_ms = gap
            start = bottom_ms + (top_ms - bottom_ms) // 2
            lane = Lane(id=self._next_id, cursor=made_up_cursor(start), start=start)
            self._next_id += 1
            chain = _Chain(lane, _EndlessGuard(self._stream), opened=False)
            self._chains.insert(index + 1, chain)
            self._start(chain)

    def _widest_gap(self) -> tuple[int, int, int] | None:
        """The widest unread span in time: (index of the lane above it, its top, its bottom)."""
        frame = self._frame
        assert frame is not None  # noqa: S101
        floor = max(self._floor, (frame.stop_at or 0) - DISORDER_MS)
        widest: tuple[int, int, int] | None = None
        for index, chain in enumerate(self._chains):
            top = chain.lane.oldest
            if chain.done or top is None:
                continue
            below = self._chains[index + 1 : index + 2]
            bottom = max(below[0].lane.start or 0, floor) if below else floor
            if chain.pages_in(top - bottom) < _WORTHWHILE_PAGES or top - bottom < 2:
                continue
            if widest is None or top - bottom > widest[1] - widest[2]:
                widest = (index, top, bottom)
        return widest

    async def _is_as_asked(self, chain: _Chain, page: Page, taken: Taken) -> bool:
        """Whether a made-up cursor was answered from where it points; else lanes are no use."""
        lane, start = taken.lane, chain.lane.start or 0
        if lane.newest is not None and lane.newest > start:
            await self._end_lanes("answers a made-up cursor with newer records")
            return False
        if not lane.ordered:
            await self._end_lanes("does not come newest first")
            return False
        if not page.records and page.next_cursor is None:
            # Nothing is older: only a hint for where to look next.
            self._floor = max(self._floor, start)
            self._chains.remove(chain)
            return False
        return True

    def _follow(self, lane: Lane, lower: _Chain | None, page: Page, taken: Taken) -> int:
        """How many of the lower lane's first records this one has come to, one after another."""
        if lower is None or not lower.opened or len(lower.lane.first) < SEAM_RECORDS:
            return 0
        # A lane holds nothing newer than where it was made up to begin, but for some disorder.
        oldest = taken.oldest if taken.newest is not None else None
        if oldest is not None and oldest > (lower.lane.start or 0) + DISORDER_MS:
            return 0
        first = lower.lane.first
        met = lane.met if 0 <= lane.met < SEAM_RECORDS else 0
        for record in page.records:
            name = _short_hash(self._stream.key_of(record))
            met = met + 1 if name == first[met] else int(name == first[0])
            if met == SEAM_RECORDS:
                break
        return met

    def _join(self, upper: _Chain, lower: _Chain) -> None:
        """Notes in memory what the step has done to the state."""
        self._chains.remove(upper)
        walk = self.state.walk
        if walk is None:
            self._cancel(self._chains)
            return
        lower.lane = next(lane for lane in walk.lanes if lane.id == lower.lane.id)

    async def _drop(self, chains: list[_Chain]) -> None:
        for chain in chains:
            self._chains.remove(chain)
        opened = tuple(chain.lane.id for chain in chains if chain.opened)
        if opened and self.state.walk is not None:
            await self._put(Batch([], LanesDropped(opened)))
        self._cancel(chains)

    async def _waste(self, chain: _Chain) -> None:
        """A lane was passed without being met: what it has read is read over."""
        self._wasted_lanes += chain.opened
        if self._wasted_lanes >= _MOST_WASTED_LANES:
            await self._end_lanes("answers made-up cursors from elsewhere")
        else:
            await self._drop([chain])

    async def _end_lanes(self, why: str) -> None:
        """One lane reads on alone; the finding is kept, so that the next sync does not try."""
        frame, dropped = self._frame, self._chains[1:]
        assert frame is not None  # noqa: S101
        log.info("%s: Courier %s; the reading goes on in one lane", self._stream.table, why)
        del self._chains[1:]
        ids = tuple(chain.lane.id for chain in dropped)
        await self._put(Batch([], LanesDropped(ids, refused_at=frame.started_at)))
        self._cancel(dropped)

    def _below(self, chain: _Chain) -> list[_Chain]:
        return self._chains[self._chains.index(chain) + 1 :]

    def _lower(self, chain: _Chain) -> _Chain | None:
        below = self._below(chain)
        return below[0] if below else None

    def _cancel(self, chains: list[_Chain]) -> None:
        """Stops their reading, but for the one that says so."""
        for chain in chains:
            if chain.task is not None and chain.task is not asyncio.current_task():
                chain.task.cancel()

    def _note_density(self, chain: _Chain, taken: Taken) -> None:
        if not chain.recent and taken.newest is not None:
            chain.recent.append(taken.newest)
        if taken.oldest is not None:
            chain.recent.append(taken.oldest)


def made_up_cursor(time_ms: int) -> str:
    """The position of a message enqueued at `time_ms` whose id sorts after all others."""
    position = f"{time_ms},1-{time_ms // 1000:08x}-{'f' * 24}"
    return base64.b64encode(position.encode()).decode()


def _is_position(lane: Lane) -> bool:
    """Whether the server's own cursor reads as the time of the last record of its page."""
    try:
        text = base64.b64decode(lane.cursor or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    time, comma, name = text.partition(",")
    return bool(comma and name) and time == str(lane.oldest)


def _has_passed(taken: Taken, lower: _Chain) -> bool:
    """Whether a whole page lies below where the lower lane began, without the two meeting."""
    if taken.newest is None or taken.lane.met:
        return False
    if len(lower.lane.first) == SEAM_RECORDS:
        began = lower.lane.first_oldest
    else:
        began = lower.lane.oldest if lower.opened else lower.lane.start
    return began is not None and taken.newest < began


def _with_first(stream: Stream, taken: Taken, page: Page) -> Lane:
    """The lane with the names of its first records, until there are enough of them."""
    lane = taken.lane
    wanted = SEAM_RECORDS - len(lane.first)
    if wanted <= 0:
        return lane
    names = [_short_hash(stream.key_of(record)) for record in page.records[:wanted]]
    times = [time for time in taken.times[:wanted] if time is not None]
    if lane.first_oldest is not None:
        times.append(lane.first_oldest)
    return replace(lane, first=(*lane.first, *names), first_oldest=min(times, default=None))


def _short_hash(key: str | None) -> str:
    digest = hashlib.blake2b((key or "").encode("utf-8", "replace"), digest_size=6).digest()
    return base64.b64encode(digest).decode()


def _weightiest(group: BaseExceptionGroup[CourierError]) -> BaseException:
    """What decides the stream's fate: a refused key before all else."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, KeyRefused)), leaves[0])


class _EndlessGuard:
    """Ends a chain that gets nowhere, in memory that does not grow with it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        # Brent's cycle detection: one cursor is kept, and replaced at every power of two.
        self._kept: str | None = None
        self._steps = 0
        self._limit = 1
        self._previous: str | None = None
        # Pages whose records were all on a page not long before bring nothing new.
        self._recent: dict[int, None] = {}
        self._stale_pages = 0

    def check(self, page: Page, cursor: str | None) -> None:
        """Raises BadAnswer where a cursor returns or page after page brings nothing new."""
        if cursor is None:
            return
        if cursor in (self._kept, self._previous):
            raise BadAnswer("a cursor came a second time: the pages go round in a circle")
        self._previous = cursor
        if self._kept is None or self._steps == self._limit:
            self._kept, self._steps = cursor, 0
            self._limit *= 2
        self._steps += 1
        self._check_records(page)

    def _check_records(self, page: Page) -> None:
        fingerprint = hash(tuple([self._stream.key_of(record) for record in page.records]))
        if page.records and fingerprint not in self._recent:
            self._stale_pages = 0
            self._recent[fingerprint] = None
            if len(self._recent) > _MOST_STALE_PAGES:
                del self._recent[next(iter(self._recent))]
            return
        self._stale_pages += 1
        if self._stale_pages >= _MOST_STALE_PAGES:
            raise BadAnswer(
                f"{_MOST_STALE_PAGES:,} pages in a row brought no new record, and each said that "
                "there is more"
            )
