"""What a sync reports: where it resumes, and how complete and how fresh the tables are."""

import asyncio
import logging

import pytest

from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.report import report_progress
from tests.support.virtual_time import run_virtual
from tests.syncs.house import DAY_MS, HOUR_MS, MESSAGES, House, ready


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
    assert (
        "brand, audience, audit_event, list, message, notification, tenant: "
        + ("first sync, reads everything")
        in first
    )
    house.sync()
    second = told(lines)
    assert any(line.startswith("message: complete up to 2026-11-") for line in second)
    assert any(", list, notification, tenant: last read 2026-11-14 1" in line for line in second)


def test_a_child_of_messages_that_is_added_later_says_which_rows_it_lacks(
    lines: pytest.LogCaptureFixture,
) -> None:
    house = House(streams=MESSAGES)
    house.sync()
    house.settings["streams"] = (*MESSAGES, BY_TABLE["message_event"])
    told(lines)
    house.sync()
    reads = "message_event: reads the children of new and changed messages"
    assert f"{reads}; to read those of earlier ones, re-sync message" in told(lines)


def test_a_child_of_messages_that_is_there_from_the_first_sync_lacks_none(
    lines: pytest.LogCaptureFixture,
) -> None:
    house = House(streams=(*MESSAGES, BY_TABLE["message_event"]))
    house.sync()
    first = told(lines)
    assert "message: first sync, reads everything" in first
    assert "message_event: reads the children of new and changed messages" in first
    house.sync()
    assert "message_event: reads the children of new and changed messages" in told(lines)


def test_the_first_progress_comes_soon_and_a_stream_that_has_ended_is_told_once(
    lines: pytest.LogCaptureFixture,
) -> None:
    counts = {table: Counts(table) for table in ("brand", "message")}

    async def reading() -> None:
        reporter = asyncio.create_task(report_progress(counts.values()))
        counts["brand"].read = counts["brand"].pages = counts["brand"].requests = 1
        counts["brand"].outcome = "complete"
        await asyncio.sleep(3)
        assert told(lines) == ["brand: 1 record, 1 page, done"]
        counts["message"].requests = 40
        await asyncio.sleep(30)
        assert [line.partition(":")[0] for line in told(lines)] == ["message"]
        reporter.cancel()

    run_virtual(reading())


def test_a_sync_that_goes_on_says_since_when(lines: pytest.LogCaptureFixture) -> None:
    house = House(message_lanes=1)
    house.sync(crash_at=300)
    assert "lanes" in house.of("message")
    told(lines)
    house.sync()
    assert "audit_event, message: continues a walk that began 2026-11-14 12:59 UTC" in told(lines)


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
