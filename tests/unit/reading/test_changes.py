"""Which records of a page must be sent: new and changed ones, and none twice."""

from typing import Any

import pytest
from msgspec.structs import replace

from courier_async.api.pages import Page
from courier_async.catalog.rows import RowMapper
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Record, Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.handover import Entry
from courier_async.reading.changes import Changes, Selected
from courier_async.reading.judge import judge_page
from courier_async.state.position import MissedChildren, Reading, StreamState, Unusable
from courier_async.state.sent_rows import BLANK, SentByHour, SentRows

NOW = 1_794_657_600_000
MESSAGE, BRAND, AUDIT_EVENT = BY_TABLE["message"], BY_TABLE["brand"], BY_TABLE["audit_event"]
# Everything was read two hours ago.
READ = StreamState(readings=(Reading(NOW - 2 * HOUR_MS, 0),))


def changes_of(stream: Stream, **given: Any) -> Changes:
    mapper = RowMapper(stream, redact_secrets=True)
    return Changes(stream, mapper=mapper, salt=b"s", **({"reread_ms": 30 * DAY_MS} | given))


def select(
    changes: Changes, stream: Stream, *records: Record, state: StreamState | None = None
) -> Selected:
    page = judge_page(stream, Page(list(records), None), now_ms=NOW)
    return changes.select(page, state or StreamState(), NOW)


def sent(selected: Selected) -> list[str]:
    return [row["id"] for row in selected.rows]


def message(id_: str, age_ms: int, **fields: Any) -> Record:
    """Returns a message that was delivered at once."""
    time = NOW - age_ms
    usual = {"id": id_, "enqueued": time, "status": "DELIVERED", "delivered": time + 1_000}
    return usual | fields


def recent_above(time_ms: int) -> SentByHour:
    """Returns entries of which the hours up to a time have been given up."""
    recent = SentByHour()
    recent.given_up = time_ms // HOUR_MS
    return recent


# -- streams whose rows are all remembered -------------------------------------------------------


def test_a_row_is_sent_when_it_is_new_and_when_it_has_changed() -> None:
    changes = changes_of(BRAND, rows=SentRows())
    a, b = {"id": "a", "name": "A"}, {"id": "b", "name": "B"}
    first = select(changes, BRAND, a, b)
    assert (sent(first), first.unchanged, first.shows_news) == (["a", "b"], 0, True)
    assert changes.rows is not None
    marks = changes.rows.marks
    assert first.entries == [Entry((id_,), b"", marks[(id_,)]) for id_ in ("a", "b")]
    assert all(marks.values())
    again = select(changes, BRAND, b, dict(reversed(a.items())))
    assert (sent(again), again.unchanged, again.shows_news) == ([], 2, False)
    assert sent(select(changes, BRAND, a, b | {"name": None})) == ["b"]


@pytest.mark.parametrize(
    ("table", "field"),
    [("tenant_user", "profile"), ("audience_member", "reason"), ("preference_section", "topics")],
)
def test_a_change_of_what_never_lands_sends_nothing(table: str, field: str) -> None:
    stream = BY_TABLE[table]
    record = dict.fromkeys(stream.key, "a")
    changes = changes_of(stream, rows=SentRows())
    assert len(select(changes, stream, record | {field: ["old"]}).rows) == 1
    assert select(changes, stream, record | {field: ["new"]}).unchanged == 1


def test_a_row_of_which_only_the_key_is_remembered_is_sent() -> None:
    rows = SentRows()
    rows.set(("a",), BLANK)
    changes = changes_of(BRAND, rows=rows)
    assert sent(select(changes, BRAND, {"id": "a"})) == ["a"]
    assert sent(select(changes, BRAND, {"id": "a"})) == []


def test_a_row_that_has_no_fingerprint_is_sent_each_time() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    changes = changes_of(BRAND, rows=SentRows())
    for _ in range(2):
        assert sent(select(changes, BRAND, {"id": "a", "name": deep})) == ["a"]


def test_once_there_are_too_many_rows_all_are_sent_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("courier_async.state.sent_rows.MOST_ROWS", 1)
    changes = changes_of(BRAND, rows=SentRows())
    select(changes, BRAND, {"id": "a"})
    assert changes.rows is not None
    select(changes, BRAND, {"id": "b"})
    assert changes.rows is None
    again = select(changes, BRAND, {"id": "a"}, {"id": "b"})
    assert (sent(again), again.entries) == (["a", "b"], [])


def test_a_row_twice_on_a_page_is_sent_once() -> None:
    changes = changes_of(BRAND, rows=SentRows())
    assert sent(select(changes, BRAND, {"id": "a"}, {"id": "a"})) == ["a"]


