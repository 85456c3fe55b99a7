"""The rules by which a stream's state moves, and what is made of a saved state."""

import json
from dataclasses import replace
from typing import Any

import pytest

from courier_async.catalog.streams import AUDIT_OVERLAP_MS, BY_TABLE, DAY_MS
from courier_async.state.saved import (
    DISORDER_MS,
    INDEX_LAG_MS,
    SETTLING_MS,
    Bookmark,
    Frame,
    Lane,
    LaneOpened,
    LanesDropped,
    LanesJoined,
    Lean,
    PageRead,
    State,
    StreamState,
    WalkDropped,
    WalkEnded,
    advance,
    frame_for,
    load,
    may_stop_early,
)
from courier_async.state.sent_rows import KnownRows
from tests.support.harness import settings

NOW_MS = 1_794_657_600_000
MESSAGE, AUDIT_EVENT, LIST = BY_TABLE["message"], BY_TABLE["audit_event"], BY_TABLE["list"]
# What a checkpoint of version 1 holds, in every part. A later release must go on with it.
SAVED: dict[str, Any] = {
    "version": 1,
    "source": "here",
    "streams": {
        "message": {
            "watermark": 11,
            "newest_first": True,
            "deep_read_at": 12,
            "deep_read_to": 13,
            "lanes_refused_at": 14,
            "walk": {
                "started_at": 21,
                "stop_at": 22,
                "emit_from": 23,
                "deep": True,
                "lean": [24, 25, 26],
                "cursor": "c0",
                "newest": 31,
                "oldest": 30,
                "ordered": True,
                "met": 2,
                "lanes": [
                    {
                        "id": 4,
                        "cursor": "c4",
                        "newest": 20,
                        "oldest": 19,
                        "ordered": False,
                        "start": 20,
                        "first": ["a", "b"],
                        "first_oldest": 18,
                        "met": 1,
                    },
                    {"id": 3, "ordered": True, "start": 0},
                ],
            },
        },
        "list": {"deep_read_at": 12, "walk": {"started_at": 21, "deep": False, "cursor": "c"}},
    },
}
LANES = (
    Lane(cursor="c0", newest=31, oldest=30, met=2),
    Lane(
        id=4,
        cursor="c4",
        newest=20,
        oldest=19,
        ordered=False,
        start=20,
        first=("a", "b"),
        first_oldest=18,
        met=1,
    ),
    Lane(id=3, start=0),
)
WALK = Bookmark(
    Frame(started_at=21, stop_at=22, emit_from=23, deep=True, lean=Lean(24, 25, 26)), LANES
)


def saved_with(**changes: Any) -> dict[str, Any]:
    return SAVED | changes


def walk_with(**changes: Any) -> dict[str, Any]:
    return {"walk": {"started_at": NOW_MS, "cursor": "c"} | changes}


# -- what is saved -----------------------------------------------------------------------------


def test_a_saved_state_comes_back_as_it_was() -> None:
    state, warnings = load(json.loads(json.dumps(SAVED)), source="here")
    assert warnings == []
    assert state.of(MESSAGE) == StreamState(
        watermark=11,
        newest_first=True,
        deep_read_at=12,
        deep_read_to=13,
        lanes_refused_at=14,
        walk=WALK,
    )
    of_list = state.of(LIST)
    assert of_list.deep_read_at == 12
    assert of_list.walk == Bookmark(
        Frame(started_at=21, deep=False), (Lane(cursor="c", ordered=False),)
    )
    assert state.of(AUDIT_EVENT) == StreamState()
    again = state.as_json()
    again["streams"]["list"]["walk"].pop("ordered")
    assert again == SAVED


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_a_bookmark_comes_back_with_all_its_lanes(lanes: int) -> None:
    state = State(source="here")
    state.advance(MESSAGE, PageRead(WALK.frame, LANES[0]))
    for lane in LANES[1:lanes]:
        state.advance(MESSAGE, LaneOpened(lane))
    back, warnings = load(json.loads(json.dumps(state.as_json())), source="here")
    assert warnings == []
    assert back.of(MESSAGE).walk == replace(WALK, lanes=LANES[:lanes])


def test_what_is_not_known_is_not_saved() -> None:
    state = State(source="here")
    for step in (PageRead(Frame(started_at=1), Lane(cursor="c")), WalkDropped()):
        state.advance(LIST, step)
    assert state.as_json() == {"version": 1, "source": "here", "streams": {"list": {}}}


