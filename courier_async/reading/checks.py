"""The requests by which a walk asks instead of reading: the probe, and what lies below an end."""

from typing import Final

from courier_async.reading.fetches import Fetches, Purpose
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.reading.lane_set import LaneSet
from courier_async.reading.probe import Probe, Verdict
from courier_async.reading.seams import SEAM_RECORDS

# So many empty pages are followed in one walk, so that none leads on for ever.
_MOST_FOLLOWED: Final = 100
# How often a made-up cursor is tried again after an empty page that leads on.
_ASKED_AGAIN: Final = 3


class Checks:
    """Starts the probe, and asks what lies below the end to which a lane has come."""

    def __init__(self, lanes: LaneSet, probe: Probe, fetches: Fetches) -> None:
        self._lanes = lanes
        self._probe = probe
        self._fetches = fetches
        # The cursors at which an empty page led on.
        self._empty_at: list[str] = []

    def start_probe(self) -> bool:
        """Whether the probe is under way now; it needs enough records, and comes twice at most."""
        cursor = self._probe.ask()
        if cursor is not None:
            self._fetches.start(self._lanes.head, cursor, purpose=Purpose.PROBE)
        return cursor is not None

    def must_come_first(self, head: LiveLane, *, is_ordered: bool) -> bool:
        """Whether an end is not believed yet: the probe, or what lies below it, is asked first.

        is_ordered: the stream comes newest first, so that older records have to follow.
        """
        if head.confirming is not None or self._probe.verdict is Verdict.ASKED:
            return True
        is_single = head.order.pages <= 1
        if self._probe.verdict is Verdict.UNTRIED and not is_single and self.start_probe():
            return True
        cursor = self._probe.below(head)
        if cursor is None:
            return False
        if self._probe.verdict is Verdict.HELD:
            if is_single:
                return False
        elif head.is_unproved or not is_ordered or len(head.tail) < SEAM_RECORDS:
            # Of what it has just read it must know enough to tell what is older.
            return False
        else:
            head.is_unproved = True
        self.ask_below(head, cursor)
        return True

    def doubt_end(self, lane: LiveLane) -> None:
        """Checks an end at once, since there are lanes below it; else once the head gets there."""
        if self._lanes.below(lane) is None or self._probe.verdict is not Verdict.HELD:
            return
        cursor = self._probe.below(lane)
        if cursor is not None:
            self.ask_below(lane, cursor)

    def ask_below(self, lane: LiveLane, cursor: str) -> None:
        """Asks for the page at a cursor that stands below the last record of a lane."""
        lane.confirming = cursor
        self._fetches.start(lane, cursor, purpose=Purpose.CONFIRM)

    def look_behind(self, lane: LiveLane, page: JudgedPage, asked: str, purpose: Purpose) -> bool:
        """Whether another page is asked for, since an empty one that leads on tells nothing.

        asked: the cursor made up for the probe, or to confirm an end; tried a few times more. The
        way on is followed only to confirm an end: it is by a cursor of the server's own.
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
