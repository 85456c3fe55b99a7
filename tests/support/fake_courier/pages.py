"""One page of a listing: the rows that a cursor leads to, as changed by the switches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.bounds import newer_than_ms
from tests.support.fake_courier.cursor_lives import CursorLives
from tests.support.fake_courier.cursors import Cursor, decode, encode
from tests.support.fake_courier.envelopes import list_object_body, paging_body
from tests.support.fake_courier.forms import in_form
from tests.support.fake_courier.options import Options
from tests.support.fake_courier.replies import (
    Refused,
    Reply,
    error_reply,
    json_reply,
    made_reply,
)
from tests.support.fake_courier.streams import EVERY_STREAM
from tests.support.fake_courier.table import Place, Row, Table

MADE_UP_STATUS = {"refused": 400, "not_found": 404, "gone": 410}
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Asked:
    """A parsed listing request. number: the page's number by its place, from 1."""

    stream: str
    table: Table
    url: str
    size: int
    number: int
    cursor: str | None
    after: Place | None
    is_fresh: bool
    is_made_up: bool
    is_thin: bool
    notes: bool
    host: str

    def is_due(self, every: Mapping[str, int]) -> bool:
        return self.stream in every and self.number % every[self.stream] == 0

    def is_from(self, first: Mapping[str, int]) -> bool:
        return self.stream in first and self.number >= first[self.stream]


