"""How `make debug` reads the lines that the SDK and the connector print."""

import io

import pytest

from tools.console import Digest, Line, Progress, duration, lines, progress
from tools.live import Live

STAMP = "13:20:49.436 INFO     ⚡"
FAILED_RUN = f"""\
{STAMP} sdk       previous state:
                                   {{"version": 2}}
{STAMP} sdk       checkpoint recorded: {{"version": 2, "streams": {{}}}}
13:20:49.440 WARNING  ⚡ connector list: Courier answered 402, so this stream was skipped
{STAMP} connector brand: 3 secret values redacted
{STAMP} connector stream   read   sent unchanged deleted  requests  complete_to        outcome
{STAMP} connector brand      25  1,025         0       0         3  -                  complete
{STAMP} connector message     9      9         0       0         3  2026-08-14T09:31Z  not read
{STAMP} connector elapsed: 4.6 s
13:20:49.308 SEVERE   ⚡ sdk       SYNC FAILED — elapsed 00:00:00.500
                                   Upserts         | 0

                                   Error: failed while executing update() error: message: no answer
                                   Traceback (most recent call last):
                                     File "connector.py", line 43, in update
                                   RuntimeError: the message is above
crash report saved to /somewhere/crash-reports/crash_1.log
"""


def digest_of(printed: str) -> Digest:
    digest = Digest()
    for line in lines(printed.splitlines(keepends=True)):
        digest.take(line)
    return digest


def test_a_line_that_continues_an_entry_belongs_to_it() -> None:
    first, second = lines([f"{STAMP} sdk       previous state:\n", " " * 35 + "{}\n"])
    assert first == Line("previous state:", "INFO", "sdk")
    assert second == Line("{}", "INFO", "sdk")
    assert first.is_dump
    assert second.is_dump


def test_a_failed_run_is_known_by_its_sentence_its_warnings_and_its_table() -> None:
    digest = digest_of(FAILED_RUN)
    assert digest.failure == "message: no answer"
    assert digest.warnings == ["list: Courier answered 402, so this stream was skipped"]
    assert digest.crash_report == "/somewhere/crash-reports/crash_1.log"
    assert digest.is_orderly
    assert [row["stream"] for row in digest.table] == ["brand", "message"]
    assert digest.table[0]["sent"] == "1,025"
    assert digest.table[1]["complete_to"] == "2026-08-14T09:31Z"
    assert digest.table[1]["outcome"] == "not read"
    assert digest.remarks == ["brand: 3 secret values redacted"]
    assert not any("checkpoint recorded" in text for text in digest.recent)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("error: message: no answer", "error: The sync was stopped by KeyError at f (x.py:1)."),
        ("RuntimeError: the message", "KeyError: the message"),
    ],
    ids=["a bug that update has caught", "an error that update has let out"],
)
def test_a_bug_is_no_orderly_end(was: str, becomes: str) -> None:
    assert not digest_of(FAILED_RUN.replace(was, becomes)).is_orderly


def test_a_run_that_breaks_off_has_no_failure_and_keeps_its_last_lines() -> None:
    digest = digest_of("Traceback (most recent call last):\nImportError: no module\n")
    assert digest.failure == ""
    assert digest.recent == ["Traceback (most recent call last):", "ImportError: no module"]


PROGRESS_TEXT = (
    "message: 1,520 records on 152 pages, 25.4 requests/s, has reached 2026-08-14 09:31 UTC "
    "(40% of the way to 2026-07-15 00:00 UTC)"
)


def test_a_progress_line_tells_rows_rate_reach_and_the_time_left() -> None:
    found = progress(Line(PROGRESS_TEXT, "INFO", "connector"))
    assert found == Progress("message", 1520, 25.4, "2026-08-14 09:31", 0.4)
    text = found.line(elapsed_seconds=20)
    for part in ("message", "1,520 rows", "25.4 requests/s", "2026-08-14 09:31", "40%", "30 s"):
        assert part in text


def test_no_other_line_is_progress() -> None:
    assert progress(Line(PROGRESS_TEXT, "INFO", "sdk")) is None
    assert progress(Line("message: reads all pages", "INFO", "connector")) is None


def test_a_progress_line_of_few_words_is_understood_too() -> None:
    found = progress(Line("brand: 25 records", "INFO", "connector"))
    assert found == Progress("brand", 25, None, "", None)
    assert "left" not in found.line(elapsed_seconds=20)


def test_a_stream_that_has_ended_shows_how() -> None:
    found = progress(Line("brand: 1 record, 1 page, done", "INFO", "connector"))
    assert found == Progress("brand", 1, None, "", None, "done")
    assert found.line(elapsed_seconds=20).split() == ["brand", "1", "row", "done"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (120, "2 min"), (9000, "2.5 h")]
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_each_stream_once_and_redraws_it() -> None:
    out = Terminal()
    live = Live(out)
    live.take(Progress("message", 10, 1.0, "", None))
    live.take(Progress("brand", 5, 1.0, "", None))
    live.take(Progress("message", 20, 1.0, "", None))
    last = out.getvalue().split("\033[2A\033[J")[-1]
    assert [line.split()[0] for line in last.splitlines()] == ["message", "brand"]
    assert "20 rows" in last


def test_after_the_end_no_progress_is_shown() -> None:
    out = Terminal()
    live = Live(out)
    live.end()
    live.take(Progress("message", 10, 1.0, "", None))
    assert out.getvalue() == ""


def test_without_a_terminal_progress_is_plain_lines() -> None:
    out = io.StringIO()
    live = Live(out)
    live.take(Progress("message", 10, 1.0, "", None))
    live.say("warning: something")
    assert "\033" not in out.getvalue()
    assert out.getvalue().count("\n") == 2
