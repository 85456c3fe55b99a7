"""What a record of each stream looks like, from its index, its time and a seed.

Fields, types and oddities follow Courier's API reference. A record's time is what its
listing is sorted by: `enqueued`, `timestamp`, or when it was last updated. `as_of_ms` is the
moment at which the account was made or the record added: nothing in it is later than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.support.fake_courier.drawing import Coder, Draw, Scramble, seed_key
from tests.support.fake_courier.timeline import DAY_MS

Record = dict[str, Any]

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NANOID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# Text that type inference takes for something else; it must land as it is.
AWKWARD = ("true", "t", "1e5", "007", "2024-01-01", "null", "NaN", "15551234567", "1,5", " x ")
# Ids that a caller may have chosen, at fixed places so that each occurs once.
AWKWARD_IDS = (
    "007", "true", "acme/eu", "two words", "größe/東京 1", "1e5", "2024-01-01", "100%",
    "a+b=c&d?e#f", "t", "%2F", "🙂",
)  # fmt: skip
FIRST_AWKWARD_ID = 2
WORDS = (
    "Welcome", "Invoice", "Digest", "Premium", "Beta testers", "On call", "Größe", "Équipe",
    "Weekly, report", 'Quoted "name"', "日本語", "Reset", "Trial", "Churned",
)  # fmt: skip
SLUGS = ("eng", "eng.beta", "sales", "acme/eu", "two words", "größe", "eu-premium", "o'neill")
COUNTRIES = ("DE", "FR", "US", "JP")


def iso(ms: int) -> str:
    """Epoch ms as the API's ISO text: 2022-07-05T22:30:24.662Z."""
    whole = datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]
    return f"{whole}.{ms % 1000:03d}Z"


@dataclass(frozen=True)
class Maker:
    """How one stream's records are made; `index_of` only guesses, the caller compares ids."""

    id_of: Callable[[int, int], str]  # (index, time_ms)
    index_of: Callable[[str], int | None]
    record: Callable[[int, int, int], Record]  # (index, time_ms, as_of_ms)


def makers(seed: int, *, targets: str = "mixed") -> dict[str, Maker]:
    """A maker for each stream. `targets`: mixed, string, object, empty or absent."""
    templates = _template_ids(seed)
    brands = _coded_ids(seed, "brand", 28)
    return {
        "brand": _brands(seed, brands),
        "audience": _audiences(seed),
        "audit_event": _audit_events(seed, targets),
        "list": _lists(seed),
        "message": _messages(seed, templates[0]),
        "notification": _notifications(seed, templates),
        "tenant": _tenants(seed, brands[0]),
    }


Ids = tuple[Callable[[int, int], str], Callable[[str], int | None]]


def _awkward_index(text: str) -> int | None:
    return FIRST_AWKWARD_ID + AWKWARD_IDS.index(text) if text in AWKWARD_IDS else None


def _is_awkward(index: int) -> bool:
    return FIRST_AWKWARD_ID <= index < FIRST_AWKWARD_ID + len(AWKWARD_IDS)


def _coded_ids(seed: int, purpose: str, length: int) -> Ids:
    coder = Coder(seed_key(seed, purpose + " id"), BASE32, length)

    def id_of(index: int, time_ms: int) -> str:
        if _is_awkward(index) and index % 4 == 3:
            return AWKWARD_IDS[index - FIRST_AWKWARD_ID]
        return coder.text(index)

    def index_of(text: str) -> int | None:
        awkward = _awkward_index(text)
        return coder.index(text) if awkward is None else awkward

    return id_of, index_of


def _slug_ids(seed: int, purpose: str) -> Ids:
    key = seed_key(seed, purpose + " id")

    def id_of(index: int, time_ms: int) -> str:
        if _is_awkward(index):
            return AWKWARD_IDS[index - FIRST_AWKWARD_ID]
        return f"{Draw(key, index).of(SLUGS)}-{index}"

    def index_of(text: str) -> int | None:
        digits = text.rpartition("-")[2]
        awkward = _awkward_index(text)
        if awkward is None and digits.isascii() and digits.isdigit():
            return int(digits)
        return awkward

    return id_of, index_of


def _template_ids(seed: int) -> Ids:
    old = Coder(seed_key(seed, "old template id"), BASE32, 28)
    new = Coder(seed_key(seed, "new template id"), BASE32.lower(), 26)

    def id_of(index: int, time_ms: int) -> str:
        return "nt_" + new.text(index) if index % 2 else old.text(index)

    def index_of(text: str) -> int | None:
        return new.index(text[3:]) if text.startswith("nt_") else old.index(text)

    return id_of, index_of


