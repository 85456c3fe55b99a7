"""The further tables as data: listings, children of a parent's rows, children of a message.

Read only if the configuration names them. A comment at each unusual choice gives the evidence.
"""

from datetime import datetime
from typing import Any, Final

from courier_async.catalog import child_columns
from courier_async.catalog.fit import fit_time
from courier_async.catalog.stream import DAY_MS, Family, Stream

_GRANULARITY: Final = "DAY"
# Raw provider responses, wherever a delivery attempt is described.
_RAW_ANSWERS: Final = ("providerResponse", "reference")


def topics_of(section: Any) -> list[Any]:
    """Returns the topics of one preference section, each with its section's id."""
    if not isinstance(section, dict):
        return [section]
    if "topics" not in section:
        # Documented as always present, so its absence does not mean that there are none.
        return [None]
    section_id = section.get("id")
    return [_with(topic, section_id=section_id) for topic in _elements(section["topics"])]


def counts_of(bucket: Any) -> list[Any]:
    """Returns the counts of one day's metrics, by provider and channel.

    Their time is part of the key, so an invalid time is left empty: such a record cannot be
    stored.
    """
    if not isinstance(bucket, dict):
        return [bucket]
    period = fit_time(bucket.get("period"))
    day = period.isoformat() if isinstance(period, datetime) else ""
    return [
        _with(counts, granularity=_GRANULARITY, period=day, **_unnamed(counts))
        for counts in _elements(bucket.get("data"))
    ]


def _unnamed(counts: Any) -> dict[str, str]:
    """Returns "none" for each other part of the key that is null or empty."""
    names = ("provider", "channel") if isinstance(counts, dict) else ()
    return {name: "none" for name in names if name in counts and counts[name] in (None, "")}


def _elements(value: Any) -> list[Any]:
    """Returns an array's elements. Any other value is one element, which cannot be stored."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _with(record: Any, **fields: Any) -> Any:
    return record | fields if isinstance(record, dict) else record


_LISTINGS: Final = (
    Stream(
        # "Newest first" (SDK resources/workspace_preferences), but learned all the same.
        table="preference_change",
        about="A change to a user's preference for a subscription topic: status or channels.",
        path="/preferences/logs",
        arrays=("items",),
        # 25 is the default, 100 the maximum (official MCP server).
        params=(("limit", "100"),),
        time_field="timestamp",
        overlap_ms=DAY_MS,
        keeps_rows=False,
        deletes=False,
        columns=child_columns.PREFERENCE_CHANGE,
    ),
    Stream(
        table="preference_section",
        about="A section of the preference page, which groups subscription topics.",
        path="/preferences/sections",
        arrays=("results",),
        family=Family.WHOLE,
        # Rows of subscription_topic.
        left_out=("topics",),
        columns=child_columns.PREFERENCE_SECTION,
    ),
    Stream(
        table="subscription_topic",
        about="A subscription topic that users opt in to or out of.",
        path="/preferences/sections",
        arrays=("results",),
        family=Family.WHOLE,
        flatten=topics_of,
        # A topic's own path lies below its section's (SDK resources/workspace_preferences).
        id_tells=False,
        columns=child_columns.SUBSCRIPTION_TOPIC,
    ),
)

_CHILDREN: Final = (
    Stream(
        table="list_subscription",
        about="A user's subscription to a list.",
        path="/lists/{id}/subscriptions",
        arrays=("items",),
        key=("list_id", "recipientId"),
        parent="list",
        columns=child_columns.LIST_SUBSCRIPTION,
    ),
    Stream(
        table="audience_member",
        about="A user who belongs to an audience.",
        path="/audiences/{id}/members",
        arrays=("items",),
        key=("audience_id", "member_id"),
        parent="audience",
        # Quotes the user's attributes (docs).
        left_out=("reason",),
        columns=child_columns.AUDIENCE_MEMBER,
    ),
    Stream(
        table="tenant_user",
        about="A user who belongs to a tenant.",
        path="/tenants/{id}/users",
        arrays=("items",),
        key=("tenant_id", "user_id"),
        family=Family.LIST,
        params=(("limit", "100"),),
        # `items` is optional and nullable, this is not (SDK types/tenant_list_users_response.py).
        field_when_empty="has_more",
        # A member's `user_id` is optional and nullable too (SDK types/tenant_association.py).
        may_lack_key=True,
        parent="tenant",
        # The user's profile within the tenant: personal, and may contain tokens.
        left_out=("profile",),
        columns=child_columns.TENANT_USER,
    ),
    Stream(
        table="notification_metric",
        about="A template's deliveries on one UTC day, by provider and channel.",
        path="/notifications/{id}/metrics",
        arrays=("series",),
        key=("notification_id", "granularity", "period", "provider", "channel"),
        family=Family.WHOLE,
        # One request per template, whatever the window (official skills, metrics.md).
        params=(("granularity", _GRANULARITY), ("lookback", "P30D")),
        # Days before the window are no longer requested; their rows stay.
        deletes=False,
        parent="notification",
        flatten=counts_of,
        # 1, 2 or 5 depending on the plan; not available in the EU (official skills, metrics.md).
        requests_per_second=1.0,
        # A day's counts grow for some days, and are no longer returned after thirty.
        read_within_ms=25 * DAY_MS,
        us_only=True,
        columns=child_columns.NOTIFICATION_METRIC,
    ),
)

_OF_A_MESSAGE: Final = (
    Stream(
        # The message itself; `providers` is optional, its id is not (SDK
        # types/message_retrieve_response.py).
        table="message_provider",
        about="An attempt to deliver a message, by provider.",
        path="/messages/{id}",
        arrays=("providers",),
        key=("message_id", "position"),
        family=Family.WHOLE,
        keeps_rows=False,
        deletes=False,
        field_when_empty="id",
        parent="message",
        left_out=_RAW_ANSWERS,
        columns=child_columns.MESSAGE_PROVIDER,
    ),
    Stream(
        # Events have no id of their own, and two of one type can share a millisecond.
        table="message_event",
        about="An event in a message's history.",
        path="/messages/{id}/history",
        arrays=("results",),
        key=("message_id", "position"),
        family=Family.WHOLE,
        time_field="ts",
        keeps_rows=False,
        deletes=False,
        parent="message",
        # Content and profiles of recipients (recorded traffic, docs).
        left_out=(
            "data",
            "profile",
            "override",
            "merged_profile",
            "received_profile",
            "stored_profile",
            *_RAW_ANSWERS,
        ),
        columns=child_columns.MESSAGE_EVENT,
    ),
)

FURTHER: Final[tuple[Stream, ...]] = (*_LISTINGS, *_CHILDREN, *_OF_A_MESSAGE)
