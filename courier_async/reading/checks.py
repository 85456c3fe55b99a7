"""The requests that a walk makes to check, not to read: the probe, and what lies below an end."""

from typing import Final

from courier_async.reading.fetches import Fetches, Purpose
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.reading.seams import SEAM_RECORDS

# At most this many empty pages are followed in one walk.
_MOST_FOLLOWED: Final = 100
# How often to retry a cursor that returned an empty page with a next cursor.
_ASKED_AGAIN: Final = 3


class Checks:
    """Starts the probe, and asks what lies below the end that a lane has reached."""

    def __init__(self, lanes: LaneSet, probe: Probe, fetches: Fetches) -> None:
        self._lanes = lanes
        self._probe = probe
        self._fetches = fetches
        self._empty_at: list[str] = []

    def start_probe(self) -> bool:
        """Starts the probe if enough records are known, twice at most; returns whether it did."""
        cursor = self._probe.ask()
        if cursor is not None:
            self._fetches.start(self._lanes.head, cursor, purpose=Purpose.PROBE)
        return cursor is not None

    def must_check_first(self, head: LiveLane, *, is_ordered: bool) -> bool:
        """Returns whether an end cannot be believed yet: the probe or the page below comes first.

        is_ordered: the stream comes newest first, so anything that follows must be older.
        """
        if head.confirming is not None or self._probe.verdict is Verdict.ASKED:
            return True
        is_single = head.order.pages <= 1
        if self._probe.verdict is Verdict.UNTRIED and not is_single and self.start_probe():
            return True
        if self._probe.verdict is Verdict.HELD:
            if is_single:
                return False
        elif head.is_unproved or not is_ordered or len(head.tail) < SEAM_RECORDS:
            # The lane must remember enough of what it has just read to tell what is older.
            return False
        else:
            head.is_unproved = True
        return self.ask_below(head, self._probe.below(head))

    def asks_lower(self, lane: LiveLane, page: JudgedPage) -> bool:
        """Returns whether it asks once more below an unproved end, as nothing older came.

        Records that share the time of the end may have filled that page.
        """
        if page.next_cursor is None or lane.is_asked_twice:
            return False
        return self.ask_below(lane, self._probe.below(lane))

    def check_end_early(self, lane: LiveLane) -> None:
        """Checks an end at once if lanes lie below it; otherwise once the head gets there."""
        if lane is not self._lanes.last and self._probe.verdict is Verdict.HELD:
            self.ask_below(lane, self._probe.below(lane))

    def ask_below(self, lane: LiveLane, cursor: str | None) -> bool:
        """Requests the page at a cursor below a lane's end, if any."""
        if cursor is not None:
            lane.confirming = cursor
            self._fetches.start(lane, cursor, purpose=Purpose.CONFIRM)
        return cursor is not None

    def asks_again(self, lane: LiveLane, page: JudgedPage, asked: str, purpose: Purpose) -> bool:
        """Returns whether it asks again, since an empty page with a next cursor proves nothing.

        asked: the cursor tried; it is retried a few times. The next cursor is followed only to
        confirm an end, because it is the server's own.
        """
        cursor = page.next_cursor
        if (
            cursor is None
            or page.records
            or page.unusable
            or len(self._empty_at) >= _MOST_FOLLOWED
        ):
            return False
        self._empty_at.append(asked)
        if self._empty_at.count(asked) <= _ASKED_AGAIN:
            cursor = asked
        elif purpose is Purpose.PROBE:
            return False
        if purpose is Purpose.CONFIRM:
            lane.confirming = cursor
        self._fetches.start(lane, cursor, purpose=purpose)
        return True
