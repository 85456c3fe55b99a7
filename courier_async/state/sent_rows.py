"""What the destination is sure to hold of the streams that are read whole.

Fivetran bills by the distinct rows that a month's syncs send, so a row is sent when it is new
or has changed, and not otherwise. The state keeps a short fingerprint of each row for that.
"""

import base64
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from courier_async.catalog.streams import Record

log = logging.getLogger(__name__)

# Raise it with any change of flattening or schema: every row is then sent once more.
ROW_SHAPE: Final = 1
# Below Fivetran's 10 MB for a state, with room for what else it holds.
MOST_ROWS: Final = 50_000
MOST_BYTES: Final = 3_900_000
# An id that JSON writes as it is; measuring the others costs more.
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._:/@+-]*").fullmatch
# A fingerprint and what JSON puts around it and its id.
_BYTES_BESIDE_ID: Final = 11

_SALT: Final = ROW_SHAPE.to_bytes(8, "big")
# Known to have been sent, but not as what: it is sent when it is next seen.
BLANK: Final = ""
_BLANK_MARK: Final = "--------"
_PARTS: Final = 128
# So few that they are not worth parting.
_FEW_ROWS: Final = 2_000


def fingerprint(record: Record) -> str:
    """48 bits of the record as it came, as 8 letters; the order of keys does not matter.

    Raises ValueError where it is nested too deeply.
    """
    try:
        text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, or very deep
        try:
            text = json.dumps(record, sort_keys=True).encode()
        except RecursionError:
            raise ValueError("nested too deeply") from None
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

    open: bool = False
    given_up: bool = False
    left: frozenset[str] = frozenset()
    asked_after: str | None = None
    half_gone: bool = False
    size_bytes: int = 0
    # By a hash of the id, so that a checkpoint writes anew only the parts that have changed.
    _parts: list[dict[str, str]] = field(default_factory=lambda: [{} for _ in range(_PARTS)])
    _texts: list[str | None] = field(default_factory=lambda: [None] * _PARTS)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        return key in self._parts[_part(key)]

    def get(self, key: str) -> str | None:
        """The fingerprint under which a row was sent; BLANK where nobody knows; else None."""
        return self._parts[_part(key)].get(key)

    def ids(self) -> frozenset[str]:
        return frozenset(key for part in self._parts for key in part)

    def set(self, key: str, mark: str) -> None:
        if self.given_up:
            return
        number = _part(key)
        part = self._parts[number]
        if key not in part:
            self.size_bytes += row_bytes(key)
            self._count += 1
        part[key] = mark
        self._texts[number] = None

    def forget(self, key: str) -> None:
        number = _part(key)
        if self._parts[number].pop(key, None) is not None:
            self.size_bytes -= row_bytes(key)
            self._count -= 1
            self._texts[number] = None

    def blank_all(self) -> None:
        """After a sync that died, nobody knows which of its rows have landed."""
        self._parts = [dict.fromkeys(part, BLANK) for part in self._parts]
        self._texts = [None] * _PARTS
        self.open = False

    def note(self, deletions: Deletions) -> None:
        self.left = frozenset(deletions.left)
        self.asked_after = deletions.asked_after
        self.half_gone = deletions.half_gone

    def as_json(self) -> dict[str, Any]:
        if self.given_up:
            return {"rows_given_up": True}
        values: dict[str, Any] = {}
        if self._count:
            values["rows"] = self._rows_as_json()
        if self.open:
            values["open"] = True
        if self.left:
            values["left"] = sorted(self.left)
        if self.asked_after is not None:
            values["asked_after"] = self.asked_after
        if self.half_gone:
            values["half_gone"] = True
        return values

    def _rows_as_json(self) -> list[str]:
        """A few long texts, which cost a tenth of what one JSON key a row does.

        A line a row: its fingerprint, eight dashes for a blank one, and its id.
        """
        if self._count < _FEW_ROWS:
            return ["\n".join(_line(*row) for part in self._parts for row in part.items())]
        for number, text in enumerate(self._texts):
            if text is None:
                lines = [_line(*row) for row in self._parts[number].items()]
                self._texts[number] = "\n".join(lines)
        return [text for text in self._texts if text]


def _part(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "replace")) % _PARTS


def _line(key: str, mark: str) -> str:
    if "\n" in key or "\\" in key:
        key = key.replace("\\", "\\\\").replace("\n", "\\n")
    return (mark or _BLANK_MARK) + key


def _row(line: str) -> tuple[str, str]:
    """The id and the fingerprint of a line. Raises ValueError where it is none."""
    mark, key = line[: len(_BLANK_MARK)], line[len(_BLANK_MARK) :]
    if not key:
        raise ValueError("rows are not fingerprints with ids")
    if "\\" in key:
        key = re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], key)
    return key, BLANK if mark == _BLANK_MARK else mark


def row_bytes(key: str) -> int:
    """What a row takes in the state: its id as ASCII JSON, its fingerprint, the line's end."""
    return (len(key) if _PLAIN(key) else 2 * len(json.dumps(key))) + _BYTES_BESIDE_ID


def keep_within_bounds(streams: dict[str, KnownRows]) -> None:
    """Gives up the largest streams until the rest fit into the state."""
    for table in [table for table, known in streams.items() if len(known) > MOST_ROWS]:
        _give_up(streams, table)
    while sum(map(_state_bytes, streams.values())) > MOST_BYTES:
        _give_up(streams, max(streams, key=lambda table: _state_bytes(streams[table])))


def _state_bytes(known: KnownRows) -> int:
    return known.size_bytes + sum(map(row_bytes, known.left))


def _give_up(streams: dict[str, KnownRows], table: str) -> None:
    log.info(
        "%s: too large for its rows to be kept in the state (%s rows). From now on every sync "
        "sends all of them, and rows that are deleted in Courier stay in the table.",
        table,
        f"{len(streams[table]):,}",
    )
    streams[table] = KnownRows(given_up=True)


def is_text(value: Any) -> bool:
    """Whether it is text that can be sent and stored: without half of a surrogate pair."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def parse_known_rows(part: Mapping[Any, Any]) -> KnownRows:
    """The rows in one stream's part of a saved state. Raises ValueError on a wrong shape."""
    if part.get("rows_given_up") is True:
        return KnownRows(given_up=True)
    rows, left, asked_after = part.get("rows", []), part.get("left", []), part.get("asked_after")
    if not isinstance(rows, list) or not all(map(is_text, rows)):
        raise ValueError("rows are not texts")
    if not isinstance(left, list) or not all(map(is_text, left)):
        raise ValueError("left is not a list of ids")
    if asked_after is not None and not is_text(asked_after):
        raise ValueError("asked_after is not an id")
    known = KnownRows(
        left=frozenset(left), asked_after=asked_after, half_gone=part.get("half_gone") is True
    )
    for text in rows:
        for line in text.split("\n"):
            known.set(*_row(line))
    # Anything but a plain "not open" means that the sync before did not end well.
    if part.get("open") not in (None, False):
        known.blank_all()
    return known
