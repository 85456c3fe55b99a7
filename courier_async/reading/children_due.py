"""The messages whose children are to be read, on their way to the readers of those tables.

Reading alone uses it; what a checkpoint saves of it is the writer's (state/saved.py).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from courier_async.handover import Batch

MOST_DUE: Final = 20_000


class ChildrenDue:
    """Ids of messages, with their times, that one table of children has still to read.

    No more are asked for while too many are due, as long as somebody reads them.
    In what is saved the time is negative where the last try failed. was_full: so many were due
    already that the table has hardly been read of late.
    """

    def __init__(self, saved: Mapping[str, int]) -> None:
        self._waiting = {name: abs(time) for name, time in saved.items()}
        self._failed = {name for name, time in saved.items() if time < 0}
        self.was_full = len(saved) >= MOST_DUE
        self._under_way: set[str] = set()
        # What says that a message is done, while it may still wait for a place on the queue.
        self._ending: dict[str, Batch] = {}
        self._changed = asyncio.Event()
        self._is_over = False
        self._has_reader = True
        self._is_refused = False

    def add(self, due: Mapping[str, int]) -> None:
        """More messages, once their rows are on the queue."""
        self._waiting.update(due)
        for message_id in due.keys() & self._ending.keys():
            # It would come behind that row, and undo that the message is due.
            self._ending[message_id].done.clear()
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

    def failed_before(self, message_id: str) -> bool:
        """Whether an earlier sync could not read its children."""
        return message_id in self._failed

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
        while (message_id := self._next()) is None:
            if self._is_over and not self._waiting:
                return None
            self._changed.clear()
            await self._changed.wait()
        time = self._waiting.pop(message_id)
        self._under_way.add(message_id)
        self._notify()
        return message_id, time

    def finish(self, message_id: str) -> None:
        """One that was taken has been read, or cannot be."""
        self._under_way.discard(message_id)
        self._notify()

    def end_with(self, message_id: str, last: Batch) -> None:
        """Such a one is done once `last` is written, unless it has become due again by then."""
        if message_id not in self._waiting:
            last.done.append(message_id)
            self._ending[message_id] = last

    def has_put(self, message_id: str) -> None:
        """That batch is on the queue: a row of the message that comes now comes behind it."""
        self._ending.pop(message_id, None)

    def _next(self) -> str | None:
        """Not one under way: of two answers the older might come last."""
        return next((name for name in self._waiting if name not in self._under_way), None)

    def _notify(self) -> None:
        self._changed.set()
