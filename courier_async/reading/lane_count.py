"""How many lanes a walk has under way: as many as keep the rate that is set in use."""

from math import ceil
from typing import Final

MOST_LANES: Final = 128
_LANES_AT_FIRST: Final = 8
# Beside those that are being answered, some that wait, so that no turn is left unused.
_SPARE_SHARE: Final = 0.07
_SPARE_LANES: Final = 2
# Answers that take this many times as long as the first ones say that the server is at its limit.
_SLOWED_BY: Final = 3.0
_FIRST_ANSWERS: Final = 8
_SMOOTHING: Final = 0.1


class LaneCount:
    """The rate times the time that an answer takes, and a few more: no more can be under way.

    fixed: the number that the user has set, or None.
    """

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self.wanted = _LANES_AT_FIRST if fixed is None else fixed
        self._answers = 0
        self._first_seconds = 0.0
        self._usual_seconds = 0.0

    def answered(self, *, per_second: float, seconds: float) -> None:
        """A request was answered so long after it was let go; per_second: the rate now."""
        if self._fixed is not None:
            return
        self._answers += 1
        if self._answers <= _FIRST_ANSWERS:
            self._first_seconds += (seconds - self._first_seconds) / self._answers
            self._usual_seconds = self._first_seconds
        else:
            self._usual_seconds += _SMOOTHING * (seconds - self._usual_seconds)
        # A server that manages less than the rate and sends no 429 answers ever more slowly;
        # more lanes would only make it slower.
        answer_seconds = min(self._usual_seconds, _SLOWED_BY * self._first_seconds)
        busy = per_second * answer_seconds * (1 + _SPARE_SHARE)
        self.wanted = min(ceil(busy) + _SPARE_LANES, MOST_LANES)
