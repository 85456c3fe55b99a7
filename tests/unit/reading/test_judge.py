"""How a page is judged: times in every form, and page order checked by brute force."""

import random
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading.judge import (
    EARLIEST_MS,
    PageOrder,
    judge_page,
    no_usable,
    time_of,
)
from courier_async.state.sent_rows import short_hash

NOW = 1_794_657_600_000
LATEST = NOW + 366 * DAY_MS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        ("2026-11-14T12:00:00Z", NOW),
        ("2026-11-14T12:00:00.000Z", NOW),
        ("2026-11-14T14:00:00+02:00", NOW),
        ("2026-11-14T12:00:00", NOW),
        ("2026-11-14", NOW - 12 * HOUR_MS),
        (EARLIEST_MS, EARLIEST_MS),
        (LATEST, LATEST),
    ],
)
def test_a_time_is_epoch_milliseconds_or_iso(value: Any, expected: int) -> None:
    assert time_of(value, LATEST) == expected


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_a_time_without_a_zone_is_in_utc_wherever_the_connector_runs() -> None:
    assert time_of("2026-11-14T12:00:00", LATEST) == NOW


@pytest.mark.parametrize(
    "value",
    [
        None, "", "soon", True, [NOW], {}, NOW + 0.5, float("nan"), float("inf"),
        str(NOW), "20261114", NOW // 1000, NOW * 1000, EARLIEST_MS - 1, LATEST + 1,
        "2026-02-30", "2014-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_anything_else_is_no_time(value: Any) -> None:
    assert time_of(value, LATEST) is None


def test_a_page_is_its_usable_records_with_their_times() -> None:
    records = [{"id": "a", "enqueued": NOW}, None, {"id": ""}, {"id": "b", "enqueued": "soon"}]
    page = judge_page(BY_TABLE["message"], Page(records, "next"), now_ms=NOW)
    assert page.keys == [("a",), ("b",)]
    assert page.times == [NOW, None]
    assert page.records == [records[0], records[3]]
    assert page.names == [short_hash(("a",)), short_hash(("b",))]
    assert (page.unusable, page.next_cursor) == (2, "next")
    assert (page.newest, page.oldest, page.median) == (NOW, NOW, NOW)
    assert page.is_below(NOW + 1)
    assert not page.is_below(NOW)


def test_of_two_times_in_the_middle_the_older_counts() -> None:
    records = [{"id": str(age), "enqueued": NOW - age} for age in (1, 2, 3, 4)]
    page = judge_page(BY_TABLE["message"], Page(records, None), now_ms=NOW)
    assert (page.newest, page.oldest, page.median) == (NOW - 1, NOW - 4, NOW - 3)
    for count, middle in ((1, 0), (3, 1), (5, 2), (7, 3)):
        records = [{"id": str(age), "enqueued": NOW - age} for age in range(count)]
        page = judge_page(BY_TABLE["message"], Page(records, None), now_ms=NOW)
        assert page.median == NOW - middle


def test_a_page_tells_between_which_records_the_unusable_ones_come() -> None:
    records = [None, {"id": "a"}, {"id": ""}, 7, {"id": "b"}, None]
    page = judge_page(BY_TABLE["message"], Page(records, None), now_ms=NOW)
    assert (page.gaps, page.unusable) == ([0, 1, 1, 2], 4)
    assert judge_page(BY_TABLE["message"], Page([{"id": "a"}], None), now_ms=NOW).gaps == []


def test_a_stream_without_times_has_none_on_its_pages() -> None:
    page = judge_page(BY_TABLE["list"], Page([{"id": "a", "created": NOW}], None), now_ms=NOW)
    assert (page.times, page.newest, page.oldest, page.median) == ([None], None, None, None)


def test_a_time_may_lie_a_year_ahead() -> None:
    records = [{"id": "a", "enqueued": LATEST}, {"id": "b", "enqueued": LATEST + 1}]
    page = judge_page(BY_TABLE["message"], Page(records, None), now_ms=NOW)
    assert page.times == [LATEST, None]


def test_a_page_without_a_readable_time_lies_below_nothing() -> None:
    page = judge_page(BY_TABLE["message"], Page([{"id": "a"}], None), now_ms=NOW)
    assert not page.is_below(LATEST)


def test_only_a_page_of_which_nothing_can_be_stored_is_an_error() -> None:
    def trouble(*records: Any) -> str:
        page = judge_page(BY_TABLE["message"], Page(list(records), None), now_ms=NOW)
        return str(no_usable(page) or "")

    assert trouble() == ""
    assert trouble(None, {"id": "a"}) == ""
    assert trouble(None, {}) == "none of the records on a page can be stored (2)"


def longest_row(medians: list[int]) -> int:
    """Returns the length of the longest row without a page over an hour newer than one before."""

    def descends(row: tuple[int, ...]) -> bool:
        return all(page <= min(row[:at]) + HOUR_MS for at, page in enumerate(row) if at)

    lengths = range(len(medians), 0, -1)
    return next((n for n in lengths if any(map(descends, combinations(medians, n)))), 0)


def test_pages_in_order_are_those_of_the_longest_row(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(1_000):
        span = draw.choice([2, 6, 20])
        # In half hours, so that some pages lie exactly an hour apart.
        medians = [NOW + draw.randint(0, span) * HOUR_MS // 2 for _ in range(draw.randint(0, 8))]
        order = PageOrder()
        for median in medians:
            order.add(median)
        assert (order.pages, order.in_order) == (len(medians), longest_row(medians)), medians


@pytest.mark.parametrize(
    ("pages", "outside", "is_newest_first"),
    [
        (1, 0, True), (3, 1, False), (4, 1, True), (4, 2, False), (8, 2, True), (12, 3, True),
        (12, 4, False), (399, 4, False), (400, 4, True), (400, 5, False),
    ],
)  # fmt: skip
def test_a_few_pages_may_stand_outside_the_row(
    pages: int, outside: int, is_newest_first: bool
) -> None:
    order = PageOrder()
    order.resume(pages, pages - outside, tells=True)
    assert order.is_newest_first == is_newest_first
    assert order.is_hopeless == (outside > 3 and not is_newest_first)


def test_order_is_told_by_more_than_an_hour_and_not_by_pages_without_a_time() -> None:
    order = PageOrder()
    for median in (None, NOW, NOW):
        order.add(median)
    assert order.pages == 2
    assert not order.tells
    order.add(NOW - HOUR_MS)
    assert not order.tells
    for _ in range(2):
        order.add(NOW - HOUR_MS - 1)
    assert order.tells


@pytest.mark.parametrize(("pages", "few"), [(1, 0), (5, 1), (13, 3), (400, 3)])
@pytest.mark.parametrize("odd", [NOW - DAY_MS, NOW + DAY_MS], ids=["older", "newer"])
def test_the_few_pages_that_may_be_out_of_order_do_not_tell_it(
    pages: int, few: int, odd: int
) -> None:
    order = PageOrder()
    for median in (*[NOW] * (pages - few), *[odd] * few):
        order.add(median)
    assert not order.tells
    order.add(odd)
    assert order.tells


def test_pages_of_one_time_before_newer_ones_end_newer() -> None:
    order = PageOrder()
    for median in (*[NOW - 365 * DAY_MS] * 20, NOW - 2 * DAY_MS, NOW - DAY_MS):
        order.add(median)
    assert order.ends_newer


def test_a_listing_ends_newer_where_its_last_page_is_over_an_hour_newer_than_its_first() -> None:
    order = PageOrder()
    assert not order.ends_newer
    for rise_ms, ends_newer in ((0, False), (HOUR_MS, False), (HOUR_MS + 1, True), (5, False)):
        order.add(NOW + rise_ms)
        assert order.ends_newer is ends_newer


@pytest.mark.parametrize(("older", "ends_newer"), [(0, True), (3, True), (4, False), (50, False)])
def test_a_last_page_that_is_dated_ahead_says_nothing_below_a_few_that_descend(
    older: int, ends_newer: bool
) -> None:
    order = PageOrder()
    for age in range(5 + older):
        order.add(NOW - max(0, age - 4) * DAY_MS)
    order.add(NOW + 40 * DAY_MS)
    assert order.ends_newer is ends_newer


@pytest.mark.parametrize(("newer", "ends_newer"), [(0, True), (3, True), (4, False), (50, False)])
def test_a_first_page_that_is_dated_back_says_nothing_above_a_few_that_descend(
    newer: int, ends_newer: bool
) -> None:
    order = PageOrder()
    order.add(NOW - 400 * DAY_MS)
    for age in range(newer + 5):
        order.add(NOW - min(age, newer) * DAY_MS)
    assert order.ends_newer is ends_newer


def test_two_first_pages_that_are_dated_back_are_no_exception() -> None:
    order = PageOrder()
    for age in (400, 401, *range(30)):
        order.add(NOW - age * DAY_MS)
    assert order.is_newest_first
    assert order.ends_newer


def test_the_order_of_a_long_walk_is_judged_by_what_it_has_read_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.reading.judge._MOST_TAILS", 4)
    order = PageOrder()
    for age in range(20):
        order.add(NOW - age * DAY_MS)
    assert (order.pages, order.in_order) == (20, 20)
    for _ in range(3):
        order.add(NOW)
    assert (order.pages, order.in_order) == (23, 20)
    order.add(NOW - 20 * DAY_MS)
    assert (order.pages, order.in_order) == (24, 21)


def test_pages_within_an_hour_tell_nothing_of_their_order() -> None:
    order = PageOrder()
    for minute in range(50):
        order.add(NOW + minute * 60_000)
    assert not order.tells