def _name(draw: Draw, index: int) -> str:
    return draw.of(AWKWARD) if draw.take(8) == 0 else f"{draw.of(WORDS)} {index}"


def _before(draw: Draw, time_ms: int) -> int:
    return time_ms - draw.take(400 * DAY_MS) if draw.take(3) else time_ms


def _brands(seed: int, ids: Ids) -> Maker:
    key = seed_key(seed, "brand")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        brand: Record = {
            "id": ids[0](index, time_ms),
            "name": _name(draw, index),
            "created": _before(draw, time_ms),
        }
        updated = draw.take(16)
        if updated:  # absent now and then
            brand["updated"] = time_ms if updated > 1 else None
        if draw.take(3):
            brand["published"] = min(time_ms + draw.take(60_000), as_of_ms)
            brand["version"] = iso(time_ms) if draw.take(8) else draw.of(AWKWARD)
        if draw.take(5):
            brand["settings"] = _brand_settings(draw)
        if draw.take(4):
            items = [{"name": "support_url", "value": f"https://acme.example/{index}"}]
            brand["snippets"] = {"items": items} if draw.take(2) else {}
        return brand

    return Maker(*ids, record)


def _brand_settings(draw: Draw) -> Record:
    color = f"#{draw.take(1 << 24):06X}"
    settings: Record = {"colors": {"primary": color, "secondary": "#FFFFFF"}}
    if draw.take(4) == 0:
        settings["colors"]["tertiary"] = "#1B1B1B"
    if draw.take(2):
        logo = {"href": "https://acme.example", "image": "https://cdn.acme.example/logo.png"}
        settings["email"] = {
            "header": {"inheritDefault": False, "barColor": color, "logo": logo},
            "footer": {"content": "(c) Acme", "inheritDefault": bool(draw.take(2))},
            "head": {"inheritDefault": True, "content": None},
            "templateOverride": None,
        }
    if draw.take(2):
        settings["inapp"] = {
            "colors": {"primary": color},
            "icons": {"bell": None, "message": None},
            "widgetBackground": {"topColor": color, "bottomColor": "#5A2050"},
            "placement": draw.of(("top", "bottom", "left", "right")),
            "disableMessageIcon": False,
            "borderRadius": "8px",
        }
    return settings


def _audiences(seed: int) -> Maker:
    key = seed_key(seed, "audience")
    ids = _slug_ids(seed, "audience")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        audience: Record = {
            "id": ids[0](index, time_ms),
            "name": _name(draw, index) if draw.take(10) else "",
            "description": draw.of(("", "Premium users in the EU", "naïve – 東京", "true")),
            "created_at": iso(_before(draw, time_ms)),
            "updated_at": iso(time_ms),
        }
        shape = draw.take(6)
        if shape == 0:
            return audience
        if shape < 3:
            audience["filter"] = _condition(draw)
            return audience
        operator = draw.of(("AND", "OR"))
        if draw.take(2):
            audience["operator"] = operator
        audience["filter"] = _group(draw, operator, depth=shape - 3)
        return audience

    return Maker(*ids, record)


def _condition(draw: Draw) -> Record:
    path = draw.of(("title", "plan", "country"))
    return {"operator": "EQ", "path": path, "value": draw.of(("007", "premium", *COUNTRIES))}


def _group(draw: Draw, operator: str, *, depth: int) -> Record:
    filters = [_condition(draw)]
    if depth:
        filters.append(_group(draw, draw.of(("AND", "OR")), depth=depth - 1))
    return {"operator": operator, "filters": filters}


def _audit_events(seed: int, targets: str) -> Maker:
    key = seed_key(seed, "audit event")
    coder = Coder(seed_key(seed, "audit event id"), NANOID, 21)
    kinds = ("user:role-changed", "notification:published", "brand:updated", "list:deleted")
    workspace = "0bde6440-afd3-4da3-81dd-2edb8598a88b"
    shapes = ("string", "object", "empty", "absent")
    if targets not in ("mixed", *shapes):
        raise ValueError(f"targets: {targets!r}")

    def id_of(index: int, time_ms: int) -> str:
        return coder.text(index)

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        actor: Record | None = {"id": f"user-{draw.take(50)}"}
        if draw.take(3) and actor is not None:
            actor["email"] = "joe@acme.example"
        elif draw.take(4) == 0:
            actor = None
        event: Record = {"auditEventId": id_of(index, time_ms), "actor": actor}
        shape = draw.of(shapes) if targets == "mixed" else targets
        name = f"EF607F6E84A34305{draw.take(1 << 32):08X}"
        if shape == "object":
            event["target"] = {"id": name, "email": "jane@acme.example"}
        elif shape != "absent":
            event["target"] = {} if shape == "empty" else draw.of((name, "007", "true"))
        event["source"] = draw.of(("courier.studio", "api"))
        event["timestamp"] = iso(time_ms)
        event["type"] = draw.of(kinds)
        if draw.take(2):
            event["workspaceId"] = workspace
        return event

    return Maker(id_of, coder.index, record)


