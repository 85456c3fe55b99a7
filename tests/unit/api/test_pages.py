"""The two families of envelopes: every odd form seen so far, and what cannot be a page."""

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier_async.api.pages import Page, parse_page
from courier_async.catalog.stream import Family, Stream
from courier_async.errors import BadAnswer

BASE = "https://api.courier.com"
stream = functools.partial(Stream, about="", columns=())
STREAMS = (
    stream(table="message", path="/messages", arrays=("results",)),
    stream(table="list", path="/lists", arrays=("items", "results")),
    stream(table="tenant", path="/tenants", arrays=("items",), family=Family.LIST),
)
CHILDREN = (
    stream(
        table="tenant_user",
        path="/tenants/{id}/users",
        arrays=("items",),
        family=Family.LIST,
        field_when_empty="has_more",
    ),
    stream(
        table="message_event",
        path="/messages/{id}/history",
        arrays=("results",),
        family=Family.WHOLE,
    ),
)
BY_TABLE = {known.table: known for known in (*STREAMS, *CHILDREN)}
PAGING = ["message", "list"]
CURSOR = "MTU4OTQ5NTI1ODY4NywxLTVl+/A=="


def page(table: str, body: Any, *, base_url: str = BASE) -> Page:
    return parse_page(BY_TABLE[table], body, base_url=base_url)


def trouble(table: str, body: Any, *, base_url: str = BASE) -> str:
    """Returns why the next page cannot be found; checks that the records come through anyway."""
    found = page(table, body, base_url=base_url)
    assert found.records == (body.get(BY_TABLE[table].arrays[0]) or [])
    assert found.next_cursor is None
    assert found.trouble is not None
    return str(found.trouble)


def refusal(table: str, body: Any, *, base_url: str = BASE) -> str:
    with pytest.raises(BadAnswer) as caught:
        page(table, body, base_url=base_url)
    return str(caught.value)


def body_of(table: str, **envelope: Any) -> dict[str, Any]:
    return {BY_TABLE[table].arrays[0]: [{"id": "a"}], **envelope}


@pytest.mark.parametrize("table", PAGING)
def test_more_and_a_cursor_lead_to_the_next_page(table: str) -> None:
    body = body_of(table, paging={"more": True, "cursor": CURSOR})
    assert page(table, body) == Page([{"id": "a"}], CURSOR)


@pytest.mark.parametrize(
    "paging",
    [
        {"more": False, "cursor": None},
        {"more": False, "cursor": "MTU4"},
        {"more": False},
        {"more": None, "cursor": None},
        {"cursor": ""},
        {},
        None,
    ],
)
@pytest.mark.parametrize("table", PAGING)
def test_every_form_of_a_last_page_ends_the_walk(table: str, paging: Any) -> None:
    assert page(table, body_of(table, paging=paging)) == Page([{"id": "a"}], None)


@pytest.mark.parametrize("paging", [{"cursor": "def"}, {"more": None, "cursor": "def"}])
@pytest.mark.parametrize("table", PAGING)
def test_a_cursor_without_a_word_on_more_is_followed(table: str, paging: dict[str, Any]) -> None:
    assert page(table, body_of(table, paging=paging)).next_cursor == "def"


@pytest.mark.parametrize(
    ("envelope", "cursor"),
    [
        ({"cursor": "def"}, "def"),
        ({"has_more": None, "cursor": "def"}, "def"),
        ({"next_url": "/tenants?cursor=def"}, "def"),
        ({"has_more": False, "cursor": "def", "next_url": "/tenants?cursor=def"}, None),
        ({"cursor": None, "next_url": None}, None),
        ({"cursor": "", "next_url": ""}, None),
        ({"cursor": None}, None),
        ({"next_url": None}, None),
    ],
)
def test_a_list_without_a_word_on_more_is_read_the_same_way(
    envelope: dict[str, Any], cursor: str | None
) -> None:
    assert page("tenant", {"items": [{"id": "a"}], **envelope}) == Page([{"id": "a"}], cursor)


@pytest.mark.parametrize("records", [[], [{"id": "a"}]])
@pytest.mark.parametrize("table", PAGING)
def test_a_body_without_paging_is_an_error_after_its_records(table: str, records: Any) -> None:
    body = {BY_TABLE[table].arrays[0]: records, "more": False}
    assert "is missing 'paging'" in trouble(table, body)


