"""The seven streams as the API serves them (Courier's API reference)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """Where a stream is served: path, name of its array, key of a record, default page size."""

    path: str
    array: str
    key: str
    page_size: int
    by_id: bool  # GET <path>/<id> is answered


STREAMS = {
    "brand": Stream("/brands", "results", "id", 10, True),
    "audience": Stream("/audiences", "items", "id", 10, True),
    "audit_event": Stream("/audit-events", "results", "auditEventId", 10, False),
    "list": Stream("/lists", "items", "id", 10, True),
    "message": Stream("/messages", "results", "id", 10, False),
    "notification": Stream("/notifications", "results", "id", 10, True),
    "tenant": Stream("/tenants", "items", "id", 20, True),
}

EVERY_STREAM = {**STREAMS}
