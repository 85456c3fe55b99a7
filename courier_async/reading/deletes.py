"""Finds rows that are gone from the source: two whole walks missed them, and no id vetoes it.

A row is deleted if a whole walk does not hold it, no walk has held it since another whole walk
missed it at least an hour before, and the API does not return 200 for its id. If ids tell nothing,
the two walks must be a day apart and the head of the listing is read once more. An id that has
returned 200 counts as one that tells nothing only after a week.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import quote

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Stream
from courier_async.errors import BadAnswer, CourierError, Refused, is_not_in_plan
from courier_async.reading.fetches import Ask
from courier_async.state.position import Missing
from courier_async.state.sent_rows import key_of_text, key_text

MOST_ASKED: Final = 500
# Fewer missing rows than this count as ordinary deletes.
_MANY: Final = 20
_ASKED_AT_ONCE: Final = 8
# A request that fails may take minutes; the next sync goes on with the others.
_MOST_FAILING_SECONDS: Final = 120.0
# After this long, and this many inconclusive requests, an id counts as one that tells nothing.
_SILENT_MS: Final = 7 * DAY_MS
_SILENT_ASKS: Final = 10
_MOST_HEAD_PAGES: Final = 50
# Rows known to exist that are requested by id, until one gives a clear result.
_MOST_WITNESSES: Final = 3

# Requests a path. Returns if the status is 200, else raises CourierError.
RequestPath = Callable[[str], Awaitable[None]]


class IdResult(Enum):
    """What the response for a row's id says about the row.

    UNROUTED: gone, unless the gateway that says so has lost its routes.
    """

    ALIVE = "alive"
    GONE = "gone"
    UNROUTED = "unrouted"
    DENIED = "denied"
    NOTHING = "nothing"


@dataclass(slots=True)
class Gone:
    """keys: rows to delete. missing: the other missing rows, to save. warning: to report."""

    keys: list[Key] = field(default_factory=list)
    missing: dict[str, Missing] = field(default_factory=dict)
    warning: str | None = None


async def find_gone(
    stream: Stream,
    *,
    known: Iterable[Key],
    seen: set[Key],
    missing: dict[str, Missing],
    now: int,
    latest: int,
    all_usable: bool,
    ask_path: RequestPath,
    ask: Ask,
) -> Gone:
    """Finds the rows that are gone after a whole walk that began at `now` and held `seen`.

    now, latest: the earliest and the latest start of the walk that any answer implies, so that of
    several answers, one with a wrong time makes no row look missing for longer than it is.
    all_usable: whether every record had a key; one without might be a row that seems to be gone.
    """
    known = set(known)
    missed = sorted(known - seen)
    gone = Gone()
    for key in missed:
        text = key_text(key)
        record = missing.get(text, Missing(latest))
        if max(record.since, record.asked_at or 0, record.failing_since or 0) > latest:
            # Ignore times in the future.
            record = Missing(min(record.since, latest), was_found=record.was_found)
        gone.missing[text] = record
    is_many = are_many(len(missed), len(known))
    if is_many and any(record.since == latest for record in gone.missing.values()):
        gone.warning = many_missing(stream, len(missed), len(known))
    after_an_hour = _waiting_since(gone.missing, now - HOUR_MS)
    after_a_day = _waiting_since(gone.missing, now - DAY_MS)
    if not after_an_hour:
        return gone
    # An empty listing has no row to test ids with, so each id's response is believed.
    ids_tell = stream.id_tells and (not seen or await _test_ids(stream, seen, ask_path))
    # An empty listing counts only if the listing was also empty at least a day before.
    counts = bool(seen) or len(after_a_day) == len(missed)
    inconclusive = set(after_a_day) if counts else set()
    if stream.id_tells:
        # A row whose id returns 200 is alive, even if the row tried first has just been deleted.
        asked = after_an_hour if ids_tell and seen and not is_many else after_a_day
        inconclusive &= await _ask_ids(
            stream, gone, asked, seen=seen, ids_tell=ids_tell, now=now, ask_path=ask_path
        )
    found: set[Key] | None = set()
    if inconclusive and all_usable:
        found = await _found_at_head(stream, seen, ask)
        gone.keys += [] if found is None else sorted(inconclusive - found)
    for key in (*gone.keys, *(found or ())):
        gone.missing.pop(key_text(key), None)
    return gone


def are_many(missed: int, known: int) -> bool:
    """Whether so many rows are missing at once that it looks more like a fault."""
    return missed >= _MANY and 2 * missed > known


def many_missing(stream: Stream, missed: int, known: int) -> str:
    return (
        f"{stream.table}: {missed:,} of {known:,} rows are missing from Courier's responses at "
        "once. They are marked deleted only if they are still missing after a day."
    )


def _waiting_since(missing: dict[str, Missing], latest: int) -> list[Key]:
    return [key_of_text(text) for text, record in missing.items() if record.since <= latest]


async def _test_ids(stream: Stream, seen: set[Key], ask_path: RequestPath) -> bool | None:
    """Whether a row that the walk has just held is found by its id; None if unclear for now."""
    witnesses = [key for key in sorted(seen) if _path(stream, key) is not None]
    # Try several, since one row's id may always fail.
    for witness in witnesses[:: max(1, -(-len(witnesses) // _MOST_WITNESSES))]:
        said = await _ask_id(stream, witness, ask_path)
        if said is not IdResult.NOTHING:
            return said is IdResult.ALIVE
    return None if witnesses else False


async def _ask_ids(
    stream: Stream,
    gone: Gone,
    keys: list[Key],
    *,
    seen: set[Key],
    ids_tell: bool | None,
    now: int,
    ask_path: RequestPath,
) -> set[Key]:
    """Requests rows by id. Returns the keys of those whose id tells nothing.

    ids_tell: whether an unknown id means that its row is gone. None: no id tells anything now,
    so none is requested.
    """
    inconclusive = {key for key in keys if _path(stream, key) is None}
    turn = [key for key in keys if key not in inconclusive and _may_ask(gone, key, now)]
    turn.sort(key=lambda key: gone.missing[key_text(key)].asked_at or 0)
    del turn[MOST_ASKED:]
    said_of = dict.fromkeys(turn, IdResult.NOTHING)
    if ids_tell is not None:
        said_of = await _ask_each(stream, turn, ask_path)
    unrouted = [key for key, said in said_of.items() if said is IdResult.UNROUTED]
    if unrouted and ids_tell and seen:
        # The gateway may have lost its routes since the ids were tested, so ask it twice.
        said_of |= dict.fromkeys(unrouted, IdResult.NOTHING)
        if await _test_ids(stream, seen, ask_path):
            said_of |= await _ask_each(stream, unrouted, ask_path)
    for key, said in said_of.items():
        record = gone.missing[key_text(key)]
        is_gone = said in (IdResult.GONE, IdResult.UNROUTED)
        # With no row to test ids with, a gateway that has lost its routes proves nothing.
        if is_gone and ids_tell and (seen or said is IdResult.GONE):
            gone.keys.append(key)
        # An id that returned 200 before still tells something, once the gateway's fault is over.
        elif not record.was_found and (is_gone or (said is IdResult.DENIED and ids_tell is False)):
            inconclusive.add(key)
        else:
            gone.missing[key_text(key)] = _asked(record, said, now)
    for key in keys:
        record = gone.missing[key_text(key)]
        since = record.failing_since
        if since is not None and now - since >= _SILENT_MS and record.failed_asks >= _SILENT_ASKS:
            inconclusive.add(key)
    return inconclusive


async def _ask_each(stream: Stream, keys: list[Key], ask_path: RequestPath) -> dict[Key, IdResult]:
    """Returns what the responses by id say; the last rows are left out if others fail slowly."""
    said_of: dict[Key, IdResult] = {}
    loop = asyncio.get_running_loop()
    failing_seconds = 0.0
    for at in range(0, len(keys), _ASKED_AT_ONCE):
        began, some = loop.time(), keys[at : at + _ASKED_AT_ONCE]
        answers = await asyncio.gather(*[_ask_id(stream, key, ask_path) for key in some])
        said_of |= zip(some, answers, strict=True)
        if IdResult.NOTHING in answers:
            failing_seconds += loop.time() - began
        if failing_seconds >= _MOST_FAILING_SECONDS:
            break
    return said_of


def _may_ask(gone: Gone, key: Key, now: int) -> bool:
    """Whether to request an id now; one that returned 200 waits a day."""
    record = gone.missing[key_text(key)]
    answered_200 = record.asked_at is not None and record.failing_since is None
    return not answered_200 or now - (record.asked_at or 0) >= DAY_MS


def _asked(record: Missing, said: IdResult, now: int) -> Missing:
    if said is IdResult.ALIVE:
        return Missing(record.since, asked_at=now, was_found=True)
    return record._replace(
        asked_at=now,
        failing_since=now if record.failing_since is None else record.failing_since,
        failed_asks=record.failed_asks + 1,
    )


async def _ask_id(stream: Stream, key: Key, ask_path: RequestPath) -> IdResult:
    path = _path(stream, key)
    if path is None:
        return IdResult.NOTHING
    try:
        await ask_path(path)
    except Refused as refusal:
        if is_not_in_plan(refusal):
            return IdResult.DENIED
        # For tenants, only 400 is documented for an unknown id; a redirect says nothing about it.
        if not 400 <= refusal.status < 500:
            return IdResult.NOTHING
        return IdResult.UNROUTED if refusal.by_gateway else IdResult.GONE
    except BadAnswer:
        return IdResult.ALIVE
    except CourierError:  # even KeyRefused: the key has just worked for the listing
        return IdResult.NOTHING
    return IdResult.ALIVE


def _path(stream: Stream, key: Key) -> str | None:
    """Returns the path of a row, or None if its id cannot be part of a path."""
    if len(key) != 1 or key[0] in (".", ".."):
        return None
    return f"{stream.path}/{quote(key[0], safe='')}"


async def _found_at_head(stream: Stream, seen: set[Key], ask: Ask) -> set[Key] | None:
    """Returns rows that are now at the head although the walk did not see them: they have moved.

    Returns None if the head is inconclusive.
    """
    found: set[Key] = set()
    cursor: str | None = None
    for _ in range(_MOST_HEAD_PAGES):
        asked = await ask(cursor, False)
        asked.release()
        page = asked.page
        keys = {stream.key_of(record) for record in page.records}
        if None in keys or page.trouble is not None:
            return None
        new = {key for key in keys if key is not None} - seen - found
        found |= new
        cursor = page.next_cursor
        # Read past an empty page that says there is more.
        if cursor is None or (keys and not new):
            return found
        del asked, page
    return None