@pytest.mark.parametrize("records", [[], [{"id": "a"}]])
@pytest.mark.parametrize("table", ["tenant", "tenant_user"])
def test_a_list_that_tells_nothing_of_a_next_page_is_an_error_after_its_records(
    table: str, records: Any
) -> None:
    body = {"type": "list", "items": records, "url": "/tenants", "paging": {"more": True}}
    assert "is missing 'has_more'" in trouble(table, body)


def test_one_answer_that_holds_everything_is_the_last() -> None:
    body: dict[str, Any] = {"results": [{"id": "a"}]}
    lasts: list[dict[str, Any]] = [
        {},
        {"paging": None},
        {"paging": {}},
        {"paging": {"more": False}},
        {"has_more": False},
    ]
    for last in lasts:
        assert page("message_event", body | last) == Page([{"id": "a"}], None)
    assert "'results'" in refusal("message_event", {"rows": []})


@pytest.mark.parametrize(
    "envelope",
    [
        {"paging": {"more": True, "cursor": CURSOR}},
        {"paging": {"more": True}},
        {"has_more": True, "cursor": CURSOR},
        {"has_more": True},
    ],
)
def test_where_one_answer_is_to_hold_everything_another_page_is_trouble(
    envelope: dict[str, Any],
) -> None:
    body = {"results": [{"id": "a"}]} | envelope
    found = page("message_event", body)
    assert (found.records, found.next_cursor) == ([{"id": "a"}], None)
    assert "another page" in str(found.trouble)


@pytest.mark.parametrize("array", ["items", "results"])
def test_lists_are_read_under_either_name(array: str) -> None:
    assert page("list", {array: [{"id": "a"}], "paging": {"more": False}}).records == [{"id": "a"}]


@pytest.mark.parametrize("empty", [[], None])
@pytest.mark.parametrize(("filled", "other"), [("items", "results"), ("results", "items")])
def test_of_two_arrays_the_filled_one_is_read(filled: str, other: str, empty: Any) -> None:
    body = {other: empty, filled: [{"id": "a"}], "paging": {"more": False}}
    assert page("list", body).records == [{"id": "a"}]


def test_a_null_beside_an_empty_array_is_an_empty_page() -> None:
    body: dict[str, Any] = {"items": None, "results": [], "paging": None}
    assert page("list", body).records == []


def test_of_two_filled_arrays_the_likelier_one_is_read() -> None:
    body = {"results": [{"id": "old"}], "items": [{"id": "new"}]}
    assert page("list", body).records == [{"id": "new"}]


def test_what_stands_beside_an_empty_array_must_be_one_too() -> None:
    assert "'results' is not a list" in refusal("list", {"items": [], "results": {"0": {}}})


@pytest.mark.parametrize("table", [stream.table for stream in STREAMS])
def test_a_renamed_array_is_an_error_and_not_an_empty_page(table: str) -> None:
    said = refusal(table, {"data": [{"id": "a"}], "paging": {"more": False}})
    for name in BY_TABLE[table].arrays:
        assert repr(name) in said


@pytest.mark.parametrize("records", [{}, {"0": {}}, "text", 3, True, 1.5])
@pytest.mark.parametrize("table", [stream.table for stream in STREAMS])
def test_an_array_that_is_none_is_an_error(table: str, records: object) -> None:
    assert "not a list" in refusal(table, {BY_TABLE[table].arrays[0]: records})


@pytest.mark.parametrize("table", ["message", "list", "tenant"])
def test_null_for_an_array_is_an_error_unless_the_api_documents_it(table: str) -> None:
    assert "not a list" in refusal(table, {BY_TABLE[table].arrays[0]: None, "paging": None})


def test_null_for_an_array_is_an_empty_page_where_the_api_documents_it() -> None:
    assert page("tenant_user", {"items": None, "has_more": False}) == Page([], None)


def test_a_missing_array_is_an_empty_page_only_in_an_answer_of_that_form() -> None:
    assert page("tenant_user", {"type": "list", "has_more": False}) == Page([], None)
    assert "'items'" in refusal("tenant_user", {"type": "list"})
    assert "'items'" in refusal("tenant_user", {})
    error = {"items": None, "message": "Endpoint request timed out"}
    assert "not a list" in refusal("tenant_user", error)


