"""The fields of Fivetran's setup form as data: what the user is asked, and in which words."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from courier_async.catalog.child_streams import FURTHER
from courier_async.catalog.streams import STREAMS
from courier_async.settings import CORE, EVERY


class Kind(Enum):
    TEXT = "text"
    PASSWORD = "password"  # noqa: S105 (no password)
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. name: the configuration key. choices: (value, label) pairs of a CHOICE.

    An empty field means the default, which the description states: forms have no defaults.
    """

    name: str
    label: str
    description: str
    kind: Kind = Kind.TEXT
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False


FIELDS: Final[tuple[Field, ...]] = (
    Field(
        "api_key",
        "Courier API key",
        "In Courier: Settings > API Keys. The key determines which environment is read: "
        "production or test.",
        kind=Kind.PASSWORD,
        required=True,
    ),
    Field(
        "region",
        "Region of the Courier workspace",
        "Default: US.",
        kind=Kind.CHOICE,
        choices=(("US", "US (api.courier.com)"), ("EU", "EU (api.eu.courier.com)")),
    ),
    Field(
        "streams",
        "Tables to sync",
        f"Separated by commas. {CORE} stands for {', '.join(s.table for s in STREAMS)}; "
        f"{EVERY} adds {', '.join(s.table for s in FURTHER)}. Default: {CORE}.",
    ),
    Field(
        "sync_since",
        "Sync messages and audit events since",
        "For example 2026-01-31; older ones are left out. Default: everything Courier still has.",
    ),
    Field(
        "message_lookback_days",
        "Days to look back for message changes",
        "Deliveries, opens and clicks. 0 to 365. Default: 30.",
    ),
    Field(
        # Not a toggle: an untouched toggle is off, which would turn off the default.
        "capture_deletes",
        "Mark rows as deleted when they are deleted in Courier",
        "Does not apply to messages and audit events. Default: true.",
        kind=Kind.CHOICE,
        choices=(("true", "Yes"), ("false", "No")),
    ),
    Field(
        "redact_secrets",
        "Redact secrets in free-form fields",
        "Values of keys such as access_token or password land as [redacted]. Default: true.",
        kind=Kind.CHOICE,
        choices=(("true", "Yes"), ("false", "No")),
    ),
    Field(
        "requests_per_second",
        "Maximum requests per second",
        "For all tables together. 0.1 to 1000. Default: 50.",
    ),
    Field(
        "message_lanes",
        "Parallel lanes for reading a long message history",
        "1 to 128 sets a fixed number; 1 reads page by page. Default: as many as the rate allows.",
    ),
    Field(
        "children_refresh_hours",
        "Hours between refreshes of subscribers, members, tenant users and metrics",
        "0 reads them in every sync; up to 720. Default: 24.",
    ),
    Field(
        "max_retries",
        "Maximum retries per request",
        "0 to 10. Default: 3.",
    ),
    Field(
        "request_timeout_seconds",
        "Response timeout in seconds",
        "1 to 600. Default: 60.",
    ),
    Field(
        "checkpoint_interval_seconds",
        "Seconds between checkpoints",
        "0 to 3600; 0 saves after every page. Default: 60.",
    ),
)

KEY_TEST: Final = "Courier accepts the key"
STREAMS_TEST: Final = "Each table can be read"
