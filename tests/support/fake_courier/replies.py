"""Answers of the fake API that are not a page: refusals and faults."""

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import orjson

JSON_TYPE = "application/json"


@dataclass(slots=True)
class Reply:
    """An answer. fault: "drop" (close without an answer), "cut" (half of the body, then close).

    delay_seconds is what the server, or the simulation, waits before it answers; records counts
    the account's rows in the body.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay_seconds: float = 0.0
    records: int = 0


def json_reply(data: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(data), {"Content-Type": JSON_TYPE})


ERRORS = {
    400: ("Bad Request", "invalid_request_error"),
    401: ("Invalid or missing authentication credentials", "authentication_error"),
    402: ("Limit Exceeded", "authorization_error"),
    403: ("Forbidden", "authorization_error"),
    404: ("Not Found", "invalid_request_error"),
    410: ("Gone", "invalid_request_error"),
    429: ("Too Many Requests", "rate_limit_error"),
    500: ("Internal Server Error", "api_error"),
    503: ("Service Unavailable", "api_error"),
}


def error_reply(status: int, message: str | None = None) -> Reply:
    """An error as the documentation shapes it; the gateway's own have no type."""
    text, kind = ERRORS.get(status, ("Error", None))
    body = {"message": message or text} | ({"type": kind} if kind else {})
    return json_reply(body, status)


def bad_key_reply(status: int) -> Reply:
    text, kind = ERRORS[401]
    return json_reply({"message": text, "type": kind}, status)


def too_many_reply(*, form: str, seconds: float, now_ms: int) -> Reply:
    """A 429; form: none, seconds, date or ms, how its header tells when to come back."""
    reply = error_reply(429)
    if form == "seconds":
        reply.headers["Retry-After"] = f"{seconds:g}"
    elif form == "date":
        reply.headers["Retry-After"] = formatdate(now_ms / 1000 + seconds, usegmt=True)
    elif form == "ms":
        reply.headers["retry-after-ms"] = f"{seconds * 1000:.0f}"
    return reply


def faulty(
    kind: str,
    answer: Callable[[], Reply],
    *,
    retry_after_seconds: float,
    slow_seconds: float,
    now_ms: int,
) -> Reply:
    """What a fault makes of the answer that would have been given."""
    if kind in ("drop", "cut", "slow", "truncated"):
        reply = answer()
        if kind == "slow":
            reply.delay_seconds += slow_seconds
        elif kind == "truncated":
            reply.body = reply.body[: len(reply.body) // 2]
        else:
            reply.fault = kind
        return reply
    if kind == "html":
        html = b"<!DOCTYPE html><html><body>One moment, please</body></html>"
        return Reply(200, html, {"Content-Type": "text/html"})
    if kind.startswith("429"):
        form = "seconds" if kind == "429_retry_after" else "none"
        return too_many_reply(form=form, seconds=retry_after_seconds, now_ms=now_ms)
    if kind == "gateway_timeout":
        return error_reply(504, "Endpoint request timed out")
    return error_reply(int(kind), "Bad Gateway" if kind == "502" else None)
