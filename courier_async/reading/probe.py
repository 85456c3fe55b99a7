"""Checks whether made-up cursors are honoured in this walk.

A walk makes at most two probes, and only to open lanes, renew a cursor or confirm an end.
"""

from enum import Enum

from courier_async.catalog.stream import DAY_MS, Key, Stream
from courier_async.errors import CourierError, Refused
from courier_async.reading import seams
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.state.plan import INDEX_LAG_MS
from courier_async.state.position import StreamState

NO_LANES_MS = 7 * DAY_MS
# Beyond this, lanes may lead each other back up for ever.
MOST_PASSED_ENDS = 20


class Verdict(Enum):
    """What this walk knows about made-up cursors."""

    UNTRIED = "untried"
    ASKED = "asked"
    HELD = "held"
    REFUSED = "refused"


class Probe:
    """Tries one made-up cursor for a place already read with the server's own cursors.

    cursor: the one tried last. passed_ends, went_above: see pass_end and above.
    """

    def __init__(self, stream: Stream) -> None:
        self._make = stream.cursor_at
        self.verdict = Verdict.REFUSED if self._make is None else Verdict.UNTRIED
        self.cursor = ""
        self._trail = seams.Trail()
        self._trail_of: LiveLane | None = None
        # From the previous head lane's trail, in case the current one's is too short.
        self._earlier: seams.Expected | None = None
        self._expected: seams.Expected | None = None
        self._tries = self._refusals = self.passed_ends = 0
        self.went_above: list[Key] = []
        # Once a comparison has failed, only records older than this are compared.
        self._settled_ms: int | None = None
        self._start = 0

    def begin(self, state: StreamState, start: int) -> None:
        """Refuses made-up cursors if they failed in the last week."""
        self._start = start
        if 0 < (state.no_lanes_until or 0) - start <= NO_LANES_MS:
            self.verdict = Verdict.REFUSED

    def add(self, lane: LiveLane, page: JudgedPage) -> None:
        """Adds a page of the head lane, as the server's own cursors returned it.

        If another lane becomes the head, its pages do not continue the earlier ones, so each
        lane has its own trail.
        """
        if self.verdict in (Verdict.HELD, Verdict.REFUSED):
            return
        if lane is not self._trail_of:
            self._earlier = seams.probe_of(self._trail) or self._earlier
            self._trail, self._trail_of = seams.Trail(), lane
        # Pages after a settled page are settled too, whatever the times of their records.
        if self._trail.keys or self._settled_ms is None or page.is_below(self._settled_ms):
            self._trail.add(page)

    def ask(self) -> str | None:
        """Returns the cursor to try now, or None if too little has been read or it was tried."""
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
        """Handles a failed probe. Only two refusals count: in an outage every cursor fails."""
        self._refusals += isinstance(error, Refused)
        self.verdict = Verdict.REFUSED if self._refusals > 1 else Verdict.UNTRIED

    def take(self, page: JudgedPage) -> None:
        """Judges the response to the probe."""
        if self._expected and seams.holds(self._expected, page):
            self.verdict = Verdict.HELD
        elif not page.records and page.next_cursor is not None:
            # The way on is a cursor of the server's own, so this proves nothing.
            self.verdict = Verdict.UNTRIED
            self._trail, self._earlier = seams.Trail(), None
        elif self._tries > 1:
            self.verdict = Verdict.REFUSED
        else:
            self.verdict = Verdict.UNTRIED
            # An empty response where records exist proves nothing, so ask once more. Otherwise
            # records may have become visible in between, so try again where they are settled.
            if page.records:
                self._trail, self._settled_ms = seams.Trail(), self._start - INDEX_LAG_MS
                self._earlier = None

    def below(self, lane: LiveLane) -> str | None:
        """Returns a cursor below a lane's last record; None if its end is confirmed or unknown."""
        end = lane.end
        if self.verdict is Verdict.REFUSED or self._make is None or end < 0:
            return None
        if lane.is_confirmed or lane.repeats_last_page:
            return None
        asked = lane.confirmed_from
        leads_back = lane.guard.repeats or self.passed_ends > MOST_PASSED_ENDS
        if asked is not None and (end == asked or (end > asked and leads_back)):
            # The same cursor, or two in turn, would return the same pages.
            end = asked - 1
        lane.confirmed_from = end
        return self._make(end)

    def above(self, lane: LiveLane, page: JudgedPage) -> str | None:
        """Returns a cursor above a lane's last page; None if that leads nowhere new."""
        highest = max([lane.place, *lane.medians])
        went = not page.keys and lane.tail[-1:] == self.went_above
        if self._make is None or went or highest <= (lane.confirmed_from or 0):
            return None
        self.went_above = lane.tail[-1:]
        # Any of these may be gone then.
        lane.rereads_to = {*lane.tail[-seams.SEAM_RECORDS :]}
        return self._make(highest)

    def pass_end(self, lane: LiveLane, page: JudgedPage) -> None:
        """Counts an end with more below it; fourfold if no older."""
        self.passed_ends += 1 if (page.median or 0) < (lane.lowest_ms or 0) else 4

    def on_last_pages(self, lane: LiveLane) -> str | None:
        """Returns a cursor on the next lower one of a lane's last pages, or None."""
        asked = lane.confirmed_from or 0
        lower = [time for time in lane.medians if time < asked]
        if self._make is None or not lower:
            return None
        lane.confirmed_from = max(lower)
        return self._make(max(lower))