def test_of_a_stream_that_remembers_nothing_every_record_is_sent() -> None:
    changes = changes_of(AUDIT_EVENT)
    for _ in range(2):
        selected = select(changes, AUDIT_EVENT, {"auditEventId": "a"})
        assert len(selected.rows) == 1
        assert selected.entries == []


def test_what_is_older_than_sync_since_is_left_out() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour(), since_ms=NOW - DAY_MS)
    records = message("in", DAY_MS), message("out", DAY_MS + 1), message("too", DAY_MS + 2)
    selected = select(changes, MESSAGE, *records)
    assert (sent(selected), selected.unchanged) == (["in"], 2)


# -- messages ------------------------------------------------------------------------------------


def test_a_message_is_sent_when_it_is_new_and_when_it_has_changed() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour())
    record = message("a", 5 * DAY_MS)
    first = select(changes, MESSAGE, record, state=READ)
    assert (sent(first), first.shows_news, first.holds_known) == (["a"], True, False)
    (entry,) = first.entries
    assert (entry.key, entry.time_ms) == (("a",), NOW - 5 * DAY_MS)
    assert changes.recent is not None
    assert changes.recent.get(entry.name, NOW - 5 * DAY_MS) == entry.mark
    again = select(changes, MESSAGE, record, state=READ)
    assert (sent(again), again.shows_news, again.holds_known) == ([], False, True)
    assert (again.unchanged, again.entries) == (1, [])
    clicked = record | {"status": "CLICKED", "clicked": NOW}
    changed = select(changes, MESSAGE, clicked, state=READ)
    assert (sent(changed), changed.shows_news, changed.holds_known) == (["a"], True, True)


def test_messages_of_one_time_are_told_apart() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour())
    both = message("a", DAY_MS), message("b", DAY_MS)
    assert sent(select(changes, MESSAGE, *both)) == ["a", "b"]
    again = select(changes, MESSAGE, *both)
    assert (sent(again), again.unchanged) == ([], 2)


def test_a_message_without_a_readable_time_is_sent_and_not_remembered() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour())
    selected = select(changes, MESSAGE, {"id": "a", "enqueued": "soon"})
    assert (sent(selected), selected.entries) == (["a"], [])


def test_a_settled_message_whose_entry_has_given_way_is_not_sent_again() -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW))
    selected = select(changes, MESSAGE, message("a", 9 * DAY_MS), state=READ)
    assert (sent(selected), selected.unchanged) == ([], 1)


# The last reading was two hours ago; changes more than three days before it are settled.
SETTLED_MS = NOW - 2 * HOUR_MS - 3 * DAY_MS


@pytest.mark.parametrize(
    ("record", "unusable"),
    [
        (message("a", 9 * DAY_MS, clicked=SETTLED_MS - 1), ()),
        (message("a", 9 * DAY_MS, delivered=NOW - 9 * DAY_MS), ()),
        (message("a", 9 * DAY_MS), (Unusable(NOW - 9 * DAY_MS + HOUR_MS + 1, NOW),)),
        (message("a", 9 * DAY_MS), (Unusable(0, NOW - 31 * DAY_MS),)),
    ],
    ids=["just settled", "delivered at once", "below an unusable record", "looked for no more"],
)
def test_a_message_is_settled_at_the_edge_of_each_condition(
    record: Record, unusable: tuple[Unusable, ...]
) -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW))
    state = StreamState(readings=READ.readings, unusable=unusable)
    assert sent(select(changes, MESSAGE, record, state=state)) == []


def test_a_message_that_is_not_remembered_is_no_news() -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW))
    selected = select(changes, MESSAGE, message("a", 2 * DAY_MS), state=READ)
    assert (sent(selected), selected.entries) == (["a"], [])
    assert (selected.shows_news, selected.holds_known) == (False, False)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (message("a", 9 * DAY_MS, clicked=SETTLED_MS), READ),
        (message("a", 9 * DAY_MS), StreamState()),
        (message("a", 9 * DAY_MS), StreamState(readings=(Reading(NOW - HOUR_MS, NOW),))),
        (message("a", 9 * DAY_MS, status="SENT"), READ),
        (message("a", 9 * DAY_MS, delivered=None), READ),
        (message("a", 9 * DAY_MS, clicked=NOW - DAY_MS), READ),
        (message("a", 9 * DAY_MS, clicked="soon"), READ),
        (message("a", 9 * DAY_MS, clicked=NOW - 10 * DAY_MS), READ),
        (message("a", 2 * DAY_MS), READ),
        (
            message("a", 9 * DAY_MS),
            StreamState(readings=READ.readings, unusable=(Unusable(NOW - 9 * DAY_MS, NOW),)),
        ),
        (
            message("a", 9 * DAY_MS),
            StreamState(
                readings=READ.readings, unusable=(Unusable(NOW - 9 * DAY_MS + HOUR_MS, NOW),)
            ),
        ),
    ],
    ids=[
        "just not settled", "never read", "not read so far down", "still under way",
        "no time of its status",
        "changed lately", "an odd time", "a time before its own", "young",
        "above an unusable record", "an hour below an unusable record",
    ],
)  # fmt: skip
def test_a_message_that_may_have_changed_since_is_sent_again(
    record: Record, state: StreamState
) -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW))
    assert sent(select(changes, MESSAGE, record, state=state)) == ["a"]


