"""Listings that always say there is more without getting anywhere."""

import pytest

from courier_async.errors import BadAnswer
from courier_async.reading.endless_guard import MOST_STALE_PAGES, EndlessGuard
from tests.unit.reading.judged import judged

NOW = 1_794_657_600_000


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("before", [0, 5])
def test_a_circle_of_cursors_is_found_within_a_few_rounds(length: int, before: int) -> None:
    guard = EndlessGuard()
    for step in range(4 * (length + before) + 2):
        at = step if step < before else before + (step - before) % length
        trouble = guard.trouble(judged([f"new {step}"], next_cursor=str(at)))
        if trouble is not None:
            assert "form a loop" in str(trouble)
            assert step >= before + length
            return
    pytest.fail("never found")


def test_a_cursor_that_leads_to_itself_is_found_at_once() -> None:
    guard = EndlessGuard()
    for step in range(100):
        assert guard.trouble(judged([f"new {step}"], next_cursor=str(step))) is None
    assert guard.trouble(judged(["new 100"], next_cursor="99")) is not None


def test_a_lane_that_goes_on_elsewhere_may_come_to_a_cursor_that_it_has_had() -> None:
    for last in range(3):
        guard = EndlessGuard()
        for step in range(last + 1):
            assert guard.trouble(judged([f"new {step}"], next_cursor=str(step))) is None
        guard.go_on_elsewhere()
        assert guard.trouble(judged(["new"], next_cursor=str(last))) is None


def test_a_page_is_compared_with_the_last_thousand() -> None:
    guard = EndlessGuard()

    def read(content: int, cursor: int) -> BadAnswer | None:
        return guard.trouble(judged([f"{content}"], next_cursor=str(cursor)))

    for content in range(MOST_STALE_PAGES + 1):
        assert read(content, content) is None
    # The first is forgotten, so it is new; it pushes out the second, but not the third.
    assert read(0, 2_000) is None
    for number in range(1, MOST_STALE_PAGES):
        assert read(2, 2_000 + number) is None
    assert read(2, 4_000) is not None


def test_pages_that_bring_nothing_new_end_after_a_thousand() -> None:
    guard = EndlessGuard()
    pages = [judged(["a"], next_cursor=str(step)) for step in range(MOST_STALE_PAGES + 1)]
    *before, last = [guard.trouble(page) for page in pages]
    assert before == [None] * MOST_STALE_PAGES
    assert isinstance(last, BadAnswer)
    assert "1,000 pages in a row contained no new record" in str(last)
    assert guard.is_stale


def test_empty_pages_that_say_there_is_more_bring_nothing_new() -> None:
    guard = EndlessGuard()
    pages = [judged([], next_cursor=str(step)) for step in range(MOST_STALE_PAGES)]
    *before, last = [guard.trouble(page) for page in pages]
    assert not any(before)
    assert last is not None


def test_a_long_listing_with_a_new_record_now_and_then_goes_on() -> None:
    guard = EndlessGuard()
    for step in range(3 * MOST_STALE_PAGES):
        ids = [f"new {step}"] if step % (MOST_STALE_PAGES - 1) == 0 else []
        assert guard.trouble(judged(ids, next_cursor=str(step))) is None


def test_a_last_page_is_no_trouble() -> None:
    guard = EndlessGuard()
    for _ in range(2 * MOST_STALE_PAGES):
        assert guard.trouble(judged(["a"], next_cursor=None)) is None
