"""Cursors that are positions, and the times in them."""

import base64

import pytest

from courier_async.catalog.positions import message_cursor_at, time_in_cursor


def test_a_made_up_cursor_holds_its_time() -> None:
    assert time_in_cursor(message_cursor_at(1_794_657_600_000)) == 1_794_657_600_000


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1794657600000,1-abc", 1_794_657_600_000),
        ("1794657600000", None),
        ("1794657600000,", None),
        ("later,1-abc", None),
        (f"{'9' * 15},1-abc", 999_999_999_999_999),
        # Too large for any state.
        (f"{'9' * 16},1-abc", None),
    ],
)
def test_other_cursors_hold_one_where_they_have_that_form(text: str, time: int | None) -> None:
    assert time_in_cursor(base64.b64encode(text.encode()).decode()) == time
