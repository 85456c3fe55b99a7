"""The endpoints that the API serves (Courier's API reference)."""

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Stream:
    """Where a stream is served: path, name of its array, key of a record, default page size.

    largest: the largest `limit`; 0: `limit` is ignored. is_list_object: the page is wrapped in
    {"type": "list", "has_more"}. parent: the stream whose ids replace {id} in the path.
    """

    path: str
    array: str
    key: str
    page_size: int
    by_id: bool = False  # GET <path>/<id> is answered
    largest: int = 0
    is_list_object: bool = False
    parent: str | None = None


# The seven that the connector reads by default.
STREAMS = {
    "brand": Stream("/brands", "results", "id", 10, True),
    "audience": Stream("/audiences", "items", "id", 10, True),
    "audit_event": Stream("/audit-events", "results", "auditEventId", 10),
    "list": Stream("/lists", "items", "id", 10, True),
    "message": Stream("/messages", "results", "id", 10),
    "notification": Stream("/notifications", "results", "id", 10, True),
    "tenant": Stream("/tenants", "items", "id", 20, True, 100, True),
}
PREFERENCE_STREAMS = {
    "preference_change": Stream("/preferences/logs", "items", "id", 25, largest=100),
    "preference_section": Stream("/preferences/sections", "results", "id", 0),
    # Served inside the sections.
    "subscription_topic": Stream("/preferences/sections", "results", "id", 0),
}
# Pages of a parent's rows. The key is the user's id.
MEMBER_STREAMS = {
    "list_subscription": Stream(
        "/lists/{id}/subscriptions", "items", "recipientId", 10, parent="list"
    ),
    "audience_member": Stream(
        "/audiences/{id}/members", "items", "member_id", 10, parent="audience"
    ),
    "tenant_user": Stream(
        "/tenants/{id}/users", "items", "user_id", 20, False, 100, True, parent="tenant"
    ),
}
# One answer per parent.
DETAIL_STREAMS = {
    "notification_metric": Stream(
        "/notifications/{id}/metrics", "series", "period", 0, parent="notification"
    ),
    "message_event": Stream("/messages/{id}/history", "results", "ts", 0, parent="message"),
    "message_provider": Stream("/messages/{id}", "providers", "provider", 0, parent="message"),
}
FURTHER_STREAMS = {**PREFERENCE_STREAMS, **MEMBER_STREAMS, **DETAIL_STREAMS}
EVERY_STREAM = {**STREAMS, **FURTHER_STREAMS}
PAGED_STREAMS = {**STREAMS, "preference_change": PREFERENCE_STREAMS["preference_change"]}
PAGED_STREAMS |= MEMBER_STREAMS


@dataclass(frozen=True)
class Route:
    """What a path names: a listing, a record by its id, or the children of a parent."""

    stream: str
    id: str | None = None
    parent: str | None = None


_AT = {s.path: name for name, s in EVERY_STREAM.items() if s.parent is None}
_AT["/preferences/sections"] = "preference_section"


def route(path: str) -> Route | None:
    """Returns what a path, percent-encoded as sent, names; None if nothing."""
    if path in _AT:
        return Route(_AT[path])
    for name, stream in FURTHER_STREAMS.items():
        if stream.parent is None:
            continue
        before, _, after = stream.path.partition("{id}")
        id_ = path.removeprefix(before).removesuffix(after)
        if path == f"{before}{id_}{after}" and id_ and "/" not in id_:
            return Route(name, parent=unquote(id_))
    parent, _, last = path.rpartition("/")
    found = _AT.get(parent)
    if found is None or not EVERY_STREAM[found].by_id or not last:
        return None
    return Route(found, id=unquote(last))
