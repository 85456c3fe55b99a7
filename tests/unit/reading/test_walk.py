"""Walks in virtual time against a model of a paged stream: what they ask, emit and note.

Lanes are a matter of speed that must never cost a row, so each test looks at both.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from courier_async.api.pages import Page
from courier_async.catalog.streams import BY_TABLE, DAY_MS
from courier_async.errors import BadAnswer, KeyRefused, Refused, Unavailable
from courier_async.reading.walk import SEAM_RECORDS, Batch, Walk, made_up_cursor
from courier_async.state.saved import (
    DISORDER_MS,
    INDEX_LAG_MS,
    Bookmark,
    Frame,
    Lane,
    LaneOpened,
    LanesDropped,
    LanesJoined,
    Lean,
    PageRead,
    StreamState,
    WalkDropped,
    WalkEnded,
    advance,
)
from tests.support.harness import settings
from tests.support.virtual_time import run_virtual

NOW_MS = 1_794_657_600_000
MESSAGE, AUDIT_EVENT = BY_TABLE["message"], BY_TABLE["audit_event"]
ANSWER_SECONDS = 1.0

Record = dict[str, Any]
# What stands in for the answer to a made-up cursor: records and the next cursor, or an error.
MadeUp = Callable[["Api", int, str], "Page | Exception | None"]


@dataclass
class Api:
    """Messages newest first, `per_page` to a page, at cursors that are positions."""

    times: list[int]
    per_page: int = 10
    made_up: MadeUp | None = None
    asked: list[str | None] = field(default_factory=list)
    # Of one cursor: what is answered instead.
    instead: dict[str | None, Exception] = field(default_factory=dict)

    def record(self, index: int) -> Record:
        return {"id": f"m{index}", "enqueued": self.times[index]}

    def cursor_behind(self, index: int) -> str:
        return base64.b64encode(f"{self.times[index]},m{index}".encode()).decode()

    def page_from(self, index: int) -> Page:
        last = min(index + self.per_page, len(self.times))
        records = [self.record(n) for n in range(index, last)]
        return Page(records, self.cursor_behind(last - 1) if last < len(self.times) else None)

    def first_below(self, time_ms: int) -> int:
        return next((n for n, t in enumerate(self.times) if t <= time_ms), len(self.times))

    def answer(self, cursor: str | None) -> Page | Exception:
        if cursor in self.instead:
            return self.instead[cursor]
        if cursor is None:
            return self.page_from(0)
        time, _, name = base64.b64decode(cursor).decode().partition(",")
        if name.startswith("m"):
            return self.page_from(int(name[1:]) + 1)
        special = self.made_up and self.made_up(self, int(time), cursor)
        return special or self.page_from(self.first_below(int(time)))

    async def ask(self, cursor: str | None) -> tuple[Page, int]:
        self.asked.append(cursor)
        await asyncio.sleep(ANSWER_SECONDS)
        answer = self.answer(cursor)
        if isinstance(answer, Exception):
            raise answer
        return answer, NOW_MS

    @property
    def made_up_asked(self) -> list[str]:
        return [c for c in self.asked if c and b",1-" in base64.b64decode(c)]


@dataclass
class Outcome:
    """What came of a walk: its batches in order, and the state behind them."""

    batches: list[Batch]
    state: StreamState
    before: StreamState
    seconds: float
    error: Exception | None
    # When each batch came, by the loop's clock.
    at_seconds: list[float]

    @property
    def ids(self) -> Counter[str]:
        return Counter(record.get("id", "") for batch in self.batches for record in batch.records)

    def steps(self, kind: type) -> list[Any]:
        return [batch.step for batch in self.batches if isinstance(batch.step, kind)]


def walk(
    api: Api,
    state: StreamState | None = None,
    *,
    stream: Any = MESSAGE,
    ask: Any = None,
    **changes: Any,
) -> Outcome:
    """One walk to its end; the state is moved by its steps alone, as the writer does."""
    before = state or StreamState()
    batches: list[Batch] = []
    at_seconds: list[float] = []

    async def emit(batch: Batch) -> None:
        batches.append(batch)
        at_seconds.append(asyncio.get_running_loop().time())

    async def run() -> tuple[float, Exception | None, StreamState]:
        oldest = api.times[-1] if api.times else None
        values = {"message_lanes": 8, "sync_since_ms": oldest} | changes
        one = Walk(stream, before, settings(**values), ask or api.ask, emit)
        error: Exception | None = None
        try:
            await asyncio.wait_for(one.run(), 100_000)
        except Exception as caught:
            error = caught
        return asyncio.get_running_loop().time(), error, one.state

    seconds, error, own_state = run_virtual(run())
    after = before
    for batch in batches:
        if batch.step is not None:
            after = advance(after, batch.step)
    assert own_state == after
    return Outcome(batches, after, before, seconds, error, at_seconds)


def evenly(count: int, *, every_ms: int = 600_000, newest: int = NOW_MS - DAY_MS) -> list[int]:
    return [newest - n * every_ms for n in range(count)]


def assert_all_read(outcome: Outcome, api: Api) -> None:
    assert outcome.error is None
    assert set(outcome.ids) == {f"m{n}" for n in range(len(api.times))}
    assert outcome.state.walk is None


# -- lanes: faster, and the same ---------------------------------------------------------------


def settled(state: StreamState) -> StreamState:
    """The state but for what lanes leave less sure: how far back the deep read went."""
    return replace(state, deep_read_to=None, lanes_refused_at=None)


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_lanes_take_a_part_of_the_time_few_requests_more_and_end_in_the_same_state(
    lanes: int,
) -> None:
    alone, side_by_side = Api(evenly(2_000)), Api(evenly(2_000))
    one = walk(alone, message_lanes=1)
    several = walk(side_by_side, message_lanes=lanes)
    assert_all_read(one, alone)
    assert_all_read(several, side_by_side)
    assert (one.seconds, len(alone.asked)) == (pytest.approx(200, abs=1), 200)
    assert several.seconds <= 200 / lanes + 6
    assert len(side_by_side.asked) <= 200 + 2 * (lanes - 1)
    assert len(side_by_side.made_up_asked) == lanes - 1
    assert settled(several.state) == settled(one.state)
    assert several.state.deep_read_to in (None, side_by_side.times[-1])
    assert several.state.lanes_refused_at is None


def test_never_more_lanes_read_at_once_than_are_allowed() -> None:
    api, running, most = Api(evenly(1_500)), 0, 0

    async def ask(cursor: str | None) -> tuple[Page, int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await api.ask(cursor)
        finally:
            running -= 1

    assert_all_read(walk(api, ask=ask, message_lanes=3), api)
    assert most == 3


def test_a_stream_of_a_few_pages_gets_no_lanes() -> None:
    api = Api(evenly(110))
    assert_all_read(walk(api), api)
    assert api.made_up_asked == []


def test_a_reading_that_is_not_deep_gets_no_lanes() -> None:
    api = Api(evenly(2_000, every_ms=120_000, newest=NOW_MS))
    known = StreamState(watermark=NOW_MS, newest_first=True, deep_read_at=NOW_MS - 1_000)
    outcome = walk(api, known, sync_since_ms=None)
    assert outcome.error is None
    assert len(outcome.ids) == 2_000
    assert api.made_up_asked == []


def test_a_stream_whose_cursors_are_no_positions_gets_no_lanes_even_if_they_look_like_some() -> (
    None
):
    class Events(Api):
        def record(self, index: int) -> Record:
            return {"id": f"m{index}", "auditEventId": f"m{index}", "timestamp": self.times[index]}

    api = Events(evenly(600))
    assert_all_read(walk(api, StreamState(newest_first=True), stream=AUDIT_EVENT), api)
    assert api.made_up_asked == []


def test_lanes_of_a_deep_read_stop_at_its_bound_as_one_would() -> None:
    known = StreamState(watermark=NOW_MS - DAY_MS, newest_first=True)
    alone, side_by_side = Api(evenly(1_500)), Api(evenly(1_500))
    changes = {"sync_since_ms": None, "message_deep_lookback_days": 7.0}
    one = walk(alone, known, message_lanes=1, **changes)
    several = walk(side_by_side, known, message_lanes=4, **changes)
    bound_at = 7 * DAY_MS // 600_000
    # Behind the bound come an hour of disorder and a page that lies wholly below it.
    assert len(alone.asked) == (bound_at + 6) // 10 + 2
    assert len(side_by_side.asked) <= len(alone.asked) + 2 * len(side_by_side.made_up_asked)
    assert len(side_by_side.made_up_asked) == 3
    assert several.seconds <= one.seconds / 4 + 6
    assert settled(several.state) == settled(one.state)
    assert several.state.deep_read_to == NOW_MS - 8 * DAY_MS
    assert set(one.ids) <= set(several.ids)


def test_disorder_of_the_one_lane_there_is_says_nothing_of_lanes() -> None:
    times = evenly(600)
    times[0], times[40] = times[40], times[0]
    api = Api(times)
    outcome = walk(api)
    assert set(outcome.ids) == {f"m{n}" for n in range(600)}
    assert api.made_up_asked == []
    assert outcome.steps(LanesDropped) == []


def test_disorder_met_beside_a_lane_ends_the_lanes() -> None:
    times = evenly(1_000)
    times[55], times[155] = times[155], times[55]
    api = Api(times)
    outcome = walk(api, message_lanes=2)
    assert_all_read(outcome, api)
    assert outcome.state.lanes_refused_at == NOW_MS
    assert len(api.made_up_asked) == 1


@pytest.mark.parametrize(("per_page", "names"), [(3, [3, 6, 9, 10, 10]), (4, [4, 8, 10, 10])])
def test_each_lane_says_where_it_began_and_the_names_that_the_one_above_has_to_meet(
    per_page: int, names: list[int]
) -> None:
    api = Api(evenly(600), per_page=per_page)
    outcome = walk(api, message_lanes=4)
    assert_all_read(outcome, api)
    opened = outcome.steps(LaneOpened)
    assert len(opened) == 3
    assert sorted(step.lane.id for step in opened) == [1, 2, 3]
    for step in opened:
        lane = step.lane
        top = api.first_below(lane.start)
        assert (lane.newest, lane.oldest) == (api.times[top], api.times[top + per_page - 1])
        later = [s.lane for s in outcome.steps(PageRead) if s.lane.id == lane.id]
        for number, (grown, count) in enumerate(zip([lane, *later], names, strict=False), start=1):
            assert len(set(grown.first)) == len(grown.first) == count
            # Short ones: the state holds ten a lane.
            assert {len(name) for name in grown.first} == {8}
            assert grown.first[: len(lane.first)] == lane.first
            assert grown.first_oldest == api.times[top + count - 1]
            assert grown.oldest == api.times[top + number * per_page - 1]


def test_lanes_are_joined_where_one_comes_to_the_first_records_of_the_next() -> None:
    api = Api(evenly(1_000))
    outcome = walk(api, message_lanes=2)
    assert_all_read(outcome, api)
    joins = outcome.steps(LanesJoined)
    assert joins
    assert all(step.upper.met == SEAM_RECORDS for step in joins)
    # Each seam costs the page on which it is found, and no record is read a third time.
    assert max(outcome.ids.values()) == 2
    assert sum(outcome.ids.values()) <= 1_000 + 20 * len(joins)
    assert outcome.steps(LanesDropped) == []


def test_nothing_counts_as_met_far_above_where_a_lane_began() -> None:
    outcome = walk(Api(evenly(1_000)), message_lanes=2)
    (start,) = (step.lane.start for step in outcome.steps(LaneOpened))
    above = [
        step.lane
        for step in outcome.steps(PageRead)
        if step.lane.start is None and step.lane.oldest > start + 2 * DISORDER_MS
    ]
    assert len(above) > 30
    assert {lane.met for lane in above} == {0}


def test_a_record_listed_twice_at_a_seam_does_not_hide_it() -> None:
    api = Api(evenly(1_000))

    async def ask(cursor: str | None) -> tuple[Page, int]:
        page, server_ms = await api.ask(cursor)
        if cursor not in api.made_up_asked and api.made_up_asked:
            time = int(base64.b64decode(api.made_up_asked[0]).partition(b",")[0])
            first = api.record(api.first_below(time))
            twice = [[record] * (1 + (record == first)) for record in page.records]
            page = Page([record for records in twice for record in records], page.next_cursor)
        return page, server_ms

    outcome = walk(api, ask=ask, message_lanes=2)
    assert_all_read(outcome, api)
    assert len(outcome.steps(LanesJoined)) == len(api.made_up_asked) == 1


def test_records_of_one_time_do_not_make_a_seam() -> None:
    """A seam is met by names in their order, never by time."""
    times = [t for t in evenly(60, every_ms=3_600_000) for _ in range(15)]
    api = Api(times)
    assert_all_read(walk(api, message_lanes=4), api)


# -- a server whose cursors are not positions --------------------------------------------------


def from_the_head(api: Api, time_ms: int, cursor: str) -> Page:
    return api.page_from(0)


def refused(api: Api, time_ms: int, cursor: str) -> Exception:
    return Refused(400, "")


def out_of_order(api: Api, time_ms: int, cursor: str) -> Page:
    index = api.first_below(time_ms)
    return Page([api.record(index + 20), api.record(index)], api.cursor_behind(index + 20))


@pytest.mark.parametrize("made_up", [from_the_head, refused, out_of_order])
def test_a_server_that_takes_no_made_up_cursor_is_read_in_one_lane_and_not_tried_again(
    made_up: MadeUp,
) -> None:
    api = Api(evenly(600), made_up=made_up)
    outcome = walk(api)
    assert_all_read(outcome, api)
    # What goes wrong with one is not tried with more than those already asked.
    assert 1 <= len(api.made_up_asked) <= 2
    assert len(api.asked) <= 60 + len(api.made_up_asked) + 1
    assert outcome.state.lanes_refused_at == NOW_MS
    assert max(outcome.ids.values()) == 1
    plain = walk(Api(evenly(600)), message_lanes=1)
    assert replace(outcome.state, lanes_refused_at=None) == plain.state


@pytest.mark.parametrize(("ago_ms", "tried"), [(7 * DAY_MS - 1, False), (7 * DAY_MS, True)])
def test_lanes_are_tried_again_a_week_after_they_were_refused(ago_ms: int, tried: bool) -> None:
    api = Api(evenly(600))
    assert_all_read(walk(api, StreamState(lanes_refused_at=NOW_MS - ago_ms)), api)
    assert bool(api.made_up_asked) is tried


def test_a_server_whose_own_cursors_are_no_positions_is_not_asked_for_any() -> None:
    class Opaque(Api):
        def cursor_behind(self, index: int) -> str:
            return base64.b64encode(f"{self.times[index] + 1},m{index}".encode()).decode()

    for api in (Opaque(evenly(600)),):
        assert_all_read(walk(api), api)
        assert api.made_up_asked == []


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda cursor: cursor.replace("=", "") + "!",
        lambda cursor: base64.b64encode(base64.b64decode(cursor) + b"\xff").decode(),
        lambda cursor: base64.b64encode(base64.b64decode(cursor).partition(b",")[0]).decode(),
        lambda cursor: base64.b64encode(base64.b64decode(cursor).partition(b"m")[0]).decode(),
    ],
    ids=["not base64", "not text", "no comma", "no name"],
)
def test_a_cursor_of_another_make_is_not_copied(spoilt: Callable[[str], str]) -> None:
    real: dict[str, str] = {}
    api = Api(evenly(600))

    async def ask(cursor: str | None) -> tuple[Page, int]:
        page, server_ms = await api.ask(real.get(cursor, cursor) if cursor else None)
        if page.next_cursor is None:
            return page, server_ms
        shown = f"{spoilt(page.next_cursor)}"
        shown += "" if shown not in real else f"#{len(real)}"
        real[shown] = page.next_cursor
        return Page(page.records, shown), server_ms

    assert_all_read(walk(api, ask=ask), api)
    assert api.made_up_asked == []


def elsewhere(records: int, *, ends: bool = False) -> MadeUp:
    """Made-up cursors lead to records of the right time that the listing does not have."""

    def answer(api: Api, time_ms: int, cursor: str) -> Page:
        others = [{"id": f"x{time_ms}.{n}", "enqueued": time_ms - n} for n in range(records)]
        return Page(others, None if ends else api.cursor_behind(api.first_below(time_ms - 10)))

    return answer


def test_lanes_that_are_passed_and_never_met_are_given_up_after_three() -> None:
    api = Api(evenly(3_000), made_up=elsewhere(10))
    outcome = walk(api, message_lanes=2)
    assert outcome.error is None
    assert {f"m{n}" for n in range(3_000)} <= set(outcome.ids)
    assert len(api.made_up_asked) == 3
    dropped = outcome.steps(LanesDropped)
    assert [bool(step.refused_at) for step in dropped] == [False, False, True]
    assert [len(step.ids) for step in dropped] == [1, 1, 1]
    assert outcome.state.lanes_refused_at == NOW_MS


def test_lanes_that_end_at_once_elsewhere_cost_a_request_each_and_no_row() -> None:
    api = Api(evenly(3_000), made_up=elsewhere(5, ends=True))
    outcome = walk(api, message_lanes=2)
    assert outcome.error is None
    assert {f"m{n}" for n in range(3_000)} <= set(outcome.ids)
    assert len(api.made_up_asked) <= 20
    assert len(api.asked) == 300 + len(api.made_up_asked)
    assert outcome.state.lanes_refused_at == NOW_MS


def test_a_lane_that_is_passed_before_it_is_answered_gives_its_place_to_another() -> None:
    api, first = Api(evenly(3_000)), True

    async def ask(cursor: str | None) -> tuple[Page, int]:
        nonlocal first
        if first and cursor and b",1-" in base64.b64decode(cursor):
            first = False
            await asyncio.sleep(100_000)
        return await api.ask(cursor)

    outcome = walk(api, ask=ask, message_lanes=2)
    assert_all_read(outcome, api)
    assert not first
    assert len(api.made_up_asked) == 1
    # Half of it alone, then the rest by two.
    assert outcome.seconds == pytest.approx(225, abs=8)
    assert outcome.state.lanes_refused_at is None


def test_a_lane_met_before_it_has_all_its_names_is_read_over_and_costs_no_row() -> None:
    """It stays behind its first page, whose four records are too few for a seam."""
    api, held = Api(evenly(600), per_page=4), []

    async def ask(cursor: str | None) -> tuple[Page, int]:
        for made_up in api.made_up_asked[:1]:
            first = api.first_below(int(base64.b64decode(made_up).partition(b",")[0]))
            if cursor == api.cursor_behind(first + 3) and cursor not in held:
                held.append(cursor)
                await asyncio.sleep(100_000)
        return await api.ask(cursor)

    outcome = walk(api, ask=ask, message_lanes=2)
    assert_all_read(outcome, api)
    assert LanesDropped((1,)) in outcome.steps(LanesDropped)
    assert outcome.seconds < 150


def test_a_record_without_a_time_does_not_stop_the_lanes() -> None:
    class Timeless(Api):
        def record(self, index: int) -> Record:
            whole = super().record(index)
            return {"id": whole["id"]} if index % 7 == 3 else whole

    api = Timeless(evenly(900))
    outcome = walk(api, message_lanes=4)
    assert_all_read(outcome, api)
    assert outcome.state.lanes_refused_at is None
    assert len(outcome.steps(LanesJoined)) >= 3


def test_many_messages_to_a_millisecond_are_read_and_no_place_is_asked_for_twice() -> None:
    api = Api([NOW_MS - DAY_MS - n // 200 for n in range(2_000)])
    outcome = walk(api, message_lanes=8)
    assert_all_read(outcome, api)
    assert len(set(api.made_up_asked)) == len(api.made_up_asked)
    assert len(api.asked) <= 200 + 3 * len(api.made_up_asked)


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_refusal_of_one_lane_alone_costs_no_row_and_no_error(status: int) -> None:
    api, refusals = Api(evenly(1_000)), 0

    async def ask(cursor: str | None) -> tuple[Page, int]:
        nonlocal refusals
        if api.made_up_asked and cursor and not refusals and cursor == behind_the_lane():
            refusals += 1
            raise Refused(status, "")
        return await api.ask(cursor)

    def behind_the_lane() -> str:
        """The server's own cursor after the first page of the first lane."""
        time = int(base64.b64decode(api.made_up_asked[0]).partition(b",")[0])
        return api.cursor_behind(api.first_below(time) + 9)

    outcome = walk(api, ask=ask, message_lanes=2)
    assert refusals == 1
    assert_all_read(outcome, api)
    assert LanesDropped((1,)) in outcome.steps(LanesDropped)
    assert outcome.state.lanes_refused_at is None
    # And another lane is opened in its place.
    assert len(outcome.steps(LaneOpened)) > 1


