"""Passes the messages whose children must be read to the readers of the child tables.

Only reading uses it; the writer keeps what a checkpoint saves of it (state/saved.py).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from courier_async.handover import Batch

MOST_DUE: Final = 20_000


class ChildrenDue:
    """Ids and times of the messages whose children one table still has to read.

    While too many are due, no more messages are requested, as long as a reader works on these.
    A saved time is negative if the last try failed. was_full: the saved state already held
    MOST_DUE messages, so the table has hardly been read lately.
    """

    def __init__(self, saved: Mapping[str, int]) -> None:
        self._waiting = {name: abs(time) for name, time in saved.items()}
        self._failed = {name for name, time in saved.items() if time < 0}
        self.was_full = len(saved) >= MOST_DUE
        self._under_way: set[str] = set()
        # Batches that mark a message as done, and may still wait for room on the queue.
        self._ending: dict[str, Batch] = {}
        self._changed = asyncio.Event()
        self._is_over = False
        self._has_reader = True
        self._is_refused = False

    def add(self, due: Mapping[str, int]) -> None:
        """Adds messages, once their rows are on the queue."""
        self._waiting.update(due)
        for message_id in due.keys() & self._ending.keys():
            # That batch would follow the new row, and mark a message that is due as done.
            self._ending[message_id].done.clear()
        self._notify()

    async def until_room(self) -> None:
        """Returns once more messages may be requested.

        The caller must not hold a page meanwhile: the children may need its memory.
        """
        while len(self._waiting) > MOST_DUE and self._has_reader:
            self._changed.clear()
            await self._changed.wait()

    @property
    def has_room(self) -> bool:
        """Whether more messages can be noted: up to MOST_DUE if nobody reads them, else always."""
        return self._has_reader or len(self._waiting) < MOST_DUE

    def are_too_many(self, again: int) -> bool:
        """Whether the state has no room for these that wait and `again` that failed."""
        return len(self._waiting) + again >= MOST_DUE

    @property
    def would_miss(self) -> bool:
        """Whether a message that is not noted now must be noted later.

        False if the account lacks the table, or the other tables would wait forever.
        """
        return not (self.has_room or self._is_refused)

    def failed_before(self, message_id: str) -> bool:
        """Whether an earlier sync could not read its children."""
        return message_id in self._failed

    def end(self) -> None:
        """Signals that no more messages come in this sync."""
        self._is_over = True
        self._notify()

    def give_up(self, *, is_refused: bool) -> None:
        """Signals that this sync reads no more. is_refused: the account lacks the table."""
        self._has_reader = False
        self._is_refused = is_refused
        self._notify()

    async def take(self) -> tuple[str, int] | None:
        """Returns the next message and its time, or None once there are no more."""
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
        """Notes that a taken message has been read, or cannot be."""
        self._under_way.discard(message_id)
        self._notify()

    def finish_with(self, message_id: str, last: Batch) -> None:
        """Lets `last` mark the message as done once written, unless it is due again by then."""
        if message_id not in self._waiting:
            last.done.append(message_id)
            self._ending[message_id] = last

    def batch_queued(self, message_id: str) -> None:
        """Notes that this batch is on the queue, so a new row of the message follows it."""
        self._ending.pop(message_id, None)

    def _next(self) -> str | None:
        """Skips messages under way: of two responses, the older might arrive last."""
        return next((name for name in self._waiting if name not in self._under_way), None)

    def _notify(self) -> None:
        self._changed.set()
