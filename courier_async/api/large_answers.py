"""Who may hold a large answer: one task at a time, since seven streams at once fill the memory."""

import asyncio
from typing import Any, Final

# Ordinary pages are a tenth of that; parsed and flattened, a byte takes five to thirty.
LARGE_BYTES: Final = 1024 * 1024


class LargeAnswers:
    """Admits one task at a time to a large answer, until that task releases it or ends.

    By then its page is on the writer's queue, whose bytes are bounded. Lanes are tasks too.
    """

    def __init__(self) -> None:
        self._holder: asyncio.Task[Any] | None = None
        self._freed = asyncio.Event()

    async def admit(self, *, size_bytes: int) -> None:
        """Returns at once for an answer that is not large, else once no other task holds one."""
        if size_bytes <= LARGE_BYTES:
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        while self._holder not in (None, task):
            self._freed.clear()
            await self._freed.wait()
        self._holder = task
        task.add_done_callback(self._release)

    def release(self) -> None:
        """The task that calls this has put away what it held, if anything."""
        if self._holder is not None:
            self._release(asyncio.current_task())

    def _release(self, task: asyncio.Task[Any] | None) -> None:
        if self._holder is task:
            self._holder = None
            self._freed.set()