def test_any_other_refusal_of_a_lane_is_the_streams() -> None:
    def denied(api: Api, time_ms: int, cursor: str) -> Exception:
        return Refused(402, "")

    outcome = walk(Api(evenly(600), made_up=denied))
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == 402


def test_a_refused_key_goes_before_whatever_else_fails_in_that_moment() -> None:
    for errors in ([KeyRefused("k"), Unavailable("u")], [Unavailable("u"), KeyRefused("k")]):
        left = list(errors)

        def both(api: Api, time_ms: int, cursor: str, left: list[Exception] = left) -> Exception:
            return left[0]

        api = Api(evenly(600), made_up=both)

        async def ask(
            cursor: str | None, api: Api = api, errors: list[Exception] = errors
        ) -> tuple[Page, int]:
            if api.made_up_asked and cursor not in api.made_up_asked:
                await asyncio.sleep(ANSWER_SECONDS)
                raise errors[1]
            return await api.ask(cursor)

        outcome = walk(api, ask=ask, message_lanes=2)
        assert type(outcome.error) in (KeyRefused, Unavailable)


def test_the_error_of_a_lane_is_raised_as_it_came() -> None:
    error = Unavailable("down")

    def down(api: Api, time_ms: int, cursor: str) -> Exception:
        return error

    assert walk(Api(evenly(600), made_up=down)).error is error


