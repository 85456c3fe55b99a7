"""How many lanes a walk has under way: as many as keep the rate that is set in use."""

from typing import Final

MOST_LANES: Final = 128
_LANES_AT_FIRST: Final = 8
# So many requests at the limiter say that the rate is in use.
_ENOUGH_WAITING: Final = 4
# Answers that take this many times as long as the quickest say that the server is at its limit.
_SLOWED_BY: Final = 3.0
_SMOOTHING: Final = 0.1


class LaneCount:
    """Grows while nobody waits at the limiter, shrinks while many do.

    fixed: the number that the user has set, or None.
    """

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self.wanted = _LANES_AT_FIRST if fixed is None else fixed
        self._somebody_waited = False
        self._quickest_seconds: float | None = None
        self._usual_seconds = 0.0

    def answered(self, *, waiting: int, seconds: float) -> None:
        """A lane's request was answered; `waiting` requests wait for their turn."""
        if self._fixed is not None:
            return
        if self._quickest_seconds is None:
            self._quickest_seconds = self._usual_seconds = seconds
        self._quickest_seconds = min(self._quickest_seconds, seconds)
        self._usual_seconds += _SMOOTHING * (seconds - self._usual_seconds)
        if waiting:
            self._somebody_waited = True
            if waiting > _ENOUGH_WAITING:
                self.wanted = max(self.wanted - 1, 1)
        elif not self._is_slowed():
            self.wanted = min(self.wanted + (1 if self._somebody_waited else 2), MOST_LANES)

    def _is_slowed(self) -> bool:
        """A server that manages less than the rate and sends no 429 answers ever more slowly."""
        quickest = self._quickest_seconds or 0.0
        return self._usual_seconds > _SLOWED_BY * quickest and self._usual_seconds > 0.1