# -- children of messages ------------------------------------------------------------------------


def test_the_children_of_a_message_that_is_sent_are_due() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
    record = message("a", DAY_MS)
    assert select(changes, MESSAGE, record).due == {"a": NOW - DAY_MS}
    assert select(changes, MESSAGE, record).due == {}


@pytest.mark.parametrize(("age_ms", "can_note_due"), [(DAY_MS, False), (60_000, True)])
def test_a_message_whose_children_must_wait_is_sent_once_more(
    age_ms: int, can_note_due: bool
) -> None:
    """Because some table can note no more as due, or because its history may not show yet."""
    changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: can_note_due)
    record = message("a", age_ms)
    for _ in range(2):
        selected = select(changes, MESSAGE, record)
        assert (sent(selected), list(selected.due)) == (["a"], ["a"] if age_ms == DAY_MS else [])
        assert [entry.mark for entry in selected.entries] == [BLANK]


def test_of_messages_whose_children_cannot_be_noted_the_oldest_time_is_told() -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW), can_note_due=lambda: False)
    a, b, c = (message(id_, days * DAY_MS) for id_, days in (("a", 2), ("b", 3), ("c", 1)))
    assert select(changes, MESSAGE, a, b, c).missed_ms == NOW - 3 * DAY_MS
    changes = changes_of(MESSAGE, recent=recent_above(NOW), can_note_due=lambda: True)
    assert select(changes, MESSAGE, message("a", DAY_MS)).missed_ms is None


def test_where_children_were_missed_a_message_that_has_not_changed_owes_them() -> None:
    given: dict[str, Any] = {"recent": recent_above(NOW), "can_note_due": lambda: True}
    changes = changes_of(MESSAGE, reads_missed=True, **given)
    state = replace(READ, children_missed=MissedChildren(NOW - 2 * DAY_MS, NOW))
    for age_ms, due in ((2 * DAY_MS, ["a"]), (2 * DAY_MS + 1, [])):
        settled = message("a", age_ms)
        assert list(select(changes, MESSAGE, settled, state=state).due) == due
        # Later messages are not affected.
        for newest, also_due in ((NOW - age_ms, ["a"]), (NOW - age_ms - 1, [])):
            older = replace(READ, children_missed=MissedChildren(0, NOW, newest))
            assert list(select(changes, MESSAGE, settled, state=older).due) == also_due
        # While some table cannot note more, missed children are not looked for.
        assert not select(changes_of(MESSAGE, **given), MESSAGE, settled, state=state).due


def test_the_history_of_a_message_that_is_not_read_again_is_not_waited_for() -> None:
    changes = changes_of(
        MESSAGE, recent=SentByHour(), reread_ms=HOUR_MS, can_note_due=lambda: True
    )
    for age_ms, due in ((HOUR_MS, []), (HOUR_MS + 1, ["a"])):
        record = message("a", age_ms, clicked=NOW)
        # If it is met again anyway, its children are read again.
        for _ in range(2):
            assert list(select(changes, MESSAGE, record).due) == due


def test_after_a_change_without_a_time_of_its_own_children_are_read_now_and_once_more() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
    sent_before = message("a", 2 * DAY_MS, status="SENT")
    failed = message("a", 2 * DAY_MS, status="UNDELIVERABLE")
    assert list(select(changes, MESSAGE, sent_before).due) == ["a"]
    for due in (["a"], ["a"], []):
        assert list(select(changes, MESSAGE, failed, state=READ).due) == due


def test_after_a_change_that_its_own_times_may_show_children_are_read_once() -> None:
    def reads_after(clicked: int, state: StreamState) -> list[list[str]]:
        changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
        record = message("a", 2 * DAY_MS)
        select(changes, MESSAGE, record, state=state)
        record |= {"status": "CLICKED", "clicked": clicked}
        return [list(select(changes, MESSAGE, record, state=state).due) for _ in range(3)]

    # The last reading was two hours ago, and a history may lag by ten minutes.
    seen = NOW - 2 * HOUR_MS - 600_000
    assert reads_after(seen, READ) == [["a"], [], []]
    assert reads_after(seen - 1, READ) == [["a"], ["a"], []]
    # Its place was never read before.
    assert reads_after(seen - 1, StreamState()) == [["a"], [], []]


