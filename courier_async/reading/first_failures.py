"""Children that fail before any could be read: the cause may be the plan or Courier, not a row."""

from math import inf
from typing import Final

from courier_async.errors import CourierError, Denied, Limited, is_not_found, is_not_in_plan

# Rows whose children are read in parallel, under the shared limiter.
AT_ONCE: Final = 32
# This many new failures before the first success cannot be the fault of single rows.
_MOST_NEW: Final = 20


class FirstFailures:
    """Tracks the failures of one table's rows in one sync, until the children of one are read.

    was_read: whether an earlier sync has read any. has_read: whether this one has.
    most: how many may fail in all until it stops.
    """

    def __init__(self, *, was_read: bool, most: float = inf) -> None:
        self._was_read = was_read
        self._most = most
        self.has_read = False
        self._errors: list[CourierError] = []
        self._new = 0
        self._limited: Limited | None = None

    def note(self, error: CourierError | None, *, failed_before: bool = False) -> None:
        """Notes why the next row's children could not be read, or None if they were.

        A 404 concerns that row alone.
        """
        self.has_read = self.has_read or error is None
        if error is not None and not is_not_found(error):
            self._errors.append(error)
            # If the plan lacks the table, each row fails again in every sync.
            is_plan = not self._was_read and is_not_in_plan(error)
            self._new += is_plan or not failed_before
            if isinstance(error, Limited):
                self._limited = error

    @property
    def has_ever_read(self) -> bool:
        """Whether this sync or an earlier one has read the children of a row."""
        return self._was_read or self.has_read

    @property
    def should_stop(self) -> bool:
        """Whether so many rows have failed that it stops.

        A single row that met only rate limits for ten minutes is enough: so did the others.
        """
        too_many = self._new >= _MOST_NEW or len(self._errors) >= self._most
        return self._limited is not None or (too_many and not self.has_read)

    def table_error(self) -> CourierError | None:
        """Returns why none could be read, if no row is at fault; Denied if it is the plan."""
        if self._limited is not None:
            return self._limited
        if self.has_read or not self._errors:
            return None
        refusals = [error.status for error in self._errors if is_not_in_plan(error)]
        if not self._was_read and len(refusals) == len(self._errors):
            return Denied(refusals[0])
        return self._errors[-1] if self._new >= _MOST_NEW else None