def test_rows_are_saved_beside_what_else_is_known_of_their_stream() -> None:
    state = State(source="here", streams={"list": StreamState(deep_read_at=5)})
    state.rows_of(LIST).set("id1", "mark0001")
    state.rows_of(BY_TABLE["tenant"]).set("id2", "mark0002")
    saved = state.as_json()["streams"]
    assert saved["list"].keys() == {"deep_read_at", "rows"}
    assert saved["tenant"].keys() == {"rows"}
    back, warnings = load(json.loads(json.dumps(state.as_json())), source="here")
    assert warnings == []
    assert back.rows_of(LIST).get("id1") == "mark0001"
    assert back.rows_of(BY_TABLE["tenant"]).get("id2") == "mark0002"
    assert back.of(LIST).deep_read_at == 5


def test_rows_are_kept_of_those_streams_alone_that_are_compared() -> None:
    state, _ = load(SAVED, source="here")
    assert state.rows.keys() == {"list"}
    assert isinstance(state.rows["list"], KnownRows)


def test_a_saved_state_is_not_changed_by_what_comes_after_it() -> None:
    state, _ = load(json.loads(json.dumps(SAVED)), source="here")
    saved = state.as_json()
    text = json.dumps(saved)
    state.advance(MESSAGE, WalkDropped())
    state.rows_of(LIST).set("id", "mark0000")
    assert json.dumps(saved) == text


# -- what is made of a saved state -------------------------------------------------------------


@pytest.mark.parametrize("raw", [{}, None, [], ""])
def test_no_state_is_a_first_sync_and_no_trouble(raw: Any) -> None:
    assert load(raw, source="here") == (State(source="here"), [])


ALL_AFRESH = "every stream is read afresh."


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (["x"], f"The saved state is not an object: {ALL_AFRESH}"),
        (
            {"cursors": {}},
            "The saved state is not of this connector (perhaps of Fivetran's example for "
            f"Courier, which skipped rows): {ALL_AFRESH}",
        ),
        *(
            (
                saved_with(version=version),
                f"The saved state is of a version that this connector does not know: {ALL_AFRESH}",
            )
            for version in (2, 0, "1", None, True)
        ),
        (
            saved_with(source="there"),
            f"The saved state is of another Courier account, region or environment: {ALL_AFRESH} "
            "Rows of the account before stay in the tables; to be rid of them, use a new "
            "connection.",
        ),
        (saved_with(streams=[1]), f"The saved state has no streams: {ALL_AFRESH}"),
        ({"version": 1, "source": "here"}, f"The saved state has no streams: {ALL_AFRESH}"),
    ],
)
def test_a_state_that_is_not_ours_is_read_as_none_and_told_of(raw: Any, told: str) -> None:
    assert load(raw, source="here") == (State(source="here"), [told])


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (7, "it is not an object"),
        (None, "it is not an object"),
        *(({name: "1"}, f"{name} is not a time") for name in ("watermark", "deep_read_at")),
        *(({name: 1.5}, f"{name} is not a time") for name in ("deep_read_to", "watermark")),
        ({"lanes_refused_at": True}, "lanes_refused_at is not a time"),
        ({"watermark": 2**53}, "watermark is not a time"),
        ({"watermark": -(2**53)}, "watermark is not a time"),
        ({"newest_first": 1}, "newest_first is neither true nor false"),
    ],
)
def test_a_stream_whose_part_cannot_be_used_is_read_afresh_alone(part: Any, reason: str) -> None:
    raw = saved_with(streams={"message": part, "list": {"deep_read_at": 12}})
    state, warnings = load(raw, source="here")
    assert warnings == [
        f"message: its part of the saved state cannot be used ({reason}), so the stream is read "
        "afresh."
    ]
    assert state.streams == {"list": StreamState(deep_read_at=12)}


def test_rows_that_cannot_be_used_cost_their_stream_all_it_knows() -> None:
    raw = saved_with(streams={"list": {"deep_read_at": 12, "rows": 7}})
    state, (told,) = load(raw, source="here")
    assert told.startswith("list: its part of the saved state cannot be used (rows are not texts)")
    assert (state.streams, state.rows) == ({}, {})


