"""A request in, an answer out: Courier's REST API over an account, without any HTTP."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import formatdate
from random import Random
from typing import Any
from urllib.parse import unquote

from tests.fake_courier.account import Account
from tests.fake_courier.cursors import Cursor, decode, encode
from tests.fake_courier.options import Options
from tests.fake_courier.replies import (
    Reply,
    bad_key_reply,
    error_reply,
    faulty,
    json_reply,
    too_many_reply,
)
from tests.fake_courier.streams import STREAMS
from tests.fake_courier.table import Place, Row
from tests.fake_courier.traffic import Traffic

STREAM_AT = {stream.path: name for name, stream in STREAMS.items()}
MADE_UP_STATUS = {"refused": 400, "not_found": 404, "gone": 410}
LARGEST_TENANT_PAGE = 100


class FakeApi:
    """Answers GET requests, one at a time.

    clock: seconds for the token bucket and for request times (time.monotonic by default); the
    Date header comes from the account's clock. `traffic` counts; `options` may be replaced at
    any moment through `change_options`.
    """

    def __init__(
        self,
        account: Account,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self.traffic = Traffic()
        self._clock = clock
        self._generation = 0
        self._fresh = 0
        self._scheduled: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._scripted: dict[str, list[Reply]] = {}
        self._use(options or Options())

    def _use(self, options: Options) -> None:
        self.options = options
        self._random = Random(f"{self.account.seed}/{options.fault_seed}")
        self._once = {stream: list(kinds) for stream, kinds in options.fault_once.items()}
        self._tokens = float(options.burst)
        self._filled_at = self._clock()

    # -- steering ----------------------------------------------------------------------------

    def change_options(self, **changes: Any) -> None:
        """Replace some options from now on; faults and the token bucket start afresh."""
        self._use(self.options.changed(changes))

    def forget_cursors(self) -> None:
        """Refuse from now on every cursor given out before (made-up ones were never given)."""
        self._generation += 1

    def change_after(self, stream: str, requests: int, change: Mapping[str, Any]) -> None:
        """Apply a change (see Account.apply) just before the stream's n-th request from now."""
        at = self.traffic.by_stream[stream] + requests
        self._scheduled.setdefault(stream, []).append((at, dict(change)))

    def script(self, stream: str, *replies: Reply) -> None:
        """Give these answers to the stream's next listing requests, whatever they ask."""
        self._scripted.setdefault(stream, []).extend(replies)

    # -- answering ---------------------------------------------------------------------------

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The answer to GET path?query. `path` as sent (percent-encoded), `query` decoded."""
        self.traffic.requests += 1
        self.traffic.times.append(self._clock())
        reply = self._answer(path, query, headers)
        reply.delay_seconds += self.options.latency_ms / 1000
        reply.headers["Date"] = formatdate(self.account.now_ms() // 1000, usegmt=True)
        self.traffic.by_status[reply.fault or str(reply.status)] += 1
        self.traffic.body_bytes += len(reply.body)
        return reply

    def _answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        stream, id_ = _route(path)
        if stream is None:
            return error_reply(404)
        if id_ is None:
            self.traffic.listing(stream, query)
            self._apply_scheduled(stream)
            if self._scripted.get(stream):
                return self._scripted[stream].pop(0)
        else:
            self.traffic.by_id[stream] += 1
        given = headers.get("Authorization") or headers.get("authorization")
        if given != f"Bearer {self.options.key}":
            return bad_key_reply(self.options.bad_key_status)
        if not self._may_pass():
            return self._too_many()
        kind = self._fault(stream)
        if kind is None:
            return self._serve(stream, id_, query, headers)
        return faulty(
            kind,
            lambda: self._serve(stream, id_, query, headers),
            seconds=self.options.retry_after_seconds,
            slow_seconds=self.options.slow_seconds,
            now_ms=self.account.now_ms(),
        )

    def _serve(
        self, stream: str, id_: str | None, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Reply:
        if stream in self.options.down:
            return error_reply(503)
        if id_ is not None:
            return self._one(stream, id_)
        return self._listing(stream, query, headers)

    def _one(self, stream: str, id_: str) -> Reply:
        options = self.options
        if stream in options.denied_by_id or stream in options.denied:
            return error_reply(options.denied_by_id.get(stream) or options.denied[stream])
        record = self.account.get(stream, id_)
        if record is None:
            return error_reply(404)
        if stream == "notification":  # the shape by id is another one
            record["content"] = {"version": "2022-01-01", "elements": []}
        return json_reply(record)

    def _listing(self, stream: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        options, after, fresh = self.options, None, 0
        size = self._page_size(stream, query)
        if isinstance(size, Reply):
            return size
        text = query.get("cursor")
        made_up = False
        if text:
            cursor = decode(stream, text)
            if cursor is None:
                return error_reply(400, "Invalid cursor")
            made_up = not cursor.fresh and not self._knows(stream, cursor.place[1])
            if made_up and (stream != "message" or options.made_up_cursors in MADE_UP_STATUS):
                return error_reply(MADE_UP_STATUS.get(options.made_up_cursors, 400))
            if not made_up and cursor.generation != self._generation:
                return error_reply(options.forgotten_status)
            after, fresh = cursor.place, cursor.fresh
        number = 1 + self.account.rank(stream, after) // size
        if stream in options.denied and number >= options.denied_from_page:
            return error_reply(options.denied[stream])
        if stream in options.endless:
            return self._endless(stream, size, headers)
        if _due(options.empty_page_every, stream, number) and not fresh:
            return self._empty(stream, after, headers)
        newer_than_ms = _enqueued_after(query, options) if stream == "message" else None
        if isinstance(newer_than_ms, Reply):
            return newer_than_ms
        if made_up and after is not None:
            rows = self._made_up_rows(after, size)
        else:
            rows = self.account.rows(stream, after, size + 1, newer_than_ms=newer_than_ms)
        rows, more = rows[:size], len(rows) > size
        more = more or any(
            _from(endless, stream, number)
            for endless in (options.more_without_cursor, options.repeat_cursor)
        )
        records = self._records(stream, rows, after, number, query)
        self.traffic.records[stream] += len(rows)
        return self._envelope(
            stream, records, self._next(stream, rows, more, number, text), more, headers
        )

    def _page_size(self, stream: str, query: Mapping[str, str]) -> int | Reply:
        size = self.options.page_sizes.get(stream, STREAMS[stream].page_size)
        if stream != "tenant" or "limit" not in query:
            return size
        limit = query["limit"]
        if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
            return error_reply(400, "Invalid limit")
        return min(int(limit), LARGEST_TENANT_PAGE)

    def _knows(self, stream: str, id_: str) -> bool:
        try:
            self.account.find(stream, id_)
        except KeyError:
            return False
        return True

    def _made_up_rows(self, after: Place, size: int) -> list[Row]:
        """A page and a row after a cursor that the API never gave out, as the option has it."""
        mode = self.options.made_up_cursors
        if mode == "head":
            return self.account.rows("message", None, size + 1)
        if mode == "newer":
            after = (after[0] + 3_600_000, "")
        rows = self.account.rows("message", after, 2 * size + 1)
        if mode == "partly":
            return rows[size:]
        if mode == "gaps":
            return rows[::2]
        rows = rows[: size + 1]
        return [*reversed(rows[:size]), *rows[size:]] if mode == "backwards" else rows

    def _records(
        self,
        stream: str,
        rows: list[Row],
        after: Place | None,
        number: int,
        query: Mapping[str, str],
    ) -> list[Any]:
        options, key = self.options, STREAMS[stream].key
        records: list[Any] = [self.account.record(stream, row[2]) for row in rows]
        if stream == "notification" and query.get("notes") != "true":
            for record in records:
                record.pop("note", None)
        if rows and _due(options.keyless_every, stream, number):
            spoilt = dict(records[-1])
            spoilt.pop(key)
            values: tuple[dict[str, Any], ...] = ({}, {key: None}, {key: ""})
            records.insert(len(records) // 2, spoilt | values[number % 3])
        if after is not None and _due(options.duplicate_every, stream, number):
            before = self._listed_at(stream, after[1])
            records[:0] = [before] if before else []
        if _due(options.non_dict_every, stream, number):
            records.append((None, "record", 7, ["list"])[number % 4])
        return records

    def _listed_at(self, stream: str, id_: str) -> dict[str, Any] | None:
        index = self.account.listed(stream, id_)
        return None if index is None else self.account.record(stream, index)

    def _next(
        self, stream: str, rows: list[Row], more: bool, number: int, asked: str | None
    ) -> str | None:
        """The cursor that leads on; on a last page the one that it may show all the same."""
        options = self.options
        if _from(options.more_without_cursor, stream, number):
            return None
        if asked and (not rows or _from(options.repeat_cursor, stream, number)):
            return asked
        if not rows:
            return None
        return self._cursor(stream, rows[-1][:2])

    def _cursor(self, stream: str, place: Place, *, fresh: int = 0) -> str:
        cursor = Cursor(place, fresh, self._generation)
        return encode(stream, cursor, awkward=stream in self.options.awkward_cursors)

    def _empty(self, stream: str, after: Place | None, headers: Mapping[str, str]) -> Reply:
        cursor = self._cursor(stream, after or self._head(stream), fresh=1)
        return self._envelope(stream, [], cursor, True, headers)

    def _endless(self, stream: str, size: int, headers: Mapping[str, str]) -> Reply:
        self._fresh += 1
        records = [
            self.account.record(stream, row[2]) for row in self.account.rows(stream, None, size)
        ]
        cursor = self._cursor(stream, self._head(stream), fresh=self._fresh)
        return self._envelope(stream, records, cursor, True, headers)

    def _head(self, stream: str) -> Place:
        """A place before all others."""
        return (1 << 60, "") if self.account.descends(stream) else (-(1 << 60), "")

    def _envelope(
        self,
        stream: str,
        records: list[Any],
        cursor: str | None,
        more: bool,
        headers: Mapping[str, str],
    ) -> Reply:
        options = self.options
        array = options.arrays.get(stream, STREAMS[stream].array)
        ending = None if more else options.last_page.get(stream, "cursor_null")
        if stream == "tenant":
            return json_reply(self._list_object(array, records, cursor, ending, headers))
        paging: dict[str, Any] | None = {"cursor": cursor, "more": more}
        if ending == "cursor_null":
            paging = {"cursor": None, "more": False}
        elif ending == "cursor_absent":
            paging = {"more": False}
        elif ending == "cursor_only":
            paging = {"cursor": cursor}
        elif ending == "paging_empty":
            paging = {}
        elif ending == "paging_null":
            paging = None
        body: dict[str, Any] = {} if ending == "paging_absent" else {"paging": paging}
        return json_reply(body | {array: records})

    def _list_object(
        self,
        array: str,
        records: list[Any],
        cursor: str | None,
        ending: str | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "list", "url": "/tenants", "has_more": ending is None}
        if ending == "cursor_null":
            body |= {"cursor": None, "next_url": None}
        elif ending in ("cursor", "cursor_only") or (ending is None and cursor):
            if self.options.tenant_cursor:
                body["cursor"] = cursor
            origin = {
                "relative": "",
                "absolute": f"http://{headers.get('Host', 'localhost')}",
                "other_origin": self.options.other_origin,
            }.get(self.options.tenant_next_url)
            if origin is not None:
                # Raw = and /, as seen on the real one; a raw + would be read as a blank.
                safe = (cursor or "").replace("+", "%2B")
                body["next_url"] = f"{origin}/tenants?cursor={safe}"
        return body | {array: records}

    # -- pace and faults ---------------------------------------------------------------------

    def _may_pass(self) -> bool:
        """Take a token from the bucket, if there is a bucket."""
        options = self.options
        if not options.allow_per_second:
            return True
        now = self._clock()
        gained = (now - self._filled_at) * options.allow_per_second
        self._tokens = min(float(options.burst), self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _too_many(self) -> Reply:
        return too_many_reply(
            retry_after=self.options.retry_after,
            seconds=self.options.retry_after_seconds,
            now_ms=self.account.now_ms(),
        )

    def _fault(self, stream: str) -> str | None:
        for name in (stream, "*"):
            if self._once.get(name):
                return self._once[name].pop(0)
        if self.options.fault_rate and self._random.random() < self.options.fault_rate:
            return self._random.choice(self.options.fault_kinds)
        return None

    def _apply_scheduled(self, stream: str) -> None:
        waiting = self._scheduled.get(stream)
        if not waiting:
            return
        now = self.traffic.by_stream[stream]
        self._scheduled[stream] = [entry for entry in waiting if entry[0] > now]
        for at, change in waiting:
            if at <= now:
                self.account.apply(change)


def _route(path: str) -> tuple[str | None, str | None]:
    """The stream and the id that a path names; (None, None) for a path that there is not."""
    if path in STREAM_AT:
        return STREAM_AT[path], None
    parent, _, last = path.rpartition("/")
    stream = STREAM_AT.get(parent)
    if stream is None or not STREAMS[stream].by_id or not last:
        return None, None
    return stream, unquote(last)


def _due(every: Mapping[str, int], stream: str, number: int) -> bool:
    return stream in every and number % every[stream] == 0


def _from(first: Mapping[str, int], stream: str, number: int) -> bool:
    return stream in first and number >= first[stream]


def _enqueued_after(query: Mapping[str, str], options: Options) -> int | Reply | None:
    """The bound in epoch ms that the query sets; a refusal where the option has it so."""
    text = query.get("enqueued_after")
    if text is None or options.enqueued_after == "ignored":
        return None
    is_ms = text.isascii() and text.isdigit()
    if options.enqueued_after in ("refused", "refuse_ms" if is_ms else "refuse_iso"):
        return error_reply(400, "Invalid enqueued_after")
    if is_ms:
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return error_reply(400, "Invalid enqueued_after")
