"""Which stream may hold large answers: one at a time, since seven at once fill the memory."""

import asyncio
from typing import Final

# Ordinary pages are a tenth of that; parsed and flattened, a byte takes five to thirty.
LARGE_BYTES: Final = 1024 * 1024


class LargeAnswers:
    """Admits one stream at a time to large answers, from its first one until it is released."""

    def __init__(self) -> None:
        self._holder: str | None = None
        self._freed = asyncio.Event()

    async def admit(self, table: str, *, size_bytes: int) -> None:
        """Returns at once for an answer that is not large, else once no other stream holds one."""
        if size_bytes <= LARGE_BYTES:
            return
        while self._holder not in (None, table):
            self._freed.clear()
            await self._freed.wait()
        self._holder = table

    def release(self, table: str) -> None:
        """The stream holds no large answer any more, if it ever did."""
        if self._holder == table:
            self._holder = None
            self._freed.set()
