"""The fields of Fivetran's setup form as data: what a person is asked, and in which words."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from courier_async.catalog.streams import STREAMS
from courier_async.settings import OTHER_ADDRESS


class Kind(Enum):
    TEXT = "text"
    PASSWORD = "password"  # noqa: S105 (no password)
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Field:
    """name: the configuration key. choices: of a CHOICE, (value, label) each.

    What is left empty has its default, which the description tells: a form has none of its own.
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
        "In Courier: Settings > API Keys. The key decides which environment is read: production "
        "or test.",
        kind=Kind.PASSWORD,
        required=True,
    ),
    Field(
        "region",
        "Region of the Courier workspace",
        "Default: US. For any other address, choose the last and fill in the next field.",
        kind=Kind.CHOICE,
        choices=(
            ("US", "US (api.courier.com)"),
            ("EU", "EU (api.eu.courier.com)"),
            (OTHER_ADDRESS, "Another address"),
        ),
    ),
    Field(
        "base_url",
        "Address of Courier's API",
        "Only if the region is another address, such as https://courier.example.com.",
    ),
    Field(
        "streams",
        "Tables to sync",
        f"Separated by commas. Default: all, {', '.join(stream.table for stream in STREAMS)}.",
    ),
    Field(
        "sync_since",
        "First day of messages and audit events",
        "Such as 2026-01-31; a first sync leaves out what is older. Default: all that Courier "
        "still has.",
    ),
    Field(
        "message_lookback_days",
        "Days of messages that each sync reads again",
        "Messages change after they are sent. 0 to 365. Default: 3.",
    ),
    Field(
        "message_deep_lookback_days",
        "Days of messages that are read again once a day",
        "For late opens and clicks. 0 to 365. Default: 30.",
    ),
    Field(
        # No toggle: one that nobody touches is off, and would turn the default off.
        "capture_deletes",
        "Mark rows as deleted when they are deleted in Courier",
        "Never messages and audit events. Default: true.",
        kind=Kind.CHOICE,
        choices=(("true", "Yes"), ("false", "No")),
    ),
    Field(
        "requests_per_second",
        "Most requests a second",
        "Of all tables together. 0.1 to 1000. Default: 50.",
    ),
    Field(
        "message_lanes",
        "Places at which a long history of messages is read at once",
        "1 to 32; 1 reads page by page. Default: 8.",
    ),
    Field(
        "max_retries",
        "Most retries of a request",
        "0 to 10. Default: 3.",
    ),
    Field(
        "request_timeout_seconds",
        "Seconds to wait for an answer",
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