def test_a_message_that_is_not_remembered_owes_children_only_if_it_has_changed() -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW), can_note_due=lambda: True)
    unchanged = message("a", 2 * DAY_MS)
    assert select(changes, MESSAGE, unchanged, state=READ).due == {}
    # Events may show ten minutes late, so the reading two hours ago may not have seen them.
    seen = NOW - 2 * HOUR_MS - 600_000
    for clicked, due in ((seen - 1, {}), (seen, {"b": NOW - 2 * DAY_MS})):
        record = message("b", 2 * DAY_MS, clicked=clicked)
        assert select(changes, MESSAGE, record, state=READ).due == due
    assert select(changes, MESSAGE, unchanged).due == {"a": NOW - 2 * DAY_MS}


@pytest.mark.parametrize(
    ("oldest", "newest", "met_at", "is_due"),
    [
        (NOW - 2 * DAY_MS, NOW - 2 * DAY_MS, NOW - 2 * HOUR_MS, True),
        # Met before, but perhaps again in the last reading.
        (NOW - 2 * DAY_MS, NOW, NOW - 2 * HOUR_MS - 30 * DAY_MS, True),
        (NOW - 2 * DAY_MS, NOW, NOW - 2 * HOUR_MS - 30 * DAY_MS - 1, False),
        # Later and older records than the message.
        (NOW - 47 * HOUR_MS, NOW, NOW - 2 * HOUR_MS, True),
        (NOW - 47 * HOUR_MS + 1, NOW, NOW - 2 * HOUR_MS, False),
        (0, NOW - 49 * HOUR_MS, NOW - 2 * HOUR_MS, True),
        (0, NOW - 49 * HOUR_MS - 1, NOW - 2 * HOUR_MS, False),
    ],
)
def test_a_message_that_may_have_been_unusable_when_last_read_owes_its_children(
    oldest: int, newest: int, met_at: int, is_due: bool
) -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW), can_note_due=lambda: True)
    state = StreamState(readings=READ.readings, unusable=(Unusable(oldest, met_at, newest),))
    selected = select(changes, MESSAGE, message("a", 2 * DAY_MS), state=state)
    assert bool(selected.due) is is_due


def test_the_children_of_a_message_are_read_ten_minutes_after_its_newest_own_time() -> None:
    for wait_ms, due in ((599_999, []), (600_000, ["a"])):
        changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
        record = message("a", DAY_MS, clicked=NOW - wait_ms)
        assert list(select(changes, MESSAGE, record).due) == due


def test_an_own_time_that_lies_more_than_a_day_ahead_is_not_waited_for() -> None:
    for ahead_ms, due in ((DAY_MS, []), (DAY_MS + 1, ["a"])):
        changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
        record = message("a", DAY_MS, clicked=NOW + ahead_ms)
        assert list(select(changes, MESSAGE, record).due) == due
    ahead = message("b", -2 * DAY_MS)
    assert list(select(changes, MESSAGE, ahead).due) == ["b"]


def test_the_children_of_a_message_without_a_readable_time_are_due() -> None:
    record = {"id": "a", "enqueued": "soon"}
    changes = changes_of(MESSAGE, recent=SentByHour(), can_note_due=lambda: True)
    # It counts as very old, but not as 0, as a failed reading is noted by a negative time.
    assert select(changes, MESSAGE, record).due == {"a": 1}
    # If no message has a time, the children of all would be read in each sync.
    assert select(changes, MESSAGE, record, state=StreamState(timeless=True)).due == {}
    changes = changes_of(MESSAGE, recent=SentByHour())
    assert select(changes, MESSAGE, record).due == {}


def test_where_no_children_are_read_nothing_is_due() -> None:
    changes = changes_of(MESSAGE, recent=SentByHour())
    assert select(changes, MESSAGE, message("a", DAY_MS)).due == {}


@pytest.mark.parametrize("odd", [None, "soon", NOW - 5 * HOUR_MS, NOW - 90 * DAY_MS])
def test_a_row_that_came_with_another_time_is_sent_again_with_its_usual_one(odd: Any) -> None:
    changes = changes_of(MESSAGE, recent=recent_above(NOW - 60 * DAY_MS))
    usual = message("a", HOUR_MS)
    assert sent(select(changes, MESSAGE, usual)) == ["a"]
    assert sent(select(changes, MESSAGE, usual | {"enqueued": odd})) == ["a"]
    assert sent(select(changes, MESSAGE, usual)) == ["a"]
    assert sent(select(changes, MESSAGE, usual)) == []
