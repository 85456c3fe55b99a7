"""Whether made-up cursors are honoured in this walk.

One probe a walk, or two, and only where a lane is wanted or an end is to be confirmed.
"""

from enum import Enum

from courier_async.catalog.stream import DAY_MS, Stream
from courier_async.errors import CourierError, Refused
from courier_async.reading import seams
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.state.plan import INDEX_LAG_MS
from courier_async.state.position import StreamState

NO_LANES_MS = 7 * DAY_MS


class Verdict(Enum):
    """What this walk knows of made-up cursors."""

    UNTRIED = "untried"
    ASKED = "asked"
    HELD = "held"
    REFUSED = "refused"


class Probe:
    """Tries one made-up cursor for a place that the server's own cursors have shown.

    cursor: the one that was tried last.
    """

    def __init__(self, stream: Stream) -> None:
        self._make = stream.cursor_at
        self.verdict = Verdict.REFUSED if self._make is None else Verdict.UNTRIED
        self.cursor = ""
        self._trail = seams.Trail()
        self._trail_of: LiveLane | None = None
        # Of the trail of the lane before, for where that of the present one is too short.
        self._earlier: seams.Expected | None = None
        self._expected: seams.Expected | None = None
        self._tries = 0
        # Once a comparison has failed, only records older than this are compared.
        self._settled_ms: int | None = None
        self._start = 0

    def begin(self, state: StreamState, start: int) -> None:
        """Made-up cursors that were seen not to work are not tried again for a week."""
        self._start = start
        if state.no_lanes_until is not None and 0 < state.no_lanes_until - start <= NO_LANES_MS:
            self.verdict = Verdict.REFUSED

    def add(self, lane: LiveLane, page: JudgedPage) -> None:
        """A page of the lane from the head, as the server's own cursors gave it.

        Where another lane takes its place, the pages before do not lead to those that follow, so
        each has a trail of its own.
        """
        if self._make is None or self.verdict in (Verdict.HELD, Verdict.REFUSED):
            return
        if lane is not self._trail_of:
            self._earlier = seams.probe_of(self._trail) or self._earlier
            self._trail, self._trail_of = seams.Trail(), lane
        # What follows a settled page is settled too, whatever time a record of it has.
        if self._trail.keys or self._settled_ms is None or page.is_below(self._settled_ms):
            self._trail.add(page)

    def ask(self) -> str | None:
        """The cursor to try now; None where too little has been read, or it was tried."""
        if self.verdict is not Verdict.UNTRIED or self._make is None or self._tries > 1:
            return None
        self._expected = seams.probe_of(self._trail) or self._earlier
        if self._expected is None:
            return None
        self.verdict = Verdict.ASKED
        self._tries += 1
        self.cursor = self._make(self._expected.time_ms)
        return self.cursor

    def fail(self, error: CourierError) -> None:
        """The probe was not answered. In an outage no cursor is, so only a refusal tells."""
        self.verdict = Verdict.REFUSED if isinstance(error, Refused) else Verdict.UNTRIED

    def take(self, page: JudgedPage) -> None:
        """The answer to the probe."""
        if self._expected and seams.holds(self._expected, page):
            self.verdict = Verdict.HELD
        elif not page.records and page.next_cursor is not None:
            # What that leads to is a cursor of the server's own, so this tells nothing.
            self.verdict = Verdict.UNTRIED
            self._trail, self._earlier = seams.Trail(), None
        elif self._tries > 1:
            self.verdict = Verdict.REFUSED
        else:
            self.verdict = Verdict.UNTRIED
            # An empty answer where records stand is no answer: asked once more. Elsewhere records
            # may have become visible in between: tried once more where that is over.
            if page.records:
                self._trail, self._settled_ms = seams.Trail(), self._start - INDEX_LAG_MS
                self._earlier = None

    def below(self, lane: LiveLane) -> str | None:
        """The cursor below the last record of a lane; None where its end has been confirmed."""
        end = lane.end
        if self.verdict is Verdict.REFUSED or self._make is None or end < 0 or lane.is_confirmed:
            return None
        if end == lane.confirmed_from:
            # The same cursor would return the same page, as among many records of one time.
            end -= 1
        if self.verdict is Verdict.HELD:
            lane.confirmed_from = end
        return self._make(end)
