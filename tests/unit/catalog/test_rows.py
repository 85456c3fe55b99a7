"""A record as one flat row: every value lands, under a name of its own."""

import json
import logging
import random
import string
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier_async.catalog.rows import Flattener, column_name, json_text


def row(record: dict[str, Any], *, key: str = "id") -> dict[str, Any]:
    return Flattener("brand", key=key).row(record)


def test_a_brand_becomes_one_row() -> None:
    assert row(
        {
            "id": "C8CPX6HQZ5M7Q5KAMW5CXC4N98DH",
            "name": "Acme Default",
            "updated": 1784023112404,
            "version": "2026-07-14T09:59:10.010Z",
            "settings": {
                "colors": {"primary": "#9D3789", "tertiary": "#1B1B1B"},
                "email": {
                    "header": {"inheritDefault": False, "logo": {"href": "https://a.example"}},
                    "head": {"inheritDefault": True, "content": None},
                    "templateOverride": None,
                },
                "inapp": {"icons": {"bell": None}, "borderRadius": "8px"},
            },
            "snippets": {"items": [{"name": "support_url", "value": "https://a.example/help"}]},
        }
    ) == {
        "id": "C8CPX6HQZ5M7Q5KAMW5CXC4N98DH",
        "name": "Acme Default",
        "updated": 1784023112404,
        "version": "2026-07-14T09:59:10.010Z",
        "settings_colors_primary": "#9D3789",
        "settings_colors_tertiary": "#1B1B1B",
        "settings_email_header_inheritDefault": False,
        "settings_email_header_logo_href": "https://a.example",
        "settings_email_head_inheritDefault": True,
        "settings_inapp_borderRadius": "8px",
        "snippets_items": '[{"name":"support_url","value":"https://a.example/help"}]',
    }


@pytest.mark.parametrize(
    ("target", "cells"),
    [
        ({"id": "E1", "email": "a@b.example"}, {"target_id": "E1", "target_email": "a@b.example"}),
        ({}, {}),
        ("nt_01", {"target": "nt_01"}),
        (None, {}),
    ],
)
def test_the_target_of_an_audit_event_may_be_an_object_text_or_nothing(
    target: object, cells: dict[str, str]
) -> None:
    event = {"auditEventId": "Z", "actor": {"id": "api-key"}, "target": target}
    assert row(event, key="auditEventId") == {"auditEventId": "Z", "actor_id": "api-key", **cells}


def test_both_filters_of_an_audience_keep_all_they_say() -> None:
    single = {"operator": "EQ", "path": "title", "value": "Engineer"}
    nested = {"operator": "AND", "filters": [single, {"operator": "OR", "filters": [single]}]}
    assert row({"id": "a", "filter": single}) == {
        "id": "a",
        "filter_operator": "EQ",
        "filter_path": "title",
        "filter_value": "Engineer",
    }
    assert json.loads(row({"id": "b", "filter": nested})["filter_filters"]) == nested["filters"]


def test_tags_of_old_and_new_templates_do_not_share_a_column() -> None:
    flattener = Flattener("notification")
    old = flattener.row({"id": "T", "tags": {"data": [{"id": "1", "name": "x"}]}, "note": None})
    new = flattener.row({"id": "nt", "tags": ["onboarding"]})
    none = flattener.row({"id": "n2", "tags": []})
    assert old == {"id": "T", "tags_data": '[{"id":"1","name":"x"}]'}
    assert new == {"id": "nt", "tags": '["onboarding"]'}
    assert none == {"id": "n2", "tags": "[]"}


def test_null_and_an_empty_object_give_no_cell_and_an_empty_list_does() -> None:
    assert row({"a": None, "b": {}, "c": {"d": {}, "e": None}, "f": [], "g": "", "h": 0}) == {
        "f": "[]",
        "g": "",
        "h": 0,
    }


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (10**40, str(10**40)),
        ([10**40, "é"], f'[{10**40},"é"]'),
        (True, True),
        (1.5, 1.5),
        (-0.0, -0.0),
        ([1.5, None, True, {"a": []}], '[1.5,null,true,{"a":[]}]'),
        ("\x00 and \U0001f600", "\x00 and \U0001f600"),
    ],
)
def test_a_value_keeps_every_digit_and_letter(value: object, cell: object) -> None:
    for record in ({"v": value}, {"deep": {"v": value}}):
        (landed,) = row(record).values()
        assert landed == cell
        assert type(landed) is type(cell)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_gives_no_cell(value: float) -> None:
    assert row({"id": "a", "v": value, "w": {"v": value}}) == {"id": "a"}


