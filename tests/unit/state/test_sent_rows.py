"""Fingerprints, and what the state remembers of rows that have been sent."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from courier_async.catalog.stream import HOUR_MS
from courier_async.state import sent_rows
from courier_async.state.sent_rows import (
    BLANK,
    SentByHour,
    SentRows,
    fingerprint,
    hasher,
    key_of_text,
    key_text,
    short_hash,
)

HOUR = 498_000
MARK = b"123456"
keys = st.lists(
    st.text(
        st.sampled_from('\t\n\\\\tn\x0b\x1c\x85\u2028 -"é😀\ud800') | st.characters(), min_size=1
    ),
    min_size=1,
    max_size=3,
).map(tuple)


# -- fingerprints --------------------------------------------------------------------------------


def test_a_fingerprint_knows_every_value_and_no_order_of_keys() -> None:
    record: dict[str, Any] = {"id": "a", "n": 1, "x": {"p": [1, 2], "q": None}}
    turned = {"x": {"q": None, "p": [1, 2]}, "n": 1, "id": "a"}
    assert fingerprint(turned, hasher(b"s")) == fingerprint(record, hasher(b"s"))
    others: list[dict[str, Any]] = [
        record | {"n": 1.0},
        record | {"n": "1"},
        record | {"n": True},
        record | {"n": 2**70},
        record | {"n": 2**70 + 1},
        record | {"n": float("inf")},
        record | {"x": {"p": [2, 1], "q": None}},
        record | {"x": {"p": [1, 2]}},
        record | {"t": "\ud800"},
        record | {"t": "\ud801"},
    ]
    marks = {fingerprint(other, hasher(b"s")) for other in [record, *others]}
    assert len(marks) == len(others) + 1
    assert {len(mark) for mark in marks} == {6}


def test_another_definition_of_the_table_changes_every_fingerprint() -> None:
    assert fingerprint({"id": "a"}, hasher(b"one")) != fingerprint({"id": "a"}, hasher(b"two"))


def test_what_earlier_versions_have_saved_still_counts() -> None:
    assert fingerprint({"n": [1, None], "id": "a"}, hasher(b"salt")).hex() == "aff710db43c8"
    assert short_hash(("a", "b")).hex() == "e25cdb81e3f1"


def test_a_record_nested_beyond_what_can_be_written_has_none_and_so_is_always_sent() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert fingerprint({"id": "a", "deep": deep}, hasher(b"s")) == BLANK


def test_the_hash_of_a_key_tells_its_parts_apart() -> None:
    several = [("a", "b"), ("b", "a"), ("ab",), ("a",), ("\ud800",), ("a\tb",)]
    assert len({short_hash(key) for key in several}) == len(several)
    assert {len(short_hash(key)) for key in several} == {6}


# -- rows of small streams -----------------------------------------------------------------------


@given(keys)
def test_any_key_is_one_line_of_text_and_back(key: tuple[str, ...]) -> None:
    text = key_text(key)
    assert "\n" not in text
    assert key_of_text(text) == key


@given(st.dictionaries(keys, st.just(BLANK) | st.binary(min_size=6, max_size=6)))
def test_rows_come_back_from_json_as_they_were(marks: dict[tuple[str, ...], bytes]) -> None:
    rows = SentRows()
    for key, mark in marks.items():
        rows.set(key, mark)
    back = SentRows.from_json(json.loads(json.dumps(rows.as_json())))
    assert back.marks == marks
    assert back.size_bytes == rows.size_bytes


@given(st.lists(st.tuples(keys, st.booleans())))
@example([(('"\\',), True)])
def test_the_size_is_what_the_rows_take_in_the_state(
    steps: list[tuple[tuple[str, ...], bool]],
) -> None:
    rows = SentRows()
    for key, stays in steps:
        if stays:
            rows.set(key, MARK)
        else:
            rows.forget(key)
    # In JSON, a newline takes two bytes, and the text its quotes.
    size = len(json.dumps(rows.as_json()))
    assert size - 2 <= rows.size_bytes <= size + 2 + 4 * len(rows)


def test_what_is_known_of_a_row_is_its_last_mark_or_nothing() -> None:
    rows = SentRows()
    assert rows.get(("a",)) is None
    rows.set(("a",), MARK)
    rows.set(("a",), b"654321")
    assert (rows.get(("a",)), len(rows)) == (b"654321", 1)
    rows.blank_all()
    assert rows.get(("a",)) == BLANK
    rows.forget(("a",))
    rows.forget(("never known",))
    assert (rows.get(("a",)), len(rows), rows.size_bytes) == (None, 0, 0)


def test_a_copy_of_the_rows_is_one_of_its_own() -> None:
    rows = SentRows()
    rows.set(("a",), MARK)
    twin = rows.copy()
    twin.set(("b",), MARK)
    twin.forget(("a",))
    assert rows.marks == {("a",): MARK}
    assert rows.size_bytes == twin.size_bytes


@pytest.mark.parametrize("text", ["x", "AAAAAAAA", "AAAA", "????????a", "AAAAAAA=a", "\n"])
def test_text_of_another_form_is_no_rows(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SentRows.from_json(text)


# -- messages ------------------------------------------------------------------------------------


def sent(*hours: int, each: int = 1) -> SentByHour:
    messages = SentByHour()
    for hour in hours:
        for number in range(each):
            messages.set(name(100 * hour + number), hour * HOUR_MS + number, MARK)
    return messages


def name(number: int) -> bytes:
    return number.to_bytes(6, "big")


def test_a_message_is_known_by_its_name_within_the_hour_of_its_time() -> None:
    messages = sent(HOUR)
    its = name(100 * HOUR)
    assert messages.get(its, HOUR * HOUR_MS + HOUR_MS - 1) == MARK
    assert messages.get(its, HOUR * HOUR_MS + HOUR_MS) is None
    assert messages.get(name(1), HOUR * HOUR_MS) is None


def test_a_message_is_known_only_at_the_time_that_it_came_with_last() -> None:
    messages = sent(HOUR)
    its = name(100 * HOUR)
    assert messages.hour_ms(its) == HOUR * HOUR_MS
    twin = messages.copy()
    twin.set(its, (HOUR - 5) * HOUR_MS, MARK)
    assert twin.get(its, HOUR * HOUR_MS) is None
    assert (twin.hour_ms(its), len(twin)) == ((HOUR - 5) * HOUR_MS, 1)
    assert (messages.hour_ms(its), messages.hour_ms(name(1))) == (HOUR * HOUR_MS, None)
    back = SentByHour.from_json(twin.as_json())
    assert (back.hours, back.hour_ms(its)) == ({HOUR - 5: {its: MARK}}, (HOUR - 5) * HOUR_MS)


def test_a_message_that_moves_to_an_hour_that_was_given_up_is_known_no_more() -> None:
    messages = sent(HOUR)
    messages.given_up = HOUR - 5
    its = name(100 * HOUR)
    messages.set(its, (HOUR - 5) * HOUR_MS, MARK)
    assert (messages.hour_ms(its), len(messages)) == (None, 0)
    assert SentByHour.from_json(messages.as_json()).hours == {}


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 40), st.integers(0, 9)),
        st.binary(min_size=6, max_size=6),
        max_size=30,
    )
)
def test_messages_come_back_from_json_as_they_were(marks: dict[tuple[int, int], bytes]) -> None:
    messages = SentByHour()
    for (hour, number), mark in marks.items():
        messages.set(name(100 * hour + number), (HOUR + hour) * HOUR_MS, mark)
    back = SentByHour.from_json(json.loads(json.dumps(messages.as_json())))
    assert (back.hours, back.given_up, len(back)) == (
        messages.hours,
        messages.given_up,
        len(marks),
    )


def test_the_oldest_hours_give_way_and_nothing_up_to_them_is_taken_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 25)
    messages = sent(HOUR, HOUR + 3, HOUR + 1, each=10)
    assert sorted(messages.hours) == [HOUR + 1, HOUR + 3]
    assert (messages.given_up, len(messages)) == (HOUR, 20)
    messages.set(name(1), HOUR * HOUR_MS, MARK)
    messages.set(name(2), (HOUR - 5) * HOUR_MS, MARK)
    assert len(messages) == 20
    assert not messages.is_above_given_up(HOUR * HOUR_MS + HOUR_MS - 1)
    assert messages.is_above_given_up((HOUR + 1) * HOUR_MS)
    back = SentByHour.from_json(messages.as_json())
    assert (back.hours, back.given_up) == (messages.hours, messages.given_up)


def test_a_copy_and_what_was_saved_give_way_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 3)
    messages = sent(HOUR + 3, HOUR + 1, HOUR + 2)
    for each in (messages.copy(), SentByHour.from_json(messages.as_json()), messages):
        each.set(name(0), (HOUR + 4) * HOUR_MS, MARK)
        assert sorted(each.hours) == [HOUR + 2, HOUR + 3, HOUR + 4]
        assert each.given_up == HOUR + 1


def test_a_message_older_than_all_others_gives_way_itself_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 10)
    messages = sent(HOUR, each=10)
    messages.set(name(3), (HOUR - 2) * HOUR_MS, MARK)
    assert sorted(messages.hours) == [HOUR]
    assert messages.given_up == HOUR - 2


def test_one_hour_of_more_messages_than_there_is_room_for_is_kept_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent_rows, "MOST_MESSAGES", 10)
    assert len(sent(HOUR, each=15)) == 15


def test_a_message_set_again_counts_once_and_its_hour_is_written_anew() -> None:
    messages = sent(HOUR, each=2)
    before = messages.as_json()
    messages.set(name(100 * HOUR), HOUR * HOUR_MS, b"654321")
    assert len(messages) == 2
    assert messages.as_json() != before
    assert SentByHour.from_json(messages.as_json()).hours == messages.hours


def test_a_message_without_a_fingerprint_is_known_and_never_equal_to_one() -> None:
    messages = SentByHour()
    messages.set(name(0), HOUR * HOUR_MS, BLANK)
    back = SentByHour.from_json(messages.as_json())
    assert back.get(name(0), HOUR * HOUR_MS) == bytes(6)


def test_a_copy_of_the_messages_is_one_of_its_own() -> None:
    messages = sent(HOUR)
    twin = messages.copy()
    twin.set(name(7), HOUR * HOUR_MS, MARK)
    twin.set(name(8), (HOUR + 1) * HOUR_MS, MARK)
    assert (len(messages), len(twin)) == (1, 3)
    assert messages.get(name(7), HOUR * HOUR_MS) is None


@pytest.mark.parametrize(
    "texts", [{"x": 16 * "A"}, {"1": "?"}, {"1": "AAAA"}, {"given_up": "soon"}, {"1.5": 16 * "A"}]
)
def test_texts_of_another_form_are_no_messages(texts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        SentByHour.from_json(texts)


def test_entries_between_two_times_are_told_by_their_hours() -> None:
    sent = SentByHour()
    sent.set(b"123456", 5 * HOUR_MS + 1, b"123456")
    assert sent.has_between(5 * HOUR_MS + 2, 6 * HOUR_MS, excluding=())
    assert not sent.has_between(6 * HOUR_MS, 9 * HOUR_MS, excluding=())
    assert not sent.has_between(2 * HOUR_MS, 6 * HOUR_MS - 1, excluding=())
    assert not sent.has_between(5 * HOUR_MS, 6 * HOUR_MS, excluding={b"123456"})
    sent.set(b"abcdef", 5 * HOUR_MS, b"123456")
    assert sent.has_between(5 * HOUR_MS, 6 * HOUR_MS, excluding={b"123456"})
