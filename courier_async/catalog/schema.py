"""What the catalog says to others: the schema that Fivetran is told."""

from collections.abc import Iterable
from typing import Any

from courier_async.catalog.stream import Stream


def schema_of(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """Fivetran's schema of these tables: keys and every column, each with its type."""
    return [
        {
            "table": stream.table,
            "primary_key": list(stream.key_columns),
            "columns": {column.name: column.type.value for column in stream.columns},
        }
        for stream in streams
    ]
