"""Records that come unusable weeks apart: each is looked for in its own time."""

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import HOUR_MS
from tests.unit.reading.paged import AUDIT_EVENT, PagedApi, Reader, evenly


@pytest.mark.parametrize("days", [20, 29, 40])
def test_one_that_never_becomes_usable_does_not_keep_a_later_one_away(days: int) -> None:
    api = PagedApi(evenly(200, every_ms=2 * HOUR_MS), stream=AUDIT_EVENT)
    spoilt = {api.id_of(api.records[50])}
    page_from = api.page_from

    def with_nulls(at: int) -> Page:
        page = page_from(at)
        page.records[:] = [None if api.id_of(r) in spoilt else r for r in page.records]
        return page

    api.page_from = with_nulls  # type: ignore[method-assign]
    reader = Reader(api).walk()
    never = set(spoilt)

    def syncs(days: int) -> None:
        for _ in range(days):
            for _ in range(12):
                api.now_ms += 2 * HOUR_MS
                api.insert(api.now_ms - HOUR_MS)
            reader.walk()

    syncs(days)
    assert reader.missing == never
    last = api.insert(api.now_ms)
    spoilt.add(last)
    syncs(5)
    assert reader.missing == spoilt
    spoilt.remove(last)
    syncs(3)
    assert reader.missing == never
