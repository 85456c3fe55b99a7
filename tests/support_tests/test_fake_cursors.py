"""Cursors of the fake API: positions, made-up ones, forgotten ones."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fake_courier import Options, Reply
from tests.support_tests.walks import (
    ALL,
    AUTH,
    DAY_MS,
    NOW_MS,
    ask,
    body,
    cursor_at,
    fake,
    page,
    truth,
    walk,
)


def test_message_cursors_are_a_place_in_the_listing() -> None:
    api = fake()
    records, cursor, _ = page("message", body(ask(api, "message")))
    last = records[-1]
    assert b64decode(cursor or "").decode() == f"{last['enqueued']},{last['id']}"
    assert b64decode(page("audit_event", body(ask(api, "audit_event")))[1] or "")[:2] == b"1:"


def test_a_made_up_cursor_reads_on_strictly_after_its_place() -> None:
    api = fake(sizes={"message": 2000})
    rows = truth(api, "message")
    for place in (NOW_MS + 1, rows[777]["enqueued"], rows[1500]["enqueued"] + 1, 0):
        for id_ in ("", "~"):
            expected = [r for r in rows if (r["enqueued"], r["id"]) < (place, id_)][:10]
            found = page("message", body(ask(api, "message", cursor=cursor_at(place, id_))))[0]
            assert found == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("head", lambda rows, at: rows[:10]),
        ("partly", lambda rows, at: rows[at + 10 : at + 20]),
        ("gaps", lambda rows, at: rows[at : at + 20 : 2]),
        ("backwards", lambda rows, at: rows[at : at + 10][::-1]),
    ],
)
def test_made_up_cursors_are_honoured_wrongly(
    mode: str, expected: Callable[[list[Any], int], list[Any]]
) -> None:
    api = fake(Options(made_up_cursors=mode))
    rows = truth(api, "message")
    place = rows[200]["enqueued"]
    at = next(n for n, row in enumerate(rows) if row["enqueued"] < place)
    read, cursor, _ = page("message", body(ask(api, "message", cursor=cursor_at(place, ""))))
    assert read == expected(rows, at)
    follow = page("message", body(ask(api, "message", cursor=cursor or "")))[0]
    if mode != "backwards":
        after = rows.index(read[-1])
        assert follow == rows[after + 1 : after + 11]
    assert walk(api, "message") == rows


def test_made_up_cursors_are_refused_or_answered_with_newer_rows() -> None:
    api = fake()
    cursor = cursor_at(NOW_MS - DAY_MS)
    for mode, status in (("refused", 400), ("not_found", 404), ("gone", 410)):
        api.change_options(made_up_cursors=mode)
        assert ask(api, "message", cursor=cursor).status == status
        assert walk(api, "message") == truth(api, "message")
    api = fake(Options(made_up_cursors="newer"), sizes={"message": 20_000})
    read = page("message", body(ask(api, "message", cursor=cursor)))[0]
    assert all(row["enqueued"] > NOW_MS - DAY_MS for row in read)


@pytest.mark.parametrize("status", [400, 404, 410])
@pytest.mark.parametrize("stream", ALL)
def test_forgotten_cursors_are_refused_and_new_ones_serve(stream: str, status: int) -> None:
    api = fake(Options(forgotten_status=status), sizes={stream: 50})
    cursor = page(stream, body(ask(api, stream)))[1] or ""
    assert ask(api, stream, cursor=cursor).status == 200
    api.forget_cursors()
    assert ask(api, stream, cursor=cursor).status == status
    assert walk(api, stream) == truth(api, stream)


def test_nonsense_is_no_cursor() -> None:
    api = fake()
    good = page("message", body(ask(api, "message")))[1] or ""
    blank = good[:8] + " " + good[8:]
    for text in ("nonsense", quote(good, safe=""), good[:-2], blank, b64encode(b"1").decode()):
        assert ask(api, "message", cursor=text).status == 400
    assert ask(api, "brand", cursor=cursor_at(5)).status == 400
    assert api.answer("/nowhere", {}, AUTH).status == 404


def test_options_have_only_names_and_values_that_there_are() -> None:
    for wrong in ({"colour": 1}, {"bad_key_status": 500}, {"down": ["brands"]}):
        with pytest.raises(ValueError, match="not one of"):
            Options().changed(wrong)
    assert Options().changed({"down": ["brand"]}) == Options(down=("brand",))


def test_scripted_answers_come_first() -> None:
    api = fake()
    api.script("brand", Reply(200, b"[" * 1000))
    assert ask(api, "brand").body == b"[" * 1000
    assert walk(api, "brand") == truth(api, "brand")


@pytest.mark.parametrize("order", ["newest", "nearly_newest", "oldest", "shuffled"])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_an_account_may_be_empty_or_tiny(size: int, order: str) -> None:
    api = fake(sizes=dict.fromkeys(ALL, size), orders=dict.fromkeys(ALL, order), seed=3)
    for stream in ALL:
        assert len(walk(api, stream)) == size
        api.account.add(stream)
        api.account.delete(stream, api.account.pick(stream, 1)[0])
        assert walk(api, stream) == truth(api, stream)
        assert api.account.count(stream) == size
        api.account.advance(10)


def test_changing_one_option_does_not_repeat_a_fault_that_was_had() -> None:
    api = fake(Options(fault_once={"*": ("500",)}))
    assert ask(api, "brand").status == 500
    api.change_options(latency_ms=40)
    reply = ask(api, "brand")
    assert (reply.status, reply.delay_seconds) == (200, 0.04)


@pytest.mark.parametrize("status", [403, 409, 412, 422, 500])
def test_saved_cursors_are_refused_with_any_status(status: int) -> None:
    api = fake(Options(forgotten_status=status))
    cursor = page("brand", body(ask(api, "brand")))[1] or ""
    api.forget_cursors()
    assert ask(api, "brand", cursor=cursor).status == status


def test_saved_cursors_are_answered_with_an_error_inside_a_200() -> None:
    api = fake(Options(forgotten_status=200))
    cursor = page("brand", body(ask(api, "brand")))[1] or ""
    api.forget_cursors()
    data = body(ask(api, "brand", cursor=cursor))
    assert set(data) == {"message", "type"}


def test_cursors_live_for_seconds_or_for_requests() -> None:
    api = fake(Options(cursor_seconds=60, forgotten_status=410))
    cursor = page("message", body(ask(api, "message")))[1] or ""
    api.account.advance(60_000)
    assert ask(api, "message", cursor=cursor).status == 200
    api.account.advance(1)
    assert ask(api, "message", cursor=cursor).status == 410
    assert ask(api, "message", cursor=cursor_at(NOW_MS - DAY_MS)).status == 200
    assert walk(api, "message") == truth(api, "message")
    api = fake(Options(cursor_requests=2))
    cursor = page("brand", body(ask(api, "brand")))[1] or ""
    statuses = [ask(api, "brand", cursor=cursor).status for _ in range(3)]
    assert statuses == [200, 200, 400]


def test_a_thin_server_gives_every_third_record_after_a_made_up_cursor() -> None:
    api = fake(Options(made_up_cursors="thin"), sizes={"message": 300})
    rows = truth(api, "message")
    read: list[Any] = []
    cursor, more = cursor_at(rows[29]["enqueued"], ""), True
    below = [row for row in rows if row["enqueued"] < rows[29]["enqueued"]]
    while more:
        records, text, more = page("message", body(ask(api, "message", cursor=cursor)))
        read, cursor = read + records, text or ""
    assert read == below[2::3]
    assert walk(api, "message") == rows


def test_made_up_cursors_are_answered_empty() -> None:
    api = fake(Options(made_up_cursors="empty"))
    found = page("message", body(ask(api, "message", cursor=cursor_at(NOW_MS - DAY_MS))))
    assert found == ([], None, False)
    assert walk(api, "message") == truth(api, "message")