def _lists(seed: int) -> Maker:
    key = seed_key(seed, "list")
    ids = _slug_ids(seed, "list")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        row: Record = {"id": ids[0](index, time_ms), "name": _name(draw, index)}
        times = draw.take(8)
        if times == 0:
            row |= {"created": None, "updated": None}
        elif times > 1:  # absent where 1
            row |= {"created": iso(_before(draw, time_ms)), "updated": iso(time_ms)}
        if draw.take(10) == 0:
            row["preferences"] = {"notifications": {"welcome": {"status": "OPTED_IN"}}}
        return row

    return Maker(*ids, record)


def _notifications(seed: int, ids: Ids) -> Maker:
    key = seed_key(seed, "notification")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        id_ = ids[0](index, time_ms)
        if index % 2:
            return _elemental_template(draw, id_, index, time_ms)
        return _classic_template(draw, id_, index, time_ms)

    return Maker(*ids, record)


def _classic_template(draw: Draw, id_: str, index: int, time_ms: int) -> Record:
    nested = {"method": "all", "channels": ["push", "sms"]}
    channels = ["email", nested] if draw.take(2) else ["email"]
    row: Record = {
        "id": id_,
        "title": _name(draw, index),
        "created_at": _before(draw, time_ms),
        "updated_at": time_ms,
        "event_ids": [f"event-{index}"] if draw.take(2) else [],
        "routing": {"method": draw.of(("single", "all")), "channels": channels},
    }
    if draw.take(4):
        row["topic_id"] = "VWPV5DPA9C47ZDJAHSSTKZ3R5BF5"
    if draw.take(3):
        row["tags"] = {"data": [{"id": f"tag-{index % 7}", "name": draw.of(AWKWARD)}]}
    row["note"] = draw.of((None, "Ask legal first", "007"))
    return row


def _elemental_template(draw: Draw, id_: str, index: int, time_ms: int) -> Record:
    published = draw.take(4) > 0
    row: Record = {
        "id": id_,
        "name": _name(draw, index),
        "state": "PUBLISHED" if published else "DRAFT",
        "tags": ["onboarding", draw.of(AWKWARD)] if draw.take(2) else [],
        "created": time_ms,
        "creator": f"user_{draw.take(20)}",
    }
    if draw.take(3):
        row |= {"created": _before(draw, time_ms), "updated": time_ms, "updater": "user_def"}
    if published:
        topic = "PT91W47CKEMP6PW0RYVN3F08F2YE"
        row |= {"subscription_topic_id": topic, "topic_id": topic}
    return row


def _tenants(seed: int, brand_id: Callable[[int, int], str]) -> Maker:
    key = seed_key(seed, "tenant")
    ids = _slug_ids(seed, "tenant")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        tenant: Record = {"id": ids[0](index, time_ms), "name": _name(draw, index)}
        if index and draw.take(3) == 0:
            tenant["parent_tenant_id"] = ids[0](draw.take(index), time_ms)
        elif draw.take(2):
            tenant["parent_tenant_id"] = None
        if draw.take(2):
            tenant["brand_id"] = brand_id(draw.take(8), time_ms)
        tenant["properties"] = _properties(draw)
        tenant["default_preferences"] = _preferences(draw)
        secret = {"access_token": f"xoxb-fake-{index}"}
        profile = {"locale": draw.of(("en-US", "de")), "slack": secret}
        tenant["user_profile"] = draw.of(({}, profile, None, {"plan": {"seats": [1, 2]}}))
        return tenant

    return Maker(*ids, record)


def _properties(draw: Draw) -> Record:
    properties: Record = {}
    if draw.take(3):
        properties["seats"] = draw.take(500)
        # Not drawn, so that what is drawn after it stays as it was.
        properties["plan"] = ("free", "team", "business")[properties["seats"] % 3]
        properties["ceo"] = draw.of((None, "Person", "007", ""))
    if draw.take(3) == 0:
        properties["address"] = {"city": draw.of(("Köln", "東京")), "geo": {"lat": 50.94}}
    if draw.take(3) == 0:
        properties["tags"] = ["a", 1, None, {"deep": [True]}]
    if draw.take(6) == 0:
        properties["address_city"] = "clashes once flattened"
    return properties


