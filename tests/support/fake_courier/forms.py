"""The forms in which a record's times may come."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.support.fake_courier.maker import Record, iso

TIME_FORMS = ("ms", "float", "seconds", "microseconds", "digits", "iso", "naive_iso", "nonsense")
TIME_FIELDS = {
    "brand": ("created", "updated", "published"),
    "audience": ("created_at", "updated_at"),
    "audit_event": ("timestamp",),
    "list": ("created", "updated"),
    "message": ("enqueued", "sent", "delivered", "opened", "clicked", "canceledAt"),
    "notification": ("created", "updated", "created_at", "updated_at"),
    "preference_change": ("timestamp",),
}
_MAKERS: Mapping[str, Callable[[int], Any]] = {
    "ms": int,
    "float": float,
    "seconds": lambda ms: ms // 1000,
    "microseconds": lambda ms: ms * 1000,
    "digits": str,
    "iso": iso,
    "naive_iso": lambda ms: iso(ms).removesuffix("Z"),
    "nonsense": lambda ms: "yesterday",
}


def in_form(stream: str, record: Record, form: str) -> Record:
    """Returns the record with its times in another form; null and absent times stay so."""
    changed = dict(record)
    for name in TIME_FIELDS.get(stream, ()):
        if changed.get(name) is not None:
            changed[name] = _MAKERS[form](_ms(changed[name]))
    return changed


def _ms(value: Any) -> int:
    if isinstance(value, int):
        return value
    return round(datetime.fromisoformat(value).astimezone(UTC).timestamp() * 1000)