def test_records_come_through_as_they_are() -> None:
    odd: list[Any] = [{"id": "a"}, None, 3, "text", [], {}]
    assert page("message", {"results": odd, "paging": None}).records == odd


def test_an_element_may_hold_several_records_of_its_table() -> None:
    flat = stream(table="t", path="/t", arrays=("items",), flatten=lambda whole: whole["parts"])
    body = {"items": [{"parts": [1, 2]}, {"parts": []}, {"parts": [3]}], "paging": None}
    assert parse_page(flat, body, base_url=BASE) == Page([1, 2, 3], None)


def test_an_empty_page_that_says_there_is_more_is_read_past() -> None:
    assert page("message", {"results": [], "paging": {"more": True, "cursor": "c"}}) == Page(
        [], "c"
    )
    # Like a real answer of /tenants.
    body = {
        "type": "list",
        "items": [],
        "has_more": True,
        "cursor": "MTcx==",
        "next_url": "/tenants?cursor=MTcx==",
        "url": "/tenants",
    }
    assert page("tenant", body) == Page([], "MTcx==")


@pytest.mark.parametrize(
    "paging", [{"more": True}, {"more": True, "cursor": None}, {"more": True, "cursor": ""}]
)
@pytest.mark.parametrize("table", PAGING)
def test_more_without_a_cursor_is_an_error(table: str, paging: dict[str, Any]) -> None:
    said = trouble(table, body_of(table, paging=paging))
    assert said.startswith("'more' says there is another page, but there is no cursor")


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"cursor": None, "next_url": None},
        {"cursor": "", "next_url": ""},
        {"next_url": "/tenants"},
        {"next_url": "/tenants?limit=100"},
        {"next_url": "/tenants?cursor="},
        {"next_url": "/tenants?acursor=x"},
        {"next_url": 7},
        {"next_url": {"cursor": "x"}},
    ],
)
def test_has_more_without_a_cursor_is_an_error(envelope: dict[str, Any]) -> None:
    said = trouble("tenant", {"items": [], "has_more": True, **envelope})
    assert said.startswith("'has_more' says there is another page, but there is no cursor")


@pytest.mark.parametrize("flag", ["true", "false", "", 0, 1, [], {}, [True]])
def test_a_flag_that_is_neither_true_nor_false_is_an_error(flag: object) -> None:
    paging = {"more": flag, "cursor": "c"}
    assert "'more' is neither" in trouble("message", {"results": [], "paging": paging})
    body = {"items": [], "has_more": flag, "cursor": "c"}
    assert "'has_more' is neither" in trouble("tenant", body)


@pytest.mark.parametrize("cursor", [7, True, ["c"], {"c": 1}, 1.5])
def test_a_cursor_that_is_not_text_is_an_error(cursor: object) -> None:
    assert "'cursor' is not text" in trouble(
        "message", {"results": [], "paging": {"more": True, "cursor": cursor}}
    )
    assert "'cursor' is not text" in trouble(
        "tenant", {"items": [], "has_more": True, "cursor": cursor}
    )


@pytest.mark.parametrize("paging", ["more", 1, True, [], ["c"], 0, False, ""])
def test_paging_that_is_no_object_is_an_error(paging: object) -> None:
    assert "'paging' is not an object" in trouble("message", {"results": [], "paging": paging})


@pytest.mark.parametrize("body", [None, [], [{"results": []}], "text", 3, True])
@pytest.mark.parametrize("table", ["message", "tenant"])
def test_a_body_that_is_no_object_is_an_error(table: str, body: object) -> None:
    assert "not an object" in refusal(table, body)