@pytest.mark.parametrize(
    ("walk", "reason"),
    [
        (7, "walk is not an object"),
        ({"cursor": "c"}, "walk has no started_at"),
        *(
            (walk_with(**{name: "1"})["walk"], f"{name} is not a time")
            for name in ("started_at", "stop_at", "emit_from", "newest", "oldest", "met")
        ),
        *(
            (walk_with(**{name: "1"})["walk"], f"{name} is not a time")
            for name in ("id", "start", "first_oldest")
        ),
        (walk_with(deep=1)["walk"], "deep is neither true nor false"),
        (walk_with(ordered=1)["walk"], "ordered is neither true nor false"),
        (walk_with(cursor=None)["walk"], "walk has no cursor"),
        (walk_with(start=5)["walk"], "walk has no cursor"),
        *(
            (walk_with(cursor=cursor)["walk"], "a lane's cursor is not text")
            for cursor in (7, "", "x" * 65_537, "\ud800")
        ),
        *(
            (walk_with(first=first)["walk"], "a lane's first records are not names")
            for first in ("ab", [1], ["a", None])
        ),
        *(
            (walk_with(lean=lean)["walk"], "lean is not three times")
            for lean in ({}, [1, 2], [1, 2, 3, 4], "abc")
        ),
        *(
            (walk_with(lean=lean)["walk"], "lean lacks a time")
            for lean in ([1, None, 3], [1, 2, None])
        ),
        (walk_with(lean=["1", 2, 3])["walk"], "after is not a time"),
        (walk_with(lean=[1, "2", 3])["walk"], "below is not a time"),
        (walk_with(lean=[1, 2, "3"])["walk"], "unchanged_since is not a time"),
        (walk_with(lanes={})["walk"], "walk's lanes are not a list"),
        (walk_with(lanes=[7])["walk"], "a lane is not an object"),
        (walk_with(lanes=[{"id": 1}])["walk"], "walk's lanes are not told apart"),
        (walk_with(lanes=[{"start": 9}])["walk"], "walk's lanes are not told apart"),
        (
            walk_with(lanes=[{"id": 1, "start": 9}, {"id": 1, "start": 8}])["walk"],
            "walk's lanes are not told apart",
        ),
        (
            walk_with(lanes=[{"id": 1, "start": 8}, {"id": 2, "start": 9}])["walk"],
            "walk's lanes are not in order",
        ),
    ],
)
def test_a_bookmark_that_cannot_be_used_costs_its_stream_the_walk_and_nothing_else(
    walk: Any, reason: str
) -> None:
    raw = saved_with(streams={"message": {"watermark": 5, "walk": walk}, "list": {}})
    state, warnings = load(raw, source="here")
    assert warnings == [
        f"message: where its reading was to go on cannot be used ({reason}), so it begins again "
        "with the first page. Nothing is lost."
    ]
    assert state.of(MESSAGE) == StreamState(watermark=5)
    assert "list" in state.streams


@pytest.mark.parametrize(
    "walk",
    [
        {"cursor": "x" * 65_536},
        {"cursor": "x"},
        {"lean": [None, 2, 3]},
        {"stop_at": 2**53 - 1},
        {"stop_at": -(2**53) + 1},
        {"lanes": [{"id": 2, "start": 8, "cursor": "a"}, {"id": 1, "start": 8}]},
    ],
)
def test_a_bookmark_at_the_edge_of_what_is_allowed_is_used(walk: dict[str, Any]) -> None:
    raw = saved_with(streams={"message": walk_with(**walk)})
    state, warnings = load(raw, source="here")
    assert warnings == []
    assert state.of(MESSAGE).walk is not None


def test_a_bookmark_without_its_flags_is_trusted_in_neither() -> None:
    """A walk is neither deep nor in order unless the state says so."""
    state, _ = load(saved_with(streams={"message": walk_with()}), source="here")
    walk = state.of(MESSAGE).walk
    assert walk is not None
    assert not walk.frame.deep
    assert not walk.lanes[0].ordered


def test_a_stream_that_is_not_known_is_passed_over_and_the_next_one_is_read() -> None:
    streams = {"gone": {"watermark": 1}, "message": {"watermark": 2}}
    state, warnings = load(saved_with(streams=streams), source="here")
    assert warnings == []
    assert state.streams == {"message": StreamState(watermark=2)}


