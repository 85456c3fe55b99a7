"""Records that cannot be stored: how far down a walk has met them, for the state to keep.

They have no time of their own that can be trusted, so their neighbours' times bound it.
"""

from msgspec.structs import replace

from courier_async.catalog.positions import time_in_cursor
from courier_async.catalog.stream import Stream
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.outcome import with_unusable
from courier_async.state.position import StreamState, Unusable


class UnusableRecords:
    """What one walk has met of them. oldest: the earliest time at which one may stand, or None."""

    def __init__(self, stream: Stream, saved: tuple[Unusable, ...]) -> None:
        self._has_times = stream.time_field is not None
        self.oldest: int | None = None
        # Over all syncs, without what the next pages of these lanes have still to bound.
        self._known = saved
        self._unbounded: set[LiveLane] = set()

    def concern(self, lane: LiveLane, page: JudgedPage) -> bool:
        """Whether a page holds some, or bounds the time of what came last on the one before."""
        return page.unusable > 0 or (lane in self._unbounded and page.newest is not None)

    def note(self, lane: LiveLane, page: JudgedPage, state: StreamState, now: int) -> StreamState:
        """The state once such a page has been read."""
        if page.newest is not None:
            self._unbounded.discard(lane)
        times = [page.oldest if page.unusable else page.newest]
        if page.ends_unusable and self._has_times:
            # Its time is told by the cursor to the next page, or else bounded by that page.
            last = time_in_cursor(page.next_cursor) if page.next_cursor else 0
            times.append(last)
            if last is None:
                self._unbounded.add(lane)
        time = min([moment for moment in times if moment is not None], default=now)
        self.oldest = time if self.oldest is None else min(time, self.oldest)
        state = with_unusable(self.bounded(state), time, now)
        self._known = state.unusable
        # A sync that dies before the next page has come knows no bound at all.
        return with_unusable(state, 0, now) if self._unbounded else state

    def bounded(self, state: StreamState) -> StreamState:
        """The state where no next page is awaited any more."""
        return replace(state, unusable=self._known)
