"""The two shapes in which the API wraps a page, and the forms that a last page may take."""

from typing import Any

Body = dict[str, Any]


def paging_body(array: str, records: list[Any], cursor: str | None, ending: str | None) -> Body:
    """Wraps a page in the paging family. ending: None if more follows, else one of LAST_PAGES."""
    paging: Body | None = {"cursor": cursor, "more": ending is None}
    if ending == "cursor_null":
        paging = {"cursor": None, "more": False}
    elif ending == "cursor_absent":
        paging = {"more": False}
    elif ending == "cursor_only":
        paging = {"cursor": cursor}
    elif ending == "paging_empty":
        paging = {}
    elif ending == "paging_null":
        paging = None
    body: Body = {} if ending == "paging_absent" else {"paging": paging}
    return body | {array: records}


def list_object_body(
    url: str,
    array: str,
    records: list[Any] | None,
    cursor: str | None,
    ending: str | None,
    *,
    with_cursor: bool,
    next_url_origin: str | None,
) -> Body:
    """Wraps a page in the list-object family (tenants, their users).

    next_url_origin: "" for a relative URL, None to leave it out.
    """
    body: Body = {"type": "list", "url": url, "has_more": ending is None}
    if ending == "cursor_null":
        body |= {"cursor": None, "next_url": None}
    elif cursor is not None and ending in (None, "cursor", "cursor_only"):
        if with_cursor:
            body["cursor"] = cursor
        if next_url_origin is not None:
            # = and / are raw, as the real API sends them; a raw + would be read as a blank.
            text = cursor.replace("+", "%2B")
            body["next_url"] = f"{next_url_origin}{url}?cursor={text}"
    return body | {array: records}
