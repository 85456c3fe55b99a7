"""Helpers that define columns: the path in the record gives the column its name."""

import re
from typing import Final

from courier_async.catalog.stream import Column, Type

# Sources that show that a field exists.
SDK: Final = "SDK"
DOCS: Final = "docs"
ANSWERS: Final = "answers"
CONNECTOR: Final = "connector"

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def column(
    path: str,
    type_: Type,
    meaning: str,
    *,
    source: str = SDK,
    refers_to: str | None = None,
) -> Column:
    """Returns the column for a path such as `settings.email.header.barColor`, in snake_case."""
    return Column(
        name=_WORD_ENDS.sub("_", path.replace(".", "_")).lower(),
        path=tuple(path.split(".")),
        type=type_,
        meaning=meaning,
        source=source,
        refers_to=refers_to,
    )


def first_of(name: str, copied: tuple[str, ...], type_: Type, meaning: str) -> Column:
    """Returns a column that repeats the first non-empty one of others."""
    return Column(
        name=name, path=(), type=type_, meaning=meaning, source=CONNECTOR, first_of=copied
    )


ADDITIONAL_FIELDS: Final = Column(
    name="additional_fields",
    path=(),
    type=Type.JSON,
    meaning="Fields without a column, and values that do not fit their column's type, "
    "nested as Courier sent them.",
    source=CONNECTOR,
)
