"""Selects the records of a page that must be sent: those that are new or have changed.

Compares them with what reading has already put on the queue, which is ahead of what is written.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Record, Stream
from courier_async.handover import Entry, Row
from courier_async.reading.judge import JudgedPage, time_of
from courier_async.state.plan import UNUSABLE_MS, earliest, last_read, unusable_from
from courier_async.state.position import StreamState
from courier_async.state.sent_rows import (
    BLANK,
    SentByHour,
    SentRows,
    fingerprint,
    hasher,
    short_hash,
)

# Provider retries and status checks last up to 72 hours (docs, delivery pipeline).
SETTLING_MS: Final = 3 * DAY_MS
# A message's history may lag its own times by this much.
HISTORY_LAG_MS: Final = 10 * 60 * 1000
# Used as the time of a message without a readable one: very old, and not 0.
_UNKNOWN_MS: Final = 1


class Selected(msgspec.Struct):
    """rows, entries: rows to send, and their entries. unchanged: number of records not to send.

    shows_news: whether a record is known to be new or changed. holds_known: whether one has an
    entry. due: id -> time of messages whose children must be read. missed_ms: the oldest time of
    those that some child table cannot note, or None.
    """

    rows: list[Row] = msgspec.field(default_factory=list)
    entries: list[Entry] = msgspec.field(default_factory=list)
    unchanged: int = 0
    shows_news: bool = False
    holds_known: bool = False
    due: dict[str, int] = msgspec.field(default_factory=dict)
    missed_ms: int | None = None


class Changes:
    """Decides what must be sent, for one stream and one sync.

    rows, recent: what was sent before; updated here as batches are made. rows becomes None once
    there are too many to remember.
    since_ms: records older than this are left out. reread_ms: records up to this age are read
    again in a later sync.
    can_note_due: if children of messages are read, returns whether no child table would miss
    another due message. reads_missed: whether to look for children that could not be noted before.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        mapper: RowMapper,
        salt: bytes,
        rows: SentRows | None = None,
        recent: SentByHour | None = None,
        since_ms: int | None = None,
        reread_ms: int = 0,
        can_note_due: Callable[[], bool] | None = None,
        reads_missed: bool = False,
    ) -> None:
        self._stream = stream
        self._mapper = mapper
        self._salted = hasher(salt)
        self.rows = rows
        self.recent = recent
        self._since_ms = since_ms
        self._reread_ms = reread_ms
        self._can_note_due = can_note_due
        self._reads_missed = reads_missed

    def select(self, page: JudgedPage, state: StreamState, now_ms: int) -> Selected:
        """Selects the records of a page to send, and notes them as sent from now on."""
        selected = Selected()
        for record, key, time in zip(page.records, page.keys, page.times, strict=True):
            if time is not None and self._since_ms is not None and time < self._since_ms:
                selected.unchanged += 1
            elif self.rows is not None:
                self._select_row(selected, record, key, self.rows)
            elif self.recent is not None and time is not None:
                self._select_recent(selected, record, key, time, self.recent, state, now_ms)
            else:
                if self._can_note_due is not None and not state.timeless:
                    # It has no entry, so each sync that meets it reads its children.
                    selected.due[key[0]] = _UNKNOWN_MS
                if self.recent is not None:
                    self._blank_entry(selected, key, self.recent)
                selected.rows.append(self._mapper.row(record))
        if self.rows is not None and self.rows.are_too_many:
            # The next checkpoint drops them too; kept here, they would fill memory.
            self.rows = None
        return selected

    def _select_row(self, selected: Selected, record: Record, key: Key, rows: SentRows) -> None:
        mark = self._mark(record)
        if mark and rows.get(key) == mark:
            selected.unchanged += 1
            return
        rows.set(key, mark)
        selected.shows_news = True
        selected.entries.append(Entry(key, b"", mark))
        selected.rows.append(self._mapper.row(record))

    def _select_recent(
        self,
        selected: Selected,
        record: Record,
        key: Key,
        time: int,
        recent: SentByHour,
        state: StreamState,
        now_ms: int,
    ) -> None:
        # Older records, most of a first reading, get no entry and so need no fingerprint.
        is_noted = recent.is_above_given_up(time)
        name = short_hash(key) if is_noted else b""
        mark = self._mark(record) if is_noted else BLANK
        known = recent.get(name, time)
        if known is not None:
            selected.holds_known = True
        is_unchanged = known == mark if is_noted else self._is_settled(record, time, state)
        if is_unchanged:
            selected.unchanged += 1
            return
        selected.shows_news = selected.shows_news or is_noted
        if self._can_note_due is not None:
            newest = self._newest_own_time(record, now_ms)
            if self._owes_children(time, newest, recent, state):
                may_lag = newest > now_ms - HISTORY_LAG_MS
                changed_without_time = bool(known and any(known)) and _changed_without_own_time(
                    state, time, newest
                )
                can_note_due = self._can_note_due()
                if not may_lag or time < now_ms - self._reread_ms:
                    selected.due[key[0]] = time
                    if not can_note_due:
                        selected.missed_ms = earliest(time, selected.missed_ms)
                if may_lag or changed_without_time or not can_note_due:
                    # The row is sent again when it is next read, and its children are read then.
                    mark = BLANK
        if is_noted:
            recent.set(name, time, mark)
            selected.entries.append(Entry(key, name, mark, time))
        else:
            self._blank_entry(selected, key, recent)
        selected.rows.append(self._mapper.row(record))

    def _blank_entry(self, selected: Selected, key: Key, recent: SentByHour) -> None:
        """Has a row that came with an odd time sent again at its usual one."""
        name = short_hash(key)
        hour_ms = recent.hour_ms(name)
        if hour_ms is not None:
            recent.set(name, hour_ms, BLANK)
            selected.entries.append(Entry(key, name, BLANK, hour_ms))

    def _mark(self, record: Record) -> bytes:
        return fingerprint(landing(self._stream, record), self._salted)

    def _newest_own_time(self, record: Record, now_ms: int) -> int:
        """Returns the newest own time, or 0; ignores times over a day ahead as wrong."""
        times = [time_of(record.get(name), now_ms + DAY_MS) for name in self._stream.own_times]
        return max([moment for moment in times if moment is not None], default=0)

    def _owes_children(
        self, time: int, newest: int, recent: SentByHour, state: StreamState
    ) -> bool:
        """Whether a message's children are due.

        Where no entries are kept, only if it has changed since it was last read.
        """
        if recent.is_above_given_up(time) or self._may_miss_children(state, time):
            return True
        covered_at = last_read(state.readings, time)
        if covered_at is None or newest >= covered_at - HISTORY_LAG_MS:
            return True
        # That reading may have met the message while it was unusable.
        return any(
            span.time - HOUR_MS <= time <= span.newest + HOUR_MS
            and covered_at - span.met_at <= UNUSABLE_MS
            for span in state.unusable
        )

    def _may_miss_children(self, state: StreamState, time: int) -> bool:
        """Whether a child table may have been unable to note the message when it was read."""
        missed = state.children_missed
        return self._reads_missed and missed is not None and missed.time <= time <= missed.newest

    def _is_settled(self, record: Record, time: int, state: StreamState) -> bool:
        """Whether the last reading of its place is sure to have landed the record as it is now."""
        covered_at = last_read(state.readings, time)
        own_time = self._stream.settled_times.get(str(record.get("status")))
        if covered_at is None or own_time is None or record.get(own_time) is None:
            return False
        if self._may_miss_children(state, time):
            return False
        unusable = unusable_from(state, covered_at)
        if unusable is not None and time >= unusable:
            return False
        for name in self._stream.own_times:
            if record.get(name) is not None:
                moment = time_of(record[name], covered_at)
                if moment is None or not time <= moment < covered_at - SETTLING_MS:
                    return False
        return True


def _changed_without_own_time(state: StreamState, time: int, newest: int) -> bool:
    """Whether a message has changed since it was last read, but none of its own times shows it.

    This happens when one becomes UNDELIVERABLE: its history may not show the change yet.
    """
    covered_at = last_read(state.readings, time)
    return covered_at is not None and newest < covered_at - HISTORY_LAG_MS


def landing(stream: Stream, record: Record) -> Record:
    """Returns the record without the fields that never land, so their changes do not count."""
    if record.keys().isdisjoint(stream.left_out):
        return record
    return {name: value for name, value in record.items() if name not in stream.left_out}
