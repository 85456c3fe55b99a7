"""What reading hands to writing: batches of rows with the state that they lead to, and notices."""

from collections.abc import Callable
from typing import Any

import msgspec

from courier_async.catalog.stream import Key, Stream
from courier_async.state.position import StreamState

Row = dict[str, Any]
# Gives the memory of a page back; again does nothing.
Release = Callable[[], None]


class Entry(msgspec.Struct, frozen=True):
    """What to remember of a row once it has been sent; time_ms of messages alone."""

    key: Key
    name: bytes
    mark: bytes
    time_ms: int | None = None


class Batch(msgspec.Struct, kw_only=True):
    """What one page brings, to be written in this order: rows, deletes, then the state.

    rows: as op.upsert takes them. entries: one for each row that is remembered.
    deletes: keys of rows that have gone. forgotten: keys of which nothing is remembered any more.
    due: of messages, id -> time of those whose children are to be read; due_in: the tables that
    note it. done: of children of messages, the ids of messages whose children have been read.
    state: the stream's whole next state, adopted once the rows are out; None: it stays.
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
