"""The schema declared to Fivetran, and a salt that changes with it."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from courier_async.catalog.stream import Stream

# Raise it when the same columns hold different values: every row is then sent once more.
_CONVERSIONS: Final = 1


def schema_of(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """Returns Fivetran's schema of these tables: keys and every column, each with its type."""
    return [
        {
            "table": stream.table,
            "primary_key": list(stream.key_columns),
            "columns": {column.name: column.type.value for column in stream.columns},
        }
        for stream in streams
    ]


def salt_of(stream: Stream, redact_secrets: bool) -> bytes:
    """Returns an 8-byte salt for a stream's fingerprints, that changes if its rows would.

    After a change of the columns or of `redact_secrets`, each row is sent once more.
    """
    columns = [(c.name, c.path, c.type.value, c.first_of) for c in stream.columns]
    definition = (_CONVERSIONS, stream.key, sorted(columns), stream.left_out, redact_secrets)
    return hashlib.blake2b(repr(definition).encode(), digest_size=8).digest()
