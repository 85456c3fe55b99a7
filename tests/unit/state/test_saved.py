"""A checkpoint's state loads unchanged; an unusable part affects only its own stream."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from courier_async.catalog.stream import HOUR_MS
from courier_async.catalog.streams import ALL, BY_TABLE
from courier_async.errors import StateRefused
from courier_async.state import sent_rows
from courier_async.state.position import (
    LONGEST_CURSOR,
    Lane,
    MissedChildren,
    Missing,
    Reading,
    Renewal,
    Round,
    StreamState,
    Unusable,
)
from courier_async.state.saved import VERSION, State, load
from courier_async.state.sent_rows import key_text

SOURCE = "api.courier.com pk_prod"
NOW = 1_794_657_600_000
ALL_AFRESH = "so every stream is read from the beginning."

times = st.integers(-(2**53), 2**53)
maybe = st.none() | times
counts = st.integers(0, 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lanes = st.builds(
    Lane,
    started_at=times,
    cursor=texts.filter(bool),
    newest=maybe,
    oldest=maybe,
    pages=counts,
    in_order=counts,
    begins_at=maybe,
    first=st.lists(texts, max_size=10).map(tuple),
    renewed=st.none() | st.builds(Renewal, times, times),
    contradicted_at=maybe,
)
stream_states = st.builds(
    StreamState,
    read_at=maybe,
    watermark=maybe,
    newest_first=st.none() | st.booleans(),
    readings=st.lists(st.builds(Reading, times, times), max_size=4).map(tuple),
    closed=maybe,
    lanes=st.lists(lanes, max_size=3).map(tuple),
    no_lanes_until=maybe,
    timeless=st.booleans(),
    children_missed=st.none() | st.builds(MissedChildren, times, times, times),
    unusable=st.lists(st.builds(Unusable, times, times, times, maybe), max_size=3).map(tuple),
    missing=st.dictionaries(
        texts, st.builds(Missing, times, maybe, maybe, counts, st.booleans()), max_size=3
    ),
    round=st.none() | st.builds(Round, began=times, done_to=texts, over=st.booleans()),
    owed=st.dictionaries(texts, st.booleans(), max_size=3),
)


def again(state: State) -> tuple[State, list[str]]:
    """Returns the state as the next sync loads it."""
    return load(json.loads(json.dumps(state.as_json())), source=state.source)


def state_of(**streams: StreamState) -> State:
    state = State(SOURCE)
    state.streams.update(streams)
    return state


# -- round trip ----------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.dictionaries(st.sampled_from(sorted(BY_TABLE)), stream_states, max_size=4))
def test_the_state_of_every_stream_comes_back_as_it_was(streams: dict[str, StreamState]) -> None:
    state, warnings = again(state_of(**streams))
    assert warnings == []
    assert state.streams == streams


def test_rows_and_messages_come_back_beside_the_state_of_their_streams() -> None:
    state = state_of(list=StreamState(read_at=5), message=StreamState(watermark=1))
    state.rows_of("list").set(("a",), b"123456")
    state.rows_of("tenant_user").set(("acme", "u\t1"), sent_rows.BLANK)
    state.recent_of(BY_TABLE["message"]).set(b"name-1", NOW, b"mark-1")
    state.sent_whole.add("brand")
    state.due["message_event"] = {"1-a": NOW}
    back, warnings = again(state)
    assert warnings == []
    assert back.due == {"message_event": {"1-a": NOW}}
    assert back.rows_of("list").marks == {("a",): b"123456"}
    assert back.rows_of("tenant_user").marks == {("acme", "u\t1"): sent_rows.BLANK}
    assert back.recent_of(BY_TABLE["message"]).get(b"name-1", NOW) == b"mark-1"
    assert back.sent_whole == {"brand"}
    assert back.of("list") == StreamState(read_at=5)
    assert back.as_json() == state.as_json()


def test_streams_that_this_sync_does_not_read_are_carried_along() -> None:
    saved = state_of(brand=StreamState(read_at=1), message=StreamState(watermark=2)).as_json()
    state, _ = load(saved, source=SOURCE)
    state.streams["brand"] = StreamState(read_at=3)
    assert state.as_json()["streams"]["message"] == {"watermark": 2}


def test_a_saved_state_is_not_changed_by_what_comes_after_it() -> None:
    state = state_of(list=StreamState(read_at=1))
    state.rows_of("list").set(("a",), b"123456")
    state.recent_of(BY_TABLE["message"]).set(b"name-1", NOW, b"mark-1")
    state.due["message_event"] = {"1-a": NOW}
    saved = state.as_json()
    before = copy.deepcopy(saved)
    state.streams["list"] = StreamState(read_at=2)
    state.rows_of("list").set(("b",), b"123456")
    state.recent_of(BY_TABLE["message"]).set(b"name-2", NOW, b"mark-2")
    state.due["message_event"]["1-b"] = NOW
    assert saved == before


def test_what_is_not_known_is_not_saved() -> None:
    assert state_of(list=StreamState()).as_json() == {
        "version": VERSION,
        "source": SOURCE,
        "streams": {"list": {}},
    }


@pytest.mark.parametrize("stream", [s for s in ALL if s.keeps_rows], ids=lambda s: s.table)
def test_the_rows_of_a_stream_found_open_are_blank_and_their_keys_stay(stream: Any) -> None:
    key = tuple(f"part{number}" for number, _ in enumerate(stream.key))
    state = State(SOURCE)
    state.rows_of(stream.table).set(key, b"123456")
    state.open.add(stream.table)
    back, _ = again(state)
    assert back.rows_of(stream.table).marks == {key: sent_rows.BLANK}
    # Blank rows say the same as the mark, so the mark need not be kept.
    assert back.open == set()


@pytest.mark.parametrize(
    ("tables", "begins_again"),
    [(["tenant"], True), (["tenant", "tenant_user"], False), (["list"], False)],
)
def test_a_child_table_left_out_while_its_parents_are_read_begins_a_round_when_read_again(
    tables: list[str], begins_again: bool
) -> None:
    child = StreamState(round=Round(began=NOW, done_to="acme"), owed={"acme": True})
    state = state_of(tenant=StreamState(read_at=1), tenant_user=child)
    state.begin(tables)
    assert state.of("tenant_user") == (replace(child, round=None) if begins_again else child)
    assert state.of("tenant") == StreamState(read_at=1)


# -- another account, another version ------------------------------------------------------------


@pytest.mark.parametrize("raw", [{}, None, [], "", 0])
def test_no_state_is_a_first_sync(raw: Any) -> None:
    state, warnings = load(raw, source=SOURCE)
    assert warnings == []
    assert state.as_json()["streams"] == {}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("api.eu.courier.com pk_prod", "api.eu.courier.com pk_prod"),
        ("api.courier.com pk_test", "api.courier.com pk_test"),
        ("", ""),
        *[(damaged, "another account") for damaged in (None, 7, "x" * 999)],
    ],
)
def test_a_state_of_another_source_is_refused(source: Any, named: str) -> None:
    raw = state_of(list=StreamState(read_at=1)).as_json() | {"source": source}
    with pytest.raises(StateRefused) as refused:
        load(raw, source=SOURCE)
    told = str(refused.value)
    assert f"rows from '{named}', but the configuration points to '{SOURCE}'" in told
    for way_out in ("correct region, base_url or api_key", "a new connection", "re-sync"):
        assert way_out in told
    assert len(told) < 700


def test_a_state_of_a_newer_version_is_refused() -> None:
    raw = State(SOURCE).as_json() | {"version": VERSION + 1, "streams": "of another form"}
    with pytest.raises(StateRefused, match=r"newer version.*Deploy that version.*re-sync"):
        load(raw, source=SOURCE)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"version": 1, "source": SOURCE, "streams": {}}, "by an older version"),
        ({"version": 0}, "by an older version"),
        ({"version": True, "source": SOURCE}, "by an older version"),
        (["x"], "not from this connector"),
        ({"messages_cursor": "c", "brands_last_updated": 1}, "not from this connector"),
        ({"version": "2"}, "not from this connector"),
        ({"version": None}, "not from this connector"),
    ],
)
def test_a_state_of_another_form_is_read_afresh_and_told(raw: Any, told: str) -> None:
    state, warnings = load(raw, source=SOURCE)
    assert state.as_json()["streams"] == {}
    (warning,) = warnings
    assert told in warning
    assert warning.endswith(ALL_AFRESH)


# -- parts that do not parse ---------------------------------------------------------------------

BAD_PARTS: list[tuple[str, Any]] = [
    ("message", 7),
    ("message", None),
    ("message", []),
    ("message", {"watermark": "1"}),
    ("message", {"watermark": 2**53 + 1}),
    ("message", {"watermark": 2**70}),
    ("message", {"watermark": True}),
    ("message", {"newest_first": 1}),
    ("message", {"readings": [[1]]}),
    ("message", {"readings": {"began": 1}}),
    ("message", {"lanes": [7]}),
    ("message", {"lanes": [{"cursor": "c"}]}),
    ("message", {"lanes": [{"started_at": 1}]}),
    ("message", {"lanes": [{"started_at": 1, "cursor": ""}]}),
    ("message", {"lanes": [{"started_at": 1, "cursor": 7}]}),
    ("message", {"lanes": [{"started_at": 1, "cursor": "x" * (LONGEST_CURSOR + 1)}]}),
    ("message", {"lanes": [{"started_at": 1, "cursor": "\ud800"}]}),
    ("message", {"lanes": [{"started_at": 1, "cursor": "c", "pages": -1}]}),
    ("message", {"sent": "text"}),
    ("message", {"sent": {"x": 16 * "A"}}),
    ("message", {"sent": {"7": "not base64"}}),
    ("message", {"sent": {"7": "AAAA"}}),
    ("message", {"sent": {"7": 1}}),
    ("message", {"sent": {"given_up": "x"}}),
    ("list", {"sent": {}}),
    ("list", {"sent": ["a"]}),
    ("list", {"sent": "AAAAAAAA"}),
    ("list", {"sent": "AAAA"}),
    ("list", {"sent": "????????a"}),
    ("list", {"sent": "AAAAAAAAa\tb"}),
    ("list", {"missing": {"a": 1}}),
    ("list", {"owed": {"a": "yes"}}),
    ("tenant_user", {"sent": "AAAAAAAAa"}),
]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"lanes": [{"started_at": 1}]}, "(a lane has no cursor)"),
        ({"watermark": "today"}, "`$.watermark`)"),
        ({"lanes": [{"started_at": 1, "cursor": "\ud800"}]}, "(UnicodeEncodeError)"),
    ],
)
def test_the_warning_about_a_part_that_does_not_parse_gives_the_reason(
    part: Any, reason: str
) -> None:
    raw = State(SOURCE).as_json() | {"streams": {"message": part}}
    _, (warning,) = load(raw, source=SOURCE)
    assert reason in warning


@pytest.mark.parametrize(("table", "part"), BAD_PARTS, ids=str)
def test_a_part_that_does_not_parse_starts_that_stream_afresh_and_no_other(
    table: str, part: Any
) -> None:
    streams = {"brand": {"read_at": 12, "sent": "AAAAAAAAb"}, table: part}
    raw = State(SOURCE).as_json() | {"streams": streams}
    state, (warning,) = load(raw, source=SOURCE)
    assert warning.startswith(f"{table}: its part of the saved state cannot be read (")
    assert warning.endswith("so the stream is read from the beginning.")
    assert state.streams == {"brand": StreamState(read_at=12)}
    assert state.rows_of("brand").marks == {("b",): bytes(6)}
    assert len(state.recent_of(BY_TABLE["message"])) == 0
    assert len(state.rows_of(table)) == 0


@pytest.mark.parametrize("part", [7, {"due": {"1": "today"}}], ids=str)
def test_where_what_is_due_does_not_parse_messages_are_read_afresh_to_be_due(part: Any) -> None:
    streams = {"message_event": part, "message": {"read_at": 12}, "brand": {"read_at": 12}}
    raw = State(SOURCE).as_json() | {"streams": streams}
    state, (warning,) = load(raw, source=SOURCE)
    assert warning.startswith("message_event: ")
    assert state.streams == {"brand": StreamState(read_at=12)}


@pytest.mark.parametrize(
    "part",
    [
        {"lanes": [{"started_at": 1, "cursor": "x" * LONGEST_CURSOR}]},
        {"lanes": [{"started_at": 1, "begins_at": 5}]},
        {"watermark": 2**53},
        {"watermark": -(2**53)},
        {"sent": {"given_up": "7"}},
        {"a field of another release": [1]},
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_part_at_the_edge_of_what_is_allowed_is_used(part: dict[str, Any]) -> None:
    raw = State(SOURCE).as_json() | {"streams": {"message": part}}
    state, warnings = load(raw, source=SOURCE)
    assert warnings == []
    assert "message" in state.streams


def test_a_stream_that_is_not_known_is_passed_over() -> None:
    raw = State(SOURCE).as_json() | {"streams": {"gone": 7, "brand": {"read_at": 2}}}
    state, warnings = load(raw, source=SOURCE)
    assert warnings == []
    assert state.streams == {"brand": StreamState(read_at=2)}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**64, 2**80)
    | st.floats()
    | st.text(max_size=8)
    | st.just("\ud800")
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
WHOLE = state_of(
    message=StreamState(
        watermark=NOW,
        newest_first=True,
        readings=(Reading(NOW, NOW - 1), Reading(NOW - 9, 0)),
        closed=5,
        lanes=(Lane(started_at=NOW, cursor="c", newest=NOW, oldest=1, first=("a",)),),
        unusable=(Unusable(1, 2),),
    ),
    list=StreamState(read_at=NOW, missing={"a": Missing(1)}, owed={"b": True}),
)
WHOLE.recent_of(BY_TABLE["message"]).set(b"name-1", NOW, b"mark-1")
WHOLE.rows_of("list").set(("a",), b"123456")


def replaced(whole: Any, path: list[int], value: Any) -> Any:
    """Returns a copy with the part at a path replaced; the path has indexes, modulo the size."""
    if not path or not isinstance(whole, dict | list) or not whole:
        return value
    if isinstance(whole, dict):
        key = sorted(whole)[path[0] % len(whole)]
        return whole | {key: replaced(whole[key], path[1:], value)}
    at = path[0] % len(whole)
    return [*whole[:at], replaced(whole[at], path[1:], value), *whole[at + 1 :]]


@given(st.lists(st.integers(0, 50), max_size=6), anything)
def test_any_json_in_place_of_any_part_is_a_state_or_is_refused(
    path: list[int], value: Any
) -> None:
    raw = replaced(json.loads(json.dumps(WHOLE.as_json())), path, value)
    try:
        state, _ = load(raw, source=SOURCE)
    except StateRefused:
        return
    # A loaded state can be saved, also as UTF-8, and loaded again without a warning.
    saved = json.dumps(state.as_json(), ensure_ascii=False).encode()
    back, warnings = load(json.loads(saved), source=SOURCE)
    assert warnings == []
    assert back.as_json() == state.as_json()


def test_a_state_nested_beyond_all_reason_is_read_afresh() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    raw = State(SOURCE).as_json() | {"streams": {"message": {"lanes": deep}}}
    state, warnings = load(raw, source=SOURCE)
    assert len(warnings) == 1
    assert state.streams == {}


# -- bounds --------------------------------------------------------------------------------------


def test_a_stream_of_too_many_rows_gives_way_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 2)
    state = state_of(list=StreamState(read_at=1, missing={"a": Missing(1)}))
    for number in range(3):
        state.rows_of("list").set((f"l{number}",), b"123456")
    state.rows_of("brand").set(("b",), b"123456")
    assert state.keep_within_bounds() == ["list"]
    saved = state.as_json()["streams"]
    assert saved["list"] == {"read_at": 1, "sent_whole": True}
    assert saved["brand"]["sent"].endswith("b")
    assert state.keep_within_bounds() == []


def test_the_largest_streams_give_way_until_the_rest_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier_async.state.saved.MOST_BYTES", 400)
    state = State(SOURCE)
    for table, length in (("brand", 10), ("list", 380), ("tenant", 200)):
        state.rows_of(table).set(("x" * length,), b"123456")
    assert state.keep_within_bounds() == ["list"]
    assert state.sent_whole == {"list"}
    assert len(state.rows_of("tenant")) == 1


def test_a_full_state_stays_below_the_ten_megabytes_that_fivetran_takes() -> None:
    state = state_of(message=StreamState(watermark=NOW))
    for number in range(sent_rows.MOST_MESSAGES + 500):
        name = number.to_bytes(6, "big")
        state.recent_of(BY_TABLE["message"]).set(name, NOW - number * HOUR_MS // 100, name)
    number = 0
    while sum(rows.size_bytes for rows in state.rows.values()) < sent_rows.MOST_BYTES - 500:
        state.rows_of("list").set((f"ü{number:06}" * 10,), b"123456")
        number += 1
    assert state.keep_within_bounds() == []
    size = len(json.dumps(state.as_json()))
    assert 4_000_000 < size < 6_000_000
    # Even if all of them are missing at once, and as many messages are due as possible.
    everything = {
        key_text(key): Missing(NOW, NOW, NOW, 10, True) for key in state.rows["list"].marks
    }
    state.streams["list"] = StreamState(missing=everything)
    for child in ("message_provider", "message_event"):
        state.due[child] = {f"1-6ae9f2e6-{number:024x}": NOW for number in range(20_000)}
    size = len(json.dumps(state.as_json()))
    assert 6_000_000 < size < 10_000_000


def test_of_too_many_missing_rows_those_that_have_been_missing_for_longest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.saved.MOST_MISSING_BYTES", 720)
    missing = {f"{number}": Missing(NOW - number) for number in range(20)}
    state = state_of(
        brand=StreamState(missing=missing), list=StreamState(missing={"a": Missing(1)})
    )
    kept = state.as_json()["streams"]
    assert list(kept["brand"]["missing"]) == [f"{number}" for number in range(19, 10, -1)]
    # A table with many of them does not leave the others without room.
    assert kept["list"]["missing"].keys() == {"a"}


def test_missing_rows_with_all_their_fields_keep_to_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.saved.MOST_MISSING_BYTES", 10_000)
    missing = {f"{number}": Missing(NOW, NOW, NOW, 9_999, False) for number in range(500)}
    kept = state_of(brand=StreamState(missing=missing)).as_json()["streams"]["brand"]["missing"]
    assert 9_000 < len(json.dumps(kept)) <= 10_000


def test_of_a_stream_that_is_sent_whole_no_missing_rows_are_kept() -> None:
    state = state_of(list=StreamState(read_at=1, missing={"a": Missing(1)}))
    state.sent_whole.add("list")
    assert state.as_json()["streams"]["list"] == {"read_at": 1, "sent_whole": True}
