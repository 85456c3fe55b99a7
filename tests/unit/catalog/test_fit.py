"""How values are converted for each column type, and which values do not fit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier_async.catalog.fit import (
    FITS,
    MISFIT,
    fit_boolean,
    fit_key,
    fit_long,
    fit_string,
    fit_time,
)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**62, 2**66),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs"])),
    st.lists(st.none(), max_size=1),
    st.dictionaries(st.text(), st.none(), max_size=1),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("007", "007"),
        ("０３１２３４", "０３１２３４"),
        ("a\x00b", "a\x00b"),
        ("\U0001f600", "\U0001f600"),
        ("a\ud800b", "a\ufffdb"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (2**64, "18446744073709551616"),
        (1234567.89, "1234567.89"),
        (-0.0, "-0.0"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (None, None),
    ],
)
def test_a_string_column_takes_texts_numbers_and_booleans(value: object, text: object) -> None:
    assert fit_string(value) == text


def test_a_number_of_more_digits_than_python_writes_by_itself_is_text() -> None:
    assert fit_string(10**5000) == fit_key(10**5000) == "1" + "0" * 5000


@pytest.mark.parametrize("value", [[], {}, ["a"], {"a": 1}])
def test_a_scalar_column_takes_no_object_and_no_list(value: object) -> None:
    assert all(fit(value) is MISFIT for fit in FITS.values())


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (25.0, 25),
        (None, None),
        (2**63, MISFIT),
        (float(2**63), MISFIT),
        (0.5, MISFIT),
        (float("nan"), MISFIT),
        ("7", MISFIT),
        (True, MISFIT),
    ],
)
def test_a_long_column_takes_whole_numbers_of_64_bits(value: object, number: object) -> None:
    assert fit_long(value) == number


@pytest.mark.parametrize(
    ("value", "boolean"), [(True, True), (False, False), (None, None), (1, MISFIT), ("t", MISFIT)]
)
def test_a_boolean_column_takes_booleans(value: object, boolean: object) -> None:
    assert fit_boolean(value) is boolean


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (1786699985000, "2026-08-14T09:33:05.000Z"),
        (1786699985001.0, "2026-08-14T09:33:05.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ("2022-07-05T22:30:24.662Z", "2022-07-05T22:30:24.662Z"),
        ("2022-07-05T22:30:24Z", "2022-07-05T22:30:24.000Z"),
        ("2022-07-05T22:30Z", "2022-07-05T22:30:00.000Z"),
        ("2022-07-05T22:30:24.662+02:00", "2022-07-05T20:30:24.662Z"),
        ("2022-07-05T22:30:24.662-0230", "2022-07-06T01:00:24.662Z"),
        ("2022-07-05T22:30:24.662", "2022-07-05T22:30:24.662Z"),
        ("2022-07-05 22:30:24", "2022-07-05T22:30:24.000Z"),
        ("2022-07-05", "2022-07-05T00:00:00.000Z"),
        ("2022-07-05T22:30:24.662123Z", "2022-07-05T22:30:24.662123Z"),
        ("2022-07-05T22:30:24.662123999Z", "2022-07-05T22:30:24.662123Z"),
        ("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"),
        (None, None),
    ],
)
def test_a_time_column_takes_epoch_milliseconds_and_iso_texts(
    value: object, time: str | None
) -> None:
    assert fit_time(value) == (time and datetime.fromisoformat(time))


@pytest.mark.parametrize(
    "value",
    [
        "", "soon", "1786699985000", "20220705", "2022-W27-2", "2022-186", "2022-02-30",
        "2022-07-05T24:00:00Z", "2022-07-05T22:30:60Z", "2022-07-05T22:30:24.662+25:00",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
        "٢٠٢٢-07-05", "2022-07-05T22:30:24.662Z\n", "2022-07-05\ud800",
        True, 0.5, float("inf"), -62_135_596_800_001, 253_402_300_800_000, 10**400,
    ],
)  # fmt: skip
def test_what_is_no_time_is_not_guessed_at(value: object) -> None:
    assert fit_time(value) is MISFIT


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_epoch_milliseconds_and_their_iso_text_are_the_same_time(time: datetime) -> None:
    time = time.replace(tzinfo=UTC, microsecond=time.microsecond // 1000 * 1000)
    epoch_ms = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert fit_time(epoch_ms) == fit_time(time.isoformat())
    assert fit_time(epoch_ms) == time


@given(ANYTHING)
def test_every_value_fits_is_empty_or_is_a_misfit(value: Any) -> None:
    for kind, fit in FITS.items():
        fitted = fit(value)
        assert fitted is MISFIT or (fitted is None) == (value is None), kind
        if isinstance(fitted, str):
            fitted.encode()
