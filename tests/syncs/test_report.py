"""What a person reads of a sync: where it resumes, how complete and how fresh the tables are."""

import logging

import pytest

from tests.syncs.house import DAY_MS, HOUR_MS, House, ready


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="courier_async")
    return caplog


def told(lines: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in lines.records]
    lines.clear()
    return found


def row_of(lines: list[str], table: str) -> str:
    return next(line for line in lines if line.startswith(table + " ") and ":" not in line[:20])


def test_each_stream_is_told_with_where_it_resumes(lines: pytest.LogCaptureFixture) -> None:
    house = House()
    house.sync()
    first = told(lines)
    assert "message: first sync, reads everything" in first
    house.sync()
    second = told(lines)
    assert any(line.startswith("message: complete up to 2026-11-") for line in second)
    assert any(line.startswith("list: last read 2026-11-14 1") for line in second)


def test_a_sync_that_goes_on_says_since_when(lines: pytest.LogCaptureFixture) -> None:
    house = House(message_lanes=1)
    house.sync(crash_at=300)
    assert "lanes" in house.of("message")
    told(lines)
    house.sync()
    assert "message: continues a walk that began 2026-11-14 13:00 UTC" in told(lines)


def test_the_last_lines_tell_up_to_when_each_stream_is_complete(
    lines: pytest.LogCaptureFixture,
) -> None:
    house = ready()
    told(lines)
    house.sync()
    table = told(lines)
    assert "2026-11-14T13:49Z" in row_of(table, "message")
    assert "complete" in row_of(table, "message")
    assert any(line.startswith("elapsed: ") for line in table)


def test_a_stream_that_failed_is_complete_to_where_it_was(lines: pytest.LogCaptureFixture) -> None:
    house = ready()
    told(lines)
    house.sync(options={"down": ("message",)}, fails=True, after_ms=3 * DAY_MS)
    row = row_of(told(lines), "message")
    assert "FAILED" in row
    assert "2026-11-14T12:" in row or "2026-11-14T13:" in row


def test_a_sync_that_breaks_off_tells_what_it_has_sent(lines: pytest.LogCaptureFixture) -> None:
    house = House(message_lanes=1)
    house.sync(crash_at=300)
    row = row_of(told(lines), "message").split()
    assert int(row[2]) > 0
    assert row[-1] == "stopped"


def test_a_refused_key_leaves_the_other_streams_unread(lines: pytest.LogCaptureFixture) -> None:
    House(api_key="pk_test_WRONG0123456789").sync(fails=True)
    outcomes = {line.split("  ")[-1].strip() for line in told(lines) if "  -  " in line}
    assert outcomes == {"key refused", "not read"}


def test_how_stale_the_oldest_place_within_the_lookback_is_is_told(
    lines: pytest.LogCaptureFixture,
) -> None:
    house = ready()
    house.syncs(8, after_ms=6 * HOUR_MS)
    told(lines)
    house.sync(after_ms=6 * HOUR_MS)
    stale = [line for line in told(lines) if "within the lookback was last read at" in line]
    assert len(stale) == 1
    assert stale[0].startswith("message: ")


def test_secrets_that_were_redacted_are_counted(lines: pytest.LogCaptureFixture) -> None:
    house = House()
    (id_,) = house.account.pick("tenant", 1)
    house.account.edit("tenant", id_, properties={"api_key": "hunter2", "plan": {"token": "x"}})
    house.sync()
    assert any(line.startswith("tenant: ") and "redacted" in line for line in told(lines))
    assert "hunter2" not in str(house.tables.rows["tenant"][id_])
