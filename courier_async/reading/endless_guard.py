"""Decides when a listing that keeps saying there is more counts as endless."""

from typing import Final

from courier_async.errors import BadAnswer
from courier_async.reading.judge import JudgedPage

# After this many pages in a row without a new record, the listing counts as endless.
MOST_STALE_PAGES: Final = 1_000


class EndlessGuard:
    """Detects a lane that makes no progress, in memory that does not grow with it."""

    def __init__(self) -> None:
        # Brent's cycle detection: one cursor is kept, and replaced at every power of two.
        self._kept: str | None = None
        self._steps = 0
        self._limit = 1
        self._previous: str | None = None
        # Hashes of recent pages; one with the same keys brings nothing new.
        self._recent: dict[int, None] = {}
        self._stale_pages = 0

    def trouble(self, page: JudgedPage) -> BadAnswer | None:
        """Returns an error if a cursor recurs, or if page after page brings nothing new."""
        cursor = page.next_cursor
        if cursor is None:
            return None
        if cursor in (self._kept, self._previous):
            return BadAnswer("a cursor was repeated: the pages form a loop")
        self._previous = cursor
        if self._kept is None or self._steps == self._limit:
            self._kept, self._steps = cursor, 0
            self._limit *= 2
        self._steps += 1
        return self._stale(page)

    def go_on_elsewhere(self) -> None:
        """Forgets past cursors: the lane goes on at another one, which may lead back to them."""
        self._kept = self._previous = None

    @property
    def repeats(self) -> bool:
        """Whether the last page that led on brought nothing new."""
        return self._stale_pages > 0

    @property
    def is_stale(self) -> bool:
        """Whether the pages brought nothing new for so long that no other cursor would help."""
        return self._stale_pages >= MOST_STALE_PAGES

    def _stale(self, page: JudgedPage) -> BadAnswer | None:
        content = hash(tuple(page.keys))
        if page.keys and content not in self._recent:
            self._stale_pages = 0
            self._recent[content] = None
            if len(self._recent) > MOST_STALE_PAGES:
                del self._recent[next(iter(self._recent))]
            return None
        self._stale_pages += 1
        if not self.is_stale:
            return None
        return BadAnswer(
            f"{MOST_STALE_PAGES:,} pages in a row contained no new record, and each said there "
            "were more"
        )
