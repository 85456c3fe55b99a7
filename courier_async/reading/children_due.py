"""The messages whose children are to be read, on their way to the readers of those tables.

Reading alone uses it; what a checkpoint saves of it is the writer's (state/saved.py).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

MOST_DUE: Final = 20_000


class ChildrenDue:
    """Ids of messages, with their times, that one table of children has still to read.

    No more are asked for while too many are due, as long as somebody reads them.
    """

    def __init__(self, saved: Mapping[str, int]) -> None:
        self._waiting: dict[str, int] = dict(saved)
        self._changed = asyncio.Event()
        self._is_over = False
        self._has_reader = True
        self._is_refused = False

    def add(self, due: Mapping[str, int]) -> None:
        """More messages."""
        self._waiting.update(due)
        self._notify()

    async def until_room(self) -> None:
        """Returns once more messages may be asked for.

        Whoever waits here must hold no page: the children may need its memory.
        """
        while len(self._waiting) > MOST_DUE and self._has_reader:
            self._changed.clear()
            await self._changed.wait()

    @property
    def has_room(self) -> bool:
        """Whether more messages can be noted; where nobody reads them, only up to the bound."""
        return self._has_reader or len(self._waiting) < MOST_DUE

    @property
    def misses_some(self) -> bool:
        """Whether a message that is not noted now must be noted later.

        Not where the account lacks the table, which would have the others wait without end.
        """
        return not (self.has_room or self._is_refused)

    def end(self) -> None:
        """No more messages come in this sync."""
        self._is_over = True
        self._notify()

    def give_up(self, *, is_refused: bool) -> None:
        """Nobody reads them any more in this sync. is_refused: the account lacks the table."""
        self._has_reader = False
        self._is_refused = is_refused
        self._notify()

    async def take(self) -> tuple[str, int] | None:
        """The next message and its time; None once there are no more."""
        while not self._waiting:
            if self._is_over:
                return None
            self._changed.clear()
            await self._changed.wait()
        message_id = next(iter(self._waiting))
        time = self._waiting.pop(message_id)
        self._notify()
        return message_id, time

    def _notify(self) -> None:
        self._changed.set()
