"""Secrets in free-form values are redacted by name, and counted."""

from typing import Any

import pytest

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.streams import BY_TABLE

SECRET_NAMES = [
    "token", "Token", "TOKEN", "access_token", "accessToken", "Access-Token", "refresh_token",
    "id_token", "secret", "client_secret", "clientSecret", "client.secret", "password", "passwd",
    "private_key", "private key", "api_key", "apiKey", "apikey", "API-KEY", "authorization",
]  # fmt: skip
OTHER_NAMES = [
    "token_count", "tokens", "password_changed_at", "has_secret", "secretary", "keys", "key",
    "api_key_id", "authorizations", "my_token", "token" + "_" * 60 + "count", "",
]  # fmt: skip


def tenant(*, redact_secrets: bool = True) -> RowMapper:
    return RowMapper(BY_TABLE["tenant"], redact_secrets=redact_secrets)


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["s3cret", "", 7, ["s3cret"], {"a": "s3cret"}])
def test_a_secret_is_redacted_at_any_depth_and_its_key_stays(name: str, value: object) -> None:
    mapper = tenant()
    row = mapper.row(
        {"properties": {"a": [{name: value}]}, "user_profile": {name: value}, "x": {name: value}}
    )
    assert row["properties"] == {"a": [{name: "[redacted]"}]}
    assert row["user_profile"] == {name: "[redacted]"}
    assert row["additional_fields"] == {"x": {name: "[redacted]"}}
    assert mapper.redacted == 3


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_that_only_contains_a_secrets_name_lands(name: str) -> None:
    mapper = tenant()
    properties = {name: "plain", "a": {name: 7}}
    assert mapper.row({"properties": properties}) == {"properties": properties}
    assert mapper.redacted == 0


def test_an_undocumented_field_of_the_record_is_redacted_by_its_name() -> None:
    assert tenant().row({"apiKey": "s3cret"}) == {"additional_fields": {"apiKey": "[redacted]"}}


def test_an_empty_secret_stays_null_and_is_not_counted() -> None:
    mapper = tenant()
    assert mapper.row({"properties": {"token": None}}) == {"properties": {"token": None}}
    assert mapper.redacted == 0


def test_secrets_are_redacted_in_what_is_nested_too_deeply_and_counted_once() -> None:
    deep: Any = {"token": "s3cret"}
    for _ in range(300):
        deep = {"a": deep, "password": "s3cret"}
    mapper = tenant()
    row = mapper.row({"properties": deep})
    assert "s3cret" not in str(row)
    assert row["additional_fields"]["properties"].count('"[redacted]"') == 301
    assert mapper.redacted == 301


def test_secrets_land_where_the_configuration_says_so() -> None:
    mapper = tenant(redact_secrets=False)
    record = {"properties": {"token": "s3cret"}, "secret": "s3cret"}
    assert mapper.row(record) == {
        "properties": {"token": "s3cret"},
        "additional_fields": {"secret": "s3cret"},
    }
    assert mapper.redacted == 0


def test_no_documented_column_is_redacted() -> None:
    """Analysts need `recipient` and `error`, and no column has a secret's name."""
    mapper = RowMapper(BY_TABLE["message"], redact_secrets=True)
    assert mapper.row({"recipient": "token", "error": "password"}) == {
        "recipient": "token",
        "error": "password",
    }
