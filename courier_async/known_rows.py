"""What the destination is sure to hold of the streams that are read whole.

Fivetran bills by the distinct rows that a month's syncs send, so a row is sent when it is new
or has changed, and not otherwise. The state keeps a short fingerprint of each row for that.
"""

import base64
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from courier_async.streams import Record

log = logging.getLogger(__name__)

# Raise it with any change of flattening or schema: every row is then sent once more.
ROW_SHAPE: Final = 1
# Below Fivetran's 10 MB for a state, with room for what else it holds.
MOST_ROWS: Final = 50_000
MOST_BYTES: Final = 3_900_000
# An id that JSON writes as it is; measuring the others costs more.
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._:/@+-]*").fullmatch
# A fingerprint and what JSON puts around it and its id.
_BYTES_BESIDE_ID: Final = 16

_SALT: Final = ROW_SHAPE.to_bytes(8, "big")
# Known to have been sent, but not as what: it is sent when it is next seen.
BLANK: Final = ""


def fingerprint(record: Record) -> str:
    """48 bits of the record as it came, as 8 letters; the order of keys does not matter."""
    try:
        text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, or very deep
        text = json.dumps(record, sort_keys=True).encode()
    digest = hashlib.blake2b(text, digest_size=6, salt=_SALT).digest()
    return base64.b64encode(digest, b"-_").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletions:
    """What the search for rows that have gone has found (deletes.py), to be written.

    gone: ids to delete. left: ids missing from the listing that the API still knows.
    asked_after: the last id asked for; the next search goes on behind it.
    half_gone: so much was missing that the next walk must agree first.
    """

    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    asked_after: str | None = None
    half_gone: bool = False


@dataclass(slots=True)
class KnownRows:
    """One stream's rows: id -> fingerprint, and what the search for deletes keeps.

    open: rows may have been sent since the last checkpoint but one that ended a sync.
    given_up: the stream is too large to keep; it is sent whole and its deletes are not seen.
    """

    rows: dict[str, str] = field(default_factory=dict)
    open: bool = False
    given_up: bool = False
    left: frozenset[str] = frozenset()
    asked_after: str | None = None
    half_gone: bool = False
    size_bytes: int = 0

    def set(self, key: str, print_of_row: str) -> None:
        if self.given_up:
            return
        if key not in self.rows:
            self.size_bytes += row_bytes(key)
        self.rows[key] = print_of_row

    def forget(self, key: str) -> None:
        if self.rows.pop(key, None) is not None:
            self.size_bytes -= row_bytes(key)

    def blank_all(self) -> None:
        """After a sync that died, nobody knows which of its rows have landed."""
        self.rows = dict.fromkeys(self.rows, BLANK)
        self.open = False

    def give_up(self) -> None:
        self.rows, self.size_bytes, self.given_up, self.open = {}, 0, True, False
        self.left, self.asked_after, self.half_gone = frozenset(), None, False

    def note(self, deletions: Deletions) -> None:
        self.left = frozenset(deletions.left)
        self.asked_after = deletions.asked_after
        self.half_gone = deletions.half_gone

    def as_json(self) -> dict[str, Any]:
        if self.given_up:
            return {"rows_given_up": True}
        values: dict[str, Any] = {}
        if self.rows:
            values["rows"] = dict(self.rows)
        if self.open:
            values["open"] = True
        if self.left:
            values["left"] = sorted(self.left)
        if self.asked_after is not None:
            values["asked_after"] = self.asked_after
        if self.half_gone:
            values["half_gone"] = True
        return values


def row_bytes(key: str) -> int:
    """What a row takes in the state: its id as ASCII JSON, and its fingerprint."""
    return (len(key) if _PLAIN(key) else len(json.dumps(key))) + _BYTES_BESIDE_ID


def keep_within_bounds(streams: Mapping[str, KnownRows]) -> None:
    """Gives up the largest streams until the rest fit into the state."""
    for table, known in streams.items():
        if len(known.rows) > MOST_ROWS:
            _give_up(table, known)
    while sum(known.size_bytes for known in streams.values()) > MOST_BYTES:
        table, known = max(streams.items(), key=lambda item: item[1].size_bytes)
        _give_up(table, known)


def _give_up(table: str, known: KnownRows) -> None:
    log.info(
        "%s: too large for its rows to be kept in the state (%s rows). From now on every sync "
        "sends all of them, and rows that are deleted in Courier stay in the table.",
        table,
        f"{len(known.rows):,}",
    )
    known.give_up()


def parse_known_rows(part: Mapping[Any, Any]) -> KnownRows:
    """The rows in one stream's part of a saved state. Raises ValueError on a wrong shape."""
    if part.get("rows_given_up") is True:
        return KnownRows(given_up=True)
    rows, left, asked_after = part.get("rows", {}), part.get("left", []), part.get("asked_after")
    if not isinstance(rows, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in rows.items()
    ):
        raise ValueError("rows are not ids with fingerprints")
    if not isinstance(left, list) or not all(isinstance(key, str) for key in left):
        raise ValueError("left is not a list of ids")
    if asked_after is not None and not isinstance(asked_after, str):
        raise ValueError("asked_after is not an id")
    known = KnownRows(
        rows=dict(rows),
        left=frozenset(left),
        asked_after=asked_after,
        half_gone=part.get("half_gone") is True,
        size_bytes=sum(row_bytes(key) for key in rows),
    )
    # Anything but a plain "not open" means that the sync before did not end well.
    if part.get("open") not in (None, False):
        known.blank_all()
    return known
