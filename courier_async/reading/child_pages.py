"""The pages of one parent's children: a template's metrics, a list's subscriptions, a history."""

from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, urlencode

from msgspec.structs import replace

from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.pages import parse_page
from courier_async.catalog.stream import Record, Stream
from courier_async.counts import Counts
from courier_async.errors import BadAnswer, CourierError
from courier_async.handover import Release
from courier_async.reading.endless_guard import EndlessGuard
from courier_async.reading.judge import JudgedPage, judge_page, no_usable

_RATE_HEADER: Final = "ratelimit-limit"
# No server enforces a rate with more digits than this.
_MOST_RATE_DIGITS: Final = 4


class ChildPages:
    """Fetches children. now_ms: the server's time at its last response."""

    def __init__(
        self, stream: Stream, client: CourierClient, counts: Counts, *, base_url: str
    ) -> None:
        self._stream = stream
        self._client = client
        self._counts = counts
        self._base_url = base_url
        self._query = urlencode(stream.params)
        rate = stream.requests_per_second
        self._own_pacer = None if rate is None else Pacer(per_second=rate)
        self.now_ms = 0

    def can_ask(self, parent_id: str) -> bool:
        """Whether an id can be part of a path."""
        return parent_id not in (".", "..")

    async def of(self, parent_id: str) -> AsyncIterator[tuple[JudgedPage, Release]]:
        """Yields each page of one parent's children, and a function that releases its memory.

        Raises CourierError; if the parent is unknown, Refused with status 404.
        """
        path = self._stream.path.replace("{id}", quote(parent_id, safe=""))
        guard, position, cursor = EndlessGuard(), 0, None
        while True:
            page, trouble, release = await self._page(path, parent_id, cursor, position)
            if page.unusable:
                release()
                del page
                page, trouble, release = await self._page(path, parent_id, cursor, position)
                self._counts.unusable += page.unusable
            position += len(page.records) + page.unusable
            cursor = page.next_cursor
            if not self._stream.may_lack_key:
                trouble = trouble or no_usable(page)
            trouble = trouble or guard.trouble(page)
            # The rows are good; only the next page cannot be reached.
            yield page, release
            del page, release
            if trouble is not None:
                raise trouble
            if cursor is None:
                return

    async def _page(
        self, path: str, parent_id: str, cursor: str | None, position: int
    ) -> tuple[JudgedPage, BadAnswer | None, Release]:
        """Returns a page, the error if its next page is unknown, and its release function."""
        stream = self._stream
        query = "&".join(
            part for part in (self._query, cursor and f"cursor={quote_plus(cursor)}") if part
        )
        reply = await self._client.get(
            f"{path}?{query}" if query else path,
            self._counts,
            lane=True,
            own_pacer=self._own_pacer,
            arrays=stream.identifying_fields,
        )
        self._counts.pages += 1
        self.now_ms = max(self.now_ms, reply.server_ms)
        rate = _rate_of(reply.headers)
        if self._own_pacer is not None and rate > 0:
            self._own_pacer.set_per_second(rate)
        try:
            page = parse_page(stream, reply.body, base_url=self._base_url)
        except CourierError:
            reply.hold.release()
            raise
        page = replace(page, records=self._keyed(page.records, parent_id, position))
        return judge_page(stream, page, now_ms=self.now_ms), page.trouble, reply.hold.release

    def _keyed(self, records: list[Record], parent_id: str, position: int) -> list[Record]:
        """Returns the records with what their keys need: the parent's id and their position."""
        added: Record = {self._stream.key[0]: parent_id}
        if "position" not in self._stream.key:
            return [r | added if isinstance(r, dict) else r for r in records]
        return [
            r | added | {"position": position + place} if isinstance(r, dict) else r
            for place, r in enumerate(records)
        ]


def _rate_of(headers: Mapping[str, str]) -> float:
    """Returns the server's requests per second, or 0 if it names none."""
    text = headers.get(_RATE_HEADER, "")
    is_rate = text.isascii() and text.isdigit() and len(text) <= _MOST_RATE_DIGITS
    return float(text) if is_rate else 0.0
