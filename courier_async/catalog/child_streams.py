"""The further tables as data: listings, children of a parent's rows, children of a message."""

from typing import Final

from courier_async.catalog.stream import Stream

FURTHER: Final[tuple[Stream, ...]] = ()
