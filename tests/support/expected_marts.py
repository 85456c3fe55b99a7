"""Computes what the marts must say of an account, from its records alone."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

Record = dict[str, Any]
Row = dict[str, Any]

SKIPPED = ("FILTERED", "THROTTLED", "UNROUTABLE", "UNMAPPED")
STEPS = ("enqueued", "sent", "delivered", "opened", "clicked", "canceledAt")


def moment(time: int | str | None) -> datetime | None:
    """Returns a record's time, epoch milliseconds or ISO, in UTC without a time zone."""
    if time is None:
        return None
    if isinstance(time, str):
        return datetime.fromisoformat(time).replace(tzinfo=None)
    return datetime.fromtimestamp(time / 1000, UTC).replace(tzinfo=None)


def day(epoch_ms: int) -> date:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).date()


def is_clicked(m: Record) -> bool:
    return m.get("clicked") is not None or m["status"] == "CLICKED"


def is_opened(m: Record) -> bool:
    return m.get("opened") is not None or is_clicked(m) or m["status"] == "OPENED"


def is_delivered(m: Record) -> bool:
    return m.get("delivered") is not None or is_opened(m) or m["status"] == "DELIVERED"


def bounce_type(m: Record) -> str | None:
    if m["status"] != "UNDELIVERABLE":
        return None
    code = {"HARD": "hard", "SOFT": "soft"}.get(m.get("reasonCode") or "")
    return code or ("unknown" if m.get("reason") == "BOUNCED" else None)


def is_sent(m: Record) -> bool:
    known = m.get("sent") is not None or m["status"] == "SENT"
    return known or is_delivered(m) or bounce_type(m) is not None


def is_failed(m: Record) -> bool:
    return bool(m["status"] == "UNDELIVERABLE")


def is_skipped(m: Record) -> bool:
    return m["status"] in SKIPPED


def recipient(m: Record) -> str | None:
    return m.get("recipientId") or m.get("recipient") or None


def seconds(m: Record, first: str, last: str) -> float | None:
    start, end = m.get(first), m.get(last)
    return None if start is None or end is None or end < start else (end - start) / 1000


def message_row(m: Record) -> Row:
    """Returns the flags and measures of courier__messages for one message."""
    return {
        "message_id": m["id"],
        "is_sent": is_sent(m),
        "is_delivered": is_delivered(m),
        "is_opened": is_opened(m),
        "is_clicked": is_clicked(m),
        "is_bounced": bounce_type(m) is not None,
        "bounce_type": bounce_type(m),
        "is_failed": is_failed(m),
        "is_skipped": is_skipped(m),
        "recipient_id": recipient(m),
        "template_id": m.get("notification"),
        "list_id": m.get("listId"),
        "enqueued_at": moment(m["enqueued"]),
        "last_opened_at": moment(m.get("opened")),
        "enqueued_date": day(m["enqueued"]),
        "last_event_at": moment(max(m[step] for step in STEPS if m.get(step) is not None)),
        "seconds_to_send": seconds(m, "enqueued", "sent"),
        "seconds_to_delivery": seconds(m, "sent", "delivered"),
        "seconds_from_enqueued_to_delivery": seconds(m, "enqueued", "delivered"),
        "seconds_to_last_open": seconds(m, "sent", "opened"),
        "seconds_to_click": seconds(m, "sent", "clicked"),
    }


def grouped(
    messages: Iterable[Record], key: Callable[[Record], Row]
) -> list[tuple[Row, list[Record]]]:
    groups: dict[tuple[Any, ...], tuple[Row, list[Record]]] = {}
    for m in messages:
        named = key(m)
        groups.setdefault(tuple(named.values()), (named, []))[1].append(m)
    return list(groups.values())


def counts(messages: list[Record]) -> Row:
    """Returns the counts and rates that every aggregate has."""
    kinds = [bounce_type(m) for m in messages]
    found = {
        "number_of_messages": len(messages),
        "number_of_sends": sum(map(is_sent, messages)),
        "number_of_deliveries": sum(map(is_delivered, messages)),
        "number_of_opens": sum(map(is_opened, messages)),
        "number_of_clicks": sum(map(is_clicked, messages)),
        "number_of_bounces": sum(kind is not None for kind in kinds),
        "number_of_hard_bounces": kinds.count("hard"),
        "number_of_soft_bounces": kinds.count("soft"),
        "number_of_failures": sum(map(is_failed, messages)),
        "number_of_skips": sum(map(is_skipped, messages)),
    }
    sends = found["number_of_sends"]
    rates = {
        rate: found[count] / sends if sends else None
        for rate, count in (
            ("delivery_rate", "number_of_deliveries"),
            ("open_rate", "number_of_opens"),
            ("click_rate", "number_of_clicks"),
            ("bounce_rate", "number_of_bounces"),
        )
    }
    return found | rates


