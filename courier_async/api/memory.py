"""The memory that answers may take, from before a body is read until its page is written.

An answer takes a small share before its body is read. Growing past it, it waits, holding the
share, for the one place for a large answer. Whoever ends the page's way gives both back. A page
that is read must never wait for another page to be read: then nothing here can deadlock.
"""

from typing import Final

from courier_async.api.turns import Turns

# Ordinary pages take 5 to 60 KB, and a byte of them about six once it is parsed.
SHARE_BYTES: Final = 64 * 1024
# 128 lanes that read, 64 pages on the writer's queue and as many that are being written.
LANE_SHARES: Final = 256
# Of each stream's other requests: as many pages as are read ahead of a slow destination.
OWN_SHARES: Final = 8


class Hold:
    """What one answer holds of the memory. Released once, by whoever ends the page's way."""

    def __init__(self, share: Turns, large: Turns, *, lane: bool) -> None:
        self._share = share
        self._large = large
        self._lane = lane
        self._is_large = False
        self._released = False

    def fits(self, size_bytes: int) -> bool:
        """Whether so much needs no more than is held."""
        return self._is_large or size_bytes <= SHARE_BYTES

    async def grow_to(self, size_bytes: int) -> None:
        """Returns at once where it fits, else when no other large answer is held."""
        if self.fits(size_bytes):
            return
        await self._large.take(gives_way=self._lane)
        self._is_large = True

    def release(self) -> None:
        """Gives everything back; again does nothing."""
        if self._released:
            return
        self._released = True
        self._share.give_back()
        if self._is_large:
            self._large.give_back()


class MemoryBudget:
    """Shares for the lanes together, shares for each stream's other requests, one large place."""

    def __init__(self) -> None:
        self._lanes = Turns(LANE_SHARES)
        self._own: dict[str, Turns] = {}
        self._large = Turns(1)

    async def take(self, table: str, *, lane: bool) -> Hold:
        """A share for one answer; waits while all of them hold pages."""
        share = self._lanes
        if not lane:
            share = self._own.setdefault(table, Turns(OWN_SHARES))
        await share.take(gives_way=lane)
        return Hold(share, self._large, lane=lane)