@pytest.mark.parametrize(
    ("record", "landed"),
    [
        ({"a_b": 1, "a": {"b": 2}}, {"a_b": 1, "a_b_": 2}),
        ({"a": {"b_c": 1, "b": {"c": 2}}, "a_b_c": 0}, {"a_b_c": 0, "a_b_c_": 1, "a_b_c_2": 2}),
        ({"a_b": 1, "a_b_": 3, "a": {"b": 2}}, {"a_b": 1, "a_b_": 3, "a_b_2": 2}),
        # A null keeps its name too: the other's column must not depend on it.
        ({"a_b": None, "a": {"b": 2}}, {"a_b_": 2}),
        ({"userName": 1, "user_name": 2}, {"user_name": 2, "userName_": 1}),
        ({"NAME": 1, "name": 2, "Name": 3}, {"name": 2, "NAME_": 1, "Name_2": 3}),
        ({"é": 1, "e": 2}, {"e": 2, "é_": 1}),
        ({"a b": 1, "a-b": 2, "a__b": 3}, {"a b": 1, "a-b_": 2, "a__b_2": 3}),
        ({"a1": 1, "a_1": 2}, {"a_1": 2, "a1_": 1}),
        ({"1a": 1, "_1_a": 2}, {"_1_a": 2, "1a_": 1}),
        (
            {"_fivetran_synced": 1, "_Fivetran": {"deleted": 2}},
            {"_fivetran_synced_": 1, "_Fivetran_deleted_": 2},
        ),
        ({"": 1}, {"_": 1}),
        ({"": 1, "_": 2, "é": {"": 3}}, {"_": 1, "__2": 2, "é_": 3}),
        ({"a\x00b": 1, "a": {"b": 2}}, {"a\x00b": 1, "a_b_": 2}),
    ],
)
def test_two_keys_of_one_column_both_land(record: dict[str, Any], landed: dict[str, Any]) -> None:
    assert row(record) == landed
    assert row(dict(reversed(record.items()))) == landed


@pytest.mark.parametrize(
    ("key", "others"),
    [("id", {"ID": 2, "Id": 3, "iD": 4}), ("auditEventId", {"audit_event_id": 2})],
)
def test_the_primary_key_keeps_its_column_whatever_comes_beside_it(
    key: str, others: dict[str, int]
) -> None:
    flat = row({**others, key: "mine"}, key=key)
    assert flat[key] == "mine"
    assert len(flat) == 1 + len(others)
    assert [name for name in flat if column_name(name) == column_name(key)] == [key]


@pytest.mark.parametrize(
    ("name", "landed"),
    [
        ("auditEventId", "audit_event_id"),
        ("HTTPServer", "httpserver"),
        ("md5sum", "md_5_sum"),
        ("Ünïcode", "unicode"),
        ("ﬁ²", "fi_2"),
        ("a.b--c  d", "a_b_c_d"),
        ("__a__", "_a_"),
        ("名字", "_"),
        ("1st", "_1_st"),
        ("plain", "plain"),
    ],
)
def test_names_are_foreseen_as_the_destination_makes_them(name: str, landed: str) -> None:
    assert column_name(name) == landed


def test_a_clash_is_logged_once_and_without_what_the_record_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flattener = Flattener("tenant")
    with caplog.at_level(logging.DEBUG, logger="courier_async"):
        for number in range(50):
            flattener.row({f"secret{number}_x": "s3cret", f"secret{number}": {"x": "s3cret"}})
    assert len(caplog.records) == 1
    assert "tenant" in caplog.text
    assert "secret" not in caplog.text
    assert "s3cret" not in caplog.text


def test_five_thousand_keys_and_a_megabyte_land() -> None:
    flat = row(
        {"properties": {f"key_{number}": number for number in range(5_000)}, "m": "x" * 2**20}
    )
    assert len(flat) == 5_001
    assert len(flat["m"]) == 2**20
    assert flat["properties_key_4999"] == 4_999


