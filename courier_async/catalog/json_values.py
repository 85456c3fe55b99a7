"""Prepares JSON values for sending: exact numbers, no secrets, at most 200 levels deep."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from courier_async.catalog.fit import INT64_END, MISFIT, number_text
from courier_async.catalog.text import sendable

# Destinations limit how deep their JSON may be nested; this is below all their limits.
DEEPEST: Final = 200
REDACTED: Final = "[redacted]"
# Whole names, in any case and with any separator: `token_count` is not a secret.
SECRET_NAMES: Final = (
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "secret",
    "client_secret",
    "password",
    "passwd",
    "private_key",
    "api_key",
    "authorization",
)
_SEPARATORS: Final = re.compile(r"[\W_]+")
_PLAIN_SECRET_NAMES: Final = frozenset(name.replace("_", "") for name in SECRET_NAMES)
# Longer names are never secret, so they need not be kept in the cache.
_LONGEST_NAME: Final = 64


class TooDeep(Exception):
    """The value is nested too deeply to be sent."""


class JsonValues:
    """Copies JSON values for sending, and counts the secrets that it redacts."""

    def __init__(self, *, redact_secrets: bool, left_out: Iterable[str] = ()) -> None:
        """left_out: the names of fields that are not copied, at any depth."""
        self.redacted = 0
        self._left_out = frozenset(left_out)
        self._redact = redact_secrets

    def fit(self, value: Any) -> Any:
        """Returns the value of a JSON column, which is an object or a list."""
        if type(value) is not dict and type(value) is not list:
            return None if value is None else MISFIT
        redacted_before = self.redacted
        try:
            return self._copy(value, DEEPEST)
        except TooDeep:
            self.redacted = redacted_before
            return MISFIT

    def field(self, name: str, value: Any, *, depth: int) -> dict[str, Any]:
        """Returns an object with one field, to be placed `depth` objects deep.

        A value that is nested too deeply becomes compact JSON text.
        """
        redacted_before = self.redacted
        try:
            return dict(self._copy({name: value}, DEEPEST - depth))
        except TooDeep:
            self.redacted = redacted_before
            return {sendable(name): self._text(value)}

    def _copy(self, value: Any, deepest: int) -> Any:
        kind = type(value)
        if kind is str:
            return sendable(value)
        if kind is not dict and kind is not list:
            return _scalar(value)
        if deepest == 0:
            raise TooDeep
        if kind is list:
            return [self._copy(inner, deepest - 1) for inner in value]
        return {
            sendable(name): REDACTED
            if self._hides(name, inner)
            else self._copy(inner, deepest - 1)
            for name, inner in value.items()
            if name not in self._left_out
        }

    def _hides(self, name: str, value: Any) -> bool:
        if not self._redact or value is None or len(name) > _LONGEST_NAME:
            return False
        hidden = _is_secret(name)
        self.redacted += hidden
        return hidden

    def _text(self, value: Any) -> str:
        """Returns compact JSON, built without recursion."""
        done: list[str] = []
        waiting: list[Any] = [value]
        while waiting:
            item = waiting.pop()
            kind = type(item)
            if kind is _Piece:
                done.append(item)
            elif kind is dict or kind is list:
                waiting += reversed([*self._pieces(item)])
            else:
                done.append(_dumps(sendable(item) if kind is str else _scalar(item)))
        return "".join(done)

    def _pieces(self, value: Any) -> Iterator[Any]:
        """Yields an object or list: encoded punctuation and names, and the values between them."""
        if type(value) is list:
            for place, inner in enumerate(value):
                yield _Piece("," if place else "[")
                yield inner
            yield _Piece("]" if value else "[]")
            return
        yield _Piece("{")
        kept = [item for item in value.items() if item[0] not in self._left_out]
        for place, (name, inner) in enumerate(kept):
            yield _Piece(f"{',' if place else ''}{_dumps(sendable(name))}:")
            yield REDACTED if self._hides(name, inner) else inner
        yield _Piece("}")


class _Piece(str):
    """JSON that is already encoded."""


def _scalar(value: Any) -> Any:
    kind = type(value)
    if kind is int and not -INT64_END <= value < INT64_END:
        return number_text(value)
    if kind is float and not math.isfinite(value):
        return number_text(value)
    return value


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SEPARATORS.sub("", name).lower() in _PLAIN_SECRET_NAMES
