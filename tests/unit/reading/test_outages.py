"""An outage during a walk says nothing about made-up cursors, and costs no lanes."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import CourierError, Refused, Unavailable
from tests.unit.reading.paged import PagedApi, Reader, evenly, is_whole


def outage_from(api: PagedApi, request: int) -> None:
    """Makes every request fail after the first `request` ones."""

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        return Unavailable("Courier answered 503") if len(api.asked) >= request else None

    api.fails = fails


def first_probe_fails(api: PagedApi, error: CourierError, *, times: int = 1) -> None:
    left = [error] * times

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        return left.pop() if kind == "made_up" and left else None

    api.fails = fails


@pytest.mark.parametrize("request_", [10, 20, 30, 40, 60])
def test_what_lanes_of_an_earlier_sync_have_read_outlives_an_outage(request_: int) -> None:
    api = PagedApi(evenly(6_000))
    reader = Reader(api, lanes=16).walk(die_after=450)
    api.now_ms += HOUR_MS
    outage_from(api, request_)
    assert reader.walk().error is not None
    api.fails = lambda kind, cursor: None
    api.now_ms += HOUR_MS
    reader.walk()
    assert is_whole(reader)
    # 450 of 600 pages had been read.
    assert len(api.asked) < 350


@pytest.mark.parametrize("pages", [2, 3, 5])
def test_an_outage_amid_a_sync_is_not_remembered_as_a_refusal(pages: int) -> None:
    api = PagedApi(evenly(2_000))
    reader = Reader(api, lanes=None).walk()
    for number in range(144):
        api.insert(api.now_ms + number * 600_000)
    api.now_ms += DAY_MS
    outage_from(api, pages + 1)
    assert reader.walk().error is not None
    assert reader.state.no_lanes_until is None


@pytest.mark.parametrize("lanes", [1, None])
@pytest.mark.parametrize("error", [Unavailable("Courier answered 503"), Refused(404, "")])
def test_a_probe_that_fails_is_tried_once_more(lanes: int | None, error: CourierError) -> None:
    api = PagedApi(evenly(2_000))
    first_probe_fails(api, error)
    reader = Reader(api, lanes=lanes).walk()
    assert is_whole(reader)
    assert reader.state.no_lanes_until is None


def test_a_probe_that_is_refused_twice_is_remembered() -> None:
    api = PagedApi(evenly(2_000))
    first_probe_fails(api, Refused(400, ""), times=2)
    reader = Reader(api, lanes=None).walk()
    assert is_whole(reader)
    assert reader.state.no_lanes_until is not None


def test_a_false_end_is_noticed_after_a_sync_in_which_the_probe_failed() -> None:
    api = PagedApi(evenly(2_000, every_ms=HOUR_MS))
    first_probe_fails(api, Unavailable("Courier answered 503"))
    reader = Reader(api, lanes=None).walk(die_after=60)
    api.now_ms += HOUR_MS
    api.false_end_page = 120
    reader.walk()
    api.false_end_page = None
    for _ in range(3):
        api.now_ms += DAY_MS
        reader.walk()
    assert is_whole(reader)
