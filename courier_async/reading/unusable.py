"""Tracks how far down a walk has met records that cannot be stored, for the state to keep.

Their own times cannot be trusted, so the times of their neighbours bound them.
"""

from msgspec.structs import replace

from courier_async.catalog.positions import time_in_cursor
from courier_async.catalog.stream import Stream
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.outcome import not_too_many, with_unusable
from courier_async.state.position import StreamState, Unusable


class UnusableRecords:
    """The unusable records of one walk. met: where they may lie."""

    def __init__(self, stream: Stream, saved: tuple[Unusable, ...]) -> None:
        self._has_times = stream.time_field is not None
        self.met: tuple[Unusable, ...] = ()
        # From all syncs, without records that the next pages of `_unbounded` lanes must bound.
        self._known = saved
        self._unbounded: dict[LiveLane, Unusable] = {}

    def affects(self, lane: LiveLane, page: JudgedPage) -> bool:
        """Whether a page holds unusable records, or bounds the time of one that ended the last."""
        return page.unusable > 0 or (lane in self._unbounded and page.newest is not None)

    def note(self, lane: LiveLane, page: JudgedPage, state: StreamState, now: int) -> StreamState:
        gaps = set(page.gaps)
        if lane in self._unbounded and page.newest is not None:
            del self._unbounded[lane]
            gaps.add(0)
        for gap in sorted(gaps):
            self._note_gap(lane, page, gap, now)
        # If the sync dies before the next page arrives, there is no bound at all.
        spans = (*self._known, _anywhere(now)) if self._unbounded else self._known
        return replace(state, unusable=spans)

    def _note_gap(self, lane: LiveLane, page: JudgedPage, gap: int, now: int) -> None:
        """Notes where a record before position `gap` lies, give or take an hour.

        Two neighbours on each side tell, as one may be oddly dated.
        """
        above = [time for time in page.times[:gap] if time is not None][-2:]
        if not above and lane.recent:
            above = [max(lane.recent[-1], page.newest or 0)]
        above = above or [lane.saved.oldest or lane.saved.begins_at or now]
        below = [time for time in page.times[gap:] if time is not None][:2]
        if not below and self._has_times:
            # The cursor to the next page tells its time; otherwise that page bounds it.
            told = time_in_cursor(page.next_cursor) if page.next_cursor else 0
            if told is None:
                self._unbounded[lane] = Unusable(min(above) - 1, now, max(above))
                return
            below = [told]
        times = above + below
        self._add(Unusable(min(times), now, max(times)))

    def _add(self, span: Unusable) -> None:
        # A neighbour dated ahead must not make it overlap with all that come later.
        span = span._replace(newest=max(span.time, min(span.newest, span.met_at)))
        self.met = with_unusable(self.met, span)
        self._known = with_unusable(self._known, span)

    def without_order(self, state: StreamState, now: int) -> StreamState:
        """Returns the state after a walk without an order, in which neighbours bound no time."""
        if not self.met or not self._has_times:
            return state
        self.met = (_anywhere(now),)
        return replace(state, unusable=not_too_many((*state.unusable, _anywhere(now))))

    def bounded(self, state: StreamState) -> StreamState:
        """Returns the state once no further page is expected to bound a time."""
        for span in self._unbounded.values():
            self._add(span)
        return replace(state, unusable=self._known)


def _anywhere(now: int) -> Unusable:
    return Unusable(0, now, now)
