"""Syncs that all die after a number of pages."""

import pytest

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from tests.unit.reading.paged import MINUTE_MS, PagedApi, Reader, evenly, is_whole


@pytest.mark.parametrize("away_days", [3, 10])
@pytest.mark.parametrize("pages", [40, 80])
def test_syncs_that_die_soon_get_through_a_pause_amid_a_first_reading(
    pages: int, away_days: int
) -> None:
    """Although what is due again lies below the place of the lane begun after the pause."""
    api = PagedApi(evenly(2_880, every_ms=30 * MINUTE_MS))
    reader = Reader(api, lanes=1, blocks=(0.0,)).walk(die_after=200)
    for number in range(away_days * 48):
        api.insert(api.times[0] + (number + 1) * 30 * MINUTE_MS)
    api.now_ms += away_days * DAY_MS
    for _ in range(40):
        reader.walk(die_after=pages)
        api.now_ms += HOUR_MS
        if is_whole(reader):
            break
    assert is_whole(reader), len(reader.missing)