class Pages:
    """Answers listing requests that have passed the key check, the rate limit and the faults."""

    def __init__(self, account: Account, options: Options) -> None:
        self.account = account
        self.options = options
        self.generation = 0  # raised when cursors are forgotten
        self._fresh = 1
        self._lives = CursorLives()

    def cursor_kind(self, stream: str, parent: str | None, query: Mapping[str, str]) -> str:
        """Returns what a rule calls a request's cursor: none, own, old, made_up or bad."""
        text = query.get("cursor")
        if not text:
            return "none"
        cursor = decode(stream, text)
        if cursor is None:
            return "bad"
        if _is_made_up(self.account.table(stream, parent), cursor):
            return "made_up"
        return "own" if self._serves(text, cursor) else "old"

    def number(self, stream: str, parent: str | None, query: Mapping[str, str]) -> int:
        """Returns the requested page's number, by its place; 1 if it has none."""
        try:
            cursor = decode(stream, query.get("cursor", ""))
            size = self._page_size(stream, query)
        except Refused:
            return 1
        table = self.account.table(stream, parent)
        return 1 + table.rank(cursor.place if cursor else None) // size

    def answer(
        self, stream: str, query: Mapping[str, str], host: str, parent: str | None = None
    ) -> Reply:
        """Returns the page that a query asks for, or its refusal."""
        try:
            asked = self._understand(stream, parent, query, host)
            options = self.options
            if stream in options.denied and asked.number >= options.denied_from_page:
                return error_reply(options.denied[stream])
            if parent is not None and not self._is_there(stream, parent):
                return error_reply(404)
            if stream in options.endless:
                return self._endless(asked)
            if asked.is_due(options.empty_page_every) and not asked.is_fresh:
                cursor = self._cursor(stream, asked.after or _head(asked.table), fresh=1)
                return self._reply(asked, [], cursor, more=True)
            return self._page(asked, newer_than_ms(stream, query, options))
        except Refused as refused:
            return refused.reply

    # -- the request ---------------------------------------------------------------------------

    def _is_there(self, stream: str, parent: str) -> bool:
        return self.account.get(EVERY_STREAM[stream].parent or "", parent) is not None

    def _understand(
        self, stream: str, parent: str | None, query: Mapping[str, str], host: str
    ) -> Asked:
        options, text = self.options, query.get("cursor")
        table = self.account.table(stream, parent)
        size = self._page_size(stream, query)
        cursor, is_made_up = None, False
        if text:
            cursor = decode(stream, text)
            if cursor is None:
                raise Refused(error_reply(400, "Invalid cursor"))
            is_made_up = _is_made_up(table, cursor)
            if is_made_up and (stream != "message" or options.made_up_cursors in MADE_UP_STATUS):
                raise Refused(error_reply(MADE_UP_STATUS.get(options.made_up_cursors, 400)))
            if not is_made_up and not self._serves(text, cursor):
                raise Refused(_forgotten_reply(options.forgotten_status))
        after = cursor.place if cursor else None
        return Asked(
            stream=stream,
            table=table,
            url=EVERY_STREAM[stream].path.replace("{id}", quote(parent or "", safe="")),
            size=size,
            number=1 + table.rank(after) // size,
            cursor=text,
            after=after,
            is_fresh=cursor is not None and cursor.fresh > 0,
            is_made_up=is_made_up,
            is_thin=cursor is not None and cursor.thin,
            notes=query.get("notes") == "true",
            host=host,
        )

    def _page_size(self, stream: str, query: Mapping[str, str]) -> int:
        known = EVERY_STREAM[stream]
        size = self.options.page_sizes.get(stream, known.page_size)
        if not known.largest or "limit" not in query:
            return size
        limit = query["limit"]
        if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
            raise Refused(error_reply(400, "Invalid limit"))
        return min(int(limit), self.options.most_per_page.get(stream, known.largest))

    def _serves(self, text: str, cursor: Cursor) -> bool:
        if cursor.generation != self.generation:
            return False
        options, now_ms = self.options, self.account.now_ms()
        return self._lives.serves(text, now_ms, options.cursor_seconds, options.cursor_requests)

    # -- the rows ------------------------------------------------------------------------------

    def _page(self, asked: Asked, newer_than_ms: int | None) -> Reply:
        stream, size, options = asked.stream, asked.size, self.options
        is_thin = asked.is_thin or (asked.is_made_up and options.made_up_cursors == "thin")
        if is_thin:
            rows = asked.table.page(asked.after, 3 * size + 1)[2::3]
        elif asked.is_made_up and asked.after is not None:
            rows = self._made_up_rows(asked.after, size)
        else:
            rows = asked.table.page(asked.after, size + 1, newer_than_ms=newer_than_ms)
        rows, more = rows[:size], len(rows) > size or (is_thin and len(rows) == size)
        cursor = self._cursor(stream, rows[-1][:2], thin=is_thin) if rows else asked.cursor
        if asked.is_from(options.more_without_cursor):
            cursor, more = None, True
        elif asked.is_from(options.repeat_cursor):
            cursor, more = asked.cursor or cursor, True
        reply = self._reply(asked, self._records(asked, rows), cursor, more=more)
        reply.records = len(rows)
        if options.rules:
            reply.rows = tuple((row[1], asked.table.time(row[2])) for row in rows)
        return reply

    def _made_up_rows(self, after: Place, size: int) -> list[Row]:
        """Returns up to one row more than a page after a made-up cursor, as the option says."""
        mode = self.options.made_up_cursors
        if mode == "empty":
            return []
        if mode == "head":
            return self.account.rows("message", None, size + 1)
        if mode == "newer":
            after = (after[0] + HOUR_MS, "")
        rows = self.account.rows("message", after, 2 * size + 1)
        if mode == "partly":
            return rows[size:]
        if mode == "gaps":
            return rows[::2]
        rows = rows[: size + 1]
        return [*reversed(rows[:size]), *rows[size:]] if mode == "backwards" else rows

    def _records(self, asked: Asked, rows: list[Row]) -> list[Any]:
        options, stream, key = self.options, asked.stream, EVERY_STREAM[asked.stream].key
        records: list[Any] = [asked.table.record(row[2]) for row in rows]
        if stream == "notification" and not asked.notes:
            for record in records:
                record.pop("note", None)
        if stream in options.time_forms:
            records = [in_form(stream, record, options.time_forms[stream]) for record in records]
        if records and asked.is_due(options.keyless_every):
            spoilt = {name: value for name, value in records[-1].items() if name != key}
            keys: tuple[dict[str, Any], ...] = ({}, {key: None}, {key: ""})
            records.insert(len(records) // 2, spoilt | keys[asked.number % 3])
        if asked.after is not None and asked.is_due(options.duplicate_every):
            before = _listed(asked.table, asked.after[1])
            records[:0] = [] if before is None else [asked.table.record(before)]
        if asked.is_due(options.non_dict_every):
            records.append((None, "record", 7, ["list"])[asked.number % 4])
        return records

    def _endless(self, asked: Asked) -> Reply:
        self._fresh += 1
        rows = asked.table.page(None, asked.size)
        cursor = self._cursor(asked.stream, _head(asked.table), fresh=self._fresh)
        return self._reply(asked, self._records(asked, rows), cursor, more=True)

    # -- the answer ----------------------------------------------------------------------------

    def _reply(self, asked: Asked, records: list[Any], cursor: str | None, *, more: bool) -> Reply:
        options = self.options
        known = EVERY_STREAM[asked.stream]
        array = options.arrays.get(asked.stream, known.array)
        usual = "cursor_absent" if asked.stream == "preference_change" else "cursor_null"
        ending = None if more else options.last_page.get(asked.stream, usual)
        if not known.is_list_object:
            return json_reply(paging_body(array, records, cursor, ending))
        origins = {
            "relative": "",
            "absolute": f"http://{asked.host}",
            "other_origin": options.other_origin,
        }
        body = list_object_body(
            asked.url,
            array,
            # An empty array of users may be null.
            records if records or asked.stream != "tenant_user" else None,
            cursor,
            ending,
            with_cursor=options.tenant_cursor,
            next_url_origin=origins.get(options.tenant_next_url),
        )
        return json_reply(body)

    def _cursor(self, stream: str, place: Place, *, fresh: int = 0, thin: bool = False) -> str:
        cursor = Cursor(place, fresh, self.generation, thin)
        text = encode(stream, cursor, awkward=stream in self.options.awkward_cursors)
        if self.options.cursor_seconds or self.options.cursor_requests:
            self._lives.given_out(text, self.account.now_ms())
        return text

    def count_request(self) -> None:
        """Counts a request: cursors that live for a number of them get older."""
        self._lives.requests += 1


def _head(table: Table) -> Place:
    """Returns a place before all others."""
    return (1 << 60, "") if table.step < 0 else (-(1 << 60), "")


def _listed(table: Table, id_: str) -> int | None:
    """Returns the index of a row that is listed now, or None."""
    try:
        index = table.find(id_)
    except KeyError:
        return None
    return index if table.is_listed(index) else None


def _is_made_up(table: Table, cursor: Cursor) -> bool:
    if cursor.fresh or cursor.thin:
        return False
    try:
        table.find(cursor.place[1])
    except KeyError:
        return True
    return False


def _forgotten_reply(status: int) -> Reply:
    """Returns a cursor's refusal; 200: an error inside a 200."""
    body = {"message": "Invalid cursor", "type": "invalid_request_error"}
    return made_reply(status, body if status == 200 else None, {})