# -- how it moves ------------------------------------------------------------------------------

STATE = StreamState(
    watermark=11,
    newest_first=True,
    deep_read_at=12,
    deep_read_to=13,
    lanes_refused_at=14,
    walk=WALK,
)


def test_the_first_page_begins_a_walk_and_the_next_moves_its_lane_alone() -> None:
    frame = Frame(started_at=1)
    first = advance(StreamState(watermark=11), PageRead(frame, Lane(cursor="a")))
    assert first == StreamState(watermark=11, walk=Bookmark(frame, (Lane(cursor="a"),)))
    moved = replace(LANES[1], cursor="further", oldest=17)
    assert advance(STATE, PageRead(WALK.frame, moved)) == replace(
        STATE, walk=Bookmark(WALK.frame, (LANES[0], moved, LANES[2]))
    )


@pytest.mark.parametrize(("start", "place"), [(21, 1), (15, 2), (-5, 3)])
def test_a_lane_that_is_opened_takes_its_place_in_time_below_the_one_from_the_head(
    start: int, place: int
) -> None:
    opened = Lane(id=9, cursor="made up", start=start)
    lanes = [*LANES]
    lanes.insert(place, opened)
    assert advance(STATE, LaneOpened(opened)) == replace(
        STATE, walk=Bookmark(WALK.frame, tuple(lanes))
    )


def test_joined_lanes_are_one_that_began_with_the_upper_and_stands_where_the_lower_does() -> None:
    upper = replace(LANES[0], newest=31, oldest=25, first=("z",), first_oldest=29)
    state = replace(STATE, walk=replace(WALK, lanes=(upper, *LANES[1:])))
    after = advance(state, LanesJoined(replace(upper, oldest=24, met=10), lower_id=4))
    one = Lane(
        id=4,
        cursor="c4",
        newest=31,
        oldest=19,
        ordered=False,
        start=None,
        first=("z",),
        first_oldest=29,
        met=1,
    )
    assert after == replace(STATE, walk=Bookmark(WALK.frame, (one, LANES[2])))


