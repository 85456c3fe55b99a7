"""docs/operations.md: every text has a row, every row a text, and the actions work."""

import re
from pathlib import Path

from courier_async.api.memory import SHARE_BYTES
from courier_async.api.transport import MAX_BODY_BYTES
from courier_async.reading.deletes import MOST_ASKED
from courier_async.state.saved import VERSION
from courier_async.state.sent_rows import MOST_BYTES, MOST_ROWS
from tests.support.end_to_end import DebugFolder, succeeded
from tests.support.fake_courier.thread import FakeCourierThread
from tests.support.messages import SOURCES, texts_of_source
from tools.stage import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

# Texts about success, or questions.
NO_TROUBLE = {
    ", back to ……",
    "(… of the way to …)",
    ", … lanes further back",
    "not read",
    "continues a walk that began …",
    "complete up to …",
    "last read …",
    "first sync, reads everything",
    "reads the children of new and changed messages",
    "…; to read those of earlier ones, re-sync …",
    "…: every message within the lookback was last read at … or later",
    "…: … secret values redacted",
    "gzip, deflate",  # a header
    "Package:        …, sha256 …...",
    "Courier accepts the key",
    "Each table can be read",
    "Fivetran API key, base64-encoded (in Fivetran, click your user name, then API Key)",
    "… (…), with uncommitted changes: …",
    "name of the Fivetran destination",
    "name of the connection, e.g. courier",
}
# These only follow a text with a row, are in the last table beside one, or are said elsewhere.
BEHIND_ANOTHER = (
    "Put a key from Courier's Settings > API Keys there",
    "Allowed: https://api.courier.com,",
    "Did you mean",
    "Check api_key in the configuration against Settings > API Keys",
    "(not shown)",
    "Invalid or missing authentication credentials",
    "Got more than",
    "Too many headers",
    "Tunnel connection failed",
    "unknown reason",
    "key refused",
    "asyncio.Queue[",
)


def rows() -> list[list[str]]:
    """Returns the messages in each row of the message tables."""
    tables = re.findall(
        r"^\| message \| meaning \| action \|\n\|[-|]+\n((?:\|.*\n)+)", OPERATIONS, re.MULTILINE
    )
    return [
        re.findall(r"`([^`]+)`", line.split(" | ")[0])
        for table in tables
        for line in table.splitlines()
    ]


def stands_for(message: str, text: str) -> bool:
    """Returns whether a row's message equals a text of the code, or is its beginning."""
    message, text = (re.sub(r"…+", "…", words).removesuffix(" …") for words in (message, text))
    if message == text:
        return True
    # A beginning must be long enough to be distinctive.
    return text.startswith(message) and len(message.replace("…", "")) >= 20


MESSAGES = [message for row in rows() for message in row]
TEXTS = sorted({text for path in SOURCES for text in texts_of_source(path)})


def test_every_text_of_the_code_has_its_row() -> None:
    without = [
        text
        for text in TEXTS
        if text not in NO_TROUBLE
        and not text.startswith(BEHIND_ANOTHER)
        and not any(stands_for(message, text) for message in MESSAGES)
    ]
    assert without == []


def test_every_row_is_of_a_text_that_the_code_still_has() -> None:
    all_texts = {text for path in SOURCES for text in texts_of_source(path, quiet_too=True)}
    gone = [m for m in MESSAGES if not any(stands_for(m, text) for text in all_texts)]
    assert gone == []


def test_what_is_excused_from_having_a_row_is_still_said() -> None:
    assert set(TEXTS) >= NO_TROUBLE
    unused = [words for words in BEHIND_ANOTHER if not any(t.startswith(words) for t in TEXTS)]
    assert unused == []


def test_every_row_names_a_meaning_and_an_action() -> None:
    assert len(rows()) > 30
    for line in OPERATIONS.splitlines():
        if line.startswith("| `") and line.count(" | ") != 1:
            assert [bool(cell.strip()) for cell in line.strip("|").split(" | ")] == [True] * 3


def test_the_texts_are_found_wherever_they_stand(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        '"""Not a docstring of theirs."""\n'
        "log.info('Not an info line')\n"
        "log.warning('%s: a warning came', name)\n"
        "def f():\n"
        '    """Nor of a function."""\n'
        "    raise Trouble(f'the {thing} is broken')\n"
        "    return ['a list of texts', 'word']\n"
    )
    assert list(texts_of_source(source)) == [
        "…: a warning came",
        "the … is broken",
        "a list of texts",
    ]
    assert "Not an info line" in texts_of_source(source, quiet_too=True)


def test_the_limits_are_those_of_the_code() -> None:
    limits = OPERATIONS[OPERATIONS.index("## Limits") :]
    assert f"{MOST_ROWS:,} a stream, {MOST_BYTES / 1e6:g} MB in all" in limits
    assert f"at most {MOST_ASKED} a stream and sync" in limits
    assert (
        f"| an answer | {MAX_BODY_BYTES // 2**20} MB; larger than {SHARE_BYTES // 1024} KB, one"
        in limits
    )


def test_the_state_is_shown_in_its_present_version() -> None:
    assert f'{{"version": {VERSION}, "source"' in OPERATIONS


def test_one_stream_can_be_synced_again_as_the_document_says(tmp_path: Path) -> None:
    with FakeCourierThread(sizes={"message": 100}) as courier:
        project = DebugFolder(tmp_path, {"api_key": courier.key, "base_url": courier.url})
        succeeded(project.sync())
        assert succeeded(project.sync()).counts("sent")["brand"] == 0

        state = project.state
        state["streams"]["brand"]["open"] = True
        del state["streams"]["audit_event"]
        project.state = state
        courier.change("delete", stream="brand")

        sent = succeeded(project.sync()).counts("sent")
        assert sent["brand"] == len(list(courier.truth("brand")))
        assert sent["audit_event"] == len(list(courier.truth("audit_event")))
        assert sent["list"] == 0
        # The delete from that time is not lost: it lands once a second, later read confirms it.
        courier.change("advance", ms=2 * 3_600_000)
        succeeded(project.sync())
    assert project.warehouse.answer("SELECT count(*) FROM brand WHERE _fivetran_deleted") == [(1,)]
