"""Which rows are gone: only those that whole walks miss and whose ids do not answer."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Key, Stream
from courier_async.catalog.streams import BY_TABLE
from courier_async.errors import BadAnswer, CourierError, Refused, Unavailable
from courier_async.reading.deletes import MOST_ASKED, Gone, find_gone
from courier_async.reading.fetches import Asked
from courier_async.state.position import Missing
from tests.support.virtual_time import run_virtual

NOW = 1_794_657_600_000
BRAND = BY_TABLE["brand"]
NOT_FOUND = Refused(404, "")
# Even the row that the walk has just held is not found by its id.
NO_IDS: dict[str, CourierError | None] = {
    "/brands/here": NOT_FOUND,
    "/brands/gone": NOT_FOUND,
}


def keys(*ids: str) -> set[Key]:
    return {(id_,) for id_ in ids}


@dataclass
class Source:
    """says: path -> its error, otherwise 200. head: the pages of the listing."""

    says: dict[str, CourierError | None] = field(default_factory=dict)
    head: list[list[Any]] = field(default_factory=lambda: [[]])
    asked: list[str] = field(default_factory=list)
    head_cursors: list[str | None] = field(default_factory=list)

    async def ask_path(self, path: str) -> None:
        self.asked.append(path)
        error = self.says.get(path)
        if error is not None:
            raise error

    async def ask(self, cursor: str | None, yields: bool) -> Asked:
        self.head_cursors.append(cursor)
        at = int(cursor or 0)
        following = str(at + 1) if at + 1 < len(self.head) else None
        return Asked(Page(self.head[at], following), NOW, lambda: None)

    def find(
        self,
        *,
        known: Iterable[Key],
        seen: set[Key],
        missing: dict[str, Missing] | None = None,
        all_usable: bool = True,
        stream: Stream = BRAND,
        now: int = NOW,
    ) -> Gone:
        return run_virtual(
            find_gone(
                stream,
                known=known,
                seen=seen,
                missing=missing or {},
                now=now,
                latest=NOW,
                all_usable=all_usable,
                ask_path=self.ask_path,
                ask=self.ask,
            )
        )


def since(age_ms: int, **more: Any) -> dict[str, Missing]:
    return {"gone": Missing(NOW - age_ms, **more)}


def find(source: Source, missing: dict[str, Missing] | None, **more: Any) -> Gone:
    """Runs the check on two rows, of which the walk has not held `gone`."""
    return source.find(known=keys("here", "gone"), seen=keys("here"), missing=missing, **more)


def test_a_row_that_one_walk_misses_is_noted_and_nobody_asked() -> None:
    source = Source()
    assert find(source, None) == Gone(missing={"gone": Missing(NOW)})
    assert source.asked == []


def test_a_row_goes_when_it_was_missed_an_hour_ago_and_its_id_is_not_found() -> None:
    source = Source({"/brands/gone": NOT_FOUND})
    assert find(source, since(HOUR_MS - 1)) == Gone(missing=since(HOUR_MS - 1))
    assert find(source, since(HOUR_MS)) == Gone(keys=[("gone",)])


@pytest.mark.parametrize("status", [400, 410, 499])
def test_whatever_refusal_an_id_meets_its_row_is_gone(status: int) -> None:
    source = Source({"/brands/gone": Refused(status, "")})
    assert find(source, since(HOUR_MS)) == Gone(keys=[("gone",)])


def test_a_row_that_was_seen_again_is_missing_no_more() -> None:
    both = keys("here", "gone")
    assert Source().find(known=both, seen=both, missing=since(DAY_MS)) == Gone()


@pytest.mark.parametrize("answer", [None, BadAnswer("not as expected")])
def test_a_row_whose_id_answers_stays_and_is_asked_for_again_after_a_day(
    answer: CourierError | None,
) -> None:
    source = Source({"/brands/gone": answer})
    found = find(source, since(HOUR_MS))
    assert found == Gone(missing=since(HOUR_MS, asked_at=NOW, was_found=True))
    source.asked.clear()
    find(source, since(2 * DAY_MS, asked_at=NOW - DAY_MS + 1))
    assert "/brands/gone" not in source.asked
    find(source, since(2 * DAY_MS, asked_at=NOW - DAY_MS))
    assert "/brands/gone" in source.asked


@pytest.mark.parametrize("error", [Unavailable("503"), Refused(301, ""), Refused(500, "")])
def test_an_id_that_cannot_be_asked_for_tells_nothing(error: CourierError) -> None:
    found = find(Source({"/brands/gone": error}), since(HOUR_MS))
    told = since(HOUR_MS, asked_at=NOW, failing_since=NOW, failed_asks=1)
    assert found == Gone(missing=told)


@pytest.mark.parametrize("status", [402, 403])
def test_an_id_that_is_denied_tells_nothing_and_leaves_it_to_the_listing_where_all_are(
    status: int,
) -> None:
    denied = Refused(status, "")
    told = since(DAY_MS, asked_at=NOW, failing_since=NOW, failed_asks=1)
    assert find(Source({"/brands/gone": denied}), since(DAY_MS)) == Gone(missing=told)
    source = Source(dict.fromkeys(NO_IDS, denied))
    assert find(source, since(DAY_MS - 1)).keys == []
    assert find(source, since(DAY_MS)) == Gone(keys=[("gone",)])


def test_an_id_that_tells_nothing_for_a_week_leaves_it_to_the_listing() -> None:
    source = Source({"/brands/gone": Unavailable("503")})
    week = {"asked_at": NOW - HOUR_MS, "failing_since": NOW - 7 * DAY_MS}
    less = week | {"failing_since": NOW - 7 * DAY_MS + 1}
    for asks, failed_asks, gone in ((week, 8, []), (less, 9, []), (week, 9, [("gone",)])):
        assert find(source, since(8 * DAY_MS, failed_asks=failed_asks, **asks)).keys == gone


def test_an_id_that_answers_at_last_has_told_something() -> None:
    failed = {"asked_at": NOW - DAY_MS, "failing_since": NOW - 7 * DAY_MS, "failed_asks": 9}
    found = find(Source(), since(8 * DAY_MS, **failed))
    assert found == Gone(missing=since(8 * DAY_MS, asked_at=NOW, was_found=True))


def test_rows_go_by_their_ids_and_by_the_listing_in_one_walk() -> None:
    source = Source({"/brands/gone": NOT_FOUND})
    missing = {id_: Missing(NOW - DAY_MS) for id_ in ("gone", "..")}
    found = source.find(known=keys("here", *missing), seen=keys("here"), missing=missing)
    assert found == Gone(keys=[("gone",), ("..",)])


def test_where_ids_tell_nothing_a_row_goes_after_a_day() -> None:
    # Even the row that the walk has just held is not found by its id.
    source = Source(NO_IDS)
    assert find(source, since(DAY_MS - 1)).keys == []
    assert find(source, since(DAY_MS)) == Gone(keys=[("gone",)])
    # Another one that has not been missing for so long waits, and does not keep it.
    missing = {"gone": Missing(NOW - DAY_MS), "later": Missing(NOW - DAY_MS + 1)}
    found = source.find(known=keys("here", *missing), seen=keys("here"), missing=missing)
    assert found.keys == [("gone",)]


def test_an_empty_listing_counts_only_where_the_last_one_was_empty_too() -> None:
    """A single empty listing may be an error, and a row may be missing for another reason."""
    both, one = keys("here", "gone"), since(DAY_MS)
    template = BY_TABLE["notification"]
    source = Source()
    assert source.find(known=both, seen=set(), missing=one, stream=template).keys == []
    each = one | {"here": Missing(NOW - DAY_MS)}
    gone = source.find(known=both, seen=set(), missing=each, stream=template)
    assert gone.keys == [("gone",), ("here",)]


def test_a_row_whose_id_answers_stays_though_another_that_was_just_held_does_not() -> None:
    source = Source({"/brands/here": NOT_FOUND})
    told = since(DAY_MS, asked_at=NOW, was_found=True)
    assert find(source, since(DAY_MS)) == Gone(missing=told)


def test_a_row_that_has_moved_to_the_head_stays() -> None:
    source = Source(NO_IDS, head=[[], [{"id": "gone"}], [{"id": "here"}]])
    assert find(source, since(DAY_MS)) == Gone()
    assert source.head_cursors == [None, "1", "2"]


def test_a_row_that_was_not_known_may_stand_at_the_head() -> None:
    source = Source(NO_IDS, head=[[{"id": "new"}, {"id": "here"}]])
    assert find(source, since(DAY_MS)) == Gone(keys=[("gone",)])


def test_a_head_with_an_unusable_record_proves_nothing() -> None:
    source = Source(NO_IDS, head=[[{"id": ""}]])
    assert find(source, since(DAY_MS)) == Gone(missing=since(DAY_MS))


def test_a_walk_that_met_an_unusable_record_proves_nothing_where_ids_tell_nothing() -> None:
    source = Source(NO_IDS)
    assert find(source, since(DAY_MS), all_usable=False) == Gone(missing=since(DAY_MS))
    source = Source({"/brands/gone": NOT_FOUND})
    assert find(source, since(DAY_MS), all_usable=False).keys == [("gone",)]


def test_nothing_goes_while_nobody_can_tell_whether_ids_tell_anything() -> None:
    source = Source({"/brands/here": Unavailable("503"), "/brands/gone": NOT_FOUND})
    told = {"asked_at": NOW, "failing_since": NOW, "failed_asks": 1}
    assert find(source, since(30 * DAY_MS)) == Gone(missing=since(30 * DAY_MS, **told))
    assert source.asked == ["/brands/here"]


def test_where_no_id_tells_anything_for_a_week_it_is_left_to_the_listing() -> None:
    source = Source({"/brands/here": Unavailable("503")})
    week = {"asked_at": NOW - HOUR_MS, "failing_since": NOW - 7 * DAY_MS}
    for failed_asks, gone in ((8, []), (9, [("gone",)])):
        assert find(source, since(8 * DAY_MS, failed_asks=failed_asks, **week)).keys == gone


def test_one_row_whose_id_always_fails_does_not_keep_the_others_from_being_tried_by_theirs() -> (
    None
):
    source = Source({"/brands/a": Unavailable("503"), "/brands/gone": NOT_FOUND})
    stay = keys("a", *[f"b{number}" for number in range(5)])
    found = source.find(known=stay | keys("gone"), seen=stay, missing=since(HOUR_MS))
    assert found.keys == [("gone",)]
    source = Source({"/brands/a": Unavailable("503"), "/brands/gone": NOT_FOUND})
    found = source.find(known=keys("a", "b", "gone"), seen=keys("a", "b"), missing=since(HOUR_MS))
    assert found.keys == [("gone",)]
    # Many such rows do not cost many requests either.
    source = Source({f"/brands/b{number}": Unavailable("503") for number in range(9)})
    stay = keys(*[f"b{number}" for number in range(9)])
    source.find(known=stay | keys("gone"), seen=stay, missing=since(HOUR_MS))
    assert len(source.asked) == 3


@pytest.mark.parametrize("id_", [".", ".."])
def test_an_id_that_cannot_stand_in_a_path_is_left_to_the_listing(id_: str) -> None:
    source = Source()

    def gone(age_ms: int) -> list[Key]:
        missing = {id_: Missing(NOW - age_ms)}
        return source.find(known=keys("here", id_), seen=keys("here"), missing=missing).keys

    assert gone(DAY_MS) == [(id_,)]
    assert source.asked == ["/brands/here"]
    assert gone(DAY_MS - 1) == []


def test_where_no_row_of_the_walk_can_be_asked_for_an_unknown_id_tells_nothing() -> None:
    source = Source({"/brands/gone": NOT_FOUND})
    for age_ms, gone in ((DAY_MS - 1, []), (DAY_MS, [("gone",)])):
        found = source.find(known=keys("..", "gone"), seen=keys(".."), missing=since(age_ms))
        assert found.keys == gone
    # Only before the delete, when a 200 would prevent it.
    assert source.asked == ["/brands/gone"]


def test_an_id_is_encoded_in_the_path() -> None:
    source = Source({"/brands/a%2Fb%3F": NOT_FOUND})
    missing = {"a/b?": Missing(NOW - HOUR_MS)}
    found = source.find(known=keys("here", "a/b?"), seen=keys("here"), missing=missing)
    assert found.keys == [("a/b?",)]


def test_a_time_from_the_future_counts_as_now() -> None:
    assert find(Source(), since(-DAY_MS)) == Gone(missing={"gone": Missing(NOW)})
    source = Source({"/brands/gone": NOT_FOUND})
    assert find(source, since(DAY_MS, asked_at=NOW + 1)).keys == [("gone",)]
    source = Source({"/brands/gone": Unavailable("503")})
    told = since(DAY_MS, asked_at=NOW, failing_since=NOW, failed_asks=1)
    assert find(source, since(DAY_MS, failing_since=NOW + 1, failed_asks=9)).missing == told


def test_an_answer_with_an_old_time_does_not_bring_a_deletion_forward() -> None:
    for missing in ({}, since(0)):
        found = find(Source(), missing, now=NOW - 2 * DAY_MS)
        assert found == Gone(missing={"gone": Missing(NOW)})


def test_a_gateways_word_counts_only_if_it_says_so_after_another_test_of_the_ids() -> None:
    unrouted = Refused(404, "", by_gateway=True)
    ids = [f"b{number:02}" for number in range(15)]
    paths = [f"/brands/{id_}" for id_ in ids]
    source = Source(dict.fromkeys(paths, unrouted))
    missing = {id_: Missing(NOW - HOUR_MS) for id_ in ids}
    found = source.find(known=keys("here", *ids), seen=keys("here"), missing=missing)
    assert found.keys == [(id_,) for id_ in ids]
    # A row that answers resets the client's count of lasting refusals, after which it retries all.
    assert source.asked == ["/brands/here", *paths, "/brands/here", *paths]


@pytest.mark.parametrize(
    "answer", [NOT_FOUND, Refused(404, "", by_gateway=True), Refused(403, "", by_gateway=True)]
)
def test_a_row_that_returned_200_by_its_id_is_not_left_to_the_listing_in_an_outage(
    answer: Refused,
) -> None:
    source = Source(dict.fromkeys(NO_IDS, answer))
    found = find(source, since(9 * DAY_MS, asked_at=NOW - DAY_MS, was_found=True))
    failing = {"asked_at": NOW, "failing_since": NOW, "failed_asks": 1, "was_found": True}
    assert found == Gone(missing=since(9 * DAY_MS, **failing))
    # Nor in the syncs after that, nor with a time from the future.
    assert find(source, found.missing).keys == []
    ahead = since(9 * DAY_MS, asked_at=NOW + 1, was_found=True)
    assert find(source, ahead).keys == []
    week = {"asked_at": NOW - HOUR_MS, "failing_since": NOW - 7 * DAY_MS, "failed_asks": 9}
    assert find(source, since(17 * DAY_MS, was_found=True, **week)).keys == [("gone",)]


def test_a_row_whose_id_has_only_failed_is_left_to_the_listing_where_ids_tell_nothing() -> None:
    failed = {"asked_at": NOW - HOUR_MS, "failing_since": NOW - HOUR_MS, "failed_asks": 1}
    assert find(Source(NO_IDS), since(DAY_MS, **failed)).keys == [("gone",)]


def test_a_row_that_was_found_stays_if_the_listing_is_empty_and_a_gateway_says_so() -> None:
    source = Source({"/brands/gone": Refused(404, "", by_gateway=True)})

    def gone(**told: Any) -> list[Key]:
        return source.find(known=keys("gone"), seen=set(), missing=since(DAY_MS, **told)).keys

    assert gone(asked_at=NOW - DAY_MS, was_found=True) == []
    assert gone() == [("gone",)]


@pytest.mark.parametrize(("one_in", "count"), [(100, 40), (8, 40), (1, 100)])
def test_while_ids_fail_slowly_the_others_are_requested_in_the_next_sync(
    one_in: int, count: int
) -> None:
    ids = [f"b{number:03}" for number in range(100)]

    class Slow(Source):
        async def ask_path(self, path: str) -> None:
            if path != "/brands/here":
                await asyncio.sleep(25.0)
            await super().ask_path(path)
            if path != "/brands/here":
                raise Unavailable("500")

    source = Slow({f"/brands/{id_}": NOT_FOUND for id_ in ids[::one_in]})
    missing = {id_: Missing(NOW - 2 * DAY_MS) for id_ in ids}
    found = source.find(known=keys("here", *ids), seen=keys("here"), missing=missing)
    first = set(source.asked[1:])
    assert len(first) == count
    asked = {id_ for id_, record in found.missing.items() if record.failed_asks}
    assert first == {f"/brands/{id_}" for id_ in asked.union(*found.keys)}
    source.asked.clear()
    source.find(known=keys("here", *found.missing), seen=keys("here"), missing=found.missing)
    assert first.isdisjoint(source.asked[1:])


def test_many_rows_at_once_are_warned_of_and_go_only_after_a_day() -> None:
    many = [f"b{number}" for number in range(20)]
    source = Source({f"/brands/{id_}": NOT_FOUND for id_ in many})
    known, seen = keys("here", *many), keys("here")
    assert "20 of 21 rows are missing" in (source.find(known=known, seen=seen).warning or "")
    for age_ms, gone in ((DAY_MS - 1, 0), (DAY_MS, 20)):
        missing = {id_: Missing(NOW - age_ms) for id_ in many}
        found = source.find(known=known, seen=seen, missing=missing)
        assert (len(found.keys), found.warning) == (gone, None)


def test_half_of_the_rows_are_not_many() -> None:
    many = [f"b{number}" for number in range(20)]
    source = Source({f"/brands/{id_}": NOT_FOUND for id_ in many})
    stay = keys(*[f"here{number}" for number in range(20)])
    missing = {id_: Missing(NOW - HOUR_MS) for id_ in many}
    found = source.find(known=keys(*many) | stay, seen=stay, missing=missing)
    assert len(found.keys) == 20


def test_after_an_empty_listing_each_id_answers_for_itself_a_day_later() -> None:
    source = Source({"/brands/gone": NOT_FOUND})
    known = keys("here", "gone")
    missing = {id_: Missing(NOW - DAY_MS + 1) for id_ in ("here", "gone")}
    assert source.find(known=known, seen=set(), missing=missing).keys == []
    missing = {id_: Missing(NOW - DAY_MS) for id_ in ("here", "gone")}
    assert source.find(known=known, seen=set(), missing=missing).keys == [("gone",)]


def test_a_sync_asks_for_so_many_ids_and_first_for_those_asked_longest_ago() -> None:
    ids = [f"b{number:04}" for number in range(MOST_ASKED + 1)]
    stay = keys(*[f"here{number}" for number in range(2 * len(ids))])
    missing = {
        id_: Missing(NOW - HOUR_MS, asked_at=NOW - number, failing_since=NOW, failed_asks=1)
        for number, id_ in enumerate(ids)
    }
    missing[ids[1]] = Missing(NOW - HOUR_MS)  # never requested by id
    source = Source({f"/brands/{id_}": NOT_FOUND for id_ in ids})
    found = source.find(known=keys(*ids) | stay, seen=stay, missing=missing)
    assert found.keys == [(id_,) for id_ in (ids[1], *ids[:1:-1])]