def test_a_lane_that_finds_nothing_older_is_a_hint_for_the_next_one() -> None:
    """All messages lie in the newest sixteenth of the time that there is to look through."""
    api = Api(evenly(900))
    outcome = walk(api, sync_since_ms=NOW_MS - 100 * DAY_MS)
    assert_all_read(outcome, api)
    assert outcome.state.lanes_refused_at is None
    # Four halvings find nothing; then seven lanes read beside the one from the head.
    assert (len(api.made_up_asked), len(outcome.steps(LaneOpened))) == (11, 7)
    assert outcome.seconds < 20


def test_a_lane_whose_first_page_is_the_last_one_is_a_lane_like_others() -> None:
    times = [*evenly(1_200), *(NOW_MS - 100 * DAY_MS - n for n in range(5))]
    api = Api(times)
    outcome = walk(api, message_lanes=2)
    assert_all_read(outcome, api)
    last = [step.lane for step in outcome.steps(LaneOpened) if step.lane.cursor is None]
    assert last
    assert last[0].oldest == times[-1]


def test_an_empty_page_in_the_middle_is_no_end() -> None:
    def empty_first(api: Api, time_ms: int, cursor: str) -> Page:
        return Page([], api.cursor_behind(api.first_below(time_ms) - 1))

    api = Api(evenly(600), made_up=empty_first)
    outcome = walk(api, message_lanes=2)
    assert_all_read(outcome, api)
    assert len(outcome.steps(LaneOpened)) == len(api.made_up_asked) == 1
    assert len(outcome.steps(LanesJoined)) == 1
    assert outcome.seconds < 40


def test_records_without_a_time_or_a_key_do_not_stop_a_lane() -> None:
    def nameless(api: Api, time_ms: int, cursor: str) -> Page:
        return Page(
            [{"text": "x"}, {"text": "y"}], api.cursor_behind(api.first_below(time_ms) - 1)
        )

    api = Api(evenly(600), made_up=nameless)
    outcome = walk(api, message_lanes=2)
    assert outcome.error is None
    assert {f"m{n}" for n in range(600)} <= set(outcome.ids)
    (opened,) = outcome.steps(LaneOpened)[:1]
    assert opened.lane.first_oldest is None
    assert len(opened.lane.first) == 2


def test_ids_that_are_no_unicode_have_names_too() -> None:
    class Odd(Api):
        def record(self, index: int) -> Record:
            return super().record(index) | {"id": f"\ud800{index}"}

    api = Odd(evenly(600))
    outcome = walk(api, message_lanes=4)
    assert outcome.error is None
    assert set(outcome.ids) == {f"\ud800{n}" for n in range(600)}
    assert len(outcome.steps(LanesJoined)) == 3


# -- on from a bookmark ------------------------------------------------------------------------


def states_of(outcome: Outcome) -> list[StreamState]:
    state, states = outcome.before, []
    for batch in outcome.batches:
        if batch.step is not None:
            state = advance(state, batch.step)
            states.append(state)
    return states


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_a_walk_goes_on_from_any_of_its_bookmarks(lanes: int) -> None:
    api = Api(evenly(700))
    whole = walk(api, message_lanes=4)
    for number, state in enumerate(states_of(whole)[:-1]):
        if number % 5 or state.walk is None:
            continue
        rest = Api(evenly(700))
        outcome = walk(rest, state, message_lanes=lanes)
        assert outcome.error is None
        done = {r["id"] for b in whole.batches[: number + 1] for r in b.records}
        assert done | set(outcome.ids) == {f"m{n}" for n in range(700)}
        assert settled(outcome.state) == settled(whole.state)
        assert None not in rest.asked
        if lanes == 4:
            assert outcome.seconds <= whole.seconds - whole.at_seconds[number] + 6
        if lanes == 1:
            assert rest.made_up_asked == []
            assert len(rest.asked) == 70 - (api.times.index(state.walk.lanes[0].oldest) + 1) // 10


@pytest.mark.parametrize("met", [-99, -1, 10, 99])
def test_a_count_of_what_was_met_that_no_walk_can_have_saved_stops_no_walk(met: int) -> None:
    api = Api(evenly(700))
    state = next(
        state
        for state in states_of(walk(api, message_lanes=2))
        if state.walk and len(state.walk.lanes) == 2 and len(state.walk.lanes[1].first) == 10
    )
    assert state.walk is not None
    top, lower = state.walk.lanes
    # So close above the lower lane that the next page is compared with it.
    near = api.first_below(lower.start or 0) - 5
    top = replace(top, met=met, cursor=api.cursor_behind(near), oldest=api.times[near])
    broken = replace(state, walk=replace(state.walk, lanes=(top, lower)))
    outcome = walk(api, broken, message_lanes=2)
    assert outcome.error is None
    assert outcome.state.walk is None


def test_lanes_are_opened_in_the_widest_gap_also_where_the_first_is_narrow() -> None:
    api = Api(evenly(2_000))
    lanes = (
        Lane(cursor=api.cursor_behind(99), newest=api.times[0], oldest=api.times[99]),
        Lane(
            id=1,
            cursor=api.cursor_behind(139),
            newest=api.times[130],
            oldest=api.times[139],
            start=api.times[130],
        ),
    )
    frame = Frame(started_at=NOW_MS, stop_at=api.times[-1], deep=True)
    outcome = walk(api, StreamState(walk=Bookmark(frame, lanes)), message_lanes=4)
    assert outcome.error is None
    assert len(api.made_up_asked) >= 2
    assert outcome.seconds < 80


BOUND_MS = NOW_MS - 3 * DAY_MS


def test_a_lane_that_began_just_below_the_bound_stops_there_too() -> None:
    """What the head has met tells whether the order can be trusted, not what the lane has."""
    api = Api(evenly(1_500))
    bound_at = api.first_below(BOUND_MS)
    lanes = (
        Lane(
            cursor=api.cursor_behind(bound_at - 201),
            newest=api.times[0],
            oldest=api.times[bound_at - 201],
        ),
        Lane(
            id=1,
            cursor=api.cursor_behind(bound_at + 3),
            newest=api.times[bound_at + 1],
            oldest=api.times[bound_at + 3],
            start=api.times[bound_at + 1],
        ),
    )
    frame = Frame(started_at=NOW_MS, stop_at=BOUND_MS, deep=True)
    state = StreamState(watermark=NOW_MS, walk=Bookmark(frame, lanes))
    outcome = walk(api, state, message_lanes=2)
    assert outcome.error is None
    assert outcome.state.walk is None
    assert len(api.asked) <= 30


def bookmark(**frame: Any) -> Bookmark:
    values = {"started_at": NOW_MS - 1_000, "stop_at": BOUND_MS, "deep": False} | frame
    lane = Lane(
        cursor=Api(evenly(50)).cursor_behind(9), newest=NOW_MS - DAY_MS, oldest=NOW_MS - DAY_MS
    )
    return Bookmark(Frame(**values), (lane,))


EARNED = {"watermark": NOW_MS - 2_000, "deep_read_at": NOW_MS - 3_000, "deep_read_to": 77}
LEAN = Lean(77, NOW_MS - 5_000, NOW_MS - 9_000)


@pytest.mark.parametrize(
    ("frame", "known", "since", "credible"),
    [
        ({}, {}, None, True),
        # Begun later than the server's time allows.
        ({"started_at": NOW_MS + INDEX_LAG_MS}, {}, None, True),
        ({"started_at": NOW_MS + INDEX_LAG_MS + 1}, {}, None, False),
        # A bound that no watermark and no setting allows.
        ({}, {"watermark": None}, None, False),
        ({"stop_at": None}, {"watermark": None}, None, True),
        ({"stop_at": NOW_MS - 2_000}, {}, None, True),
        ({"stop_at": NOW_MS - 1_999}, {}, None, False),
        ({"stop_at": None, "emit_from": NOW_MS - 2_000}, {}, None, True),
        ({"stop_at": None, "emit_from": NOW_MS - 1_999}, {}, None, False),
        ({"stop_at": 5, "emit_from": NOW_MS - 1_999}, {}, None, False),
        ({}, {"watermark": None}, BOUND_MS, True),
        ({}, {"watermark": None}, BOUND_MS - 1, False),
        ({}, {"watermark": 5}, BOUND_MS, True),
        # A watermark from after the walk's own start was not this walk's.
        ({}, {"watermark": NOW_MS - 1_000}, None, True),
        ({}, {"watermark": NOW_MS - 999}, None, False),
        # What is left out as settled must have been read, by the deep read that is known.
        ({"lean": LEAN}, {}, None, True),
        ({"lean": LEAN}, {"deep_read_at": None}, None, False),
        ({"lean": LEAN}, {"watermark": None}, BOUND_MS, False),
        ({"lean": replace(LEAN, after=76)}, {}, None, False),
        ({"lean": replace(LEAN, after=None)}, {}, None, False),
        ({"lean": replace(LEAN, below=NOW_MS - 2_000)}, {}, None, True),
        ({"lean": replace(LEAN, below=NOW_MS - 1_999)}, {}, None, False),
        ({"lean": replace(LEAN, unchanged_since=NOW_MS - 3_000)}, {}, None, True),
        ({"lean": replace(LEAN, unchanged_since=NOW_MS - 2_999)}, {}, None, False),
        (
            {"lean": replace(LEAN, unchanged_since=NOW_MS - 1_000)},
            {"deep_read_at": NOW_MS},
            None,
            True,
        ),
        (
            {"lean": replace(LEAN, unchanged_since=NOW_MS - 999)},
            {"deep_read_at": NOW_MS},
            None,
            False,
        ),
    ],
)
def test_a_bookmark_is_used_only_if_this_connector_can_have_set_it(
    frame: dict[str, Any], known: dict[str, Any], since: int | None, credible: bool
) -> None:
    state = StreamState(**(EARNED | known), newest_first=True, walk=bookmark(**frame))
    outcome = walk(Api(evenly(50)), state, sync_since_ms=since, message_lanes=1)
    assert outcome.error is None
    first = outcome.batches[0]
    if credible:
        assert isinstance(first.step, PageRead | WalkEnded)
        assert isinstance(outcome.batches[-1].step, WalkEnded)
    else:
        assert [b.step for b in outcome.batches] == [WalkDropped()]
        assert first.records == []
        assert outcome.state == replace(state, walk=None)


def test_a_servers_clock_that_goes_back_during_a_walk_does_not_end_it() -> None:
    api = Api(evenly(100))

    async def ask(cursor: str | None) -> tuple[Page, int]:
        page, server_ms = await api.ask(cursor)
        return page, server_ms - (DAY_MS if len(api.asked) > 1 else 0)

    assert_all_read(walk(api, ask=ask), api)


# -- where a walk stops ------------------------------------------------------------------------


def stopped(times: list[int], state: StreamState, **changes: Any) -> tuple[Outcome, Api]:
    api = Api(times)
    return walk(api, state, **({"message_lanes": 1, "sync_since_ms": None} | changes)), api


def test_a_walk_ends_with_the_first_page_wholly_an_hour_below_its_bound() -> None:
    known = StreamState(
        watermark=NOW_MS, newest_first=True, deep_read_at=NOW_MS, deep_read_to=None
    )
    bound = NOW_MS - 3 * DAY_MS
    above = evenly(10, every_ms=1_000)
    for newest, pages in ((bound - DISORDER_MS, 3), (bound - DISORDER_MS - 1, 2)):
        times = above + [newest - n for n in range(10)] + [newest - DAY_MS - n for n in range(90)]
        outcome, api = stopped(times, known)
        assert len(api.asked) == pages
        last = outcome.batches[-1].step
        assert isinstance(last, WalkEnded)
        assert last.several_pages
        assert not last.reached_end
        # What lies below the bound is read to see it, not to be written.
        assert set(outcome.ids) == {f"m{n}" for n in range(10)}
        assert outcome.batches[-1].read == 10


def test_a_walk_of_one_page_says_that_it_was_one_and_that_it_reached_the_end() -> None:
    outcome, _ = stopped(evenly(10), StreamState())
    (batch,) = outcome.batches
    assert batch.step == WalkEnded(
        Frame(started_at=NOW_MS),
        Lane(newest=NOW_MS - DAY_MS, oldest=evenly(10)[-1]),
        several_pages=False,
        reached_end=True,
    )
    assert (batch.read, batch.ends_walk) == (10, True)


def test_the_rest_of_a_walk_counts_as_one_of_several_pages() -> None:
    whole = walk(Api(evenly(20)), message_lanes=1)
    (begun,) = [state for state in states_of(whole) if state.walk is not None]
    rest = walk(Api(evenly(20)), begun, message_lanes=1)
    (ended,) = rest.steps(WalkEnded)
    assert ended.several_pages


def test_a_resumed_walk_whose_head_had_met_the_bound_stops_at_it() -> None:
    times = evenly(10, every_ms=1_000) + [BOUND_MS - 2 * DISORDER_MS - n for n in range(90)]
    lane = Lane(cursor=Api(times).cursor_behind(9), newest=times[0], oldest=times[9])
    frame = Frame(started_at=NOW_MS, stop_at=BOUND_MS, deep=False)
    known = StreamState(watermark=NOW_MS, newest_first=True, walk=Bookmark(frame, (lane,)))
    _, api = stopped(times, known)
    assert len(api.asked) == 1
    # Where nothing as new as the bound has been met, the order is not to be trusted.
    for newest in (None, BOUND_MS - 1):
        low = replace(lane, newest=newest, oldest=newest)
        _, api = stopped(times, replace(known, walk=Bookmark(frame, (low,))))
        assert len(api.asked) == 9
    level = replace(lane, newest=BOUND_MS, oldest=BOUND_MS)
    _, api = stopped(times, replace(known, walk=Bookmark(frame, (level,))))
    assert len(api.asked) == 1


def test_a_first_walk_stops_at_the_configured_time_whatever_it_has_met() -> None:
    times = [BOUND_MS - 2 * DISORDER_MS - n for n in range(50)]
    _, api = stopped(times, StreamState(), sync_since_ms=BOUND_MS)
    assert len(api.asked) == 1


def test_a_stream_that_is_not_known_to_be_in_order_is_read_to_its_end() -> None:
    state = StreamState(watermark=NOW_MS, newest_first=False)
    times = evenly(10, every_ms=1_000) + [NOW_MS - 60 * DAY_MS - n * 60_000 for n in range(600)]
    _, api = stopped(times, state, message_lanes=8)
    assert len(api.asked) == 61
    assert api.made_up_asked == []


# -- every walk ends ---------------------------------------------------------------------------


def endless(pages: Callable[[int], list[Record]], *, circle_at: int = 0, length: int = 0) -> Any:
    """Page n at cursor `cn`; from `circle_at` on, `length` cursors follow one another for ever."""
    asked: list[str | None] = []

    async def ask(cursor: str | None) -> tuple[Page, int]:
        asked.append(cursor)
        number = int(cursor[1:]) if cursor else 0
        following = number + 1
        if length and following >= circle_at + length:
            following = circle_at
        return Page(pages(number), f"c{following}"), NOW_MS

    return ask, asked


@pytest.mark.parametrize(("circle_at", "length"), [(1, 1), (1, 2), (2, 3), (5, 30), (90, 7)])
def test_cursors_in_a_circle_end_the_walk_before_they_go_round_thrice(
    circle_at: int, length: int
) -> None:
    ask, asked = endless(
        lambda n: [{"id": f"m{n}", "enqueued": NOW_MS - n}], circle_at=circle_at, length=length
    )
    outcome = walk(Api([]), ask=ask, message_lanes=1)
    assert isinstance(outcome.error, BadAnswer)
    assert "circle" in str(outcome.error)
    assert len(asked) <= 3 * (circle_at + length) + 2
    # The rows of the page are good, and the bookmark stays where it was.
    assert outcome.batches[-1].step is None
    assert outcome.batches[-1].read == len(outcome.batches[-1].records) == 1


@pytest.mark.parametrize(
    "records",
    [lambda n: [], lambda n: [{"id": "same", "enqueued": NOW_MS}] if n else []],
    ids=["empty", "the same record"],
)
def test_a_thousand_pages_in_a_row_without_a_new_record_end_the_walk(records: Any) -> None:
    ask, asked = endless(records)
    outcome = walk(Api([]), ask=ask, message_lanes=1)
    assert str(outcome.error) == (
        "1,000 pages in a row brought no new record, and each said that there is more"
    )
    assert 1_000 <= len(asked) <= 1_002


def test_new_records_between_empty_pages_keep_a_walk_going() -> None:
    def records(n: int) -> list[Record]:
        return [{"id": f"m{n}", "enqueued": NOW_MS - n}] if n % 900 == 0 else []

    asked = 0

    async def ask(cursor: str | None) -> tuple[Page, int]:
        nonlocal asked
        asked += 1
        return Page(records(asked), f"c{asked}" if asked < 3_000 else None), NOW_MS

    assert walk(Api([]), ask=ask, message_lanes=1).error is None
    assert asked == 3_000


def test_a_walk_of_many_thousand_pages_is_none_that_gets_nowhere() -> None:
    api = Api(evenly(2_500, every_ms=1_000), per_page=1)
    assert_all_read(walk(api, message_lanes=1), api)
    assert len(api.asked) == 2_500


def test_made_up_cursors_are_positions_behind_every_message_of_their_millisecond() -> None:
    text = base64.b64decode(made_up_cursor(1_794_657_600_123)).decode()
    assert text == "1794657600123,1-6af84d40-ffffffffffffffffffffffff"