@pytest.mark.parametrize(
    ("next_url", "cursor"),
    [
        ("/tenants?cursor=MTcx==", "MTcx=="),
        ("/tenants?cursor=a+b/c=", "a+b/c="),
        ("/tenants?cursor=a%2Bb%2Fc%3D", "a+b/c="),
        ("/tenants?limit=100&cursor=MTcx", "MTcx"),
        ("/tenants?cursor=MTcx&limit=20", "MTcx"),
        ("tenants?cursor=MTcx", "MTcx"),
        ("?cursor=MTcx", "MTcx"),
        ("https://api.courier.com/tenants?cursor=MTcx", "MTcx"),
        ("https://API.courier.com/tenants?cursor=MTcx", "MTcx"),
        ("https://api.courier.com:443/tenants?cursor=MTcx", "MTcx"),
        ("https://api.courier.com:/tenants?cursor=MTcx", "MTcx"),
        ("//api.courier.com/tenants?cursor=MTcx", "MTcx"),
        ("/tenants?cursor=%C3%A9#end", "é"),
    ],
)
def test_the_cursor_of_a_next_url_is_taken_where_there_is_no_other(
    next_url: str, cursor: str
) -> None:
    body = {"items": [], "has_more": True, "next_url": next_url}
    assert page("tenant", body).next_cursor == cursor
    assert page("tenant", {**body, "cursor": "own"}).next_cursor == "own"


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://api.courier.com:443", "https://api.courier.com"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_default_port_that_is_written_out_is_the_same_origin(base_url: str, origin: str) -> None:
    body = {"items": [], "has_more": True, "next_url": f"{origin}/tenants?cursor=MTcx"}
    assert page("tenant", body, base_url=base_url).next_cursor == "MTcx"


def test_a_base_url_with_a_path_of_its_own_takes_relative_urls() -> None:
    body = {"items": [], "has_more": True, "next_url": "/tenants?cursor=MTcx"}
    found = page("tenant", body, base_url="http://127.0.0.1:8080/courier")
    assert found.next_cursor == "MTcx"


@pytest.mark.parametrize(
    "next_url",
    [
        "https://evil.example/tenants?cursor=MTcx",
        "//evil.example/tenants?cursor=MTcx",
        "http://api.courier.com/tenants?cursor=MTcx",
        "https://api.courier.com:444/tenants?cursor=MTcx",
        "https://api.courier.com:80/tenants?cursor=MTcx",
        "http://api.courier.com:443/tenants?cursor=MTcx",
        "https://api.courier.com@evil.example/tenants?cursor=MTcx",
        "https://api.courier.com.evil.example/tenants?cursor=MTcx",
        "ftp://api.courier.com/tenants?cursor=MTcx",
        "javascript:cursor=MTcx?cursor=MTcx",
    ],
)
def test_a_next_url_of_another_host_is_an_error_that_does_not_name_it(next_url: str) -> None:
    said = trouble("tenant", {"items": [], "has_more": True, "next_url": next_url})
    assert said == "'next_url' points to another host"


@pytest.mark.parametrize(
    "next_url",
    ["https://[::1/tenants?cursor=a", "//\u2100/?cursor=a", "//api.courier.com:x/?cursor=a"],
)
def test_a_next_url_that_is_no_address_is_an_error(next_url: str) -> None:
    said = trouble("tenant", {"items": [], "has_more": True, "next_url": next_url})
    assert said == "'next_url' is not a valid address"


def test_a_next_url_says_nothing_where_there_is_no_more() -> None:
    body = {"items": [], "has_more": False, "next_url": "https://evil.example/?cursor=MTcx"}
    assert page("tenant", body) == Page([], None)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
URLS = st.builds("".join, st.lists(st.sampled_from([*"/?&=#%[]:@", "cursor", "http", "é", "2B"])))
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(ANYTHING, max_size=2) | ANYTHING,
        "results": st.lists(ANYTHING, max_size=2) | ANYTHING,
        "paging": st.fixed_dictionaries(
            {}, optional={"more": st.booleans() | ANYTHING, "cursor": st.text() | ANYTHING}
        )
        | ANYTHING,
        "has_more": st.booleans() | ANYTHING,
        "cursor": st.text() | ANYTHING,
        "next_url": URLS | ANYTHING,
    },
)


@given(st.sampled_from([*STREAMS, *CHILDREN]), ENVELOPES | ANYTHING)
def test_any_json_is_a_page_or_a_bad_answer(stream: Any, body: Any) -> None:
    try:
        found = parse_page(stream, body, base_url=BASE)
    except BadAnswer:
        return
    assert isinstance(found.records, list)
    assert found.trouble is None or found.next_cursor is None
    assert found.next_cursor is None or (
        isinstance(found.next_cursor, str) and found.next_cursor != ""
    )
