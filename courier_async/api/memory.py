"""The memory that responses may take, from before a body is read until its page is written.

A response takes a small share before its body is read. If it outgrows the share, it keeps that
and waits for the one place for a large response. The last user of the page gives both back. A page
that has been read must never wait for another to be read: this rules out deadlocks here.
"""

from typing import Final

from courier_async.api.turns import Turns

# Ordinary pages take 5 to 60 KB, and about six times as much once parsed.
SHARE_BYTES: Final = 64 * 1024
# 128 lanes that are reading, 64 pages on the writer's queue and as many being written.
LANE_SHARES: Final = 256
# Per stream, for its other requests: how many pages are read ahead of a slow destination.
OWN_SHARES: Final = 8


class Hold:
    """The memory that one response holds. Released once, by the last user of the page."""

    def __init__(self, share: Turns, large: Turns, *, lane: bool) -> None:
        self._share = share
        self._large = large
        self._lane = lane
        self._is_large = False
        self._released = False

    def fits(self, size_bytes: int) -> bool:
        return self._is_large or size_bytes <= SHARE_BYTES

    async def grow_to(self, size_bytes: int) -> None:
        """Waits, unless the size fits, until no other large response is held."""
        if self.fits(size_bytes):
            return
        await self._large.take(low_priority=self._lane)
        self._is_large = True

    def release(self) -> None:
        """Gives everything back; calling it again does nothing."""
        if self._released:
            return
        self._released = True
        self._share.give_back()
        if self._is_large:
            self._large.give_back()


class MemoryBudget:
    """Shares for all lanes together, shares for each stream's other requests, one large place."""

    def __init__(self) -> None:
        self._lanes = Turns(LANE_SHARES)
        self._own: dict[str, Turns] = {}
        self._large = Turns(1)

    async def take(self, table: str, *, lane: bool) -> Hold:
        """Takes a share for one response; waits while all shares are in use."""
        share = self._lanes
        if not lane:
            share = self._own.setdefault(table, Turns(OWN_SHARES))
        await share.take(low_priority=lane)
        return Hold(share, self._large, lane=lane)
