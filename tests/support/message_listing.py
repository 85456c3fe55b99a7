"""A listing of messages built one by one, and syncs of it in virtual time."""

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer
from courier_async.catalog.streams import BY_TABLE
from courier_async.ending import SyncFailed
from courier_async.sync import run
from tests.support.harness import Crash, Sink, copied, settings
from tests.support.virtual_time import run_virtual

T = TypeVar("T")
Message = dict[str, Any]
# Given a request's cursor and the messages of its page, returns an answer to replace it.
Instead = Callable[[str | None, list[Message]], tuple[int, Any] | None]

START_MS = 1_786_700_000_000
_PAGE = 10


def cursor_behind(place: tuple[int, str]) -> str:
    """Returns the cursor that leads on from a place."""
    time, name = place
    return b64encode(f"{time},{name}".encode()).decode()


class Inline:
    """A worker whose jobs take no time."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()


@dataclass
class MessageListing:
    """A transport. Lists messages by their places, whatever times they carry.

    clock_ahead_ms: how far ahead the `Date` header is. pages: answers given so far.
    """

    now_ms: int = START_MS
    clock_ahead_ms: int = 0
    instead: Instead | None = None
    pages: int = 0
    messages: dict[tuple[int, str], Message] = field(default_factory=dict)

    def add(self, count: int, *, span_ms: int) -> None:
        """Adds `count` messages, spread evenly over the `span_ms` before now."""
        for number in range(count):
            at = self.now_ms - span_ms + span_ms * number // count
            name = f"1-{at // 1000:08x}-{len(self.messages):024x}"
            self.messages[at, name] = {"id": name, "status": "SENT", "enqueued": at}

    def newest(self, number: int) -> Message:
        """Returns the newest message but `number`: 0 is the newest."""
        return self.messages[sorted(self.messages)[-1 - number]]

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        await asyncio.sleep(0.1)
        self.pages += 1
        cursor = parse_qs(urlsplit(path_and_query).query).get("cursor", [None])[0]
        status, body = self._answer(cursor)
        packed = json.dumps(body).encode()
        await hold.grow_to(len(packed))
        date = formatdate((self.now_ms + self.clock_ahead_ms) // 1000, usegmt=True)
        return Answer(status, {"date": date}, packed)

    def _answer(self, cursor: str | None) -> tuple[int, Any]:
        places = sorted(self.messages, reverse=True)
        if cursor is not None:
            time, _, name = b64decode(cursor).decode().partition(",")
            places = [place for place in places if place < (int(time), name)]
        page = [self.messages[place] for place in places[:_PAGE]]
        special = self.instead(cursor, page) if self.instead else None
        if special is not None:
            return special
        if len(places) <= _PAGE:
            return 200, {"results": page, "paging": {"more": False, "cursor": None}}
        paging = {"more": True, "cursor": cursor_behind(places[_PAGE - 1])}
        return 200, {"results": page, "paging": paging}


def with_a_null(listing: MessageListing, lost: str) -> Instead:
    """Lists the message of this id as null."""

    def instead(cursor: str | None, page: list[Message]) -> tuple[int, Any] | None:
        if lost not in [message["id"] for message in page]:
            return None
        records = [None if message["id"] == lost else message for message in page]
        place = next(p for p, m in listing.messages.items() if m is page[-1])
        return 200, {"results": records, "paging": {"more": True, "cursor": cursor_behind(place)}}

    return instead


class Destination:
    """What syncs of a listing have landed, the last saved state, and whether the last failed."""

    def __init__(self, listing: MessageListing) -> None:
        self.listing = listing
        self.state: dict[str, Any] = {}
        self.landed: dict[str, Message] = {}
        self.failed = False

    def sync(self, *, crash_at: int | None = None, **changes: Any) -> Sink:
        """Runs one sync. Raises nothing if it fails: the tables show its effect."""
        sink = Sink(crash_at=crash_at)
        values = {"streams": (BY_TABLE["message"],), "message_lanes": 1} | changes
        self.failed = True
        with contextlib.suppress(SyncFailed, Crash):
            run_virtual(
                run(
                    settings(**values),
                    copied(self.state),
                    sink,
                    transport=self.listing,
                    worker=Inline(),
                )
            )
            self.failed = False
        self.state = sink.last_state() or self.state
        self.landed |= {row["id"]: row for row in sink.sent("message")}
        return sink

    @property
    def missing(self) -> set[str]:
        return {message["id"] for message in self.listing.messages.values()} - self.landed.keys()

    @property
    def stream(self) -> dict[str, Any]:
        """The saved state of the message stream."""
        state: dict[str, Any] = self.state["streams"]["message"]
        return state
