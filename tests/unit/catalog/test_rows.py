"""A record as a row: every value lands in its column, or by its path in additional_fields."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.streams import BY_TABLE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def row_of(table: str, record: dict[str, Any], *, redact_secrets: bool = True) -> dict[str, Any]:
    return RowMapper(BY_TABLE[table], redact_secrets=redact_secrets).row(record)


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def test_a_brand_becomes_one_row() -> None:
    assert row_of(
        "brand",
        {
            "id": "C8CPX6HQZ5M7Q5KAMW5CXC4N98DH",
            "name": "Acme Default",
            "created": 1591753605265,
            "updated": None,
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
        },
    ) == {
        "id": "C8CPX6HQZ5M7Q5KAMW5CXC4N98DH",
        "name": "Acme Default",
        "created": datetime(2020, 6, 10, 1, 46, 45, 265_000, tzinfo=UTC),
        "version": "2026-07-14T09:59:10.010Z",
        "settings_colors_primary": "#9D3789",
        "settings_email_header_inherit_default": False,
        "settings_email_header_logo_href": "https://a.example",
        "settings_email_head_inherit_default": True,
        "settings_inapp_border_radius": "8px",
        "snippets_items": [{"name": "support_url", "value": "https://a.example/help"}],
        "additional_fields": {"settings": {"colors": {"tertiary": "#1B1B1B"}}},
    }


@pytest.mark.parametrize(
    ("target", "cells"),
    [
        ({"id": "E1", "email": "a@b.example"}, {"target_id": "E1", "target_email": "a@b.example"}),
        (
            {"id": "E1", "kind": "user"},
            {"target_id": "E1", "additional_fields": {"target": {"kind": "user"}}},
        ),
        ({}, {}),
        ("nt_01", {"target": "nt_01"}),
        (7, {"target": "7"}),
        (["E1"], {"additional_fields": {"target": ["E1"]}}),
        (None, {}),
    ],
)
def test_the_target_of_an_audit_event_may_be_an_object_text_or_nothing(
    target: object, cells: dict[str, Any]
) -> None:
    event = {"auditEventId": "Z", "actor": {"id": "api-key"}, "target": target}
    assert row_of("audit_event", event) == {
        "audit_event_id": "Z",
        "actor_id": "api-key",
        **cells,
    }


def test_a_filter_is_one_json_value_whatever_its_shape() -> None:
    single = {"operator": "EQ", "path": "title", "value": "Engineer"}
    group = {"operator": "AND", "filters": [single, {"operator": "OR", "filters": [single]}]}
    for condition in (single, group):
        assert row_of("audience", {"id": "a", "filter": condition})["filter"] == condition


@pytest.mark.parametrize("tags", [["onboarding"], [], {"data": [{"id": "1", "name": "x"}]}])
def test_tags_of_old_and_new_templates_are_json_as_they_came(tags: object) -> None:
    assert row_of("notification", {"id": "T", "tags": tags})["tags"] == tags


@pytest.mark.parametrize(
    ("template", "common"),
    [
        (
            {"title": "Reset", "created_at": 0, "updated_at": 1},
            ("Reset", _EPOCH, _EPOCH + timedelta(milliseconds=1)),
        ),
        (
            {"name": "Reset", "created": 0, "updated": 1},
            ("Reset", _EPOCH, _EPOCH + timedelta(milliseconds=1)),
        ),
        ({"name": "", "created": 0}, ("", _EPOCH, None)),
        (
            {"name": None, "title": "Reset", "created": "soon", "created_at": 0},
            ("Reset", _EPOCH, None),
        ),
    ],
)
def test_templates_of_both_generations_have_a_name_and_times(
    template: dict[str, Any], common: tuple[Any, ...]
) -> None:
    row = row_of("notification", {"id": "T", **template})
    names = ("template_name", "template_created_at", "template_updated_at")
    assert tuple(row.get(name) for name in names) == common
    assert template.get("title") == row.get("title")


def test_a_null_leaves_a_column_empty_and_an_empty_text_or_list_does_not() -> None:
    record: dict[str, Any] = {"id": "A", "name": "", "parent_tenant_id": None, "properties": {}}
    assert row_of("tenant", record | {"default_preferences": {"items": []}}) == {
        "id": "A",
        "name": "",
        "properties": {},
        "default_preferences_items": [],
    }


def test_undocumented_fields_stand_under_their_path_as_they_came() -> None:
    fields = {"channel": None, "utm": {"source": "x", "Größe": [1, 2.5, True, None]}, "": {}}
    row = row_of("message", {"id": "1", "status": "SENT", **fields})
    assert row == {"id": "1", "status": "SENT", "additional_fields": fields}


@pytest.mark.parametrize(
    ("table", "misfit"),
    [
        ("message", {"enqueued": "yesterday"}),
        ("message", {"recipient": ["user-1"]}),
        ("message", {"error": {"text": "no"}}),
        ("brand", {"settings": "none"}),
        ("brand", {"settings": {"colors": ["#FFFFFF"]}}),
        ("brand", {"settings": {"email": {"head": {"inheritDefault": "true"}}}}),
        ("tenant", {"properties": "none"}),
        ("tenant", {"user_profile": 7}),
        ("audience_member", {"audience_version": "2"}),
    ],
)
def test_a_value_that_does_not_fit_its_column_stands_under_its_path(
    table: str, misfit: dict[str, Any]
) -> None:
    assert row_of(table, misfit) == {"additional_fields": misfit}


def test_a_field_that_is_named_like_a_column_of_the_table_does_not_take_its_place() -> None:
    clashes = {"audit_event_id": "other", "additional_fields": 1, "_fivetran_deleted": True}
    row = row_of("audit_event", {**clashes, "auditEventId": "mine"})
    assert row == {"audit_event_id": "mine", "additional_fields": clashes}


def test_names_without_latin_letters_each_keep_their_value() -> None:
    properties = {"город": "Берлин", "отдел": "Продажи", "会社": "アクメ"}
    assert row_of("tenant", {"id": "A", "properties": properties})["properties"] == properties


@pytest.mark.parametrize(("value", "key"), [(7, "7"), ("a\x00b", "ab"), ("\ud800", "\ufffd")])
def test_a_rows_key_is_the_text_by_which_the_stream_knows_the_record(
    value: object, key: str
) -> None:
    stream = BY_TABLE["list"]
    assert row_of("list", {"id": value}) == {"id": key}
    assert stream.key_of({"id": value}) == (key,)


def test_json_nested_to_the_bound_lands_as_json_and_beyond_it_as_text() -> None:
    record = {"id": "A", "properties": nested(200), "extra": nested(199)}
    assert row_of("tenant", record) == {
        "id": "A",
        "properties": nested(200),
        "additional_fields": {"extra": nested(199)},
    }
    record = {"id": "A", "properties": nested(201), "extra": nested(200)}
    assert row_of("tenant", record) == {
        "id": "A",
        "additional_fields": {
            "properties": "[" * 201 + '"bottom"' + "]" * 201,
            "extra": "[" * 200 + '"bottom"' + "]" * 200,
        },
    }


def test_json_nested_by_the_hundred_thousand_lands_as_text() -> None:
    row = row_of("tenant", {"properties": nested(100_000)})
    text = "[" * 100_000 + '"bottom"' + "]" * 100_000
    assert row == {"additional_fields": {"properties": text}}


def test_raw_answers_of_providers_never_land() -> None:
    attempt = {
        "error": "no",
        "status": "SENT",
        "providerResponse": {"headers": {"to": "ana@acme.example"}},
        "reference": {"x-message-id": "1"},
    }
    row = row_of("message", {"id": "1", "providers": [attempt]}, redact_secrets=False)
    assert row["additional_fields"] == {"providers": [{"error": "no", "status": "SENT"}]}
    row = row_of("message_provider", {"message_id": "1", "position": 0, **attempt})
    assert row == {"message_id": "1", "position": 0, "error": "no", "status": "SENT"}


def test_raw_answers_do_not_land_as_text_either() -> None:
    attempt = {"providerResponse": "s3cret", "status": nested(300)}
    row = row_of("message", {"providers": [attempt]})
    assert "s3cret" not in str(row)
    assert "bottom" in str(row)


def test_a_history_lands_without_profiles_and_content() -> None:
    personal = (
        *("data", "profile", "override", "merged_profile", "received_profile"),
        *("stored_profile", "providerResponse", "reference"),
    )
    event = {"type": "PROFILE_LOADED", "ts": 0, "to": "x"}
    event |= {name: {"email": "ana@acme.example"} for name in personal}
    row = row_of("message_event", {"message_id": "1", "position": 3, **event})
    assert row == {
        "message_id": "1",
        "position": 3,
        "type": "PROFILE_LOADED",
        "ts": _EPOCH,
        "additional_fields": {"to": "x"},
    }


def test_profiles_and_reasons_of_users_do_not_land() -> None:
    user = {"tenant_id": "A", "user_id": "u", "type": "user", "profile": {"email": "a@b.example"}}
    assert row_of("tenant_user", user) == {"tenant_id": "A", "user_id": "u", "type": "user"}
    member = {"audience_id": "a", "member_id": "u", "reason": "EQ('title', 'Engineer') => true"}
    assert row_of("audience_member", member) == {"audience_id": "a", "member_id": "u"}


def test_a_row_does_not_share_the_record() -> None:
    record = {"id": "A", "properties": {"a": [1]}, "extra": {"b": [2]}}
    row = row_of("tenant", record)
    row["properties"]["a"].append(3)
    row["additional_fields"]["extra"]["b"].append(3)
    assert record == {"id": "A", "properties": {"a": [1]}, "extra": {"b": [2]}}
