"""Parses a response body into a page: its records and the cursor of the next page.

There are three families of envelopes (stream.Family). A body that does not fit is a named error,
since taking it for an empty page would silently lose rows.
"""

from typing import Any, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import msgspec

from courier_async.catalog.stream import Family, Stream
from courier_async.errors import BadAnswer

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
# The fields of a list that point to a next page. An envelope without any of them is malformed.
_NEXT_PAGE_FIELDS: Final = frozenset({"has_more", "cursor", "next_url"})


class Page(msgspec.Struct, frozen=True):
    """records: as received, any JSON. next_cursor: None on the last page.

    trouble: why the next page cannot be determined; raised once the records are written.
    """

    records: list[Any]
    next_cursor: str | None
    trouble: BadAnswer | None = None


def parse_page(stream: Stream, body: Any, *, base_url: str) -> Page:
    """Returns the page in `body`. Raises BadAnswer if it has no list of the stream's records."""
    if not isinstance(body, dict):
        raise BadAnswer("the response is JSON, but not an object")
    records = _records(stream, body)
    if stream.flatten is not None:
        records = [record for element in records for record in stream.flatten(element)]
    try:
        if stream.family is Family.PAGING:
            return Page(records, _next_of_paging(body))
        if stream.family is Family.LIST:
            return Page(records, _next_of_list(body, base_url + stream.path))
        # Neither envelope is documented for this family, but the API may come to use one.
        has_paging = "paging" in body and _next_of_paging(body) is not None
        if has_paging or body.get("has_more") is True:
            raise BadAnswer("the response says there is another page; has the API changed?")
    except BadAnswer as trouble:
        return Page(records, None, trouble)
    return Page(records, None)


def _records(stream: Stream, body: dict[str, Any]) -> list[Any]:
    names = [name for name in stream.arrays if name in body]
    # Without that field, it may be an error with null in place of the array.
    may_lack_array = stream.field_when_empty is not None and stream.field_when_empty in body
    if not names and may_lack_array:
        return []
    if not names:
        texts = " or ".join(repr(name) for name in stream.arrays)
        raise BadAnswer(f"the response is missing {texts}; has the API changed?")
    # After renaming its array, an API may keep an empty one under the other name for a while.
    name = max(names, key=lambda name: (bool(body[name]), body[name] is not None))
    records = body[name]
    if records is None and may_lack_array:
        return []
    if not isinstance(records, list):
        raise BadAnswer(f"{name!r} is not a list of records")
    return records


def _next_of_paging(body: dict[str, Any]) -> str | None:
    if "paging" not in body:
        raise BadAnswer("the response is missing 'paging'; has the API changed?")
    paging = body["paging"]
    if paging is None:
        return None
    if not isinstance(paging, dict):
        raise BadAnswer("'paging' is not an object")
    more = _flag(paging, "more")
    return None if more is False else _checked(_cursor(paging), more, "more")


def _next_of_list(body: dict[str, Any], url: str) -> str | None:
    if body.keys().isdisjoint(_NEXT_PAGE_FIELDS):
        raise BadAnswer("the response is missing 'has_more'; has the API changed?")
    more = _flag(body, "has_more")
    if more is False:
        return None
    cursor = _cursor(body) or _cursor_of_url(body.get("next_url"), url)
    return _checked(cursor, more, "has_more")


def _checked(cursor: str | None, more: bool | None, name: str) -> str | None:
    """Returns the cursor. If the flag `name` is missing, a cursor implies another page."""
    if more and cursor is None:
        raise BadAnswer(f"{name!r} says there is another page, but there is no cursor for it")
    return cursor


def _flag(holder: dict[str, Any], name: str) -> bool | None:
    """Returns the flag, or None if it is missing."""
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadAnswer(f"{name!r} is neither true nor false")
    return value


def _cursor(holder: dict[str, Any]) -> str | None:
    cursor = holder.get("cursor")
    if cursor is None or cursor == "":
        return None
    if not isinstance(cursor, str):
        raise BadAnswer("'cursor' is not text")
    return cursor


def _cursor_of_url(next_url: Any, url: str) -> str | None:
    """Returns the cursor in a next_url. The URL itself is never followed."""
    if not isinstance(next_url, str):
        return None
    try:
        target, own = urlsplit(urljoin(url, next_url)), urlsplit(url)
        is_own = _origin(target) == _origin(own)
    except ValueError:
        raise BadAnswer("'next_url' is not a valid address") from None
    if not is_own:
        raise BadAnswer("'next_url' points to another host")
    for pair in target.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "cursor" and value:
            # Not unquote_plus: a real next_url carries unescaped base64, "+" included.
            return unquote(value)
    return None


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Returns scheme, host and port (or its default). Raises ValueError if the port is invalid."""
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)
