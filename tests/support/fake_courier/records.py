"""Computes the records of each stream from their index, their time and a seed.

Fields, types and oddities follow Courier's API reference. A record's time is what its listing is
sorted by: `enqueued`, `timestamp`, or when it was last updated. `as_of_ms` is when the account was
made or the record added: no time in the record is later.
"""

from collections.abc import Callable

from tests.support.fake_courier.drawing import Coder, Draw, seed_key
from tests.support.fake_courier.maker import Maker, Record, iso
from tests.support.fake_courier.message_records import message_maker
from tests.support.fake_courier.names import NANOID, Ids, Names
from tests.support.fake_courier.preferences import topic_of
from tests.support.fake_courier.timeline import DAY_MS

IdOf = Callable[[int, int], str]

COUNTRIES = ("DE", "FR", "US", "JP")
# How many of the first brands and templates other records refer to.
REFERRED = 8


def makers(seed: int, names: Names, *, targets: str = "mixed") -> dict[str, Maker]:
    """Returns a maker for each stream. `targets`: mixed, string, object, empty or absent."""
    templates = names.template_ids()
    brands = names.coded_ids("brand", 28)
    return {
        "brand": _brands(seed, names, brands),
        "audience": _audiences(seed, names),
        "audit_event": _audit_events(seed, names, targets, brands[0], templates[0]),
        "list": _lists(seed, names),
        "message": message_maker(seed, names, templates[0]),
        "notification": _notifications(seed, names, templates),
        "tenant": _tenants(seed, names, brands[0]),
    }


def _before(draw: Draw, time_ms: int) -> int:
    return time_ms - draw.take(400 * DAY_MS) if draw.take(3) else time_ms


def _brands(seed: int, names: Names, ids: Ids) -> Maker:
    key = seed_key(seed, "brand")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        brand: Record = {
            "id": ids[0](index, time_ms),
            "name": names.name("brand", draw, index),
            "created": _before(draw, time_ms),
        }
        updated = draw.take(16)
        if updated:  # sometimes absent
            brand["updated"] = time_ms if updated > 1 else None
        if draw.take(3):
            brand["published"] = min(time_ms + draw.take(60_000), as_of_ms)
            brand["version"] = (
                iso(time_ms) if draw.take(8) else names.either(names.text(draw), iso(time_ms))
            )
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


def _audiences(seed: int, names: Names) -> Maker:
    key = seed_key(seed, "audience")
    ids = names.slug_ids("audience")
    texts = ("naïve – 東京", "true") if names.is_hostile else ("Imported", "Reviewed")
    descriptions = ("", "Premium users in the EU", *texts)

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        audience: Record = {
            "id": ids[0](index, time_ms),
            "name": names.name("audience", draw, index) if draw.take(10) else "",
            "description": draw.of(descriptions),
            "created_at": iso(_before(draw, time_ms)),
            "updated_at": iso(time_ms),
        }
        shape = draw.take(6)
        if shape == 0:
            return audience
        if shape < 3:
            audience["filter"] = _condition(draw, names)
            return audience
        operator = draw.of(("AND", "OR"))
        if draw.take(2):
            audience["operator"] = operator
        audience["filter"] = _group(draw, names, operator, depth=shape - 3)
        return audience

    return Maker(*ids, record)


def _condition(draw: Draw, names: Names) -> Record:
    path = draw.of(("title", "plan", "country"))
    value = draw.of((names.either("007", "team"), "premium", *COUNTRIES))
    return {"operator": "EQ", "path": path, "value": value}


def _group(draw: Draw, names: Names, operator: str, *, depth: int) -> Record:
    filters = [_condition(draw, names)]
    if depth:
        filters.append(_group(draw, names, draw.of(("AND", "OR")), depth=depth - 1))
    return {"operator": operator, "filters": filters}


def _audit_events(
    seed: int, names: Names, targets: str, brand_id: IdOf, template_id: IdOf
) -> Maker:
    key = seed_key(seed, "audit event")
    coder = Coder(seed_key(seed, "audit event id"), NANOID, 21)
    kinds = ("user:role-changed", "notification:published", "brand:updated", "list:deleted")
    workspace = "0bde6440-afd3-4da3-81dd-2edb8598a88b"
    shapes = ("string", "object", "empty", "absent")
    if targets not in ("mixed", *shapes):
        raise ValueError(f"targets: {targets!r}")

    def id_of(index: int, time_ms: int) -> str:
        return coder.text(index)

    def target_of(kind: str, number: int, time_ms: int) -> str:
        if kind.startswith("brand:"):
            return brand_id(number % REFERRED, time_ms)
        if kind.startswith("notification:"):
            return template_id(number % REFERRED, time_ms)
        if kind.startswith("user:"):
            return f"user-{number % 50}"
        return f"EF607F6E84A34305{number:08X}"  # a list that no longer exists

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        actor: Record | None = {"id": f"user-{draw.take(50)}"}
        if draw.take(3) and actor is not None:
            actor["email"] = "joe@acme.example"
        elif draw.take(4) == 0:
            actor = None
        event: Record = {"auditEventId": id_of(index, time_ms), "actor": actor}
        shape = draw.of(shapes) if targets == "mixed" else targets
        number = draw.take(1 << 32)
        spelling = draw.take(3) if shape == "string" else 0
        event["source"] = draw.of(("courier.studio", "api"))
        event["timestamp"] = iso(time_ms)
        event["type"] = draw.of(kinds)
        name = target_of(event["type"], number, time_ms)
        if shape == "object":
            event["target"] = {"id": name, "email": "jane@acme.example"}
        elif shape == "string":
            spellings = (name, names.either("007", name), names.either("true", name))
            event["target"] = spellings[spelling]
        elif shape == "empty":
            event["target"] = {}
        if draw.take(2):
            event["workspaceId"] = workspace
        return event

    return Maker(id_of, coder.index, record)