def times(messages: list[Record]) -> Row:
    """Returns the first and last times of activity, and the latest time of each kind."""

    def latest(values: Iterable[int | None]) -> datetime | None:
        return moment(max((v for v in values if v is not None), default=None))

    def sent_at(m: Record) -> int:
        return int(m.get("sent") or m["enqueued"])

    return {
        "first_event_at": moment(min(m["enqueued"] for m in messages)),
        "last_event_at": latest(m.get(step) for m in messages for step in STEPS),
        "most_recent_send_at": latest(sent_at(m) for m in messages if is_sent(m)),
        "most_recent_open_at": latest(m.get("opened") or m.get("clicked") for m in messages),
        "most_recent_click_at": latest(m.get("clicked") for m in messages),
        "most_recent_bounce_at": latest(sent_at(m) for m in messages if bounce_type(m)),
    }


def daily_rows(messages: Iterable[Record]) -> list[Row]:
    def distinct(chosen: Iterable[Record]) -> int:
        return len({recipient(m) for m in chosen} - {None})

    groups = grouped(
        messages, lambda m: {"date_day": day(m["enqueued"]), "template_id": m.get("notification")}
    )
    return [
        key
        | counts(found)
        | {
            "number_of_recipients": distinct(found),
            "number_of_recipients_sent_to": distinct(filter(is_sent, found)),
            "number_of_recipients_opening": distinct(filter(is_opened, found)),
            "number_of_recipients_clicking": distinct(filter(is_clicked, found)),
        }
        for key, found in groups
    ]


def recipient_rows(messages: Iterable[Record], *, by_template: bool) -> list[Row]:
    def key(m: Record) -> Row:
        template = {"template_id": m.get("notification")} if by_template else {}
        return {"recipient_id": recipient(m)} | template

    named = [m for m in messages if recipient(m)]
    return [key | counts(found) | times(found) for key, found in grouped(named, key)]


def opt_out_rows(changes: Iterable[Record]) -> list[Row]:
    """Returns every change to OPTED_OUT, and whether a later change ended it."""
    contexts: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for change in sorted(changes, key=lambda c: (c["timestamp"], c["id"])):
        contexts[change["user_id"], change.get("tenant_id"), change["topic_id"]].append(change)
    rows: list[Row] = []
    for history in contexts.values():
        status = (history[0].get("previous") or {}).get("status")
        for change in history:
            if change["status"] != status:
                if status == "OPTED_OUT" and rows:
                    rows[-1]["ended_at"] = moment(change["timestamp"])
                if change["status"] == "OPTED_OUT":
                    rows.append(
                        {
                            "preference_change_id": change["id"],
                            "user_id": change["user_id"],
                            "opted_out_at": moment(change["timestamp"]),
                            "ended_at": None,
                        }
                    )
                status = change["status"]
    return [row | {"is_current": row["ended_at"] is None} for row in rows]


def attempt_rows(attempts: Iterable[Record]) -> list[Row]:
    """Returns the rows of courier__message_attempts for the attempts of messages."""
    channels: dict[str, set[str]] = defaultdict(set)
    of_message: dict[str, list[Record]] = defaultdict(list)
    for attempt in attempts:
        of_message[attempt["message_id"]].append(attempt)
        if named := _named_channel(attempt):
            channels[attempt["provider"]].add(named)

    def row(attempt: Record, final: Record) -> Row:
        seen = channels[attempt["provider"]]
        return {
            "message_id": attempt["message_id"],
            "position": attempt["position"],
            "channel": _named_channel(attempt) or (min(seen) if len(seen) == 1 else None),
            "provider": attempt["provider"],
            "status": attempt["status"],
            "is_failed": is_failed(attempt),
            "is_final": attempt is final,
            "error": attempt.get("error"),
            "sent_at": moment(attempt.get("sent")),
            "delivered_at": moment(attempt.get("delivered")),
            "last_opened_at": moment(attempt.get("opened")),
            "clicked_at": moment(attempt.get("clicked")),
        }

    rows: list[Row] = []
    for found in of_message.values():
        through = [attempt for attempt in found if not is_failed(attempt)]
        final = max(through or found, key=lambda attempt: int(attempt["position"]))
        rows += [row(attempt, final) for attempt in found]
    return rows


def _named_channel(attempt: Record) -> str | None:
    return attempt["channel"].get("key", "").partition(":")[0] or None
