"""Whole syncs without Fivetran and, unless asked for, without HTTP.

The fake API replaces the transport, and a sink replaces `op`.
"""

import asyncio
import copy
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from courier_async.api.memory import Hold
from courier_async.api.transport import Answer, ConnectionTrouble
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from courier_async.state.sent_rows import key_text
from courier_async.sync import run
from courier_async.writing.sdk_thread import SdkThread
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi

Row = dict[str, Any]


class Crash(Exception):
    """Makes the process die here, as far as the sync can tell."""


_ATOMS = (str, int, float, bool, type(None))


def copied(state: Any) -> Any:
    """Returns a deep copy, several times faster than copy.deepcopy: every checkpoint needs one."""
    kind = type(state)
    if kind is dict:
        return {key: copied(value) for key, value in state.items()}
    if kind is list:
        return [copied(value) for value in state]
    return state if kind in _ATOMS else copy.deepcopy(state)


@dataclass
class Sink:
    """Replaces `op`, and remembers every operation in order.

    crash_at: number of operations after which each further one raises Crash.
    """

    crash_at: int | None = None
    operations: list[tuple[str, Any]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    on_operation: Callable[[str, Any], None] | None = None

    def upsert(self, table: str, data: Row) -> None:
        self._note(("upsert", (table, dict(data))))

    def delete(self, table: str, keys: Row) -> None:
        self._note(("delete", (table, dict(keys))))

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._note(("checkpoint", copied(state)))

    def warning(self, message: str) -> None:
        self._note(("warning", message))

    def _note(self, operation: tuple[str, Any]) -> None:
        self.threads.add(threading.current_thread().name)
        if self.crash_at is not None and len(self.operations) >= self.crash_at:
            raise Crash
        if self.on_operation is not None:
            self.on_operation(*operation)
        self.operations.append(operation)

    # -- results ---------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        return [data for name, data in self.operations if name == "checkpoint"]

    @property
    def warnings(self) -> list[str]:
        return [data for name, data in self.operations if name == "warning"]

    def sent(self, table: str) -> list[Row]:
        return [d[1] for name, d in self.operations if name == "upsert" and d[0] == table]

    def deleted(self, table: str) -> list[str]:
        return [
            next(iter(d[1].values()))
            for name, d in self.operations
            if name == "delete" and d[0] == table
        ]

    def last_state(self) -> dict[str, Any]:
        return self.checkpoints[-1] if self.checkpoints else {}


class Tables:
    """The destination's tables after the operations of any number of syncs."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Row]] = {table: {} for table in BY_TABLE}

    def apply(self, sink: Sink, *, until: int | None = None) -> None:
        for name, data in sink.operations[:until]:
            if name == "upsert":
                table, row = data
                self.rows[table][key_text(_key(table, row))] = row
            elif name == "delete":
                table, keys = data
                self.rows[table].pop(key_text(_key(table, keys)), None)


_KEY_COLUMNS = {table: stream.key_columns for table, stream in BY_TABLE.items()}


def _key(table: str, row: Row) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in _KEY_COLUMNS[table])


class DirectTransport:
    """Calls the fake API directly, without HTTP. hold_seconds: how long each answer takes."""

    def __init__(self, api: FakeApi, *, key: str = DEFAULT_KEY, hold_seconds: float = 0.0) -> None:
        self._api = api
        self._headers = {"Authorization": f"Bearer {key}", "Host": "127.0.0.1:1"}
        self._hold_seconds = hold_seconds

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        parts = urlsplit(path_and_query)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        stream = parts.path
        reply = self._api.answer(stream, query, self._headers)
        await asyncio.sleep(reply.delay_seconds + self._hold_seconds)
        if reply.fault is not None:
            raise ConnectionTrouble("the connection was dropped before a response arrived")
        headers = {name.lower(): value for name, value in reply.headers.items()}
        await hold.grow_to(len(reply.body))
        return Answer(reply.status, headers, reply.body)


def settings(**changes: Any) -> Settings:
    """Returns settings that do not slow a test down."""
    values: dict[str, Any] = {
        "api_key": DEFAULT_KEY,
        "base_url": "http://127.0.0.1:1",
        "requests_per_second": 1000.0,
        "max_retries": 0,
        "checkpoint_interval_seconds": 0.0,
    }
    return Settings(**(values | changes))


async def sync(
    api: FakeApi,
    state: dict[str, Any] | None = None,
    *,
    sink: Sink | None = None,
    key: str = DEFAULT_KEY,
    hold_seconds: float = 0.0,
    **changes: Any,
) -> Sink:
    """Runs one sync of the fake API from a state; the sink holds the results."""
    sink = sink or Sink()
    async with SdkThread() as worker:
        await run(
            settings(api_key=key, **changes),
            copied(state or {}),
            sink,
            transport=DirectTransport(api, key=key, hold_seconds=hold_seconds),
            worker=worker,
        )
    return sink


def expected(account: Account, table: str, *, redact_secrets: bool = True) -> dict[str, Row]:
    """Returns the rows that a complete reading must land; rows.py has tests of its own."""
    return _rows(account.truth(table), table, redact_secrets=redact_secrets)


def expected_keys(account: Account, table: str) -> set[str]:
    """Returns only the keys of those rows."""
    keys = map(BY_TABLE[table].key_of, account.truth(table))
    return {key_text(key) for key in keys if key is not None}


def expected_of(api: FakeApi, table: str) -> dict[str, Row]:
    """Returns the rows that a complete reading must land, also of tables only the API makes."""
    return _rows(api.truth(table), table, redact_secrets=True)


def _rows(records: Iterable[Row], table: str, *, redact_secrets: bool) -> dict[str, Row]:
    mapper = RowMapper(BY_TABLE[table], redact_secrets=redact_secrets)
    rows = [mapper.row(record) for record in records]
    return {key_text(_key(table, row)): row for row in rows}
