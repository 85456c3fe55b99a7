"""The seven core streams as data, and every table by its name.

A comment at each unusual choice gives the evidence; "docs" is Courier's API reference, "SDK" its
official Python client. To add a core stream, add an entry to STREAMS.
"""

from typing import Final

from courier_async.catalog import core_columns
from courier_async.catalog.child_streams import FURTHER
from courier_async.catalog.positions import message_cursor_at
from courier_async.catalog.stream import DAY_MS, Family, Stream

STREAMS: Final[tuple[Stream, ...]] = (
    Stream(
        table="brand",
        about="A brand: colors, logo and other settings of emails and the inbox.",
        path="/brands",
        arrays=("results",),
        columns=core_columns.BRAND,
    ),
    Stream(
        table="audience",
        about="An audience: users who match a filter.",
        path="/audiences",
        arrays=("items",),
        columns=core_columns.AUDIENCE,
    ),
    Stream(
        # The key has a name of its own and there is no `id` (SDK types/audit_event.py).
        table="audit_event",
        about="An event in the workspace's audit trail.",
        path="/audit-events",
        arrays=("results",),
        key=("auditEventId",),
        # Probably newest first, but not documented, so the order is learned, not presumed.
        time_field="timestamp",
        overlap_ms=DAY_MS,
        # Events do not change, and how long the API keeps them is not documented.
        keeps_rows=False,
        deletes=False,
        columns=core_columns.AUDIT_EVENT,
    ),
    Stream(
        # The current SDK reads `items`; docs of 2024 show `results`.
        table="list",
        about="A list that users subscribe to.",
        path="/lists",
        arrays=("items", "results"),
        columns=core_columns.LIST,
    ),
    Stream(
        # Ten per page whatever is requested (docs, and recorded traffic of 2022);
        # "most recent first" (SDK resources/messages.py).
        table="message",
        about="A message sent to one recipient, with its current status.",
        path="/messages",
        arrays=("results",),
        time_field="enqueued",
        presumed_newest_first=True,
        # One was opened 16 days after enqueuing, and 25 more times (recorded traffic of 2022).
        changes_late=True,
        settled_times={
            "DELIVERED": "delivered",
            "OPENED": "opened",
            "CLICKED": "clicked",
            "CANCELED": "canceledAt",
        },
        own_times=("enqueued", "sent", "delivered", "opened", "clicked", "canceledAt"),
        # Archived messages and those past their retention leave the API but stay in the table.
        keeps_rows=False,
        deletes=False,
        cursor_at=message_cursor_at,
        # Webhooks carry `providers`; if the listing ever does, these fields are raw and personal.
        left_out=("providerResponse", "reference"),
        columns=core_columns.MESSAGE,
    ),
    Stream(
        # The `note` of a legacy template is returned only on request.
        table="notification",
        about="A notification template, legacy or newer.",
        path="/notifications",
        arrays=("results",),
        params=(("notes", "true"),),
        # The id of an archived template returns 200, that of a draft 404 (SDK, docs).
        id_tells=False,
        columns=core_columns.NOTIFICATION,
    ),
    Stream(
        # 100 is the documented maximum, 20 the default (SDK types/tenant_list_params.py).
        table="tenant",
        about="A tenant: a customer or team with users, preferences and a brand of its own.",
        path="/tenants",
        arrays=("items",),
        family=Family.LIST,
        params=(("limit", "100"),),
        columns=core_columns.TENANT,
    ),
)

ALL: Final[tuple[Stream, ...]] = (*STREAMS, *FURTHER)
BY_TABLE: Final[dict[str, Stream]] = {stream.table: stream for stream in ALL}
