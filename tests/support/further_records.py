"""Generates records of the tables beyond the core ones, to match an account's records."""

from collections.abc import Iterator
from typing import Any

from tests.support.fake_courier.maker import iso

Record = dict[str, Any]

DAY_MS = 86_400_000


def further_records(core: dict[str, list[Record]], *, now_ms: int) -> dict[str, list[Record]]:
    """Returns records of every further table that fit the records of the core tables."""
    users = sorted({m["recipientId"] for m in core["message"] if m.get("recipientId")})[:60]
    return {
        "message_provider": [row for m in core["message"] for row in _attempts(m)],
        "message_event": [row for m in core["message"] for row in _history(m)],
        "notification_metric": list(_metrics(core["notification"], now_ms)),
        "preference_change": list(_changes(users, now_ms)),
        "preference_section": _sections(now_ms),
        "subscription_topic": _topics(now_ms),
        "list_subscription": [
            {"list_id": row["id"], "recipientId": user, "created": now_ms - DAY_MS * at}
            for row in core["list"]
            for at, user in enumerate(users[:9])
        ],
        "audience_member": [
            {"audience_id": row["id"], "member_id": user, "added_at": iso(now_ms)}
            for row in core["audience"]
            for user in users[:3]
        ],
        "tenant_user": [
            {"tenant_id": row["id"], "user_id": user, "type": "user"}
            for row in core["tenant"]
            for user in users[:2]
        ],
    }


def _attempts(message: Record) -> Iterator[Record]:
    """Yields a message's attempts: failed ones before or after the successful one, or alone."""
    turn = message["enqueued"] % 4
    # Courier omits the channel's key for some attempts.
    is_named = message["enqueued"] % 3 > 0
    error = ("421 Service not available", "550 No such user")[message["enqueued"] % 5 == 0]
    mailgun = _failed(message, "mailgun", "email:mailgun", error)
    twilio = _failed(message, "twilio", "sms:twilio" if is_named else None, "30003: Unreachable")
    if "sent" in message:
        channel = {"name": ""} if turn == 1 else {"key": "email:sendgrid", "name": ""}
        steps = {step: message.get(step) for step in ("sent", "delivered", "opened", "clicked")}
        sendgrid = {
            "message_id": message["id"], "provider": "sendgrid", "channel": channel,
            "status": message["status"], **steps,
        }  # fmt: skip
        attempts = {0: [mailgun, sendgrid], 2: [sendgrid, twilio]}.get(turn, [sendgrid])
    elif message["status"] == "SIMULATED":
        attempts = [_simulated(message)]
    else:
        attempts = [mailgun, twilio] if message["status"] == "UNDELIVERABLE" else []
    for position, attempt in enumerate(attempts):
        yield attempt | {"position": position}


def _failed(message: Record, provider: str, channel_key: str | None, error: str) -> Record:
    return {
        "message_id": message["id"], "provider": provider, "status": "UNDELIVERABLE",
        "channel": _channel(channel_key), "error": error,
    }  # fmt: skip


def _simulated(message: Record) -> Record:
    """Returns an attempt by a provider with two channels, so an unnamed one cannot be inferred."""
    channel_key = ("push:mock", "inbox", None)[message["enqueued"] % 3]
    return {
        "message_id": message["id"], "provider": "mock", "status": "SIMULATED",
        "channel": _channel(channel_key),
    }  # fmt: skip


def _channel(key: str | None) -> Record:
    return {"name": ""} | ({"key": key} if key else {})


def _history(message: Record) -> Iterator[Record]:
    """Yields a message's events; the first open comes a minute after sending."""
    events = [("ENQUEUED", message["enqueued"])]
    if "sent" in message:
        events.append(("SENT", message["sent"]))
    if "opened" in message:
        events += [("OPENED", message["sent"] + 60_000), ("OPENED", message["opened"])]
    for position, (kind, ts) in enumerate(events):
        yield {"message_id": message["id"], "position": position, "type": kind, "ts": ts}


def _metrics(templates: list[Record], now_ms: int) -> Iterator[Record]:
    today = now_ms // DAY_MS * DAY_MS
    for number, template in enumerate(templates):
        for age in range(3):
            for provider, channel in (("sendgrid", "email"), ("twilio", "sms")):
                sent = 10 * (number % 5)
                yield {
                    "notification_id": template["id"], "granularity": "DAY",
                    "period": today - age * DAY_MS, "provider": provider, "channel": channel,
                    "sent": sent, "delivered": sent * 9 // 10, "opened": sent // 2,
                    "clicked": sent // 5, "errors": number % 2, "undeliverable": sent // 10,
                }  # fmt: skip


def _sections(now_ms: int) -> list[Record]:
    return [{"id": "section-1", "name": "Marketing", "created": now_ms - 90 * DAY_MS}]


def _topics(now_ms: int) -> list[Record]:
    return [
        {
            "id": f"topic-{number}", "section_id": "section-1", "name": f"Topic {number}",
            "default_status": "OPTED_IN", "created": now_ms - 90 * DAY_MS,
        }
        for number in range(3)
    ]  # fmt: skip


def _changes(users: list[str], now_ms: int) -> Iterator[Record]:
    """Every user opts out; every second one then changes routing, and every third opts back in."""
    for at, user in enumerate(users):
        steps = ["OPTED_OUT"]
        steps += ["OPTED_OUT"] if at % 2 else []
        steps += ["OPTED_IN"] if at % 3 == 0 else []
        before = "OPTED_IN"
        for step, status in enumerate(steps):
            yield {
                "id": f"change-{at}-{step}", "user_id": user, "topic_id": f"topic-{at % 4}",
                "topic_name": "Name at the time", "status": status,
                "timestamp": iso(now_ms - (30 - step) * DAY_MS + at),
                "previous": {"status": before},
            }  # fmt: skip
            before = status
