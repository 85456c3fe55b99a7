"""Whether the end of a listing is one, by what a lane and earlier syncs have read."""

from typing import Final

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.reading.judge import JudgedPage
from courier_async.reading.lane import LiveLane
from courier_async.state.position import StreamState
from courier_async.state.sent_rows import SentByHour, short_hash

_YOUNG_MS: Final = 7 * DAY_MS


def is_end(lane: LiveLane, page: JudgedPage) -> bool:
    """Whether a page asked for below the lane's last record holds nothing that is new to it.

    More of what has just been read may follow where records of about one time are in disorder;
    the second time that is no reason to go on once more.
    """
    return set(page.keys) <= set(lane.tail) and (page.next_cursor is None or lane.is_asked_twice)


def brings_older(lane: LiveLane, page: JudgedPage) -> bool:
    """Whether a page holds what is new to a lane, and not newer than what it has come to last."""
    lowest = lane.lowest_ms or 0
    return any(
        time is not None and time <= lowest and key not in lane.tail
        for key, time in zip(page.keys, page.times, strict=True)
    )


def dated_back(page: JudgedPage, now: int) -> set[bytes]:
    """The names of records of the last week that claim to be far older than their neighbours."""
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
    """Whether a listing ends, unconfirmed, above rows of the last week that it held before.

    recent: the entries of rows that have been sent. met: names of rows that stand above the end,
    whatever their time. floor: what is older is left out. Older rows may have left the listing for
    their age; and for a week at most nothing is believed.
    """
    last_week = now - _YOUNG_MS
    if recent is None or before.watermark is None or before.watermark < last_week:
        return False
    if not lane.ended or lane.is_confirmed or not lane.recent:
        return False
    return recent.hold_between(max(last_week, floor), lane.recent[-1], but_for=met)
