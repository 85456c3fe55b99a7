"""Bugs that a careless change could make, each as a small patch of the real code.

A simulation that finds none of them proves nothing. `BUGS` names each, with the seeds among
which one is known to find it; tests/simulation/test_seeds.py holds the simulation to that.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

from courier_async import sync
from courier_async.api import pages
from courier_async.errors import CourierError
from courier_async.reading import deletes, walk
from courier_async.reading import judge as reading
from courier_async.reading import stream_reader as reader
from courier_async.reading.stream_reader import Reader
from courier_async.reading.walk import SEAM_RECORDS, Batch, Walk
from courier_async.state import saved as state
from courier_async.state.saved import Lane, LanesJoined, PageRead, State, WalkEnded
from courier_async.state.sent_rows import BLANK, Deletions, KnownRows
from courier_async.writing.writer import Item, Writer
from tests.simulation.oracle import marks_of

Patches = Iterator[Any]


@dataclass(frozen=True)
class Bug:
    """name: as issues call it. plant: patches to be entered. seeds: one of them finds it."""

    name: str
    plant: Callable[[], Patches]
    seeds: range = range(200)

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for one in self.plant():
                stack.enter_context(one)
            yield


# -- watermarks, bounds and order ---------------------------------------------------------------


def watermark_inside_the_loop() -> Patches:
    real = state.advance

    def advance(before: Any, step: Any) -> Any:
        after = real(before, step)
        if isinstance(step, PageRead) and step.lane.newest is not None:
            after = replace(after, watermark=step.lane.newest)
        return after

    yield patch.object(state, "advance", advance)


def watermark_without_lag() -> Patches:
    yield patch.object(state, "INDEX_LAG_MS", 0)


def start_taken_at_the_end() -> Patches:
    real = Walk._turn

    async def turn(self: Walk, chain: Any) -> bool:
        ask = self._ask

        async def ask_and_restart(cursor: Any) -> Any:
            page, server_ms = await ask(cursor)
            if self._frame is not None:
                self._frame = replace(self._frame, started_at=server_ms)
            return page, server_ms

        with patch.object(self, "_ask", ask_and_restart):
            return await real(self, chain)

    yield patch.object(Walk, "_turn", turn)


def bound_itself_left_out() -> Patches:
    real = walk.frame_for

    def frame_for(*arguments: Any, **named: Any) -> Any:
        frame = real(*arguments, **named)
        bounds = {"stop_at": frame.stop_at, "emit_from": frame.emit_from}
        return replace(frame, **{name: at + 1 for name, at in bounds.items() if at is not None})

    yield patch.object(walk, "frame_for", frame_for)


def bound_without_the_hour_of_slack() -> Patches:
    def below(frame: Any, taken: Any) -> bool:
        if frame.stop_at is None or not taken.lane.ordered or taken.newest is None:
            return False
        return bool(taken.newest < frame.stop_at)

    yield patch.object(walk, "is_below_bound", below)


def early_stop_on_an_unordered_stream() -> Patches:
    real = reading.is_below_bound

    def below(frame: Any, taken: Any) -> bool:
        return real(frame, replace(taken, lane=replace(taken.lane, ordered=True)))

    yield patch.object(walk, "may_stop_early", lambda stream, before: True)
    yield patch.object(walk, "is_below_bound", below)


def order_of_a_resumed_walk_forgotten() -> Patches:
    real = Walk.__init__

    def init(self: Walk, *arguments: Any) -> None:
        real(self, *arguments)
        for chain in self._chains:
            chain.lane = replace(chain.lane, ordered=True, oldest=chain.lane.newest)

    yield patch.object(Walk, "__init__", init)


def settled_too_early() -> Patches:
    yield patch.object(state, "SETTLING_MS", -state.DAY_MS)


# -- bookmarks ----------------------------------------------------------------------------------


def bookmark_before_its_rows() -> Patches:
    real = Reader._emit

    async def emit(self: Reader, batch: Batch) -> None:
        if isinstance(batch.step, PageRead):
            await real(self, Batch([], batch.step))
            batch = replace(batch, step=None)
        await real(self, batch)

    yield patch.object(Reader, "_emit", emit)


def walk_ended_before_its_rows() -> Patches:
    real = Reader._emit

    async def emit(self: Reader, batch: Batch) -> None:
        if isinstance(batch.step, WalkEnded):
            await real(self, Batch([], batch.step))
            batch = replace(batch, step=None)
        await real(self, batch)

    yield patch.object(Reader, "_emit", emit)


def no_head_walk_after_a_resumed_one() -> Patches:
    yield patch.object(Reader, "_walk_all", _walk_resumed_only)


async def _walk_resumed_only(self: Reader, real: Any = Reader._walk_all) -> None:
    if self._state.walk is None:
        await real(self)
        return
    one = Walk(self._stream, self._state, self._settings, self._ask, self._emit)
    try:
        await one.run()
    except reader.Refused:
        await real(self)
    else:
        self._state = one.state


def refused_cursor_taken_for_the_end() -> Patches:
    real = Reader._walk_all

    async def walk_all(self: Reader) -> None:
        with contextlib.suppress(StopAsyncIteration):
            await real(self)

    async def restart(self: Reader, status: int) -> None:
        raise StopAsyncIteration

    yield patch.object(Reader, "_walk_all", walk_all)
    yield patch.object(Reader, "_restart", restart)


def a_failure_drops_other_bookmarks() -> Patches:
    real = Reader.read

    async def read(self: Reader) -> Any:
        ending = await real(self)
        if isinstance(ending, CourierError):
            streams = self._writer._state.streams
            for table in streams:
                streams[table] = replace(streams[table], walk=None)
        return ending

    yield patch.object(Reader, "read", read)


def a_failure_ends_the_other_walks() -> Patches:
    real = Reader.read

    async def read(self: Reader) -> Any:
        ending = await real(self)
        if ending is not None:
            raise ending
        return ending

    yield patch.object(Reader, "read", read)


def state_of_another_stream() -> Patches:
    last: dict[str, Any] = {}

    def advance(self: State, stream: Any, step: Any) -> None:
        mine = last.get("state") or self.of(stream)
        self.streams[stream.table] = last["state"] = state.advance(mine, step)

    yield patch.object(State, "advance", advance)


def state_of_another_account() -> Patches:
    real = state.load

    def load(raw: Any, *, source: str) -> Any:
        return real({**raw, "source": source} if raw else raw, source=source)

    yield patch.object(state, "load", load)


# -- answers ------------------------------------------------------------------------------------


def cursor_not_encoded() -> Patches:
    real = sync.CourierClient.get

    async def get(self: Any, path_and_query: str, tally: Any) -> Any:
        path, mark, query = path_and_query.partition("?")
        return await real(self, path + mark + unquote(query), tally)

    yield patch.object(sync.CourierClient, "get", get)


def more_trusted_without_a_cursor() -> Patches:
    def next_of_paging(body: dict[str, Any]) -> str | None:
        paging = body.get("paging") or {}
        return pages._cursor(paging) if paging.get("more") else None

    yield patch.object(pages, "_next_of_paging", next_of_paging)


def an_empty_page_taken_for_the_last() -> Patches:
    real = reader.parse_page

    def parse_page(*arguments: Any, **named: Any) -> Any:
        page = real(*arguments, **named)
        return page if page.records else replace(page, next_cursor=None)

    yield patch.object(reader, "parse_page", parse_page)


def more_requests_than_allowed() -> Patches:
    real = sync.Pacer.__init__

    def init(self: Any, *, per_second: float) -> None:
        real(self, per_second=per_second * 1.5)

    yield patch.object(sync.Pacer, "__init__", init)


# -- lanes --------------------------------------------------------------------------------------


def seam_met_by_time_alone() -> Patches:
    def follow(self: Walk, lane: Lane, lower: Any, *page: Any) -> int:
        if lower is None or not lower.opened or lower.lane.newest is None or lane.oldest is None:
            return 0
        return SEAM_RECORDS if lane.oldest <= lower.lane.newest else 0

    yield patch.object(Walk, "_follow", follow)


def seam_met_by_one_record() -> Patches:
    real = Walk._follow

    def follow(self: Walk, lane: Lane, lower: Any, *page: Any) -> int:
        return SEAM_RECORDS if real(self, lane, lower, *page) else 0

    yield patch.object(Walk, "_follow", follow)


def lanes_joined_before_their_rows() -> Patches:
    yield from seam_met_by_one_record()
    real = Reader._emit

    async def emit(self: Reader, batch: Batch) -> None:
        if isinstance(batch.step, LanesJoined):
            await real(self, Batch([], batch.step))
            batch = replace(batch, step=None)
        await real(self, batch)

    yield patch.object(Reader, "_emit", emit)


def a_lanes_bookmark_before_its_rows() -> Patches:
    real = Reader._emit

    async def emit(self: Reader, batch: Batch) -> None:
        if isinstance(batch.step, PageRead) and batch.step.lane.start is not None:
            await real(self, Batch([], batch.step))
            batch = replace(batch, step=None)
        await real(self, batch)

    yield patch.object(Reader, "_emit", emit)


# -- rows and deletes ---------------------------------------------------------------------------


def rows_repeated_past_the_last_checkpoint() -> Patches:
    real = Writer._write

    def write(self: Writer, items: list[Item], *, last: bool) -> None:
        sent = [*items]
        real(self, items, last=last)
        if last:
            for item in sent:
                real(self, [replace(item, batch=replace(item.batch, step=None))], last=False)

    yield patch.object(Writer, "_write", write)


def operations_after_one_that_raised() -> Patches:
    real = Writer._write

    def write(self: Writer, items: list[Item], *, last: bool) -> None:
        try:
            real(self, items, last=last)
        except Exception:
            self._checkpoint()
            raise

    yield patch.object(Writer, "_write", write)


def no_open_mark() -> Patches:
    yield patch.object(Writer, "_open_all", lambda self: False)


def marks_kept_after_a_sync_that_died() -> Patches:
    def blank_all(self: KnownRows) -> None:
        self.open = False

    yield patch.object(KnownRows, "blank_all", blank_all)


def mark_set_before_the_upsert() -> Patches:
    real = Writer._announce

    def announce(self: Writer, items: list[Item], found: Any) -> None:
        real(self, items, found)
        kept = [pair for pair in zip(items, found, strict=True) if pair[0].stream.keeps_rows]
        for use_mark in (True, False):
            for item, records in kept:
                for record in records:
                    self._state.rows_of(item.stream).set(
                        record.key, record.mark if use_mark else BLANK
                    )
            if use_mark and kept:
                self._checkpoint()

    yield patch.object(Writer, "_announce", announce)


def no_blank_mark_for_a_new_row() -> Patches:
    real, real_set = Writer._announce, KnownRows.set

    def unless_blank(self: KnownRows, key: str, mark: str) -> None:
        if mark:
            real_set(self, key, mark)

    def announce(self: Writer, items: list[Item], found: Any) -> None:
        with patch.object(KnownRows, "set", unless_blank):
            real(self, items, found)

    yield patch.object(Writer, "_announce", announce)


def deletes_without_confirmation() -> Patches:
    async def find(*arguments: Any, missing: set[str], **named: Any) -> Any:
        return Deletions(gone=tuple(sorted(missing))), None

    yield patch.object(reader, "find_deletions", find)


def deletes_what_is_answered_once() -> Patches:
    real = deletes._ask

    async def ask(*arguments: Any) -> Any:
        answers = await real(*arguments)
        answers.gone.extend(answers.present)
        answers.present.clear()
        return answers

    yield patch.object(deletes, "_ask", ask)


def deletes_after_a_resumed_walk() -> Patches:
    """Rows that the earlier part of the walk has seen count as missing."""
    real_init, real_walk = Reader.__init__, Reader._walk_all

    def init(self: Reader, **named: Any) -> None:
        real_init(self, **named)
        if self._seen is None and self._stream.keeps_rows and self._settings.capture_deletes:
            self._seen = set()
            self._known_ids = frozenset(marks_of(self._known.as_json()))

    async def walk_all(self: Reader) -> None:
        if self._state.walk is not None and self._seen is not None:
            await _walk_resumed_only(self, real_walk)
            await self._delete_what_has_gone()
            self._seen = None
        await real_walk(self)

    yield patch.object(Reader, "__init__", init)
    yield patch.object(Reader, "_walk_all", walk_all)


# Those that take more than the first two hundred seeds to be found.
_SEEDS = {
    "order_of_a_resumed_walk_forgotten": range(750, 950),
    "seam_met_by_one_record": range(200, 400),
}

BUGS = tuple(
    Bug(name.replace("_", " "), plant, _SEEDS.get(name, range(200)))
    for name, plant in list(globals().items())
    if callable(plant)
    and getattr(plant, "__annotations__", {}).get("return") is Patches
    and not name.startswith("_")
)
