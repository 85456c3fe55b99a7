"""Judges whether a listing's end is real, from what a lane and earlier syncs have read."""

from typing import Final

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.state.position import StreamState
from courier_async.state.sent_rows import SentByHour, short_hash

_YOUNG_MS: Final = 7 * DAY_MS


def is_end(lane: LiveLane, page: JudgedPage) -> bool:
    """Returns whether a page requested below the lane's last record holds nothing new to it.

    Records of about the same time may be out of order, so some just read may follow. The lane
    goes on for those once.
    """
    if not page.keys and lane.is_asked_lower:
        return False
    return set(page.keys) <= set(lane.tail) and (page.next_cursor is None or lane.is_asked_twice)


def brings_older(lane: LiveLane, page: JudgedPage) -> bool:
    """Returns whether a page holds a record new to a lane and no newer than its `lowest_ms`."""
    lowest = lane.lowest_ms or 0
    return any(
        time is not None and time <= lowest and key not in lane.tail
        for key, time in zip(page.keys, page.times, strict=True)
    )


def dated_back(page: JudgedPage, now: int) -> set[bytes]:
    """Returns the names of records of the last week dated far before their neighbours."""
    last_week = now - _YOUNG_MS
    if page.median is None or page.median < last_week:
        return set()
    return {
        short_hash(key)
        for key, time in zip(page.keys, page.times, strict=True)
        if time is not None and last_week <= time < page.median - HOUR_MS
    }


def ends_too_soon(
    lane: LiveLane,
    before: StreamState,
    recent: SentByHour | None,
    *,
    met: set[bytes],
    floor: int,
    now: int,
) -> bool:
    """Returns whether a listing ends, unconfirmed, above rows of the last week that it held.

    recent: the entries of sent rows. met: names of rows listed above the end, whatever their time.
    floor: older records are left out. Rows older than a week do not count, since they may have
    aged out of the listing; so such an end is doubted for a week at most.
    """
    last_week = now - _YOUNG_MS
    if recent is None or before.watermark is None or before.watermark < last_week:
        return False
    if not lane.ended or lane.is_confirmed or not lane.recent:
        return False
    return recent.has_between(max(last_week, floor), lane.recent[-1], excluding=met)