def _preferences(draw: Draw) -> Record | None:
    topic = {"id": "PT91W47CKEMP6PW0RYVN3F08F2YE", "status": "OPTED_IN"}
    routed = topic | {"has_custom_routing": True, "custom_routing": ["email"]}
    return draw.of(({}, None, {"items": [topic]}, {"items": [routed, topic]}))


# Statuses that are reached at once and are final, with what else such a row carries.
DEAD_ENDS: tuple[tuple[str, Record], ...] = (
    ("UNDELIVERABLE", {"error": "Notification opted out by user", "reason": "UNSUBSCRIBED"}),
    ("UNDELIVERABLE", {"error": "550 No such user", "reason": "BOUNCED", "reasonCode": "HARD"}),
    ("UNROUTABLE", {"error": "No valid routes", "reason": "NO_CHANNELS"}),
    ("UNMAPPED", {"error": "Event not mapped", "reason": "UNPUBLISHED"}),
    ("FILTERED", {"reason": "FILTERED"}),
    ("THROTTLED", {}),
    ("DIGESTED", {}),
    ("DELAYED", {}),
    ("ROUTED", {}),
    ("SIMULATED", {}),
)


def _messages(seed: int, template_id: Callable[[int, int], str]) -> Maker:
    key = seed_key(seed, "message")
    scramble = Scramble(seed_key(seed, "message id"), 96)
    templates = [template_id(index, 0) for index in range(12)]

    def id_of(index: int, time_ms: int) -> str:
        return f"1-{time_ms // 1000:08x}-{scramble.forward(index):024x}"

    def index_of(text: str) -> int | None:
        tail = text.rpartition("-")[2]
        try:
            return scramble.backward(int(tail, 16)) if len(tail) == 24 else None
        except ValueError:
            return None

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        message: Record = {
            "id": id_of(index, time_ms), "status": "ENQUEUED", "enqueued": time_ms,
        }  # fmt: skip
        fate = draw.take(100)
        if fate < 80:
            message |= _progress(draw, time_ms, as_of_ms)
        elif fate < 82:
            message |= {"status": "CANCELED", "canceledAt": min(time_ms + 5000, as_of_ms)}
        elif fate < 96:
            message["status"], extra = draw.of(DEAD_ENDS)
            message |= extra
        _address(message, draw, index, templates)
        return message

    return Maker(id_of, index_of, record)


def _progress(draw: Draw, time_ms: int, as_of_ms: int) -> Record:
    """How far a message has come by `as_of_ms`: its status and the times that lead to it."""
    sent = time_ms + 300 + draw.take(3000)
    if sent > as_of_ms:
        return {}
    reached: Record = {"status": "SENT", "sent": sent}
    delivered = sent + 500 + draw.take(60_000)
    reports_delivery = draw.take(5) > 0  # some providers never do, even for opened mail
    if reports_delivery and delivered <= as_of_ms:
        reached |= {"status": "DELIVERED", "delivered": delivered}
    opened = delivered + (draw.take(DAY_MS) if draw.take(4) else draw.take(16 * DAY_MS))
    if draw.take(2) and opened <= as_of_ms:
        reached |= {"status": "OPENED", "opened": opened}
        clicked = opened + 1000 + draw.take(600_000)
        if draw.take(3) == 0 and clicked <= as_of_ms:
            reached |= {"status": "CLICKED", "clicked": clicked}
    return reached


def _address(message: Record, draw: Draw, index: int, templates: list[str]) -> None:
    user = draw.take(20_000)
    kind = draw.take(16)
    if kind < 9:
        message["recipient"] = message["recipientId"] = f"user-{user}"
    else:
        ad_hoc = (f"ana{user}@acme.example", f"1555{1000000 + user}", AWKWARD[user % 10])
        message["recipient"] = ad_hoc[0 if kind < 12 else 1 if kind < 15 else 2]
        message["recipientId"] = f"anon_{user:021d}"
    if draw.take(20):
        template = draw.of(templates)
        message["event"] = draw.of((template, template, "welcome-email"))
        if message["status"] != "UNMAPPED":
            message["notification"] = template
    extra = draw.take(20)
    if extra < 3:
        message["listId"] = "eng.beta-testers"
        message["listMessageId"] = message["id"][:-24] + f"{user:024x}"
    elif extra == 3:
        message["idempotencyKey"] = draw.of(("007", f"key-{index}"))
    elif extra == 4:
        message["runId"] = f"run-{index}"
    elif extra == 5:
        message["jobId"] = f"1-job-{user}"
