"""The fake account applies changes as told, and its truth follows them."""

from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fake_courier import ABSENT, STREAMS, Options
from tests.support.fake_courier.maker import iso
from tests.support_tests.walks import (
    ALL,
    AUTH,
    BY_ID,
    DAY_MS,
    NOW_MS,
    body,
    fake,
    ids,
    truth,
    walk,
)


@pytest.mark.parametrize("stream", ALL)
def test_new_rows_are_listed_where_the_order_puts_them(stream: str) -> None:
    api = fake(orders={stream: "newest"})
    api.account.advance(5000)
    new = api.account.add(stream, 2)
    assert set(ids(stream, walk(api, stream)[:2])) == set(new)
    api.account.set_now(NOW_MS + 9000)
    newest = api.account.add(stream)
    assert ids(stream, truth(api, stream))[:1] == newest


def test_a_late_message_takes_its_place_among_the_older_ones() -> None:
    api = fake()
    (late,) = api.account.add_late(1, 3 * DAY_MS)
    rows = truth(api, "message")
    at = ids("message", rows).index(late)
    assert at > 10
    assert rows[at]["enqueued"] == NOW_MS - 3 * DAY_MS
    times = [row["enqueued"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert walk(api, "message") == rows


@pytest.mark.parametrize("stream", BY_ID)
def test_an_edit_is_seen_and_taken_back_to_the_letter(stream: str) -> None:
    api = fake()
    before = truth(api, stream)
    for move in (None, "head"):
        (id_,) = api.account.pick(stream, 1)
        api.account.advance(1000)
        api.account.edit(stream, id_, move=move)
        after = truth(api, stream)
        changed = [row for row in after if row not in before]
        assert [row["id"] for row in changed] == [id_]
        assert (ids(stream, after)[0] == id_) == (move == "head")
        original = next(row for row in before if row["id"] == id_)
        differing = {name for name in changed[0] if changed[0][name] != original.get(name)}
        assert differing & {"name", "title"}
        assert bool(differing & {"updated", "updated_at"}) == (stream != "tenant")
        api.account.revert(stream, id_)
        assert sorted(map(str, truth(api, stream))) == sorted(map(str, before))
        assert walk(api, stream) == truth(api, stream)


def test_an_edit_may_remove_a_field_and_keep_the_updated_time() -> None:
    api = fake()
    brand = next(row for row in truth(api, "brand") if row.get("updated") and "settings" in row)
    api.account.edit("brand", brand["id"], keep_updated=True, settings=ABSENT, name="t")
    now = api.account.get("brand", brand["id"])
    assert now == {**{k: v for k, v in brand.items() if k != "settings"}, "name": "t"}


@pytest.mark.parametrize("stream", BY_ID)
def test_what_is_deleted_is_404_until_it_is_restored_to_the_letter(stream: str) -> None:
    api = fake()
    before = truth(api, stream)
    gone = before[4]["id"]
    path = f"{STREAMS[stream].path}/{quote(gone, safe='')}"
    assert api.answer(path, {}, AUTH).status == 200
    api.account.delete(stream, gone)
    assert api.answer(path, {}, AUTH).status == 404
    assert walk(api, stream) == [row for row in before if row["id"] != gone]
    with pytest.raises(KeyError):
        api.account.edit(stream, gone)
    api.account.restore(stream, gone)
    assert walk(api, stream) == before
    assert api.traffic.by_id[stream] == 2


def test_an_archived_template_leaves_the_listing_and_is_200_by_id() -> None:
    api = fake()
    id_ = truth(api, "notification")[3]["id"]
    api.account.archive(id_)
    assert id_ not in ids("notification", walk(api, "notification"))
    reply = body(api.answer(f"/notifications/{id_}", {}, AUTH))
    assert reply["id"] == id_
    assert "content" in reply
    api.account.restore("notification", id_)
    api.account.delete("notification", id_)
    assert api.answer(f"/notifications/{id_}", {}, AUTH).status == 404


def test_messages_go_on_through_their_statuses() -> None:
    api = fake()
    api.account.advance(60_000)
    (id_,) = api.account.add("message")
    seen = []
    for _ in range(5):
        row = next(row for row in truth(api, "message") if row["id"] == id_)
        seen.append(row["status"])
        api.account.progress_messages(ids=[id_])
    assert seen == ["ENQUEUED", "SENT", "DELIVERED", "OPENED", "CLICKED"]
    before = truth(api, "message")
    moved = api.account.progress_messages(20)
    changed = [a["id"] for a, b in zip(truth(api, "message"), before, strict=True) if a != b]
    assert len(moved) == 20
    assert sorted(changed) == sorted(moved)


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_retention_drops_the_old_messages(order: str) -> None:
    api = fake(orders={"message": order})
    api.account.add_late(2, 20 * DAY_MS)
    bound = NOW_MS - 10 * DAY_MS
    expected = [row for row in truth(api, "message") if row["enqueued"] >= bound]
    api.account.retention(bound)
    assert walk(api, "message") == expected
    assert api.account.count("message") == len(expected)
    assert 100 < len(expected) < 250


def test_changes_come_as_json_and_in_the_middle_of_a_walk() -> None:
    api = fake(sizes={"list": 45})
    (id_,) = api.account.apply({"do": "edit", "stream": "list", "fields": {"name": "1e5"}})
    assert (api.account.get("list", id_) or {})["name"] == "1e5"
    last = truth(api, "list")[-1]["id"]
    api.change_after("list", 3, {"do": "touch", "stream": "list", "id": last, "move": "head"})
    read = ids("list", walk(api, "list"))
    assert last not in read  # it moved past the walk
    assert ids("list", walk(api, "list"))[0] == last
    assert api.account.apply({"do": "delete", "stream": "list", "n": 45})
    assert truth(api, "list") == []
    assert walk(api, "list") == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_listing_is_one_order_and_every_row_in_it_is_found(seed: int) -> None:
    random = Random(seed)
    stream = random.choice(ALL)
    order = random.choice(("newest", "nearly_newest", "oldest", "shuffled"))
    api = fake(seed=seed, sizes={stream: random.randrange(60)}, orders={stream: order})
    made, gone, letters = api.account, set[str](), dict[str, dict[str, Any]]()
    expected = {row[STREAMS[stream].key]: row for row in truth(api, stream)}
    for _ in range(150):
        made.advance(random.randrange(3))
        alive = sorted(set(expected) - gone)
        picked = random.choice(alive) if alive else None
        move = random.choice((None, "head", "tail"))
        what = random.randrange(6)
        if what == 0 or picked is None:
            age_ms = random.choice((0, random.randrange(30 * DAY_MS)))
            (picked,) = made.add_late(1, age_ms, stream=stream)
        elif what == 1:
            letters[picked] = expected[picked]
            made.edit(stream, picked, move=move, name=random.choice(("t", "007")))
        elif what == 2 and picked in letters:
            made.revert(stream, picked, move=move)
            expected[picked] = letters.pop(picked)
        elif what == 3:
            made.delete(stream, picked)
            gone.add(picked)
        elif what == 4 and gone:
            picked = random.choice(sorted(gone))
            made.restore(stream, picked)
            gone.remove(picked)
        listed = {row[STREAMS[stream].key]: row for row in truth(api, stream)}
        if picked not in expected or what == 1:
            expected[picked] = listed[picked]
        assert listed == {id_: row for id_, row in expected.items() if id_ not in gone}
        assert made.count(stream) == len(listed)
    api.change_options(page_sizes={stream: random.randrange(1, 9)})
    assert walk(api, stream) == truth(api, stream)


def test_hidden_rows_are_not_listed_and_200_by_id() -> None:
    for stream in BY_ID:
        api = fake()
        before = truth(api, stream)
        hidden = api.account.apply({"do": "hide", "stream": stream, "n": 3})
        assert walk(api, stream) == [row for row in before if row["id"] not in hidden]
        for id_ in hidden:
            path = f"{STREAMS[stream].path}/{quote(id_, safe='')}"
            assert api.answer(path, {}, AUTH).status == 200
            api.account.restore(stream, id_)
        assert walk(api, stream) == before
        api.account.hide(stream, hidden[0])
        api.account.delete(stream, hidden[0])
        path = f"{STREAMS[stream].path}/{quote(hidden[0], safe='')}"
        assert api.answer(path, {}, AUTH).status == 404


def test_a_row_moves_between_pages_as_it_is() -> None:
    api = fake()
    before = truth(api, "tenant")
    api.account.move("tenant", before[3]["id"], to="tail")
    assert truth(api, "tenant") == [*before[:3], *before[4:], before[3]]
    assert walk(api, "tenant") == truth(api, "tenant")


def test_a_draft_template_is_404_by_id_unless_its_draft_is_asked_for() -> None:
    api = fake(Options(drafts_by_id=False))
    drafts = [row for row in truth(api, "notification") if row.get("state") == "DRAFT"]
    others = [row for row in truth(api, "notification") if row.get("state") != "DRAFT"]
    assert api.answer(f"/notifications/{drafts[0]['id']}", {}, AUTH).status == 404
    found = api.answer(f"/notifications/{drafts[0]['id']}", {"version": "draft"}, AUTH)
    assert body(found)["id"] == drafts[0]["id"]
    assert api.answer(f"/notifications/{others[0]['id']}", {}, AUTH).status == 200


@pytest.mark.parametrize("age_days", [40, -5])
def test_a_record_with_an_odd_time_stands_at_the_head(age_days: int) -> None:
    api = fake()
    age_ms = age_days * DAY_MS
    (odd,) = api.account.add_late(1, age_ms, behind_ms=-age_ms)
    first = truth(api, "message")[0]
    assert (first["id"], first["enqueued"]) == (odd, NOW_MS - age_ms)
    assert walk(api, "message") == truth(api, "message")


def test_a_settled_message_becomes_visible_days_after_its_own_times() -> None:
    api = fake()
    (id_,) = api.account.apply({"do": "add_settled", "age_ms": 5 * DAY_MS})
    row = next(row for row in truth(api, "message") if row["id"] == id_)
    times = [value for value in row.values() if isinstance(value, int)]
    assert row["status"] == "DELIVERED"
    assert len(times) == 3
    assert max(times) < NOW_MS - 4 * DAY_MS


def test_messages_of_any_age_are_opened_now() -> None:
    api = fake()
    for status, age_ms in (("OPENED", 12 * DAY_MS), ("CLICKED", 29 * DAY_MS)):
        change = {"do": "change_at_age", "age_ms": age_ms, "n": 2, "status": status}
        changed = api.account.apply(change)
        rows = [row for row in truth(api, "message") if row["id"] in changed]
        assert len(rows) == 2
        for row in rows:
            assert row["enqueued"] <= NOW_MS - age_ms
            assert (row["status"], row[status.lower()]) == (status, NOW_MS)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("float", lambda ms: float(ms)),
        ("seconds", lambda ms: ms // 1000),
        ("digits", lambda ms: str(ms)),
        ("iso", lambda ms: iso(ms)),
    ],
)
def test_times_come_in_another_form(form: str, expected: Callable[[int], Any]) -> None:
    api = fake(Options(time_forms={"message": form, "brand": form}))
    usual = truth(api, "message")
    read = walk(api, "message")
    assert [row["enqueued"] for row in read] == [expected(row["enqueued"]) for row in usual]
    assert read == list(api.truth("message"))
    assert walk(api, "brand") == list(api.truth("brand"))
    assert walk(api, "list") == truth(api, "list")


@pytest.mark.parametrize("stream", ["message", "preference_change"])
def test_records_come_as_time_goes_on(stream: str) -> None:
    api = fake(daily={stream: 24})
    before = truth(api, stream)
    api.account.advance(30 * 60_000)
    assert truth(api, stream) == before
    api.account.advance(5 * 3_600_000)
    rows = truth(api, stream)
    assert len(rows) == len(before) + 5 == api.account.count(stream)
    assert rows[5:] == before
    times = [api.account.table(stream).time(row[2]) for row in api.account.rows(stream, None, 5)]
    assert times == [NOW_MS + hour * 3_600_000 for hour in (5, 4, 3, 2, 1)]
    api.account.delete(stream, rows[0]["id"])
    assert truth(api, stream) == rows[1:]