def test_five_thousand_keys_of_one_column_land_in_bounded_time() -> None:
    """Letters that the destination does not keep: all of them come to one underscore."""
    began = time.process_time()
    flat = row({"properties": {chr(0x4E00 + number): number for number in range(5_000)}})
    assert time.process_time() - began < 2
    assert sorted(flat.values()) == list(range(5_000))
    assert len({column_name(name) for name in flat}) == 5_000


def test_deep_objects_become_text_below_a_bound() -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"k": deep}
    ((name, cell),) = row({"top": deep}).items()
    assert name == "top" + "_k" * 16
    assert json.dumps(json.loads(cell)).count("k") == 100 - 16
    assert "bottom" in cell


def test_lists_nested_by_the_hundred_land_and_by_the_ten_thousand_are_refused() -> None:
    def nested(depth: int) -> Any:
        value: Any = []
        for _ in range(depth):
            value = [value]
        return value

    assert row({"v": nested(500)})["v"] == "[" * 501 + "]" * 501
    with pytest.raises(ValueError, match="nested too deeply"):
        row({"v": nested(100_000)})


def test_endless_new_shapes_do_not_fill_the_memory() -> None:
    flattener = Flattener("tenant")
    for number in range(5_000):
        flattener.row({f"k{number}": 1})
    flattener.row({f"k{number}": 1 for number in range(5_000)})
    kept = flattener._plans
    assert len(kept) <= 2_000
    assert max(len(shape) for shape in kept) <= 256


def test_a_shape_seen_before_gives_the_same_names() -> None:
    flattener = Flattener("brand")
    first = flattener.row({"a_b": 1, "a": {"b": 2}})
    assert list(flattener.row({"a_b": 3, "a": {"b": 4}})) == list(first)


# Letters that make paths, names and accents clash; few, so that they do.
KEYS = st.text("aAbB_1.é \x00", max_size=3)
# No bracket in a text, so that a cell that begins with one is a list.
TEXTS = st.text(string.ascii_letters + "é\x00\U0001f600 ", max_size=4)
NUMBERS = (
    st.integers() | st.integers(2**62, 2**65) | st.floats(allow_nan=False, allow_infinity=False)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
LISTS = st.lists(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=4,
    ),
    max_size=3,
)
OBJECTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | LISTS, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
    ),
    max_size=6,
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """The path and value of all but objects, said in the plainest way."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    return [(path, value)]


def essence(value: Any) -> str:
    """The same for a value and for the cell it becomes."""
    if isinstance(value, str) and value.startswith("["):
        return essence(json.loads(value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**62:
        return f"'{value}'"
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return f"'{int(value)}'"
    if isinstance(value, list):
        return json.dumps(value, sort_keys=True)
    return f"{type(value).__name__} {value!r}"


@given(OBJECTS)
def test_nothing_is_lost_and_nothing_invented(record: dict[str, Any]) -> None:
    flat = row(record)
    there = [(path, value) for path, value in leaves(record) if value is not None]
    assert Counter(map(essence, flat.values())) == Counter(essence(value) for _, value in there)
    wanted = Counter(column_name("_".join(path) or "_") for path, _ in leaves(record))
    for path, value in there:
        name = "_".join(path) or "_"
        if max(wanted.values()) == 1:
            assert essence(flat[name]) == essence(value), "no clash, so no change of name"
        assert any(
            column.startswith(name) and essence(cell) == essence(value)
            for column, cell in flat.items()
        )


@given(OBJECTS)
def test_no_two_cells_of_a_row_come_to_one_column(record: dict[str, Any]) -> None:
    landed = [column_name(name) for name in row(record)]
    assert "" not in landed
    assert len(landed) == len(set(landed))


def shuffled(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(inner, chance)) for key, inner in value.items()]
    chance.shuffle(items)
    return dict(items)


@given(OBJECTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_nothing(record: dict[str, Any], chance: random.Random) -> None:
    assert row(record) == row(shuffled(record, chance))


@given(OBJECTS)
def test_a_row_is_flat_and_does_not_share_the_record(record: dict[str, Any]) -> None:
    before = json.dumps(record)
    assert {type(cell) for cell in row(record).values()} <= {str, int, float, bool}
    assert json.dumps(record) == before


@given(LISTS)
def test_json_text_reads_back_as_what_it_was(value: list[Any]) -> None:
    assert json.loads(json_text(value)) == value
