"""A workspace's preferences: sections, their topics, and the log of users' choices."""

from collections.abc import Callable
from functools import lru_cache

from tests.support.fake_courier.drawing import Coder, Draw, seed_key
from tests.support.fake_courier.maker import Maker, Record, iso
from tests.support.fake_courier.members import USERS
from tests.support.fake_courier.names import BASE32

SECTIONS = ("Marketing", "Account", "Product", "Billing", "Security")
TOPICS = (
    "Product news", "Invoices", "Sign-in alerts", "Weekly digest", "Events", "Offers",
    "Maintenance", "Comments", "Mentions",
)  # fmt: skip
CHANNELS = ("email", "push", "sms", "inbox")
STATUSES = ("OPTED_IN", "OPTED_OUT")
# How many of the first topics the log and the templates refer to.
NAMED_TOPICS = 6


def topic_of(seed: int, index: int) -> str:
    """Returns the id of one of the topics that others refer to."""
    return _topic_ids(seed).text(index % NAMED_TOPICS)


def preference_makers(
    seed: int,
    *,
    sections: int,
    template_id: Callable[[int, int], str],
    audience_id: Callable[[int, int], str],
) -> dict[str, Maker]:
    """Returns the makers for preference_change, preference_section and subscription_topic."""
    section_ids = Coder(seed_key(seed, "section id"), BASE32, 26)
    topic_ids = _topic_ids(seed)

    def digest(index: int, time_ms: int) -> Record:
        schedule = {"schedule_id": f"sch/{index:08x}-aff0-484c-914d-36a257ea371f"}
        found: Record = {
            "template_id": template_id(index, time_ms),
            "schedules": [schedule | {"frequency": "daily", "time": "09:00", "is_default": True}],
            "categories": [{"category_key": "comments", "retain": "FIRST", "limit": 10}],
        }
        return found | ({"audience_id": audience_id(index, time_ms)} if index % 2 else {})

    return {
        "preference_change": _changes(seed, topic_ids),
        "preference_section": _sections(seed, section_ids),
        "subscription_topic": _topics(seed, topic_ids, section_ids, max(1, sections), digest),
    }


@lru_cache
def _topic_ids(seed: int) -> Coder:
    return Coder(seed_key(seed, "topic id"), BASE32, 28)


def _changes(seed: int, topic_ids: Coder) -> Maker:
    key = seed_key(seed, "preference change")
    ids = Coder(seed_key(seed, "preference change id"), BASE32.lower(), 20)

    def id_of(index: int, time_ms: int) -> str:
        return f"pcl-{ids.text(index)}"

    def index_of(text: str) -> int | None:
        return ids.index(text.removeprefix("pcl-"))

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        topic = draw.take(NAMED_TOPICS)
        row: Record = {
            "id": id_of(index, time_ms),
            "user_id": f"user-{draw.take(USERS)}",
            "topic_id": topic_ids.text(topic),
            "topic_name": TOPICS[topic],
            **_choice(draw),
            "timestamp": iso(time_ms),
        }
        if draw.take(3) == 0:
            row["tenant_id"] = draw.of(("acme", "globex"))
        if draw.take(2):
            row["previous"] = _choice(draw)
        return row

    return Maker(id_of, index_of, record)


def _choice(draw: Draw) -> Record:
    routed = draw.take(3) == 0
    return {
        "status": draw.of(STATUSES),
        "has_custom_routing": routed,
        "custom_routing": [draw.of(CHANNELS)] if routed else [],
    }


def _sections(seed: int, ids: Coder) -> Maker:
    key = seed_key(seed, "section")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        row: Record = {
            "id": ids.text(index),
            "name": _named(SECTIONS, index),
            "has_custom_routing": bool(draw.take(2)),
            "routing_options": [draw.of(CHANNELS)] if draw.take(2) else [],
            "created": iso(time_ms),
        }
        if draw.take(2):
            row |= {"description": "News and offers", "creator": "user-admin"}
        if draw.take(2):
            row |= {"updated": iso(time_ms), "updater": "user-admin"}
        return row

    return Maker(lambda index, time_ms: ids.text(index), ids.index, record)


def _topics(
    seed: int,
    ids: Coder,
    section_ids: Coder,
    sections: int,
    digest: Callable[[int, int], Record],
) -> Maker:
    key = seed_key(seed, "topic")

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        row: Record = {
            "id": ids.text(index),
            "section_id": section_ids.text(index % sections),
            "name": _named(TOPICS, index),
            "default_status": draw.of((*STATUSES, "REQUIRED")),
            "routing_options": ["email"] if draw.take(2) else [],
            "allowed_preferences": ["snooze", "channel_preferences"] if draw.take(2) else [],
            "include_unsubscribe_header": bool(draw.take(2)),
            "topic_data": {"order": index} if draw.take(2) else {},
            "created": iso(time_ms),
            "updated": iso(time_ms),
        }
        if draw.take(2):
            row |= {"description": "Once a month", "creator": "user-admin"}
        if draw.take(3) == 0:
            row["digest"] = digest(index, time_ms)
        return row

    return Maker(lambda index, time_ms: ids.text(index), ids.index, record)


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"{names[index % len(names)]} {index}"
