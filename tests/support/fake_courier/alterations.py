"""Changes that a rule makes to an otherwise correct page: to its paging, to its records."""

import json
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from tests.support.fake_courier.replies import Reply

# false_end: no records, and no more. no_records: an empty page that still leads on.
PAGING_CHANGES = (
    "absent", "null", "empty", "renamed", "more_absent", "cursor_absent", "false_end",
    "no_records", "array_null", "array_absent",
)  # fmt: skip
# timeless, early: the time is left out, or five hours too early.
RECORD_CHANGES = ("null", "keyless", "key_null", "text", "timeless", "early")
ARRAYS = ("results", "items", "runs", "steps", "templates", "versions")
TIMES = ("enqueued", "timestamp", "ts")
EARLY = timedelta(hours=5)
KEYS = ("id", "auditEventId", "recipientId", "member_id", "user_id")
LEADING_ON = ("has_more", "cursor", "next_url")


def alter(reply: Reply, paging: str, records: str, share: float, random: Random) -> None:
    """Changes a page in place; leaves anything that is not a JSON page as it is."""
    try:
        body = json.loads(reply.body)
    except ValueError:
        return
    array = next((name for name in ARRAYS if isinstance(body, dict) and name in body), None)
    if array is None:
        return
    if records:
        rows = body[array]
        body[array] = [_spoilt(row, records) if random.random() < share else row for row in rows]
    if paging:
        _change_paging(body, array, paging)
    if paging in ("false_end", "no_records", "array_null", "array_absent"):
        reply.records, reply.rows = 0, ()
    reply.body = msgspec.json.encode(body)


def _spoilt(row: Any, how: str) -> Any:
    if how == "null" or not isinstance(row, dict):
        return None
    if how == "text":
        return "record"
    if how == "timeless":
        return {name: value for name, value in row.items() if name not in TIMES}
    if how == "early":
        return {name: _early(value) if name in TIMES else value for name, value in row.items()}
    if how == "key_null":
        return {name: None if name in KEYS else value for name, value in row.items()}
    return {name: value for name, value in row.items() if name not in KEYS}


def _early(time: Any) -> Any:
    if isinstance(time, str):
        return (datetime.fromisoformat(time) - EARLY).isoformat()
    return time - EARLY // timedelta(milliseconds=1)


def _change_paging(body: dict[str, Any], array: str, how: str) -> None:
    if how in ("false_end", "no_records"):
        body[array] = []
    elif how == "array_null":
        body[array] = None
    elif how == "array_absent":
        del body[array]
    if "has_more" in body:
        _change_list_object(body, how)
    else:
        _change_paging_object(body, how)


def _change_paging_object(body: dict[str, Any], how: str) -> None:
    paging = body.get("paging")
    if how == "absent":
        body.pop("paging", None)
    elif how == "renamed":
        body["pagination"] = body.pop("paging", None)
    elif how == "false_end":
        body["paging"] = {"more": False}
    elif how in ("null", "empty"):
        body["paging"] = {} if how == "empty" else None
    elif how in ("more_absent", "cursor_absent") and isinstance(paging, dict):
        paging.pop(how.removesuffix("_absent"), None)


def _change_list_object(body: dict[str, Any], how: str) -> None:
    if how in ("absent", "empty", "false_end"):
        for name in LEADING_ON:
            body.pop(name, None)
        if how == "false_end":
            body["has_more"] = False
    elif how == "null":
        body |= dict.fromkeys(LEADING_ON)
    elif how == "renamed":
        body["more"] = body.pop("has_more")
    elif how == "more_absent":
        body.pop("has_more")
    elif how == "cursor_absent":
        for name in ("cursor", "next_url"):
            body.pop(name, None)
