"""Short fingerprints of the rows the destination is sure to hold, so that only changes are sent.

Fivetran bills by the distinct rows that a month's syncs send. Small streams are remembered whole,
by key; newest-first streams only by their youngest rows, by the hour of their time.
"""

import base64
import hashlib
import heapq
import json
import re
from collections.abc import Collection
from typing import Final

import msgspec

from courier_async.catalog.stream import HOUR_MS, Key, Record

# Below Fivetran's limit of 10 MB for the state, with room for its other contents.
MOST_ROWS: Final = 50_000
MOST_BYTES: Final = 4_000_000
MOST_MESSAGES: Final = 50_000
# For records that never change: enough to cover what each sync reads again.
MOST_IMMUTABLE: Final = 5_000

# The row was sent, but with unknown content, so it is sent when it is next seen.
BLANK: Final = b""
_HASH_BYTES: Final = 6
_TEXT_LENGTH: Final = 8  # of a hash in base64
_BLANK_TEXT: Final = "-" * _TEXT_LENGTH
_BETWEEN_PARTS: Final = "\t"
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_NEEDS_ESCAPE: Final = re.compile(r"[\\\n\t]")
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def hasher(salt: bytes = b"") -> hashlib.blake2b:
    """Returns a hash to copy for each text, which costs a third less than creating a new one.

    salt: at most 16 bytes.
    """
    return hashlib.blake2b(digest_size=_HASH_BYTES, salt=salt)


_UNSALTED: Final = hasher()


def fingerprint(record: Record, salted: hashlib.blake2b) -> bytes:
    """Returns a 48-bit hash of the record as received; the order of its keys does not matter.

    salted: a hash with a different salt for each definition of the table.
    """
    try:
        text = _encode_sorted(record)
    except (OverflowError, UnicodeEncodeError, RecursionError):  # beyond what msgspec writes
        try:
            text = json.dumps(record, sort_keys=True).encode()
        except RecursionError:
            return BLANK
    hashing = salted.copy()
    hashing.update(text)
    return hashing.digest()


def short_hash(key: Key) -> bytes:
    """Returns a 48-bit hash of a key."""
    hashing = _UNSALTED.copy()
    hashing.update("\x00".join(key).encode("utf-8", "replace"))
    return hashing.digest()


def key_text(key: Key) -> str:
    """Returns a key as one text, for the state."""
    if not any(map(_NEEDS_ESCAPE.search, key)):
        return _BETWEEN_PARTS.join(key)
    return _BETWEEN_PARTS.join(
        _NEEDS_ESCAPE.sub(lambda match: _ESCAPES[match[0]], part) for part in key
    )


def key_of_text(text: str) -> Key:
    """Returns the key that key_text turned into `text`."""
    parts = text.split(_BETWEEN_PARTS)
    if "\\" not in text:
        return tuple(parts)
    plain = {escape: character for character, escape in _ESCAPES.items()}
    return tuple(re.sub(r"\\.", lambda m: plain.get(m[0], m[0]), part) for part in parts)


class SentRows:
    """Key -> fingerprint of every row of a small stream."""

    def __init__(self) -> None:
        self.marks: dict[Key, bytes] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self.marks)

    @property
    def are_too_many(self) -> bool:
        """Whether the stream is too large for its rows to be remembered."""
        return len(self.marks) > MOST_ROWS

    def get(self, key: Key) -> bytes | None:
        """Returns the fingerprint of a sent row, BLANK if it is unknown, or None if never sent."""
        return self.marks.get(key)

    def set(self, key: Key, mark: bytes) -> None:
        if key not in self.marks:
            self.size_bytes += _row_bytes(key)
        self.marks[key] = mark

    def forget(self, key: Key) -> None:
        if self.marks.pop(key, None) is not None:
            self.size_bytes -= _row_bytes(key)

    def blank_all(self) -> None:
        """Blanks all fingerprints: after a sync died, it is unknown which of its rows landed."""
        self.marks = dict.fromkeys(self.marks, BLANK)

    def copy(self) -> "SentRows":
        twin = SentRows()
        twin.marks, twin.size_bytes = self.marks.copy(), self.size_bytes
        return twin

    def as_json(self) -> str:
        """Returns a line per row, fingerprint and key, at a tenth of the cost of a JSON object."""
        return "\n".join([_text_of(mark) + key_text(key) for key, mark in self.marks.items()])

    @classmethod
    def from_json(cls, text: str) -> "SentRows":
        """Raises ValueError if `text` does not have this form."""
        rows = cls()
        for line in text.split("\n") if text else ():
            key = key_of_text(line[_TEXT_LENGTH:])
            if not all(key):
                raise ValueError("a row has no key")
            rows.set(key, _mark_of(line[:_TEXT_LENGTH]))
        return rows


class SentByHour:
    """Hashed id -> fingerprint of the youngest rows of a stream, by the hour of their time.

    most: how many are kept, MOST_MESSAGES by default. given_up: the youngest hour whose entries
    were dropped; nothing is known up to and including that hour. A row has one entry, at the time
    that it came with last.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_MESSAGES if most is None else most
        self.hours: dict[int, dict[bytes, bytes]] = {}
        self._hour_of: dict[bytes, int] = {}
        # The same hours as a heap: searching all of them for the oldest would dominate the cost.
        self._oldest_first: list[int] = []
        self.given_up = -1
        self._texts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._hour_of)

    def hour_ms(self, name: bytes) -> int | None:
        """Returns the hour of a row's entry as epoch ms."""
        hour = self._hour_of.get(name)
        return None if hour is None else hour * HOUR_MS

    def get(self, name: bytes, time_ms: int) -> bytes | None:
        entries = self.hours.get(time_ms // HOUR_MS)
        return None if entries is None else entries.get(name)

    def set(self, name: bytes, time_ms: int, mark: bytes) -> None:
        hour = time_ms // HOUR_MS
        before = self._hour_of.get(name, hour)
        if before != hour:
            del self.hours[before][name], self._hour_of[name]
            self._texts.pop(before, None)
        if hour <= self.given_up:
            return
        entries = self.hours.get(hour)
        if entries is None:
            entries = self.hours[hour] = {}
            heapq.heappush(self._oldest_first, hour)
        entries[name] = mark or bytes(_HASH_BYTES)
        self._hour_of[name] = hour
        self._texts.pop(hour, None)
        # Keep the youngest hour whole, unless a burst would fill the state.
        while len(self) > self._most and (len(self.hours) > 1 or len(self) > 2 * self._most):
            oldest = heapq.heappop(self._oldest_first)
            for dropped in self.hours.pop(oldest):
                del self._hour_of[dropped]
            self._texts.pop(oldest, None)
            self.given_up = oldest

    def is_above_given_up(self, time_ms: int) -> bool:
        """Whether a row of that time has an entry if it has been sent."""
        return time_ms // HOUR_MS > self.given_up

    def has_between(self, low_ms: int, high_ms: int, *, excluding: Collection[bytes]) -> bool:
        """Whether other rows have entries from `low_ms`'s hour to before that of `high_ms`."""
        return any(
            low_ms // HOUR_MS <= hour < high_ms // HOUR_MS
            and any(name not in excluding for name in entries)
            for hour, entries in self.hours.items()
        )

    def copy(self) -> "SentByHour":
        twin = SentByHour(self._most)
        twin.hours = {hour: entries.copy() for hour, entries in self.hours.items()}
        twin._oldest_first = self._oldest_first.copy()
        twin._hour_of, twin.given_up = self._hour_of.copy(), self.given_up
        return twin

    def as_json(self) -> dict[str, str]:
        """Returns hour -> base64 of its entries, twelve bytes each, and "given_up" if set."""
        for hour, entries in self.hours.items():
            if hour not in self._texts:
                packed = b"".join([name + mark for name, mark in entries.items()])
                self._texts[hour] = base64.b64encode(packed).decode()
        texts = {str(hour): self._texts[hour] for hour in sorted(self.hours)}
        return texts | {"given_up": str(self.given_up)} if self.given_up >= 0 else texts

    @classmethod
    def from_json(cls, texts: dict[str, str], most: int | None = None) -> "SentByHour":
        """Raises ValueError if `texts` do not have this form."""
        sent = cls(most)
        sent.given_up = int(texts.get("given_up", "-1"))
        for hour, text in texts.items():
            if hour == "given_up":
                continue
            packed = base64.b64decode(text, validate=True)
            if len(packed) % (2 * _HASH_BYTES):
                raise ValueError("an hour of messages is truncated")
            for at in range(0, len(packed), 2 * _HASH_BYTES):
                name, mark = packed[at : at + _HASH_BYTES], packed[at + _HASH_BYTES :]
                sent.set(name, int(hour) * HOUR_MS, mark[:_HASH_BYTES])
        return sent


def _row_bytes(key: Key) -> int:
    """Returns the size of a row in the state: fingerprint, key as JSON, and line end."""
    return json_bytes(key_text(key)) + _TEXT_LENGTH + 2


def json_bytes(text: str) -> int:
    """Returns the size of a text as JSON, without its quotes."""
    return len(json.dumps(text)) - 2


def _text_of(mark: bytes) -> str:
    return base64.b64encode(mark).decode() if mark else _BLANK_TEXT


def _mark_of(text: str) -> bytes:
    if text == _BLANK_TEXT:
        return BLANK
    mark = base64.b64decode(text, validate=True)
    if len(mark) != _HASH_BYTES:
        raise ValueError("a fingerprint is truncated")
    return mark