@pytest.mark.parametrize(
    ("upper", "lower", "ordered"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_joined_lanes_are_in_order_only_if_both_were(
    upper: bool, lower: bool, ordered: bool
) -> None:
    high = Lane(id=1, cursor="a", start=9, ordered=upper)
    low = Lane(id=2, cursor="b", start=5, ordered=lower)
    state = StreamState(walk=Bookmark(WALK.frame, (Lane(cursor="top"), high, low)))
    walk = advance(state, LanesJoined(high, lower_id=2)).walk
    assert walk == Bookmark(
        WALK.frame, (Lane(cursor="top"), Lane(id=2, cursor="b", start=9, ordered=ordered))
    )


def test_joined_lanes_span_the_times_of_both() -> None:
    for low, high in (
        (Lane(id=1, newest=7, oldest=5), Lane(newest=9, oldest=6)),
        (Lane(id=1, newest=9, oldest=6), Lane(newest=7, oldest=5)),
        (Lane(id=1), Lane(newest=9, oldest=5)),
        (Lane(id=1, newest=9, oldest=5), Lane()),
    ):
        lanes = (replace(high, cursor="a"), replace(low, cursor="b", start=8))
        state = StreamState(walk=Bookmark(WALK.frame, lanes))
        after = advance(state, LanesJoined(lanes[0], lower_id=1)).walk
        assert after is not None
        assert (after.lanes[0].newest, after.lanes[0].oldest) == (9, 5)


def test_joined_lanes_without_a_time_have_none() -> None:
    lanes = (Lane(cursor="a"), Lane(id=1, cursor="b", start=8))
    after = advance(StreamState(walk=Bookmark(WALK.frame, lanes)), LanesJoined(lanes[0], 1)).walk
    assert after == Bookmark(WALK.frame, (Lane(id=1, cursor="b"),))


def test_a_join_with_a_lane_that_has_come_to_the_end_ends_the_walk() -> None:
    frame = Frame(started_at=NOW_MS, stop_at=50, deep=True)
    top = Lane(cursor="c", newest=NOW_MS - DAY_MS, oldest=NOW_MS - 2 * DAY_MS)
    # Whether at the end or at the bound is not known, so it claims no more than the bound.
    low = Lane(id=1, newest=NOW_MS - 3 * DAY_MS, oldest=60, start=NOW_MS - 3 * DAY_MS)
    after = advance(StreamState(walk=Bookmark(frame, (top, low))), LanesJoined(top, lower_id=1))
    assert after == StreamState(
        watermark=NOW_MS - DAY_MS, newest_first=True, deep_read_at=NOW_MS, deep_read_to=50
    )


def test_lanes_that_are_dropped_are_forgotten_and_a_refusal_of_lanes_is_kept() -> None:
    without = replace(STATE, walk=Bookmark(WALK.frame, (LANES[0], LANES[2])))
    assert advance(STATE, LanesDropped((4,))) == without
    assert advance(STATE, LanesDropped((4,), refused_at=99)) == replace(
        without, lanes_refused_at=99
    )
    assert advance(StreamState(), LanesDropped((), refused_at=99)) == StreamState(
        lanes_refused_at=99
    )


def test_a_bookmark_is_dropped_and_nothing_with_it() -> None:
    assert advance(STATE, WalkDropped()) == replace(STATE, walk=None)


def ended(
    lane: Lane,
    *,
    stop_at: int | None = None,
    deep: bool = False,
    several_pages: bool = True,
    reached_end: bool = False,
    before: StreamState = STATE,
) -> StreamState:
    frame = Frame(started_at=NOW_MS, stop_at=stop_at, deep=deep)
    return advance(before, WalkEnded(frame, lane, several_pages, reached_end))


def test_the_watermark_is_the_newest_time_but_never_within_the_index_lag_of_the_start() -> None:
    old = Lane(newest=NOW_MS - DAY_MS, oldest=NOW_MS - DAY_MS)
    assert ended(old).watermark == NOW_MS - DAY_MS
    young = replace(old, newest=NOW_MS - 1)
    assert ended(young).watermark == NOW_MS - INDEX_LAG_MS
    # Nor do times that a saved state has only by half move it.
    for lane in (Lane(), Lane(newest=5), Lane(oldest=5)):
        assert ended(lane).watermark == STATE.watermark


@pytest.mark.parametrize(
    ("span_ms", "ordered", "several_pages", "learned"),
    [
        (DISORDER_MS + 1, True, True, True),
        (DISORDER_MS, True, True, None),
        (DISORDER_MS, False, True, False),
        (DISORDER_MS + 1, False, True, False),
        (DAY_MS, True, False, None),
        (DAY_MS, False, False, None),
    ],
)
def test_order_is_learned_of_several_pages_over_more_than_the_disorder_that_is_allowed(
    span_ms: int, ordered: bool, several_pages: bool, learned: bool | None
) -> None:
    lane = Lane(newest=NOW_MS - DAY_MS, oldest=NOW_MS - DAY_MS - span_ms, ordered=ordered)
    for known in (None, True, False):
        before = replace(STATE, newest_first=known)
        after = ended(lane, several_pages=several_pages, before=before)
        assert after.newest_first is (known if learned is None else learned)


@pytest.mark.parametrize(
    ("stop_at", "oldest", "deep", "reached_end", "read_at", "read_to"),
    [
        # Not deep and stopped at the bound: what was known of the last deep read stays.
        (50, 40, False, False, 12, 13),
        # Deep, down to its bound.
        (50, 40, True, False, NOW_MS, 50),
        # At the end, but what lay below the bound was left out.
        (50, 49, False, True, 12, 13),
        (50, 49, True, True, NOW_MS, 50),
        # At the end with nothing left out, or with nothing there: as good as deep, and to the end.
        (50, 50, False, True, NOW_MS, None),
        (None, 10, True, True, NOW_MS, None),
        (None, 10, False, True, NOW_MS, None),
        (50, None, False, True, NOW_MS, None),
    ],
)
def test_what_counts_as_a_deep_read_and_how_far_it_went(
    stop_at: int | None,
    oldest: int | None,
    deep: bool,
    reached_end: bool,
    read_at: int,
    read_to: int | None,
) -> None:
    lane = Lane(newest=oldest and oldest + 1, oldest=oldest)
    after = ended(lane, stop_at=stop_at, deep=deep, reached_end=reached_end)
    assert (after.deep_read_at, after.deep_read_to) == (read_at, read_to)
    assert after.walk is None
    assert after.lanes_refused_at == STATE.lanes_refused_at


# -- what the next walk reads ------------------------------------------------------------------

SINCE_MS = 1_767_225_600_000


def frame_of(table: str, state: StreamState, **changes: Any) -> Frame:
    values = {"message_lookback_days": 3.0, "message_deep_lookback_days": 30.0} | changes
    return frame_for(BY_TABLE[table], state, settings(**values), started_at=NOW_MS)


def test_a_stream_without_times_is_read_whole() -> None:
    assert frame_of("list", StreamState(watermark=5)) == Frame(started_at=NOW_MS)


@pytest.mark.parametrize("watermark", [None, NOW_MS + 1])
@pytest.mark.parametrize("table", ["message", "audit_event"])
def test_a_first_walk_reads_as_far_back_as_the_configuration_says(
    table: str, watermark: int | None
) -> None:
    state = StreamState(watermark=watermark)
    assert frame_of(table, state) == Frame(started_at=NOW_MS)
    assert frame_of(table, state, sync_since_ms=SINCE_MS) == Frame(
        started_at=NOW_MS, stop_at=SINCE_MS, emit_from=SINCE_MS
    )


def test_audit_events_are_read_back_to_the_overlap_below_the_watermark() -> None:
    bound = NOW_MS - AUDIT_OVERLAP_MS
    frame = Frame(started_at=NOW_MS, stop_at=bound, emit_from=bound, deep=False)
    assert frame_of("audit_event", StreamState(watermark=NOW_MS)) == frame
    assert frame_of("audit_event", StreamState(watermark=NOW_MS), sync_since_ms=5) == frame
    later = replace(frame, stop_at=NOW_MS - 1, emit_from=NOW_MS - 1)
    assert (
        frame_of("audit_event", StreamState(watermark=NOW_MS), sync_since_ms=NOW_MS - 1) == later
    )


@pytest.mark.parametrize(
    ("read_ago_ms", "deep"), [(0, False), (DAY_MS - 1, False), (DAY_MS, True)]
)
def test_messages_are_read_back_to_the_lookback_and_once_a_day_to_the_deep_one(
    read_ago_ms: int, deep: bool
) -> None:
    read_at = NOW_MS - read_ago_ms
    state = StreamState(watermark=NOW_MS - 5, deep_read_at=read_at, deep_read_to=77)
    frame = frame_of("message", state, sync_since_ms=5)
    assert frame.stop_at == NOW_MS - 5 - (30 if deep else 3) * DAY_MS
    assert frame.emit_from == 5
    assert frame.deep is deep
    lean = Lean(77, NOW_MS - 5 - 3 * DAY_MS, read_at - SETTLING_MS)
    assert frame.lean == (lean if deep else None)


@pytest.mark.parametrize("read_at", [None, NOW_MS + 1])
def test_without_a_deep_read_that_was_earned_the_next_one_leaves_nothing_out(
    read_at: int | None,
) -> None:
    frame = frame_of("message", StreamState(watermark=NOW_MS, deep_read_at=read_at))
    assert frame == Frame(started_at=NOW_MS, stop_at=NOW_MS - 30 * DAY_MS)


def test_no_walk_goes_back_beyond_the_configured_time() -> None:
    state = StreamState(watermark=NOW_MS, deep_read_at=NOW_MS)
    frame = frame_of("message", state, sync_since_ms=NOW_MS - DAY_MS)
    assert (frame.stop_at, frame.emit_from) == (NOW_MS - DAY_MS, NOW_MS - DAY_MS)


def test_a_deep_lookback_shorter_than_the_other_does_not_shorten_it() -> None:
    state = StreamState(watermark=NOW_MS)
    frame = frame_of("message", state, message_deep_lookback_days=1.0)
    assert frame.stop_at == NOW_MS - 3 * DAY_MS


@pytest.mark.parametrize(
    ("table", "learned", "may"),
    [
        ("message", None, True),
        ("audit_event", None, False),
        ("message", False, False),
        ("audit_event", True, True),
    ],
)
def test_what_was_learned_of_the_order_goes_before_what_is_presumed(
    table: str, learned: bool | None, may: bool
) -> None:
    assert may_stop_early(BY_TABLE[table], StreamState(newest_first=learned)) is may
