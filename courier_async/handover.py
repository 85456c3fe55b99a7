"""What reading hands to writing: batches of rows with the resulting state, and notices."""

from collections.abc import Callable
from typing import Any

import msgspec

from courier_async.catalog.stream import Key, Stream
from courier_async.state.position import StreamState

Row = dict[str, Any]
# Gives a page's memory back; calling it again does nothing.
Release = Callable[[], None]


class Entry(msgspec.Struct, frozen=True):
    """What to remember about a row once it has been sent. time_ms: for messages only."""

    key: Key
    name: bytes
    mark: bytes
    time_ms: int | None = None


class Batch(msgspec.Struct, kw_only=True):
    """The result of one page, written in this order: rows, deletes, then the state.

    rows: as op.upsert takes them. entries: one for each row to remember.
    deletes: keys of rows that are gone. forgotten: keys of rows to forget.
    due: for messages, id -> time of those whose children must be read; due_in: the tables that
    record it. done: for children of messages, the ids of messages whose children were read.
    state: the stream's whole next state, adopted once the rows are sent; None: no change.
    ends_walk: a checkpoint is worth its cost now.
    release: gives the page's memory back.
    """

    stream: Stream
    rows: list[Row] = msgspec.field(default_factory=list)
    entries: list[Entry] = msgspec.field(default_factory=list)
    deletes: list[Key] = msgspec.field(default_factory=list)
    forgotten: list[Key] = msgspec.field(default_factory=list)
    due: dict[str, int] = msgspec.field(default_factory=dict)
    due_in: tuple[str, ...] = ()
    done: list[str] = msgspec.field(default_factory=list)
    state: StreamState | None = None
    ends_walk: bool = False
    release: Release | None = None


class Notice(msgspec.Struct, frozen=True):
    """A warning for the person who looks after the connection."""

    text: str
