"""Planted bugs in requests, the handling of their answers, and retries."""

from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

from courier_async import sync
from courier_async.api import answers, client, pages
from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.errors import Refused
from courier_async.reading import stream_reader
from tests.simulation.planted_state import Patches

# -- pages --------------------------------------------------------------------------------------


def cursor_not_encoded() -> Patches:
    real = CourierClient.get

    async def get(self: Any, path_and_query: str, *arguments: Any, **named: Any) -> Any:
        path, mark, query = path_and_query.partition("?")
        return await real(self, path + mark + unquote(query), *arguments, **named)

    yield patch.object(sync.CourierClient, "get", get)


def a_cursor_without_more_taken_for_the_last() -> Patches:
    real = pages._next_of_paging

    def next_of_paging(body: dict[str, Any]) -> str | None:
        following = real(body)
        return following if (body["paging"] or {}).get("more") else None

    yield patch.object(pages, "_next_of_paging", next_of_paging)


def lost_paging_taken_for_the_last() -> Patches:
    real = pages._next_of_paging

    def next_of_paging(body: dict[str, Any]) -> str | None:
        return real(body) if "paging" in body else None

    yield patch.object(pages, "_next_of_paging", next_of_paging)


def a_list_that_tells_nothing_of_a_next_page_taken_for_the_last() -> Patches:
    yield patch.object(pages, "_NEXT_PAGE_FIELDS", frozenset({"items"}))


def an_empty_page_taken_for_the_last() -> Patches:
    real = stream_reader.parse_page

    def parse_page(*arguments: Any, **named: Any) -> Any:
        page = real(*arguments, **named)
        return page if page.records else pages.Page([], None)

    yield patch.object(stream_reader, "parse_page", parse_page)


# -- rate and retries -----------------------------------------------------------------------------


def more_requests_than_allowed() -> Patches:
    real = Pacer.__init__

    def init(self: Any, *, per_second: float) -> None:
        real(self, per_second=per_second * 1.5)

    yield patch.object(Pacer, "__init__", init)


def a_throttle_cuts_twice() -> Patches:
    real = Pacer.refused

    def refused(self: Any, **named: Any) -> None:
        self._throttled = False
        real(self, **named)

    yield patch.object(Pacer, "refused", refused)


def a_retry_after_that_shortens() -> Patches:
    def delays() -> Any:
        retry, seconds = (yield 0.0), 1.0
        while True:
            told = retry.failed.retry_after_seconds
            retry = yield seconds if told is None else told
            seconds *= 2

    # Patched here because a client takes it when it is created.
    yield patch.object(client, "_delays", delays)


def a_401_is_not_asked_again() -> Patches:
    never = property(lambda self: False, lambda self, value: None)
    yield patch.object(CourierClient, "_key_accepted", never, create=True)


def a_limit_by_403_taken_for_a_refusal() -> Patches:
    def of_forbidden(headers: Any, body: bytes, told: Any) -> Any:
        meaning = real(headers, body, told)
        return Refused(403, "") if isinstance(meaning, answers.TooMany) else meaning

    real = answers._of_forbidden
    yield patch.object(answers, "_of_forbidden", of_forbidden)


def a_gateway_error_taken_for_a_refusal() -> Patches:
    def of_refusal(status: int, error: Any, told: Any) -> Any:
        return Refused(status, "")

    yield patch.object(answers, "_of_refusal", of_refusal)


def an_error_inside_a_200_is_not_tried_again() -> Patches:
    yield patch.object(answers, "_is_error", lambda value, arrays: False)


def statuses_that_heal_are_not_tried_again() -> Patches:
    real = answers.meaning_of

    def meaning_of(status: int, *arguments: Any, **named: Any) -> Any:
        if status in (408, 409, 425) or status > 504:
            return Refused(status, "")
        return real(status, *arguments, **named)

    yield patch.object(client, "meaning_of", meaning_of)
