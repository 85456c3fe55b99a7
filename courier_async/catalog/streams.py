"""The seven streams as data. To add one, add an entry to STREAMS.

Evidence for each odd choice stands beside it; "docs" are Courier's API reference,
"SDK" its official Python client.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

DAY_MS: Final = 86_400_000

Record = dict[str, Any]


class Family(Enum):
    """How an endpoint says that there is more."""

    PAGING = "paging"  # {"paging": {"more", "cursor"}, <array>: [...]}
    LIST = "list"  # {"type": "list", "has_more", "cursor", "next_url", "items": [...]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One endpoint and the table that it fills.

    table: name of the table, and of the stream in the configuration and the state.
    arrays: where the records may stand in an answer, the likeliest first.
    key: the record's field that becomes the table's primary key.
    params: sent with every page, beside the cursor.
    time_field: the field that orders the stream and carries its watermark; epoch
        milliseconds or ISO 8601. None: every sync reads every page.
    presumed_newest_first: believed of the order before a walk has shown it.
    changes: False where a record never changes once it is there, so that no lookback is needed.
    keeps_rows: the state keeps a fingerprint a row, so that only changes are sent and
        rows that have gone are deleted.
    cursors_are_positions: a cursor can be made up for any time, so that one long stream is read
        in several places at once.
    text_columns: columns declared as text, since their values can look like numbers,
        booleans or times and the destination would type them by their look. All that is
        documented as text or as a list, under its flattened name (README, Tables created).
    """

    table: str
    path: str
    arrays: tuple[str, ...]
    key: str = "id"
    family: Family = Family.PAGING
    params: tuple[tuple[str, str], ...] = ()
    time_field: str | None = None
    presumed_newest_first: bool = False
    changes: bool = True
    keeps_rows: bool = True
    cursors_are_positions: bool = False
    text_columns: tuple[str, ...] = ()

    def key_of(self, record: Any) -> str | None:
        """The record's key as text, or None where it has none and so cannot be stored."""
        key = record.get(self.key) if isinstance(record, dict) else None
        if isinstance(key, str):
            # The destination drops NUL, and would take two such keys for one.
            return key.replace("\x00", "") or None
        return str(key) if isinstance(key, int) and not isinstance(key, bool) else None


# Events that become visible later than this after their own time are missed.
AUDIT_OVERLAP_MS: Final = DAY_MS

STREAMS: Final[tuple[Stream, ...]] = (
    Stream(
        table="brand",
        path="/brands",
        arrays=("results",),
        # `version` looks like a time, but nothing promises that it stays one.
        text_columns=(
            *("name", "version", "snippets_items"),
            *("settings_colors_primary", "settings_colors_secondary"),
            *("settings_email_header_logo_href", "settings_email_header_logo_image"),
            *("settings_email_header_barColor", "settings_email_head_content"),
            *("settings_email_footer_content", "settings_email_footer_markdown"),
            *("settings_inapp_colors_primary", "settings_inapp_placement"),
            *("settings_inapp_icons_bell", "settings_inapp_icons_message"),
            *("settings_inapp_widgetBackground_topColor",),
            *("settings_inapp_widgetBackground_bottomColor",),
            *("settings_inapp_borderRadius", "settings_inapp_fontFamily"),
            *("settings_inapp_preferences_templateIds",),
        ),
    ),
    Stream(
        table="audience",
        path="/audiences",
        arrays=("items",),
        text_columns=(
            *("name", "description", "operator"),
            *("filter_operator", "filter_path", "filter_value", "filter_filters"),
        ),
    ),
    Stream(
        # The key has a name of its own and there is no `id` (SDK types/audit_event.py).
        table="audit_event",
        path="/audit-events",
        arrays=("results",),
        key="auditEventId",
        # Believed newest first, but nowhere documented: so learned, not presumed.
        time_field="timestamp",
        changes=False,
        keeps_rows=False,
        # `target` is text in the SDK and an object in older documentation.
        text_columns=(
            *("type", "source", "workspaceId", "actor_id", "actor_email"),
            *("target", "target_id", "target_email"),
        ),
    ),
    Stream(
        # The current SDK reads `items`; docs of 2024 show `results`.
        table="list",
        path="/lists",
        arrays=("items", "results"),
        text_columns=("name",),
    ),
    Stream(
        # Ten a page whatever is asked (docs, and recorded traffic of 2022);
        # "most recent first" (SDK resources/messages.py).
        table="message",
        path="/messages",
        arrays=("results",),
        time_field="enqueued",
        presumed_newest_first=True,
        keeps_rows=False,
        # base64 of "<enqueued in epoch ms>,<message id>" (docs, paging).
        cursors_are_positions=True,
        text_columns=(
            *("status", "recipient", "recipientId", "event", "notification"),
            *("error", "reason", "reasonCode", "reasonDetails"),
            *("listId", "listMessageId", "idempotencyKey", "runId", "jobId"),
        ),
    ),
    Stream(
        # `note` of a legacy template arrives only when it is asked for.
        table="notification",
        path="/notifications",
        arrays=("results",),
        params=(("notes", "true"),),
        text_columns=(
            *("title", "name", "note", "state", "creator", "updater"),
            *("topic_id", "subscription_topic_id", "tags", "tags_data", "event_ids"),
            *("routing_method", "routing_channels"),
        ),
    ),
    Stream(
        # 100 is the documented maximum, 20 the default (SDK types/tenant_list_params.py).
        table="tenant",
        path="/tenants",
        arrays=("items",),
        family=Family.LIST,
        params=(("limit", "100"),),
        text_columns=("name", "parent_tenant_id", "brand_id", "default_preferences_items"),
    ),
)

BY_TABLE: Final[dict[str, Stream]] = {stream.table: stream for stream in STREAMS}
