"""Answers of the fake API other than pages: refusals and faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import msgspec

JSON_TYPE = "application/json"
HTML_TYPE = "text/html"
FAULTS = (
    "500", "502", "503", "504", "gateway_timeout", "429", "429_retry_after",
    "drop", "cut", "truncated", "html", "slow",
)  # fmt: skip


@dataclass(slots=True)
class Reply:
    """An answer. fault: "drop" (closes without an answer), "cut" (half of the body, then closes).

    delay_seconds: the wait before the answer, by the server or the simulation. records: how many
    of the account's rows the body has; rows: their ids and times. encoding: "gzip" or "chunked",
    over HTTP only. date_shift_seconds: how far the Date header is ahead of the account's clock.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay_seconds: float = 0.0
    records: int = 0
    rows: tuple[tuple[str, int], ...] = ()
    encoding: str = ""
    date_shift_seconds: float = 0.0


def json_reply(data: Any, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(data), {"Content-Type": JSON_TYPE})


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


FIREWALL_PAGE = "<!DOCTYPE html><html><body><h1>403 Forbidden</h1>Request blocked.</body></html>"
# Named answers: status, body, headers.
ANSWERS: dict[str, tuple[int, Any, dict[str, str]]] = {
    # Errors inside a 200: the API's own, and its function's.
    "api_error": (200, {"message": "Internal server error", "type": "api_error"}, {}),
    "task_timed_out": (
        200,
        {"errorMessage": "2026-08-14T09:33:20.000Z 7c1d Task timed out after 30.00 seconds"},
        {},
    ),
    # Limits.
    "too_many": (429, {"message": "Too Many Requests", "type": "rate_limit_error"}, {}),
    "slow_down": (403, {"message": "Slow down", "type": "rate_limit_error"}, {"Retry-After": "3"}),
    "firewall": (403, FIREWALL_PAGE, {}),
    # The key, the plan, the route.
    "bad_key": (401, {"message": ERRORS[401][0], "type": ERRORS[401][1]}, {}),
    "not_in_plan": (402, {"message": "Payment required", "type": "payment_required"}, {}),
    "forbidden": (403, {"message": "Forbidden", "type": "authorization_error"}, {}),
    "no_route": (404, {"message": "Not Found"}, {}),
}


def made_reply(status: int, body: Any, headers: Mapping[str, str]) -> Reply:
    """Returns a rule's answer. body: text is sent as it is, None is the usual error, else JSON."""
    if body is None:
        reply = error_reply(status)
    elif isinstance(body, str):
        reply = Reply(status, body.encode(), {"Content-Type": HTML_TYPE})
    else:
        reply = json_reply(body, status)
    reply.headers |= headers
    return reply


def error_reply(status: int, message: str | None = None) -> Reply:
    """Returns an error in the documented form; those of the gateway have no type."""
    text, kind = ERRORS.get(status, ("Error", None))
    body = {"message": message or text} | ({"type": kind} if kind else {})
    return json_reply(body, status)


def bad_key_reply(status: int) -> Reply:
    text, kind = ERRORS[401]
    return json_reply({"message": text, "type": kind}, status)


def too_many_reply(*, form: str, seconds: float, now_ms: int) -> Reply:
    """Returns a 429. form: how its header says when to retry (none, seconds, date or ms)."""
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
    """Returns what a fault makes of an answer."""
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
        return Reply(200, html, {"Content-Type": HTML_TYPE})
    if kind.startswith("429"):
        form = "seconds" if kind == "429_retry_after" else "none"
        return too_many_reply(form=form, seconds=retry_after_seconds, now_ms=now_ms)
    if kind == "gateway_timeout":
        return error_reply(504, "Endpoint request timed out")
    return error_reply(int(kind), "Bad Gateway" if kind == "502" else None)


class Refused(Exception):
    """A refused request: `reply` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply
