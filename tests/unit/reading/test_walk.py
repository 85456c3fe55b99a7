"""Whole walks in virtual time, behind a queue that is full at random."""

import asyncio
import base64
import logging
import random

import pytest
from msgspec.structs import replace

from courier_async.api.pages import Page
from courier_async.catalog.positions import time_in_cursor
from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.errors import (
    BadAnswer,
    CourierError,
    KeyRefused,
    Limited,
    Refused,
    Unavailable,
)
from courier_async.reading import endless_guard
from courier_async.reading.fetches import Asked, Fetches
from courier_async.reading.probe import Verdict
from courier_async.state.position import (
    Lane,
    MissedChildren,
    Missing,
    Reading,
    Renewal,
    StreamState,
    Unusable,
)
from courier_async.state.sent_rows import SentByHour, key_text
from tests.unit.reading.paged import (
    AUDIT_EVENT,
    LIST,
    MESSAGE,
    MINUTE_MS,
    NOW,
    PagedApi,
    Reader,
    evenly,
    is_whole,
)

REFUSALS: list[CourierError] = [
    *[Refused(status, "") for status in (400, 402, 403, 404, 405, 409, 410, 412, 422)],
    Unavailable("no usable response after 1 attempt: Courier answered 500"),
    BadAnswer("the response is missing 'results'; has the API changed?"),
]


# -- one lane ------------------------------------------------------------------------------------


def test_a_first_walk_reads_every_page_once_and_knows_where_the_stream_stands() -> None:
    api = PagedApi(evenly(95))
    reader = Reader(api).walk()
    assert is_whole(reader)
    assert reader.state.watermark == api.times[0]
    assert reader.state.newest_first is True
    assert reader.state.readings == (Reading(NOW + 1000, 0),)
    assert len(reader.sent_ids) == 95
    own = [cursor for cursor in api.asked if api.kind(cursor) != "made_up"]
    assert own == [None, *[api.cursor_of_page(page) for page in range(1, 10)]]


def test_a_walk_is_complete_where_it_has_come_to_the_end_and_not_to_its_bound() -> None:
    reader = complete()
    assert reader.last.complete is True
    reader.walk()
    assert len(reader.api.asked) < 10
    assert reader.last.complete is False


def test_a_walk_knows_the_keys_that_it_has_met_where_they_are_wanted() -> None:
    api = PagedApi(evenly(95), stream=LIST)
    assert Reader(api).walk().last.seen == {(id_,) for id_ in api.ids}


def test_a_row_that_is_seen_again_is_not_missing() -> None:
    api = PagedApi(evenly(95), stream=LIST)
    names = [api.id_of(api.records[50]), "not listed"]
    missing = {key_text((name,)): Missing(since=NOW - DAY_MS) for name in names}
    reader = Reader(api, state=StreamState(missing=missing)).walk()
    assert list(reader.state.missing) == [key_text(("not listed",))]


@pytest.mark.parametrize("page", [0, 3])
def test_a_row_that_is_seen_on_a_page_without_a_way_on_is_not_missing(page: int) -> None:
    api = PagedApi(evenly(95), stream=LIST)
    name = api.id_of(api.records[10 * page])
    lost = api.page_from(10 * page)
    answer = api.page_from
    broken = Page(lost.records, None, BadAnswer("the response is missing 'paging'"))
    api.page_from = lambda at: broken if at == 10 * page else answer(at)  # type: ignore[method-assign]
    missing = {key_text((name,)): Missing(since=NOW - DAY_MS)}
    reader = Reader(api, state=StreamState(missing=missing)).walk()
    assert reader.error is not None
    assert not reader.state.missing


def test_messages_whose_children_are_due_are_handed_on() -> None:
    api = PagedApi(evenly(25))
    reader = Reader(api, can_note_due=lambda: True).walk()
    due = {id_: time for batch in reader.batches for id_, time in batch.due.items()}
    assert due == {api.id_of(record): record["enqueued"] for record in api.records}


def test_missed_children_are_so_until_a_walk_that_looks_for_them_has_met_none() -> None:
    known = MissedChildren(NOW - 40 * DAY_MS, NOW - DAY_MS)
    state = StreamState(children_missed=known)
    reader = Reader(PagedApi(evenly(95)), state=state, can_note_due=lambda: True).walk()
    # A later sync may finish a walk like this one, which has looked for none.
    assert reader.state.children_missed == known._replace(met_at=NOW + 1_000)
    reader.reads_missed, reader.api.now_ms = True, NOW + DAY_MS
    reader.walk()
    assert reader.state.children_missed is None


@pytest.mark.parametrize("lanes", [1, 8])
def test_children_that_cannot_be_noted_are_missed_from_their_oldest_message_on(lanes: int) -> None:
    api = PagedApi(evenly(600))
    reader = Reader(api, lanes=lanes, can_note_due=lambda: False, reads_missed=True).walk()
    assert reader.state.children_missed == MissedChildren(api.times[-1], NOW + 1_000)


@pytest.mark.parametrize(("stream", "rows"), [(LIST, [9]), (MESSAGE, [9, 0])])
def test_a_listing_of_less_than_a_page_is_one_batch_and_sent_once(
    stream: Stream, rows: list[int]
) -> None:
    """In its first reading, the only page of messages comes twice."""
    reader = Reader(PagedApi(evenly(9), stream=stream)).walk()
    assert [len(batch.rows) for batch in reader.batches] == rows


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20])
def test_a_listing_of_any_length_is_read_to_its_end(count: int) -> None:
    reader = Reader(PagedApi(evenly(count)))
    assert is_whole(reader.walk())
    assert is_whole(reader.walk())
    assert reader.sent_ids == []


def test_the_watermark_is_ten_minutes_behind_the_start_where_newer_records_came() -> None:
    reader = Reader(PagedApi(evenly(30, newest=NOW + HOUR_MS))).walk()
    assert reader.state.watermark == NOW + 1000 - 10 * MINUTE_MS


def test_the_watermark_moves_only_when_a_walk_has_ended_and_never_back() -> None:
    reader = Reader(PagedApi(evenly(95))).walk()
    assert [state.watermark for state in reader.states[:-1]] == [None] * (len(reader.states) - 1)
    before = reader.state.watermark
    assert before is not None
    reader.api.now_ms = before - 40 * MINUTE_MS
    assert reader.walk().state.watermark == before


def test_a_walk_that_died_goes_on_where_its_rows_had_landed(seed: int) -> None:
    draw = random.Random(seed)
    reader = Reader(PagedApi(evenly(200)), seed=seed)
    while len(reader.landed) < 150:
        reader.walk(die_after=draw.randint(3, 5))
        for id_ in [draw.choice(sorted(reader.landed))]:
            reader.api.change(id_, status="OPENED")
        reader.api.insert(NOW + len(reader.landed))
        reader.api.now_ms += draw.randint(1, 60) * MINUTE_MS
    assert is_whole(reader.walk())


# -- lanes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_lanes_take_a_part_of_the_time_few_requests_more_and_lead_to_the_same(lanes: int) -> None:
    alone = Reader(PagedApi(evenly(2_000)), blocks=(0.0,)).walk()
    several = Reader(PagedApi(evenly(2_000)), lanes=lanes, blocks=(0.0,)).walk()
    assert is_whole(alone)
    assert is_whole(several)
    assert several.state.watermark == alone.state.watermark
    assert several.state.readings == alone.state.readings
    assert several.api.most_at_once <= lanes + 1
    assert len(several.api.asked) <= 204 + 4 * lanes
    assert len(several.api.made_up_asked) >= lanes - 1
    assert several.state.no_lanes_until is None


@pytest.mark.parametrize("every", [20, 300, 1_000])
@pytest.mark.parametrize("days", [5, -40])
def test_records_with_odd_times_cost_lanes_little(every: int, days: int) -> None:
    api = PagedApi(evenly(3_000))
    for at in range(300, 3_000, every):
        time = NOW if days > 0 else api.times[at]
        api.insert(time + days * DAY_MS, position=api.times[at] - 1)
    reader = Reader(api, lanes=8).walk()
    assert is_whole(reader)
    assert reader.state.no_lanes_until is None
    # If one record in twenty looks 40 days older, lanes meet late.
    most = 1.7 if every == 20 and days < 0 else 1.2
    assert len(api.asked) < most * len(api.records) / 10


def test_lanes_find_their_number_by_themselves() -> None:
    reader = Reader(PagedApi(evenly(6_000)), lanes=None, blocks=(0.0,)).walk()
    assert is_whole(reader)
    assert 20 <= reader.api.most_at_once <= 129


@pytest.mark.parametrize("made_up", ["refused", "head", "thin", "empty", "newer", "silent"])
@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_a_server_that_does_not_honour_made_up_cursors_is_read_one_page_after_another(
    made_up: str, lanes: int
) -> None:
    reader = Reader(PagedApi(evenly(600), made_up=made_up), lanes=lanes).walk()
    assert is_whole(reader)
    assert len(reader.api.made_up_asked) <= 3
    # One answer alone proves nothing, and a single lane asks for no second one.
    is_sure = lanes > 1 or made_up in ("refused", "empty")
    assert (reader.state.no_lanes_until is not None) == is_sure
    # It is not tried again for a week.
    reader.api.now_ms += 6 * DAY_MS
    assert is_whole(reader.walk())
    assert is_sure == (reader.api.made_up_asked == [])


def test_the_log_says_once_why_a_long_reading_goes_on_in_one_place_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "courier_async")
    Reader(PagedApi(evenly(600), made_up="refused"), lanes=8).walk()
    [line] = [line for line in caplog.messages if "made-up" in line]
    assert line == (
        "message: Courier does not accept made-up cursors, so pages are read one at a time for "
        "the next week."
    )


@pytest.mark.parametrize("error", REFUSALS, ids=str)
@pytest.mark.parametrize("after", [1, 3, 9])
@pytest.mark.parametrize("lanes", [2, 8])
def test_any_failure_of_a_lane_ends_the_lane_and_costs_no_record(
    error: CourierError, after: int, lanes: int, seed: int
) -> None:
    """Whichever lane fails, and while the walk waits for a full queue."""
    requests = 0

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        nonlocal requests
        requests += kind == "made_up"
        return error if kind == "made_up" and requests > after else None

    api = PagedApi(evenly(600), fails=fails, seconds=(0.1, 2.0), seed=seed)
    reader = Reader(api, lanes=lanes, seed=seed).walk()
    assert reader.missing == set()
    if isinstance(error, Unavailable | BadAnswer) and reader.error is not None:
        # The end itself could not be confirmed; the next sync makes up for it.
        api.fails = lambda kind, cursor: None
        api.now_ms += 25 * HOUR_MS
        reader.walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize(
    "error", [Unavailable("Courier answered 500"), Limited("Courier answered 429")], ids=str
)
def test_an_outage_costs_lanes_nothing_that_they_have_read(error: CourierError) -> None:
    api = PagedApi(
        evenly(6_000), fails=lambda kind, cursor: outage[0] if len(api.asked) > 150 else None
    )
    outage: list[CourierError | None] = [error]
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk()
    assert reader.error is error
    assert len(reader.state.lanes) == 8
    assert reader.state.no_lanes_until is None
    outage[0], api.now_ms = None, api.now_ms + MINUTE_MS
    assert is_whole(reader.walk())
    assert len(api.asked) < 500


def test_an_outage_in_which_one_lane_is_still_answered_costs_the_others_nothing() -> None:
    api = PagedApi(evenly(6_000))

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if cursor is None or len(api.asked) <= 150:
            return None
        is_deep = int(base64.b64decode(cursor).partition(b",")[0]) < api.times[5_000]
        return None if is_deep else Unavailable("Courier answered 500")

    api.fails = fails
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk()
    assert isinstance(reader.error, Unavailable)
    assert reader.state.no_lanes_until is None
    # Lanes that get answers read to their ends, where two may join.
    assert len(reader.state.lanes) >= 7


def test_a_lane_that_fails_now_and_then_does_not_end_the_others_for_a_week() -> None:
    def fails(kind: str, cursor: str | None) -> CourierError | None:
        return Unavailable("Courier answered 500") if len(api.asked) == 90 else None

    api = PagedApi(evenly(3_000), fails=fails)
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk()
    assert is_whole(reader)
    assert reader.state.no_lanes_until is None


def test_lanes_whose_saved_cursors_have_expired_do_not_end_lanes_for_a_week() -> None:
    api = PagedApi(evenly(6_000))
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk(die_after=150)
    assert len(reader.state.lanes) >= 8
    expired = {lane.cursor for lane in reader.state.lanes}
    api.fails = lambda kind, cursor: Refused(410, "") if cursor in expired else None
    api.now_ms += HOUR_MS
    assert is_whole(reader.walk())
    assert reader.state.no_lanes_until is None


@pytest.mark.parametrize("lanes", [2, 3, 8])
@pytest.mark.parametrize("page", [5, 30, 55, 90, 110])
def test_a_lane_refused_while_the_head_lanes_join_waits_for_the_queue_costs_no_record(
    lanes: int, page: int, seed: int
) -> None:
    """The join makes it the head lane; an earlier bug then dropped it and all lanes below."""
    refused: list[str] = []
    api = PagedApi(evenly(1_200), seconds=(0.2, 1.0), seed=seed)
    spoilt = api.cursor_of_page(page)

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if cursor == spoilt and not refused:
            refused.append(spoilt)
            return Refused(410, "")
        return None

    api.fails = fails
    reader = Reader(api, lanes=lanes, seed=seed, blocks=(0.0, 2.0, 5.0)).walk()
    assert is_whole(reader), (reader.error, len(reader.missing))
    assert refused or reader.api.made_up_asked


def test_random_walks_that_die_and_fail_land_everything_in_the_end(seed: int) -> None:
    for round_ in range(4):
        draw = random.Random(seed * 100 + round_)
        outages = draw.choice([0.0, 0.02, 0.1])

        def fails(
            kind: str,
            cursor: str | None,
            *,
            draw: random.Random = draw,
            share: float = outages,
        ) -> CourierError | None:
            return draw.choice(REFUSALS) if draw.random() < share and kind != "head" else None

        gaps = [draw.choice([1, 500, 60_000, 3_600_000]) for _ in range(draw.randint(50, 500))]
        times = [NOW - sum(gaps[: n + 1]) for n in range(len(gaps))]
        made_up = draw.choice(["honoured"] * 3 + ["refused", "head", "thin", "empty", "newer"])
        api = PagedApi(times, made_up=made_up, fails=fails, seconds=(0.05, 2.0), seed=seed)
        lanes = draw.choice([1, 2, 5, None])
        reader = Reader(api, lanes=lanes, seed=seed)
        for _ in range(draw.randint(0, 6)):
            reader.walk(die_after=draw.randint(0, 40))
            api.insert(api.now_ms)
            api.now_ms += draw.randint(1, 600) * MINUTE_MS
        api.fails = lambda kind, cursor: None
        # A lane that was just renewed is left alone for a day.
        for _ in range(3):
            api.now_ms += 25 * HOUR_MS
            reader.walk()
        assert is_whole(reader), (round_, reader.error, len(reader.missing), made_up, lanes)


# -- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("page", [2, 5, 40, 59])
def test_a_false_end_at_a_cursor_of_the_servers_own_is_found_out(lanes: int, page: int) -> None:
    api = PagedApi(evenly(600))
    api.false_ends = {api.cursor_of_page(page)}
    reader = Reader(api, lanes=lanes).walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize(("lanes", "page", "late"), [(1, 80, 795), (1, 80, 55), (8, 2, 15)])
def test_a_false_end_is_found_out_though_a_message_shows_late_where_the_probe_is_made(
    lanes: int, page: int, late: int
) -> None:
    api = PagedApi(evenly(900))
    api.false_ends = {api.cursor_of_page(85)}
    page_from = api.page_from

    def page_and_a_late_message(at: int) -> Page:
        answer = page_from(at)
        if at == page * 10 and len(api.records) == 900:
            api.insert(api.times[late] + 1)
        return answer

    api.page_from = page_and_a_late_message  # type: ignore[method-assign]
    reader = Reader(api, lanes=lanes).walk()
    assert reader.missing <= {"1-00000384"}
    assert reader.state.no_lanes_until is None


@pytest.mark.parametrize("at_once", [9, 25, 35, 60])
def test_a_false_end_amid_messages_of_one_time_is_not_believed(at_once: int) -> None:
    """A made-up cursor leads to the first of them again, so it cannot get past them."""
    times = evenly(300)
    times[40 : 40 + at_once] = [times[40]] * at_once
    api = PagedApi(times, false_end_page=5)
    reader = Reader(api).walk()
    assert reader.error is not None or is_whole(reader)
    assert reader.state.readings == () or is_whole(reader)
    if reader.error is not None:
        said = "the listing ends, but more records follow"
        assert said in str(reader.error)
        # No other cursor would help.
        assert [lane.renewed for lane in reader.state.lanes] == [None]
    api.false_end_page, api.now_ms = None, api.now_ms + HOUR_MS
    assert is_whole(reader.walk())
    assert reader.error is None


@pytest.mark.parametrize("times", [1, 99])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_false_end_is_found_out_though_a_record_below_it_comes_unusable(
    lanes: int, times: int
) -> None:
    api = PagedApi(evenly(600))
    api.false_ends = {api.cursor_of_page(40)}
    page_from = api.page_from
    spoilt = api.id_of(api.records[402])
    left = times

    def page_with_a_null(at: int) -> Page:
        nonlocal left
        page = page_from(at)
        if left and any(api.id_of(record) == spoilt for record in page.records):
            left -= 1
            page.records[:] = [r if api.id_of(r) != spoilt else None for r in page.records]
        return page

    api.page_from = page_with_a_null  # type: ignore[method-assign]
    reader = Reader(api, lanes=lanes).walk()
    assert reader.error is None
    assert reader.missing == (set() if times == 1 else {spoilt})


@pytest.mark.parametrize("below", ["a null", "nulls alone", "no paging"])
def test_a_false_end_is_found_out_though_what_lies_below_it_comes_broken(below: str) -> None:
    api = PagedApi(evenly(593), false_end_page=58)
    made_up = api._made_up

    def broken(time: int) -> Page:
        page = made_up(time)
        if page.next_cursor is not None or reader.api is not api:
            return page
        if below == "no paging":
            return Page([], None, BadAnswer("the response is missing 'paging'"))
        known = [r for r in page.records if api.id_of(r) < "1-0000024e"]
        return Page([*(known if below == "a null" else []), None], None)

    api._made_up = broken  # type: ignore[method-assign]
    reader = Reader(api)
    reader.walk()
    # Either nothing is claimed, or the unusable record is looked for again.
    assert reader.state.readings == () or reader.state.unusable
    api._made_up = made_up  # type: ignore[method-assign]
    api.false_end_page, api.now_ms = None, api.now_ms + 25 * HOUR_MS
    assert is_whole(reader.walk())
    assert reader.state.unusable == ()


def test_a_record_that_is_always_unusable_at_the_very_end_ends_the_walk_all_the_same() -> None:
    api = PagedApi(evenly(593))
    page_from = api.page_from

    def ends_with_a_null(at: int) -> Page:
        page = page_from(at)
        return page if page.next_cursor else Page([*page.records, None], None)

    api.page_from = ends_with_a_null  # type: ignore[method-assign]
    for lanes in (1, 8):
        assert is_whole(Reader(api, lanes=lanes).walk())
        assert len(api.asked) < 90


def test_a_record_below_the_very_end_that_comes_unusable_once_is_asked_for_once_more() -> None:
    api = PagedApi(evenly(593))
    made_up, asked = api._made_up, 0

    def null_after_the_probe(time: int) -> Page:
        nonlocal asked
        asked += 1
        page = made_up(time)
        return Page([*page.records, None], None) if asked == 2 else page

    api._made_up = null_after_the_probe  # type: ignore[method-assign]
    reader = Reader(api).walk()
    assert is_whole(reader)
    assert reader.state.unusable == ()
    # The probe, and two requests below the end.
    assert len(api.made_up_asked) == 3
    assert len(set(api.made_up_asked)) == 2


def test_a_sync_that_dies_behind_a_false_end_goes_on_below_it() -> None:
    api = PagedApi(evenly(93))
    api.false_ends = {api.cursor_of_page(9)}
    reader = Reader(api, blocks=(0.0,)).walk()
    assert is_whole(reader)
    below = api.made_up_asked[1]
    last = next(state for state in reversed(reader.states) if state.lanes)
    assert [lane.cursor for lane in last.lanes] == [below]


def test_an_end_that_a_lower_lane_has_come_to_leaves_the_lanes_above_it_reading() -> None:
    """Neither the lanes below the oldest record nor the upper ones have answered by then."""
    api = PagedApi(evenly(2_000))
    ask = api.ask

    async def ask_slowly(cursor: str | None, yields: bool) -> Asked:
        time = NOW if cursor is None else int(base64.b64decode(cursor).partition(b",")[0])
        if time < api.times[-1] or (time > api.times[300] and len(api.asked) > 20):
            await asyncio.sleep(1_000 if time < api.times[-1] else 30)
        return await ask(cursor, yields)

    api.ask = ask_slowly  # type: ignore[method-assign]
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk()
    assert is_whole(reader), len(reader.missing)
    # The end was checked when that lane reached it, and not again.
    assert api.kind(api.asked[-1]) == "own"


@pytest.mark.parametrize("page", [34, 90, 162, 226, 498, 594])
def test_a_false_end_is_found_out_though_lanes_have_failed(page: int) -> None:
    api = PagedApi(evenly(6_000), false_end_page=page, seconds=(0.1, 2.0), seed=1)
    failed: set[str] = set()

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if cursor is None or kind == "head" or len(api.asked) < 60 or len(failed) == 4:
            return None
        time = int(base64.b64decode(cursor).decode().partition(",")[0])
        if time > api.times[1_500] or cursor in failed:
            return None
        failed.add(cursor)
        return Unavailable("Courier answered 500")

    api.fails = fails
    reader = Reader(api, lanes=8, blocks=(0.0,)).walk()
    assert len(failed) == 4
    assert reader.state.no_lanes_until is not None
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("page", [20, 60, 140, 340, 460, 540])
def test_a_false_end_is_found_out_though_asking_below_it_is_refused(page: int) -> None:
    """Refused once, while lanes below it show that there is more."""
    api = PagedApi(evenly(6_000), false_end_page=page, seconds=(0.1, 2.0), seed=1)
    refused: list[str] = []

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if kind != "made_up" or refused or cursor is None or cursor not in confirmed():
            return None
        refused.append(cursor)
        return Refused(400, "")

    def confirmed() -> list[str | None]:
        return [lane.confirming for lane in reader.last._lanes]

    api.fails = fails
    reader = Reader(api, lanes=8, blocks=(0.0,))
    reader.walk()
    assert refused
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("lanes", [1, 8])
def test_one_refusal_below_a_false_end_does_not_speak_for_it(lanes: int) -> None:
    """Even if no lane below it shows that there is more."""
    api = PagedApi(evenly(600), false_end_page=55)
    refused: list[str] = []

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if kind != "made_up" or refused or cursor is None:
            return None
        if cursor not in [lane.confirming for lane in reader.last._lanes]:
            return None
        refused.append(cursor)
        return Refused(400, "")

    api.fails = fails
    reader = Reader(api, lanes=lanes)
    reader.walk()
    assert refused
    assert is_whole(reader), (reader.error, len(reader.missing))


def test_where_sync_since_has_moved_up_nothing_older_is_read_on_the_way_to_a_lane() -> None:
    api = PagedApi(evenly(3_000))
    reader = Reader(api).walk(die_after=20)
    for number in range(1, 2_001):
        api.insert(api.times[0] + number * 10 * MINUTE_MS)
    api.now_ms += 2_000 * 10 * MINUTE_MS
    reader.since_ms = api.now_ms - DAY_MS
    reader.walk()
    assert not reader.state.lanes
    assert len(api.asked) < 30


def test_nothing_older_said_to_a_made_up_cursor_ends_no_walk() -> None:
    api = PagedApi(evenly(600))
    answer = api._made_up
    asked = 0

    def empty_after_the_probe(time: int) -> object:
        nonlocal asked
        asked += 1
        page = answer(time)
        return page if asked == 1 else type(page)([], None)

    api._made_up = empty_after_the_probe  # type: ignore[method-assign, assignment]
    assert is_whole(Reader(api, lanes=8).walk())


def test_that_a_server_answers_made_up_cursors_with_newer_records_is_saved_at_once() -> None:
    api = PagedApi(evenly(600))
    answer, asked = api._made_up, 0

    def newer_after_the_probe(time: int) -> Page:
        nonlocal asked
        asked += 1
        return answer(time) if asked == 1 else api.page_from(0)

    api._made_up = newer_after_the_probe  # type: ignore[method-assign]
    reader = Reader(api, lanes=2, blocks=(0.0,)).walk()
    assert is_whole(reader)
    states = [batch.state for batch in reader.batches]
    is_refused = [state is not None and state.no_lanes_until is not None for state in states]
    # Saved at once, and not only with the next page of another lane.
    assert reader.batches[is_refused.index(True)].rows == []


def test_an_end_is_confirmed_once_by_asking_below_the_last_record() -> None:
    reader = Reader(PagedApi(evenly(95)), blocks=(0.0,)).walk()
    # The probe, and the question below the last record.
    assert len(reader.api.made_up_asked) == 2
    assert reader.api.made_up_asked[-1].startswith("MTc5")


# -- where a walk may stop -----------------------------------------------------------------------


def complete(count: int = 600, **options: object) -> Reader:
    """Returns a reader of a listing that has been read whole."""
    reader = Reader(PagedApi(evenly(count, newest=NOW), **options)).walk()  # type: ignore[arg-type]
    assert is_whole(reader)
    return reader


def test_a_walk_stops_after_two_pages_that_lie_wholly_below_its_bound() -> None:
    reader = complete()
    reader.api.now_ms += MINUTE_MS
    reader.api.insert(reader.api.now_ms)
    # An hour below the watermark holds just over six records; two more pages show the end.
    assert is_whole(reader.walk())
    assert 3 <= len(reader.api.asked) <= 4
    assert len(reader.sent_ids) == 1


def test_records_of_its_overlap_that_have_changed_land_with_each_walk() -> None:
    reader = complete()
    reader.api.now_ms += MINUTE_MS
    changed = reader.api.id_of(reader.api.records[4])
    reader.api.change(changed, status="OPENED")
    reader.walk()
    assert reader.sent_ids == [changed]
    assert reader.landed[changed]["status"] == "OPENED"


def test_settled_messages_that_are_too_many_to_be_remembered_are_sent_once() -> None:
    reader = Reader(PagedApi(evenly(600, newest=NOW)))
    reader.sent = SentByHour(most=100)
    for record in reader.api.records:
        record |= {"status": "DELIVERED", "delivered": record["enqueued"] + 1_000}
    reader.api.now_ms += 4 * DAY_MS
    reader.walk()
    assert len(reader.sent) < 600
    reader.api.now_ms += 2 * DAY_MS
    reader.walk()
    assert len(reader.api.asked) > 20
    assert reader.sent_ids == []


def test_news_on_a_page_below_the_bound_makes_the_walk_go_on() -> None:
    reader = complete()
    reader.api.now_ms += MINUTE_MS
    ids = [reader.api.id_of(record) for record in reader.api.records]
    # Below the bound, each within two pages of the one before.
    for at in range(25, 120, 15):
        reader.api.change(ids[at], status="OPENED")
    reader.walk()
    assert sorted(reader.sent_ids) == sorted(ids[at] for at in range(25, 120, 15))


@pytest.mark.parametrize("time", [NOW - 40 * DAY_MS, NOW + 5 * DAY_MS, 0, NOW // 1000])
def test_a_record_with_an_odd_time_at_the_head_costs_nothing_more(time: int) -> None:
    reader = complete(3_000)
    odd = reader.api.insert(time, position=NOW + 30)
    reader.api.now_ms += MINUTE_MS
    for _ in range(4):
        reader.walk()
        assert odd in reader.landed
        assert len(reader.api.asked) <= 5
        assert reader.state.newest_first is True
        reader.api.now_ms += 15 * MINUTE_MS


@pytest.mark.parametrize("lanes", [1, 8])
def test_an_oldest_record_that_is_dated_ahead_does_not_have_all_read_in_each_sync(
    lanes: int,
) -> None:
    api = PagedApi(evenly(600, newest=NOW))
    # Alone on the last page.
    api.insert(NOW + 40 * DAY_MS, position=api.times[-1] - 1)
    reader = Reader(api, lanes=lanes).walk()
    assert is_whole(reader)
    api.now_ms += 15 * MINUTE_MS
    assert is_whole(reader.walk())
    assert len(api.asked) <= 5


def test_a_page_of_back_dated_records_at_the_head_hides_nothing_new() -> None:
    reader = complete(3_000)
    reader.api.now_ms += 5 * MINUTE_MS
    new = [reader.api.insert(NOW + number) for number in range(25)]
    for number in range(9):
        reader.api.insert(NOW - 50 * DAY_MS, position=NOW + 100 + number)
    reader.walk()
    assert set(new) <= set(reader.landed)
    assert len(reader.api.asked) <= 9


def test_two_pages_of_records_from_below_the_floor_at_the_head_hide_nothing_new() -> None:
    """They are neither new nor known, so they do not show that what follows is known."""
    reader = Reader(PagedApi(evenly(600, newest=NOW)), since_ms=NOW - 20 * DAY_MS).walk()
    reader.api.now_ms += 5 * MINUTE_MS
    new = [reader.api.insert(NOW + number) for number in range(5)]
    for number in range(25):
        reader.api.insert(NOW - 50 * DAY_MS, position=NOW + 100 + number)
    reader.walk()
    assert set(new) <= set(reader.landed)


@pytest.mark.parametrize("lanes", [1, 8])
def test_a_walk_stops_at_its_bound_though_nothing_below_it_is_remembered(lanes: int) -> None:
    """As when many messages are sent at once, once a week."""
    at_once = evenly(64, every_ms=20_000, newest=NOW)
    times = [time - week * 7 * DAY_MS for week in range(12) for time in at_once]
    reader = Reader(PagedApi(times), lanes=lanes)
    reader.sent = SentByHour(most=100)
    assert is_whole(reader.walk())
    reader.api.now_ms += MINUTE_MS
    assert is_whole(reader.walk())
    assert len(reader.api.asked) <= 7 + 2


def test_a_walk_stops_at_its_bound_though_all_below_it_is_left_out() -> None:
    times = evenly(24, every_ms=MINUTE_MS, newest=NOW)
    older = evenly(600, newest=NOW - 2 * DAY_MS)
    reader = Reader(PagedApi(times + older), since_ms=NOW - DAY_MS).walk()
    assert len(reader.landed) == 24
    reader.api.now_ms += MINUTE_MS
    reader.walk()
    assert len(reader.api.asked) <= 3 + 2


def test_a_walk_stops_though_sync_since_is_newer_than_all_that_is_listed() -> None:
    reader = complete(stream=AUDIT_EVENT)
    reader.since_ms, reader.api.now_ms = NOW + DAY_MS, NOW + 2 * DAY_MS
    reader.walk()
    assert reader.error is None
    assert len(reader.api.asked) <= 2


def test_a_walk_stops_at_its_bound_though_all_that_was_above_it_has_left_the_listing() -> None:
    reader = complete()
    del reader.api.records[:20], reader.api.positions[:20]
    reader.api.now_ms += MINUTE_MS
    reader.walk()
    assert reader.error is None
    assert len(reader.api.asked) == 2


def test_a_floor_ends_no_first_walk_of_a_stream_whose_order_is_not_known() -> None:
    api = PagedApi(evenly(100, newest=NOW), stream=AUDIT_EVENT)
    Reader(api, since_ms=api.times[20]).walk()
    # The last page is requested twice.
    assert (len(api.asked), len(set(api.asked))) == (11, 10)


def test_messages_are_presumed_newest_first_until_their_order_has_been_seen() -> None:
    api = PagedApi(evenly(200))
    reader = Reader(api, since_ms=api.times[100]).walk()
    assert len(api.asked) < 16
    assert is_whole(reader) is False
    assert {api.id_of(r) for r in api.records[:100]} <= set(reader.landed)


def test_what_is_only_presumed_stops_no_walk_before_a_record_at_its_bound_was_met() -> None:
    """The head itself is older than the bound, so the order may be a different one."""
    api = PagedApi([NOW - 300 * DAY_MS + n * DAY_MS for n in range(100)], made_up="refused")
    api.records.reverse()
    api.positions.reverse()
    reader = Reader(api, since_ms=NOW - 220 * DAY_MS).walk()
    young = {api.id_of(r) for r in api.records if r["enqueued"] >= reader.since_ms}
    assert young <= set(reader.landed)
    assert len(young) == 20


def test_it_stops_no_walk_of_messages_that_all_came_at_once_and_have_not_changed_since() -> None:
    """They fit any order, and the newest may come last."""
    api = PagedApi([], made_up="refused")
    for place in range(45):
        api.insert(NOW - DAY_MS, position=-place)
    reader = Reader(api).walk()
    for day in range(36):
        api.now_ms += DAY_MS
        if day > 33:
            api.insert(api.now_ms - HOUR_MS, position=-len(api.records))
        assert is_whole(reader.walk())


@pytest.mark.parametrize("stream", [AUDIT_EVENT, LIST], ids=lambda stream: stream.table)
def test_a_stream_that_is_not_known_to_come_newest_first_is_read_to_its_end(
    stream: object,
) -> None:
    api = PagedApi(evenly(100, newest=NOW), stream=stream)  # type: ignore[arg-type]
    reader = Reader(api)
    assert is_whole(reader.walk())
    # The last page is requested twice, unless each sync reads all.
    assert (len(api.asked), len(set(api.asked))) == (11 if stream is AUDIT_EVENT else 10, 10)


def test_audit_events_that_came_newest_first_are_read_down_to_a_day_below_the_watermark() -> None:
    api = PagedApi(evenly(1_000, every_ms=HOUR_MS, newest=NOW), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    assert reader.state.newest_first is True
    assert is_whole(reader.walk())
    assert 5 <= len(api.asked) <= 6


def shuffled(seed: int, count: int = 400) -> PagedApi:
    api = PagedApi(evenly(count), seed=seed)
    random.Random(seed).shuffle(api.records)
    api.positions = [-n for n in range(count)]
    return api


def test_a_part_of_a_walk_without_order_is_no_reading() -> None:
    """A few pages may be in order by chance, with younger records behind them."""
    reader = Reader(PagedApi(evenly(400)), state=StreamState(newest_first=False))
    reader.walk(die_after=4)
    reader.last._lanes.given_up.append(Reading(NOW, NOW - DAY_MS))
    assert reader.last._saved().readings == ()


def test_a_listing_in_no_order_is_read_to_its_end_each_time(seed: int) -> None:
    reader = Reader(shuffled(seed), lanes=8).walk()
    assert is_whole(reader)
    assert reader.state.newest_first is False
    reader.api.now_ms += DAY_MS
    assert is_whole(reader.walk())
    # Its last page is requested twice.
    assert len(reader.api.asked) - len(reader.api.made_up_asked) == 41


class Overlapping(PagedApi):
    """Begins each page four records after the last one, and knows no cursor but its own."""

    def _answer(self, cursor: str | None) -> Page:
        if self.kind(cursor) == "made_up":
            raise Refused(400, "")
        page = super()._answer(cursor)
        if page.next_cursor is None:
            return page
        return Page(
            page.records, self.cursor_behind(self._index(self.id_of(page.records[3])) or 0)
        )


@pytest.mark.parametrize("stream", [MESSAGE, AUDIT_EVENT], ids=lambda stream: stream.table)
@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_that_overlap_show_their_order(newest_first: bool, stream: Stream) -> None:
    api = Overlapping([], stream=stream)
    times = evenly(200, every_ms=HOUR_MS)
    for place, time in enumerate(times if newest_first else times[::-1]):
        api.insert(time, position=NOW - place)
    reader = Reader(api).walk()
    assert is_whole(reader)
    assert reader.state.newest_first is newest_first


# -- cursors that fail ---------------------------------------------------------------------------


def died(count: int = 400, batches: int = 15, **options: object) -> Reader:
    """Returns a reader whose first walk died with one unfinished lane."""
    reader = Reader(PagedApi(evenly(count, newest=NOW), **options))  # type: ignore[arg-type]
    reader.walk(die_after=batches)
    assert len(reader.state.lanes) == 1
    return reader


@pytest.mark.parametrize("made_up", ["honoured", "refused"])
@pytest.mark.parametrize("error", REFUSALS, ids=str)
def test_a_saved_cursor_that_is_refused_in_whatever_way_is_replaced(
    error: CourierError, made_up: str
) -> None:
    reader = died(made_up=made_up)
    saved = reader.state.lanes[0].cursor
    reader.api.fails = lambda kind, cursor: error if cursor == saved else None
    reader.api.now_ms += HOUR_MS
    reader.api.insert(reader.api.now_ms)
    reader.walk()
    assert reader.missing == set()
    assert reader.error is None or made_up == "refused"
    # If the page itself is at fault, it fails again; otherwise all is well.
    reader.api.fails = lambda kind, cursor: None
    reader.api.now_ms += HOUR_MS
    assert is_whole(reader.walk())


def test_a_lane_that_waits_for_a_probe_goes_on_once_a_second_one_has_held() -> None:
    reader = died()
    saved, made_up = reader.state.lanes[0].cursor, reader.api._made_up
    answers = iter([Page([], None)])
    reader.api._made_up = lambda time: next(answers, None) or made_up(time)  # type: ignore[method-assign]
    reader.api.fails = lambda kind, cursor: Refused(410, "") if cursor == saved else None
    reader.api.now_ms += HOUR_MS
    assert is_whole(reader.walk())
    assert next(answers, None) is None
    assert reader.notices == []
    assert reader.api.made_up_asked[0] == reader.api.made_up_asked[1]


def test_a_lane_that_is_read_again_from_above_is_told_and_is_no_longer_saved() -> None:
    reader = died(made_up="refused")
    reader.lanes, saved = 2, reader.state.lanes[0].cursor

    def fails_once(kind: str, cursor: str | None) -> CourierError | None:
        is_first = cursor == saved and reader.api.asked.count(saved) == 1
        return Refused(410, "") if is_first else None

    reader.api.fails = fails_once
    reader.api.now_ms += HOUR_MS
    for age in range(100):
        reader.api.insert(reader.api.now_ms - age)
    assert is_whole(reader.walk())
    [notice] = reader.notices
    assert notice.startswith("message: Courier no longer accepts the saved cursor")
    # Before the next page, so that a sync that dies does not request it again.
    told = next(batch for batch in reader.batches if not batch.rows)
    assert told.state is not None
    [lane] = told.state.lanes
    assert lane.renewed is not None
    assert lane.renewed.at == reader.api.now_ms + 1_000


def test_where_the_head_does_not_answer_either_the_lane_keeps_its_cursor() -> None:
    reader = died()
    before = reader.state.lanes
    reader.api.fails = lambda kind, cursor: Unavailable("down")
    reader.walk()
    assert isinstance(reader.error, Unavailable)
    assert reader.state.lanes == before


@pytest.mark.parametrize("made_up", ["honoured", "refused"])
def test_a_page_that_always_fails_lets_new_records_land_and_is_tried_in_every_walk(
    made_up: str,
) -> None:
    api = PagedApi(evenly(600, newest=NOW), made_up=made_up)
    bad = {api.id_of(record) for record in api.records[300:310]}

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        page = api._answer(cursor) if kind != "made_up" or made_up == "honoured" else None
        held = page is not None and bad & {api.id_of(r) for r in page.records}
        return Unavailable("no usable response") if held else None

    api.fails = fails
    reader = Reader(api)
    reader.walk()
    assert isinstance(reader.error, Unavailable)
    for _ in range(8):
        api.now_ms += 18 * HOUR_MS
        new = api.insert(api.now_ms)
        reader.walk()
        assert new in reader.landed
        assert reader.error is not None
        assert len(reader.state.lanes) <= 6
    api.fails = lambda kind, cursor: None
    for _ in range(2):
        api.now_ms += 25 * HOUR_MS
        reader.walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_backlog_gets_through_where_cursors_serve_for_a_few_requests_only(lanes: int) -> None:
    """Once a cursor has expired, a cursor made up for its place replaces it."""
    given: dict[str, int] = {}
    api = PagedApi(evenly(900, newest=NOW))

    def fails(kind: str, cursor: str | None) -> CourierError | None:
        if kind != "own" or cursor is None:
            return None
        expired = len(api.asked) - given.setdefault(cursor, len(api.asked)) > 3
        # The cursor of every ninth place has always expired.
        return Refused(410, "") if expired or hash_of(cursor) % 9 == 0 else None

    api.fails = fails
    reader = Reader(api, lanes=lanes).walk()
    assert is_whole(reader), (reader.error, len(reader.missing))


def test_a_page_that_always_fails_costs_no_lane_more_in_each_sync() -> None:
    api = PagedApi(evenly(600, newest=NOW), stream=AUDIT_EVENT)
    reader = Reader(api).walk()
    spoilt, answer = api.positions[15], api._answer

    def fails_at_one_place(cursor: str | None) -> Page:
        page = answer(cursor)
        if any(record["timestamp"] == spoilt for record in page.records):
            raise Unavailable("Courier answered 500")
        return page

    api._answer = fails_at_one_place  # type: ignore[method-assign]
    for _ in range(40):
        api.now_ms += 15 * MINUTE_MS
        for age in range(12):
            api.insert(api.now_ms - age * MINUTE_MS)
        reader.walk()
        assert isinstance(reader.error, Unavailable)
        # New records land all the same.
        assert not reader.missing
        assert len(reader.state.lanes) < 10
    # From the head to that place, and once more because its cursor might be at fault.
    assert len(api.asked) < 2 * 48 + 20
    api._answer = answer  # type: ignore[method-assign]
    assert is_whole(reader.walk())


@pytest.mark.parametrize("lookback_days", [0.0, 0.01, 1.0])
def test_what_showed_late_before_a_floor_was_set_lands_once_it_is_gone(
    lookback_days: float,
) -> None:
    api = PagedApi(evenly(500, every_ms=5_000, newest=NOW))
    reader = Reader(api, lookback_days=lookback_days).walk()
    api.insert(NOW - 5 * MINUTE_MS)
    api.now_ms += 20 * DAY_MS
    for hours in range(0, 240, 6):
        api.insert(api.now_ms - hours * HOUR_MS)
    reader.since_ms = NOW + 10 * DAY_MS
    reader.walk()
    reader.since_ms, api.now_ms = 0, api.now_ms + HOUR_MS
    assert is_whole(reader.walk())
    reader.walk()
    assert len(api.asked) <= 4


def test_the_start_of_what_is_left_of_a_walk_is_the_earliest_that_its_answers_told() -> None:
    api = PagedApi(evenly(200))
    ask, clocks = api.ask, iter([3 * HOUR_MS])

    async def ask_a_clock_that_was_ahead(cursor: str | None, yields: bool) -> Asked:
        asked = await ask(cursor, yields)
        return asked._replace(server_ms=asked.server_ms + next(clocks, 0))

    api.ask = ask_a_clock_that_was_ahead  # type: ignore[method-assign]
    reader = Reader(api).walk(die_after=8)
    assert [lane.started_at for lane in reader.state.lanes] == [NOW + 1_000]


@pytest.mark.parametrize("renewed_ago_ms", [DAY_MS, -DAY_MS], ids=["a day ago", "ahead"])
def test_a_cursor_that_fails_is_renewed_whatever_a_wrong_clock_has_noted(
    renewed_ago_ms: int,
) -> None:
    reader = died()
    lane = reader.state.lanes[0]
    renewed = Renewal(reader.api.now_ms - renewed_ago_ms, lane.oldest or 0)
    lane = replace(lane, renewed=renewed)
    reader.state = replace(reader.state, lanes=(lane,))
    reader.api.fails = lambda kind, cursor: Refused(410, "") if cursor == lane.cursor else None
    assert is_whole(reader.walk())


class Endless(PagedApi):
    """Repeats its last page for ever, each time with a cursor for an older place."""

    repeated = 0

    def _answer(self, cursor: str | None) -> Page:
        assert len(self.asked) < 1_000, "a walk that does not end"
        page = super()._answer(cursor)
        if page.next_cursor is not None:
            return page
        self.repeated += 1
        older = f"{self.times[-1] - self.repeated},{self.id_of(self.records[-1])}"
        last = self.records[-self.per_page :]
        return Page(last, base64.b64encode(older.encode()).decode())


def test_a_listing_that_goes_on_for_ever_at_ever_older_places_ends_the_walk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endless_guard, "MOST_STALE_PAGES", 30)
    reader = Reader(Endless(evenly(200)), lanes=1).walk()
    assert "30 pages in a row contained no new record" in str(reader.error)
    assert reader.missing == set()


def hash_of(cursor: str) -> int:
    return sum(cursor.encode())


def test_a_limit_is_no_fault_of_a_cursor() -> None:
    reader = died()
    saved = reader.state.lanes[0].cursor
    reader.api.fails = lambda kind, cursor: Limited("429") if cursor == saved else None
    reader.walk()
    assert isinstance(reader.error, Limited)
    assert reader.state.lanes[-1].cursor == saved


def test_a_key_that_is_refused_ends_the_walk_at_once() -> None:
    reader = died()
    before = reader.state
    reader.api.fails = lambda kind, cursor: KeyRefused()
    reader.walk()
    assert isinstance(reader.error, KeyRefused)
    assert reader.state == before


def test_a_walk_whose_requests_are_lost_is_not_taken_for_a_complete_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fetches, "start", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="message: the walk stopped before it was complete"):
        Reader(PagedApi(evenly(95))).walk()


# -- unfinished walks ----------------------------------------------------------------------------


def test_new_records_land_first_and_then_the_rest(seed: int) -> None:
    reader = died(seed=seed)
    reader.api.now_ms += 5 * MINUTE_MS
    new = [reader.api.insert(NOW + n) for n in range(40)]
    reader.walk()
    assert is_whole(reader)
    assert set(new) <= set(reader.sent_ids[:50])
    assert reader.state.watermark is not None


def test_a_lane_that_goes_on_shortly_before_its_end_has_that_end_confirmed_all_the_same() -> None:
    """The head's pages are enough for a probe, although they do not lead to the lane's pages."""
    reader = died(batches=38)
    assert reader.state.lanes[0].cursor == reader.api.cursor_of_page(38)
    reader.api.now_ms += MINUTE_MS
    assert is_whole(reader.walk())
    assert reader.last._probe.verdict is Verdict.HELD
    probe, below_the_end = reader.api.made_up_asked
    assert reader.api.asked[-1] == below_the_end
    assert (time_in_cursor(probe) or 0) > (time_in_cursor(below_the_end) or 0)


def test_all_lanes_but_the_one_from_the_head_let_other_streams_go_first() -> None:
    reader = died()
    reader.lanes, ask = 2, reader.api.ask
    yielding: dict[str | None, bool] = {}

    async def ask_and_note(cursor: str | None, yields: bool) -> Asked:
        yielding[cursor] = yields
        return await ask(cursor, yields)

    reader.api.ask = ask_and_note  # type: ignore[method-assign]
    reader.api.now_ms += MINUTE_MS
    assert is_whole(reader.walk())
    assert yielding[None] is yielding[reader.api.cursor_of_page(1)] is False
    assert yielding[reader.api.cursor_of_page(15)] is True


def test_walks_that_die_one_after_another_are_stacked_and_all_are_read(seed: int) -> None:
    reader = died(1_000, seed=seed)
    for _ in range(2):
        reader.api.now_ms += 2 * MINUTE_MS
        for number in range(80):
            reader.api.insert(reader.api.now_ms - number * 1000)
        reader.walk(die_after=3)
    assert len(reader.state.lanes) == 3
    reader.api.now_ms += 2 * MINUTE_MS
    before = len(reader.landed)
    reader.walk()
    assert is_whole(reader), (reader.error, len(reader.missing))
    assert len(reader.landed) - before > 800
    # The newest walk read part of the time span, the oldest all the rest.
    assert len(reader.api.asked) < 140
    # What the head lanes read remains as separate readings.
    assert len(reader.state.readings) >= 2
    assert reader.state.readings[-1].reached == 0


@pytest.mark.parametrize("unfinished", [3, 12])
def test_a_backlog_gets_through_though_every_sync_dies_before_it_meets_the_last(
    unfinished: int,
) -> None:
    reader = Reader(PagedApi(evenly(200, every_ms=HOUR_MS, newest=NOW), stream=AUDIT_EVENT))
    reader.walk()
    for _ in range(unfinished):
        reader.api.now_ms += 3 * DAY_MS
        for number in range(300):
            reader.api.insert(reader.api.now_ms - number * 14 * MINUTE_MS)
        reader.walk(die_after=15)
    assert len(reader.state.lanes) == min(unfinished, 9)
    assert len(reader.missing) == 150 * unfinished
    # From now on, each reaches the place where the last one began, and a few pages more.
    for _ in range(20 * unfinished):
        reader.api.now_ms += 15 * MINUTE_MS
        reader.walk(die_after=15)
    assert is_whole(reader), (len(reader.missing), len(reader.state.lanes))


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_a_record_dated_ahead_deep_in_an_unfinished_walk_hides_nothing_newer(lanes: int) -> None:
    api = PagedApi(evenly(900, every_ms=HOUR_MS, newest=NOW), stream=AUDIT_EVENT)
    reader = Reader(api, lanes=lanes, blocks=(0.0,)).walk()
    api.now_ms += 40 * DAY_MS
    for number in range(900):
        api.insert(api.now_ms - number * HOUR_MS)
    for at in range(60, 300, 5):
        api.insert(api.now_ms + 200 * DAY_MS, position=api.now_ms - at * HOUR_MS - 1)
    reader.walk(die_after=12)
    for _ in range(3):
        api.now_ms += 12 * DAY_MS
        for number in range(250):
            api.insert(api.now_ms - number * HOUR_MS)
        reader.walk(die_after=14)
    assert is_whole(reader.walk()), len(reader.missing)


def test_a_walk_with_lanes_that_died_resumes_them_all(seed: int) -> None:
    reader = Reader(PagedApi(evenly(1_500), seed=seed), lanes=6, seed=seed)
    reader.walk(die_after=60)
    assert len(reader.state.lanes) >= 3
    reader.api.now_ms += 2 * MINUTE_MS
    landed = len(reader.landed)
    reader.walk()
    assert is_whole(reader)
    assert len(reader.api.asked) <= (1_500 - landed) / 10 + 40
    assert reader.state.no_lanes_until is None


# -- the rest of a walk --------------------------------------------------------------------------


def half_read() -> Reader:
    """Returns a reader whose first walk died after five pages, whatever their order."""
    reader = Reader(PagedApi(evenly(200), stream=AUDIT_EVENT)).walk(die_after=5)
    assert len(reader.landed) == 50
    return reader


def test_the_rest_of_a_walk_is_read_from_where_its_lane_stands_and_proves_no_more() -> None:
    reader = half_read()
    before = reader.state
    reader.api.now_ms += HOUR_MS
    reader.walk(resumed=before.lanes[0])
    assert reader.api.asked == [reader.api.cursor_of_page(page) for page in range(5, 20)]
    assert reader.missing == set()
    assert reader.state == StreamState()
    assert not reader.last.complete
    # The rest keeps the time at which its walk began.
    assert {lane.started_at for state in reader.states for lane in state.lanes} == {NOW + 1_000}


def test_the_rest_of_a_walk_is_asked_for_by_no_other_cursor() -> None:
    reader = half_read()
    before = reader.state
    reader.api.fails = lambda kind, cursor: Refused(410, "")
    reader.walk(resumed=before.lanes[0])
    assert isinstance(reader.error, Refused)
    assert reader.api.asked == [before.lanes[0].cursor]
    assert reader.state == before
    # The head answered in an earlier sync, so the key has access to this stream.
    assert reader.last.head_answered


def test_the_page_at_a_cursor_of_an_earlier_sync_is_not_what_a_probe_is_held_against() -> None:
    """That cursor may have been made up, so it says nothing about the server's own cursors."""
    api = PagedApi(evenly(600))
    reader = Reader(api, state=StreamState(newest_first=False))
    rest = Lane(started_at=NOW, cursor=api.cursor_of_page(58))
    reader.walk(resumed=rest)
    assert len(reader.landed) == 20
    assert api.asked == [api.cursor_of_page(58), api.cursor_of_page(59)]


# -- what is counted ------------------------------------------------------------------------------


def test_records_are_counted_once_each_and_those_that_have_not_changed_apart() -> None:
    reader = complete(95)
    assert (reader.shown[-1].read, reader.shown[-1].unchanged) == (95, 0)
    reader.walk()
    asked = len(reader.api.asked)
    assert (reader.shown[-1].read, reader.shown[-1].unchanged) == (10 * asked, 10 * asked)


def test_a_record_that_cannot_be_stored_is_counted_as_read_and_as_unusable() -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole = reader.api.page_from

    def spoilt(at: int) -> Page:
        page = whole(at)
        page.records[:] = [
            None if at + n in (23, 24, 42) else r for n, r in enumerate(page.records)
        ]
        return page

    reader.api.page_from = spoilt  # type: ignore[method-assign]
    reader.walk()
    assert (reader.shown[-1].read, reader.shown[-1].unusable) == (60, 3)


def test_progress_is_shown_from_the_newest_record_down_to_where_the_head_stands() -> None:
    api = PagedApi(evenly(600))
    reader = Reader(api, since_ms=api.times[300]).walk()
    for page, shown in enumerate(reader.shown[:20]):
        assert shown.newest_ms == api.times[0]
        assert shown.reached_ms == api.times[10 * page + 5]
        assert shown.bound_ms == api.times[300]
        assert shown.lanes == 0


def test_progress_shows_no_bound_of_what_is_read_to_its_end_and_how_many_lanes_help() -> None:
    reader = Reader(PagedApi(evenly(2_000)), lanes=8, blocks=(0.0,)).walk()
    assert {shown.bound_ms for shown in reader.shown} == {None}
    assert max(shown.lanes for shown in reader.shown) == 7


# -- envelopes and records -----------------------------------------------------------------------


def test_what_a_page_holds_that_does_not_lead_on_is_written_before_it_fails() -> None:
    reader = Reader(PagedApi(evenly(50)))
    whole = reader.api.page_from

    def leads_nowhere(at: int) -> object:
        page = whole(at)
        return type(page)(page.records, None, BadAnswer("'more' without a cursor"))

    reader.api.page_from = leads_nowhere  # type: ignore[method-assign, assignment]
    reader.walk()
    assert isinstance(reader.error, BadAnswer)
    assert len(reader.landed) == 10
    assert reader.state.watermark is None
    assert reader.last.complete is False


def test_cursors_that_go_round_in_a_circle_end_the_walk_by_name() -> None:
    api = PagedApi(evenly(100), stream=AUDIT_EVENT)
    whole = api.page_from
    again = api.cursor_of_page(2)

    def round_about(at: int) -> object:
        page = whole(at)
        return type(page)(page.records, again if at >= 50 else page.next_cursor)

    api.page_from = round_about  # type: ignore[method-assign, assignment]
    reader = Reader(api).walk()
    assert "a cursor was repeated" in str(reader.error)
    assert len(api.asked) < 40


@pytest.mark.parametrize("spoilt", [None, "text", {"enqueued": NOW}, {"id": ""}], ids=str)
def test_a_page_with_a_record_that_cannot_be_stored_is_asked_for_once_more(
    spoilt: object,
) -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole, given = reader.api.page_from, 0

    def once(at: int) -> object:
        nonlocal given
        page = whole(at)
        if at == 20 and not given:
            given += 1
            page.records[3] = spoilt
        return page

    reader.api.page_from = once  # type: ignore[method-assign, assignment]
    reader.walk()
    assert is_whole(reader)
    assert reader.asked_twice == [reader.api.cursor_of_page(2)]
    assert reader.state.unusable == ()


def test_nothing_is_saved_of_a_head_that_is_asked_for_once_more_while_a_lane_goes_on() -> None:
    reader = died()
    reader.lanes, whole, ask, given = 2, reader.api.page_from, reader.api.ask, 0

    def null_once(at: int) -> Page:
        nonlocal given
        page = whole(at)
        if at == 0 and not given:
            given += 1
            page.records[3] = None
        return page

    async def ask_slowly_once_more(cursor: str | None, yields: bool) -> Asked:
        await asyncio.sleep(5 if cursor is None and given else 0)
        return await ask(cursor, yields)

    reader.api.page_from = null_once  # type: ignore[method-assign]
    reader.api.ask = ask_slowly_once_more  # type: ignore[method-assign]
    reader.api.now_ms += MINUTE_MS
    assert is_whole(reader.walk())
    assert reader.asked_twice == [None]
    assert len(reader.states[0].lanes) == 1


def test_a_record_that_stays_unusable_is_looked_for_until_all_came_usable() -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole = reader.api.page_from

    def spoilt(at: int) -> object:
        page = whole(at)
        if at <= 23 < at + 10:
            page.records[23 - at] = None
        return page

    reader.api.page_from = spoilt  # type: ignore[method-assign, assignment]
    reader.walk()
    assert reader.error is None
    assert len(reader.missing) == 1
    assert [span.met_at for span in reader.state.unusable] == [NOW + 1000]
    reader.api.page_from = whole  # type: ignore[method-assign]
    for _ in range(2):
        reader.api.now_ms += DAY_MS
        reader.walk()
    assert is_whole(reader)
    assert reader.state.unusable == ()


def list_as_null(api: PagedApi, place: int) -> None:
    """Lists the record at a place, counted from the head, as null."""
    whole = api.page_from

    def spoilt(at: int) -> Page:
        page = whole(at)
        page.records[:] = [None if at + n == place else r for n, r in enumerate(page.records)]
        return page

    api.page_from = spoilt  # type: ignore[method-assign]


def test_a_record_that_an_earlier_sync_met_unusable_is_looked_for_after_the_rest() -> None:
    reader = Reader(PagedApi(evenly(400, newest=NOW)))
    list_as_null(reader.api, 100)
    reader.walk(die_after=15)
    met = reader.state.unusable
    assert met
    reader.api.now_ms += MINUTE_MS
    reader.walk()
    assert not reader.state.lanes
    assert len(reader.missing) == 1
    assert reader.state.unusable == tuple([span._replace(looked_at=NOW + 1_000) for span in met])
    assert reader.state.read_at == NOW + 1_000


def test_a_record_that_came_unusable_may_be_as_old_as_its_cursor_tells() -> None:
    times = evenly(40)
    older = [time - 20 * DAY_MS for time in times[19:]]
    reader = Reader(PagedApi(times[:19] + older))
    list_as_null(reader.api, 19)
    reader.walk()
    assert reader.error is None
    assert [span.time for span in reader.state.unusable] == [older[0]]


def test_a_record_that_came_unusable_in_a_listing_without_order_may_be_of_any_age() -> None:
    api = shuffled(seed=1)
    list_as_null(api, 100)
    reader = Reader(api).walk()
    assert reader.error is None
    anywhere = Unusable(0, NOW + 1_000, NOW + 1_000, NOW + 1_000)
    assert anywhere in reader.state.unusable


class Opaque(PagedApi):
    """Gives out cursors that do not show their place."""

    def cursor_behind(self, index: int) -> str:
        return f"~{super().cursor_behind(index)}"

    async def ask(self, cursor: str | None, yields: bool) -> Asked:
        return await super().ask(None if cursor is None else cursor[1:], yields)


def test_a_record_that_came_unusable_may_be_as_old_as_the_next_page_where_its_cursor_is_mute() -> (
    None
):
    times = evenly(40)
    older = [time - 20 * DAY_MS for time in times[19:]]
    api = Opaque(times[:19] + older, stream=AUDIT_EVENT)
    list_as_null(api, 19)
    reader = Reader(api).walk()
    assert reader.error is None
    assert [span.time for span in reader.state.unusable] == [older[2]]


def test_a_page_of_which_no_record_is_usable_is_an_error_with_a_name() -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole = reader.api.page_from

    def spoilt(at: int) -> object:
        page = whole(at)
        page.records[:] = [
            r if not 20 <= at + n < 45 else None for n, r in enumerate(page.records)
        ]
        return page

    reader.api.page_from = spoilt  # type: ignore[method-assign, assignment]
    reader.walk()
    assert "none of the records on a page can be stored (10)" in str(reader.error)
    assert reader.state.watermark is None


def test_an_empty_listing_of_what_had_rows_proves_nothing() -> None:
    reader = complete(95)
    before = reader.state
    records, positions = reader.api.records, reader.api.positions
    reader.api.records, reader.api.positions = [], []
    reader.api.now_ms += DAY_MS
    reader.walk()
    assert reader.error is None
    assert reader.state == before
    reader.api.records, reader.api.positions = records, positions
    changed = reader.api.id_of(records[30])
    reader.api.change(changed, status="OPENED")
    reader.walk()
    assert reader.sent_ids == [changed]


def test_an_empty_listing_of_what_is_only_half_read_takes_no_lane_away() -> None:
    reader = died()
    before = reader.state
    assert before.watermark is None
    reader.api.records, reader.api.positions = [], []
    reader.walk()
    assert reader.error is None
    assert reader.state == before


def test_an_empty_listing_of_what_never_had_rows_has_been_read() -> None:
    reader = Reader(PagedApi([])).walk()
    assert reader.state == StreamState(read_at=NOW + 1_000)


def test_an_empty_last_page_takes_nothing_from_what_the_others_have_shown() -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole = reader.api.page_from

    def ends_empty(at: int) -> Page:
        page = whole(at)
        last = reader.api.cursor_behind(59)
        return Page(page.records, page.next_cursor or last) if page.records else page

    reader.api.page_from = ends_empty  # type: ignore[method-assign]
    assert reader.walk(die_after=3).state.lanes
    assert is_whole(reader.walk())
    assert reader.state.readings == (Reading(NOW + 1_000, 0),)


def test_a_stream_whose_times_cannot_be_read_is_told_of_once() -> None:
    reader = Reader(PagedApi(evenly(30)))
    for record in reader.api.records:
        record["enqueued"] = "some day"
    reader.walk()
    [notice] = reader.notices
    assert notice.startswith("message: no record has a readable time in 'enqueued'")
    # The last page comes twice, and is sent as often.
    assert (len(reader.sent_ids), len(set(reader.sent_ids))) == (40, 30)
    assert reader.state.timeless
    reader.walk()
    assert reader.notices == []


def test_an_empty_page_that_says_there_is_more_is_read_past() -> None:
    reader = Reader(PagedApi(evenly(60)))
    whole, given = reader.api.page_from, set[int]()

    def empty_first(at: int) -> object:
        page = whole(at)
        if at in (0, 30) and at not in given:
            given.add(at)
            return type(page)([], reader.api.cursor_behind(at - 1) if at else PROBED)
        return page

    reader.api.page_from = empty_first  # type: ignore[method-assign, assignment]
    reader.walk()
    assert reader.missing == set()


PROBED = "MTc5NDY1NzYwMDAwMCwxLWZmZmZmZmZm"  # a place above all records


# All lie within an hour: sent a day ago or just now, most at the same moment or one by one.
@pytest.mark.parametrize("ago_ms", [DAY_MS, 9 * MINUTE_MS])
@pytest.mark.parametrize("times", [[0] * 30 + [5 * MINUTE_MS], [n * 10_000 for n in range(40)]])
@pytest.mark.parametrize("days", [0, 2])
def test_a_short_listing_that_never_showed_its_order_may_have_the_newest_last(
    ago_ms: int, times: list[int], days: int
) -> None:
    api = PagedApi([], made_up="refused")
    for time in times:
        api.insert(NOW - ago_ms + time, position=-(NOW - ago_ms + time))
    reader = Reader(api).walk()
    assert reader.state.newest_first is None
    api.now_ms += days * DAY_MS + 3 * HOUR_MS
    reader.walk()
    late = api.now_ms - HOUR_MS
    api.insert(late, position=-late)
    reader.walk()
    assert reader.error is None
    assert not reader.missing


@pytest.mark.parametrize("late_ms", [0, 15_000])
def test_a_burst_whose_newest_message_is_gone_is_not_read_again_in_every_sync(
    late_ms: int,
) -> None:
    api = PagedApi([NOW - DAY_MS - number * 1_000 for number in range(300)])
    for record in api.records[150:160]:
        record["enqueued"] += late_ms
    reader = Reader(api).walk()
    assert reader.state.newest_first
    del api.records[0], api.positions[0]
    api.now_ms += HOUR_MS
    reader.walk()
    api.asked.clear()
    api.now_ms += 15 * MINUTE_MS
    reader.walk()
    assert len(api.asked) < 5
