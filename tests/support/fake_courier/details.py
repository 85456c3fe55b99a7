"""The details of one message: its providers, and its history event by event."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tests.support.fake_courier.drawing import Draw, seed_key
from tests.support.fake_courier.maker import Record

# Provider, channel, and its typical error.
CHANNELS = (
    ("sendgrid", "email", "421 Service not available"),
    ("twilio", "sms", "30003: Unreachable destination handset"),
    ("firebase-fcm", "push", "messaging/registration-token-not-registered"),
    ("slack", "direct_message", "channel_not_found"),
    ("mailgun", "email", "421 Service not available"),
)
# Statuses of messages that have been handed to a provider.
HANDED_OVER = ("SENT", "DELIVERED", "OPENED", "CLICKED", "UNDELIVERABLE", "SIMULATED")
STEPS = ("sent", "delivered", "opened", "clicked")
ENDS = ("UNDELIVERABLE", "UNROUTABLE", "FILTERED", "UNMAPPED", "CANCELED", "THROTTLED")
FAILED_AFTER_MS = 900


def providers(seed: int, message: Record) -> list[Record]:
    """Returns a message's attempts by provider; none if it reached no provider."""
    draw = Draw(seed_key(seed, "providers of " + message["id"]), 0)
    if message["status"] not in HANDED_OVER or message.get("reason") == "UNSUBSCRIBED":
        return []
    found = []
    which, failed_first = draw.take(len(CHANNELS)), draw.take(6) == 0
    if failed_first:
        found.append(_attempt(draw, (which + 4) % len(CHANNELS), {}, failed=True))
    steps = {step: message[step] for step in STEPS if step in message}
    is_failed = message["status"] == "UNDELIVERABLE"
    last = _attempt(draw, which, steps, failed=is_failed)
    if not is_failed:
        last["status"] = message["status"]
    return [*found, last]


def _attempt(draw: Draw, which: int, steps: Record, *, failed: bool) -> Record:
    provider, channel, error = CHANNELS[which]
    named: Record = {"name": "", "template": str(UUID(int=draw.take(1 << 120)))}
    if draw.take(4):
        named["key"] = f"{channel}:{provider}"
    attempt: Record = {"provider": provider, "channel": named, **steps}
    if failed:
        return attempt | {"status": "UNDELIVERABLE", "error": error}
    headers = {"content-type": "text/plain", "connection": "close"}
    return attempt | {
        "reference": {"x-message-id": f"reference-{draw.take(1 << 40):x}"},
        "providerResponse": {"status": 202, "statusText": "Accepted", "headers": headers},
    }


def history(seed: int, message: Record, opens: Sequence[int]) -> list[Record]:
    """Returns all events of a message, ascending. opens: every time at which it was opened."""
    draw = Draw(seed_key(seed, "history of " + message["id"]), 0)
    at = message["enqueued"]
    recipient = message["recipient"]
    email = recipient if "@" in recipient else f"{recipient}@acme.example"
    person = {"email": email, "phone_number": "+15551234567"}
    events: list[Record] = [
        {"type": "ENQUEUED", "ts": at, "data": {"order": draw.take(9000)}, "profile": person},
        {
            "type": "PROFILE_LOADED",
            "ts": at + 10,
            "merged_profile": person,
            "received_profile": person,
            "stored_profile": {},
        },
    ]
    if "notification" in message:
        mapped = {"event_id": message.get("event"), "notification_id": message["notification"]}
        events.append({"type": "MAPPED", "ts": at + 20, **mapped})
    attempts = providers(seed, message)
    if attempts and "sent" in message:
        events += _deliveries(attempts, message, opens)
    if message["status"] in ENDS:
        events.append(_end(message, at + FAILED_AFTER_MS))
    return sorted(events, key=lambda event: event["ts"])


def _deliveries(attempts: list[Record], message: Record, opens: Sequence[int]) -> list[Record]:
    events: list[Record] = []
    for number, attempt in enumerate(attempts):
        via: dict[str, Any] = {
            "channel": {"id": attempt["channel"]["template"], "label": ""},
            "integration": {"id": attempt["channel"]["template"], "provider": attempt["provider"]},
        }
        rendered = message["sent"] - 200 + 50 * number
        events.append({"type": "RENDERED", "ts": rendered, "output": {"html": "/html"}, **via})
        if attempt.get("error"):
            failed = {"type": "UNDELIVERABLE", "ts": rendered + 10, **via}
            events.append(failed | {"error_message": attempt["error"]})
            continue
        for step in ("sent", "delivered", "clicked"):
            if step in message:
                events.append({"type": step.upper(), "ts": message[step], **via})
        events += [{"type": "OPENED", "ts": ts, **via} for ts in opens]
    return events


def _end(message: Record, ts: int) -> Record:
    event: Record = {"type": message["status"], "ts": message.get("canceledAt", ts)}
    for name, source in (("reason", "reason"), ("reasonCode", "reasonCode")):
        if source in message:
            event[name] = message[source]
    if "error" in message:
        event["error_message"] = message["error"]
    return event
