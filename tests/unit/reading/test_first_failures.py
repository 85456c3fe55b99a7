"""What failures before the first success mean for a table of children."""

import pytest

from courier_async.errors import CourierError, Denied, Limited, Refused, Unavailable
from courier_async.reading.first_failures import FirstFailures


def after(*errors: CourierError | None, was_read: bool = False) -> FirstFailures:
    failures = FirstFailures(was_read=was_read)
    for error in errors:
        failures.note(error)
    return failures


@pytest.mark.parametrize("status", [402, 403])
def test_refusals_alone_are_the_plan_of_a_table_that_was_never_read(status: int) -> None:
    general = after(Refused(status, ""), Refused(403, "")).table_error()
    assert isinstance(general, Denied)
    assert str(status) in str(general)


@pytest.mark.parametrize(
    "failures",
    [
        after(),
        after(Refused(404, "")),
        after(Refused(403, ""), was_read=True),
        after(Refused(403, ""), Refused(422, "")),
        after(Refused(403, ""), None),
        after(*[Unavailable("")] * 19),
        after(*[Refused(404, "")] * 20),
        after(None, *[Unavailable("")] * 20),
    ],
)
def test_anything_less_is_a_matter_of_single_rows(failures: FirstFailures) -> None:
    assert failures.table_error() is None
    assert not failures.should_stop


def test_twenty_failures_before_the_first_success_are_no_rows_fault() -> None:
    last = Unavailable("the last")
    failures = after(*[Unavailable("")] * 19, last)
    assert failures.should_stop
    assert failures.table_error() is last


def test_rows_that_failed_before_are_no_reason_to_give_up() -> None:
    failures = FirstFailures(was_read=True)
    for _ in range(30):
        failures.note(Unavailable(""), failed_before=True)
    assert not failures.should_stop


def test_once_too_many_have_failed_it_stops_though_all_failed_before() -> None:
    failures = FirstFailures(was_read=True, most=30)
    for _ in range(30):
        assert not failures.should_stop
        failures.note(Unavailable(""), failed_before=True)
    assert failures.should_stop
    assert failures.table_error() is None


def test_without_its_plan_a_table_is_given_up_though_each_row_failed_before() -> None:
    failures = FirstFailures(was_read=False)
    for _ in range(20):
        failures.note(Refused(403, ""), failed_before=True)
    assert failures.should_stop


def test_after_ten_minutes_of_limits_no_more_rows_are_asked() -> None:
    limited = Limited("Courier returned only 429 for ten minutes")
    failures = after(None, limited)
    assert failures.should_stop
    assert failures.table_error() is limited
    failures = FirstFailures(was_read=True)
    failures.note(limited, failed_before=True)
    assert failures.should_stop
