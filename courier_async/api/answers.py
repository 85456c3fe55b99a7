"""What a response means: a body, a temporary failure, a limit, or a refusal."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from courier_async.api.decode import decode
from courier_async.api.headers import retry_after_seconds
from courier_async.errors import COURIER_ADVICE, Refused

# Retried in addition to every 5xx except the two lasting ones.
_RETRIED_STATUSES: Final = frozenset({408, 409, 425})
_LASTING_STATUSES: Final = frozenset({501, 505})
# Error types that the documentation names. No other text of an error body is shown, since it
# could hold anything.
_KNOWN_KINDS: Final = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "authorization_error",
        "rate_limit_error",
        "api_error",
    }
)
# What all of them look like. In a gateway's errors, `type` is an address, as in RFC 9457, or text.
_OWN_KIND: Final = re.compile("[a-z]+(_[a-z]+)+")
_ERROR_FIELDS: Final = ("message", "errorMessage", "error", "type")
_BAD_KEY_TEXT: Final = "Invalid or missing authentication credentials"


@dataclass(frozen=True, slots=True)
class Body:
    """A 200 with the JSON that was asked for."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure that a retry may fix. reason: what failed. advice: what to do if it persists.

    refusal: what the failure means if it persists; None: that Courier is unavailable.
    is_stale: a connection kept from an earlier request was closed.
    """

    reason: str
    retry_after_seconds: float | None = None
    advice: str = COURIER_ADVICE
    refusal: Refused | None = None
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class TooMany:
    """A refusal for too many requests. is_wall: it may instead be a firewall's page."""

    status: int
    retry_after_seconds: float | None
    is_wall: bool = False


@dataclass(frozen=True, slots=True)
class BadKey:
    """401, or a 403 that means the same."""

    status: int


Meaning = Body | Failed | TooMany | BadKey | Refused


def meaning_of(
    status: int, headers: Mapping[str, str], body: bytes, *, arrays: tuple[str, ...]
) -> Meaning:
    """Classifies a response. arrays: keys that may hold the records; empty: any JSON will do."""
    if status == 200:
        return _of_ok(body, arrays)
    if status == 401:
        return BadKey(status)
    told = retry_after_seconds(headers)
    if status == 429:
        return TooMany(status, told)
    if status == 403:
        return _of_forbidden(headers, body, told)
    if status in _RETRIED_STATUSES or (500 <= status < 600 and status not in _LASTING_STATUSES):
        return Failed(f"Courier answered {status}", told)
    if 300 <= status < 400:
        return Refused(status, ", a redirect, which is not followed; check base_url")
    if status >= 500:
        return Refused(status, _kind_of(_error_of(body)))
    return _of_refusal(status, _error_of(body), told)


def _of_refusal(status: int, error: dict[str, Any] | None, told: float | None) -> Meaning:
    """A refusal whose `type` is Courier's is final; any other may last for seconds only."""
    kind = (error or {}).get("type")
    if isinstance(kind, str) and _OWN_KIND.fullmatch(kind):
        return Refused(status, _kind_of(error))
    refusal = Refused(status, "", by_gateway=True)
    return Failed(str(refusal), told, refusal=refusal)


def _of_ok(body: bytes, arrays: tuple[str, ...]) -> Meaning:
    try:
        value = decode(body)
    except ValueError:
        return Failed("Courier answered with something that is not JSON")
    if arrays and isinstance(value, dict) and _is_error(value, arrays):
        return Failed(f"Courier answered 200 with an error in its body{_kind_of(value)}")
    return Body(value)


def _is_error(value: dict[str, Any], arrays: tuple[str, ...]) -> bool:
    if any(name in value for name in arrays):
        return False
    # {"type": "list"} without its array is an envelope that has changed, not an error.
    return any(value.get(name) for name in _ERROR_FIELDS) and value.get("type") != "list"


def _of_forbidden(headers: Mapping[str, str], body: bytes, told: float | None) -> Meaning:
    error = _error_of(body)
    if "retry-after" in headers or "retry-after-ms" in headers:
        return TooMany(403, told)
    if error is None:
        return TooMany(403, told, is_wall=True)
    if error.get("type") == "rate_limit_error":
        return TooMany(403, told)
    if error.get("type") == "authentication_error" or error.get("message") == _BAD_KEY_TEXT:
        return BadKey(403)
    return _of_refusal(403, error, told)


def _error_of(body: bytes) -> dict[str, Any] | None:
    """Returns the body of an error, or None if it is not this API's (a firewall's page)."""
    try:
        value = decode(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _kind_of(error: dict[str, Any] | None) -> str:
    kind = (error or {}).get("type")
    return f" ({kind})" if isinstance(kind, str) and kind in _KNOWN_KINDS else ""
