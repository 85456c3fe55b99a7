"""Cursors as the API gives them out: a place in the listing, in base64 (API reference, paging)."""

import binascii
from base64 import b32decode, b32encode, b64decode, b64encode
from dataclasses import dataclass

from tests.support.fake_courier.table import Place

WORKSPACE = "0bde6440-afd3-4da3-81dd-2edb8598a88b"
# Whatever precedes them, six such bytes give both a + and a / in base64.
AWKWARD_TAIL = ">?>?>?"


@dataclass(frozen=True)
class Cursor:
    """A place to read on from. fresh: 0, or a number that only makes the text differ.

    generation: how often the API had forgotten its cursors when it gave this one out. thin: leads
    on to every third record only.
    """

    place: Place
    fresh: int = 0
    generation: int = 0
    thin: bool = False


def encode(stream: str, cursor: Cursor, *, awkward: bool = False) -> str:
    """Returns base64 of `<epoch ms>,<id>`, or of other forms for tenants and audit events."""
    position, id_ = cursor.place
    if stream == "tenant":
        id_ = b64encode(f"{WORKSPACE}/test/{id_}".encode()).decode()
    text = f"{position},{id_}"
    if cursor.fresh or cursor.generation or cursor.thin:
        text += f",{cursor.fresh}.{cursor.generation}" + (".1" if cursor.thin else "")
    if stream == "audit_event":
        text = f"1:{b32encode(text.encode()).decode().rstrip('=')}"
    if awkward:
        text += "," + AWKWARD_TAIL
    return b64encode(text.encode()).decode()


def decode(stream: str, text: str) -> Cursor | None:
    """Returns what `encode` was given, or None if the text is not a cursor of this stream."""
    try:
        plain = b64decode(text.encode(), validate=True).decode().removesuffix("," + AWKWARD_TAIL)
        if stream == "audit_event":
            token = plain.removeprefix("1:")
            plain = b32decode(token + "=" * (-len(token) % 8)).decode()
        position, id_, *marks = plain.split(",")
        fresh, generation, *thin = (int(mark) for mark in (marks or ["0.0"])[0].split("."))
        if stream == "tenant":
            id_ = b64decode(id_.encode(), validate=True).decode().split("/", 2)[2]
        return Cursor((int(position), id_), fresh, generation, bool(thin))
    except (binascii.Error, ValueError, IndexError):
        return None
