"""Decides how many lanes a walk runs at once: as many as it takes to use the configured rate."""

from math import ceil
from typing import Final

MOST_LANES: Final = 128
_LANES_AT_FIRST: Final = 8
# Besides the lanes being answered, a few wait at the limiter, so that no turn goes unused.
_SPARE_SHARE: Final = 0.07
_SPARE_LANES: Final = 2
# Answers this many times slower than the first ones show that the server is at its limit.
_SLOWED_BY: Final = 3.0
_FIRST_ANSWERS: Final = 8
_SMOOTHING: Final = 0.1


class LaneCount:
    """The number of lanes: rate times answer time, the most that the rate allows, plus a few.

    fixed: the number set by the user, or None.
    """

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self.wanted = _LANES_AT_FIRST if fixed is None else fixed
        self._answers = 0
        self._first_seconds = 0.0
        self._usual_seconds = 0.0

    def answered(self, *, per_second: float, seconds: float) -> None:
        """Updates `wanted`. seconds: from the limiter to the answer; per_second: the rate now."""
        if self._fixed is not None:
            return
        self._answers += 1
        if self._answers <= _FIRST_ANSWERS:
            self._first_seconds += (seconds - self._first_seconds) / self._answers
            self._usual_seconds = self._first_seconds
        else:
            self._usual_seconds += _SMOOTHING * (seconds - self._usual_seconds)
        # A server that cannot keep up with the rate and sends no 429 gets slower and slower;
        # more lanes would only slow it further.
        answer_seconds = min(self._usual_seconds, _SLOWED_BY * self._first_seconds)
        busy = per_second * answer_seconds * (1 + _SPARE_SHARE)
        self.wanted = min(ceil(busy) + _SPARE_LANES, MOST_LANES)