def _lists(seed: int, names: Names) -> Maker:
    key = seed_key(seed, "list")
    ids = names.slug_ids("list")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        name = names.name("list", draw, index)
        row: Record = {"id": ids[0](index, time_ms), "name": name}
        times = draw.take(8)
        if times == 0:
            row |= {"created": None, "updated": None}
        elif times > 1:  # absent if 1
            row |= {"created": iso(_before(draw, time_ms)), "updated": iso(time_ms)}
        if draw.take(10) == 0:
            row["preferences"] = {"notifications": {"welcome": {"status": "OPTED_IN"}}}
        return row

    return Maker(*ids, record)


def _notifications(seed: int, names: Names, ids: Ids) -> Maker:
    key = seed_key(seed, "notification")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        id_ = ids[0](index, time_ms)
        topic = topic_of(seed, index)
        if index % 2:
            return _elemental_template(draw, names, id_, index, time_ms, topic)
        return _classic_template(draw, names, id_, index, time_ms, topic)

    return Maker(*ids, record)


def _classic_template(
    draw: Draw, names: Names, id_: str, index: int, time_ms: int, topic: str
) -> Record:
    nested = {"method": "all", "channels": ["push", "sms"]}
    channels = ["email", nested] if draw.take(2) else ["email"]
    row: Record = {
        "id": id_,
        "title": names.name("notification", draw, index),
        "created_at": _before(draw, time_ms),
        "updated_at": time_ms,
        "event_ids": [f"event-{index}"] if draw.take(2) else [],
        "routing": {"method": draw.of(("single", "all")), "channels": channels},
    }
    if draw.take(4):
        row["topic_id"] = topic
    if draw.take(3):
        row["tags"] = {"data": [{"id": f"tag-{index % 7}", "name": names.text(draw)}]}
    row["note"] = draw.of((None, "Ask legal first", names.either("007", "Reviewed")))
    return row


def _elemental_template(
    draw: Draw, names: Names, id_: str, index: int, time_ms: int, topic: str
) -> Record:
    published = draw.take(4) > 0
    row: Record = {
        "id": id_,
        "name": names.name("notification", draw, index),
        "state": "PUBLISHED" if published else "DRAFT",
        "tags": ["onboarding", names.text(draw)] if draw.take(2) else [],
        "created": time_ms,
        "creator": f"user_{draw.take(20)}",
    }
    if draw.take(3):
        row |= {"created": _before(draw, time_ms), "updated": time_ms, "updater": "user_def"}
    if published:
        row |= {"subscription_topic_id": topic, "topic_id": topic}
    return row


def _tenants(seed: int, names: Names, brand_id: IdOf) -> Maker:
    key = seed_key(seed, "tenant")
    ids = names.slug_ids("tenant")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        name = names.name("tenant", draw, index)
        tenant: Record = {"id": ids[0](index, time_ms), "name": name}
        if index and draw.take(3) == 0:
            tenant["parent_tenant_id"] = ids[0](draw.take(index), time_ms)
        elif draw.take(2):
            tenant["parent_tenant_id"] = None
        if draw.take(2):
            tenant["brand_id"] = brand_id(draw.take(REFERRED), time_ms)
        tenant["properties"] = _properties(draw, names)
        tenant["default_preferences"] = _preferences(draw, topic_of(seed, index))
        secret = {"access_token": f"xoxb-fake-{index}"}
        profile = {"locale": draw.of(("en-US", "de")), "slack": secret}
        tenant["user_profile"] = draw.of(({}, profile, None, {"plan": {"seats": [1, 2]}}))
        return tenant

    return Maker(*ids, record)


def _properties(draw: Draw, names: Names) -> Record:
    properties: Record = {}
    if draw.take(3):
        properties["seats"] = draw.take(500)
        # Not drawn, so that the values drawn after it do not change.
        properties["plan"] = ("free", "team", "business")[properties["seats"] % 3]
        properties["ceo"] = draw.of((None, "Person", names.either("007", "Ana Díaz"), ""))
    if draw.take(3) == 0:
        properties["address"] = {
            "city": draw.of(("Köln", names.either("東京", "Lyon"))),
            "geo": {"lat": 50.94},
        }
    if draw.take(3) == 0:
        properties["tags"] = ["a", 1, None, {"deep": [True]}]
    if draw.take(6) == 0:
        properties["address_city"] = "clashes once flattened"
    return properties


def _preferences(draw: Draw, topic_id: str) -> Record | None:
    topic = {"id": topic_id, "status": "OPTED_IN"}
    routed = topic | {"has_custom_routing": True, "custom_routing": ["email"]}
    return draw.of(({}, None, {"items": [topic]}, {"items": [routed, topic]}))
