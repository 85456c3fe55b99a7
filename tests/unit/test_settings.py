"""The configuration: every key, its default, its range, and the error for a bad value."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier_async.catalog.streams import ALL, BY_TABLE, STREAMS
from courier_async.settings import OPTIONS, Settings, unknown_settings

KEY = "pk_prod_8H4JF2N1A94WJ2MZQ0X3T5V7"
US, EU = "https://api.courier.com", "https://api.eu.courier.com"
OWN = "https://courier.example.com"


def settings(**texts: Any) -> Settings:
    return Settings.from_configuration({"api_key": KEY, **texts})


def sentence(**texts: Any) -> str:
    """Returns the error message of a bad configuration."""
    with pytest.raises(ValueError, match=r".") as caught:
        settings(**texts)
    return str(caught.value)


def test_a_key_alone_gives_every_default() -> None:
    given = settings()
    assert given.api_key == KEY
    assert given.base_url == "https://api.courier.com"
    assert given.streams == STREAMS
    assert given.requests_per_second == 50
    assert given.max_retries == 3
    assert given.request_timeout_seconds == 60
    assert given.sync_since_ms is None
    assert given.message_lookback_days == 30
    assert given.message_lanes is None
    assert given.children_refresh_hours == 24
    assert given.capture_deletes is True
    assert given.redact_secrets is True
    assert given.checkpoint_interval_seconds == 60


@pytest.mark.parametrize("nothing", ["", "  ", "\t\n", None])
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "api_key"])
def test_an_unfilled_field_means_the_default(name: str, nothing: str | None) -> None:
    assert settings(**{name: nothing}) == settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("requests_per_second", "0.1", 0.1),
        ("requests_per_second", "1000", 1000.0),
        ("requests_per_second", " 12.5 ", 12.5),
        ("max_retries", "0", 0),
        ("max_retries", "10", 10),
        ("request_timeout_seconds", "1", 1.0),
        ("request_timeout_seconds", "600", 600.0),
        ("message_lookback_days", "0", 0.0),
        ("message_lookback_days", "365", 365.0),
        ("message_lookback_days", "0.5", 0.5),
        ("message_lanes", "1", 1),
        ("message_lanes", "128", 128),
        ("children_refresh_hours", "0", 0.0),
        ("children_refresh_hours", "720", 720.0),
        ("redact_secrets", "false", False),
        ("checkpoint_interval_seconds", "0", 0.0),
        ("checkpoint_interval_seconds", "3600", 3600.0),
        ("capture_deletes", "false", False),
        ("capture_deletes", "FALSE", False),
        ("capture_deletes", "True", True),
        ("base_url", "https://api.eu.courier.com", "https://api.eu.courier.com"),
        ("base_url", "https://api.eu.courier.com/", "https://api.eu.courier.com"),
        ("base_url", "https://proxy.example:8443/courier//", "https://proxy.example:8443/courier"),
        ("base_url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("base_url", "http://127.9.9.9", "http://127.9.9.9"),
        ("base_url", "http://localhost:1", "http://localhost:1"),
        ("base_url", "http://[::1]:8080", "http://[::1]:8080"),
        ("base_url", "https://10.0.0.1", "https://10.0.0.1"),
        ("base_url", "https://courier", "https://courier"),
        ("base_url", "https://courier_proxy.example.", "https://courier_proxy.example."),
        ("base_url", "https://xn--fa-hia.example", "https://xn--fa-hia.example"),
        ("base_url", f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
    ],
)
def test_a_good_value_is_taken(name: str, text: str, value: object) -> None:
    assert getattr(settings(**{name: text}), name) == value


NUMBERS = [
    ("requests_per_second", "0.1 to 1000", ["0", "0.09", "1000.1", "-1"]),
    ("max_retries", "0 to 10", ["-1", "11", "1.5", "3.0", "1e1", "999999999999", "٣"]),
    ("request_timeout_seconds", "1 to 600", ["0", "0.9", "601"]),
    ("message_lookback_days", "0 to 365", ["-0.1", "365.5"]),
    ("message_lanes", "1 to 128", ["0", "129", "8.0"]),
    ("children_refresh_hours", "0 to 720", ["-1", "721"]),
    ("checkpoint_interval_seconds", "0 to 3600", ["-1", "3601"]),
]


@pytest.mark.parametrize(("name", "allowed", "outside"), NUMBERS)
def test_a_number_out_of_range_is_refused_with_the_range(
    name: str, allowed: str, outside: list[str]
) -> None:
    for text in [*outside, "nan", "inf", "-inf", "fast", "1,5", "0x10", "10 per second"]:
        said = sentence(**{name: text})
        assert said.startswith(f"{name} is {text!r}")
        assert allowed in said


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("capture_deletes", "yes", "true or false"),
        ("capture_deletes", "1", "true or false"),
        ("redact_secrets", "no", "true or false"),
        ("region", "Asia", "US or EU"),
        ("region", "other", "US or EU"),
        ("streams", "message,brands", "brand, audience, audit_event, list, message"),
        ("streams", ",", "brand, audience, audit_event, list, message"),
        ("streams", "message;brand", "brand, audience, audit_event, list, message"),
        ("sync_since", "yesterday", "an ISO date"),
        ("sync_since", "2026-02-30", "an ISO date"),
        ("sync_since", "1786699985000", "an ISO date"),
        ("base_url", "api.courier.com", "https address"),
        ("base_url", "ftp://api.courier.com", "https address"),
        ("base_url", "https://", "https address"),
        ("base_url", "http://api.courier.com", "https address"),
        ("base_url", "http://127.0.0.1.example", "https address"),
        ("base_url", "http://10.0.0.1", "https address"),
        ("base_url", "http://0.0.0.0", "https address"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_is_allowed(
    name: str, text: str, allowed: str
) -> None:
    said = sentence(**{name: text})
    assert said.startswith(name)
    assert allowed in said


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@api.courier.com",
        "https://hunter2@api.courier.com",
        "https://:hunter2@api.courier.com",
        "https://api.courier.com?key=hunter2",
        "https://api.courier.com#hunter2",
        "https://api.courier.com /hunter2",
        "https://api.courier.com:99999/hunter2",
        "https://api.courier.com:port/hunter2",
        "https://[hunter2",
        "https://[::1]@",
        "https://[api.courier.com]@",
        "https://api.courier.com?",
        "https://api.courier.com#",
        "https://@api.courier.com",
        "https://api.courier.com\\@hunter2",
        "ftp://user:hunter2@api.courier.com",
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_and_not_shown(text: str) -> None:
    said = sentence(base_url=text)
    assert said.startswith("base_url")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "host", ["a\\b.example", "a*b.example", "exämple.courier.com", "a\u200bb.example"]
)
def test_an_address_of_other_characters_than_a_host_has_is_refused(host: str) -> None:
    assert sentence(base_url=f"https://{host}").startswith("base_url")


@pytest.mark.parametrize(
    "host",
    [
        "api..courier.com",
        ".api.courier.com",
        "...",
        f"{'a' * 64}.example.com",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.01",
        "1.2.3.4.",
        "12345",
        "xn--zzzzzzzzzzzz.com",
    ],
)
def test_an_address_that_cannot_exist_is_refused(host: str) -> None:
    assert sentence(base_url=f"https://{host}").startswith("base_url is")


@pytest.mark.parametrize("text", ["https://a.example/\x00", "https://a.example/\x7f/"])
def test_an_address_with_control_characters_is_refused(text: str) -> None:
    assert sentence(base_url=text).startswith("base_url")


def test_streams_are_taken_in_the_order_of_the_tables_and_once() -> None:
    taken = settings(streams=" message, brand ,message,").streams
    assert [stream.table for stream in taken] == ["brand", "message"]


@pytest.mark.parametrize(
    ("text", "since_ms"),
    [
        ("2026-01-31", 1769817600000),
        ("2026-01-31T12:00:00", 1769860800000),
        ("2026-01-31 12:00", 1769860800000),
        ("2026-01-31T12:00:00Z", 1769860800000),
        ("2026-01-31T12:00:00.250+02:00", 1769853600250),
        ("20260131", 1769817600000),
        ("1969-12-31", -86_400_000),
    ],
)
def test_sync_since_is_an_iso_date_and_utc_where_it_names_no_offset(
    text: str, since_ms: int
) -> None:
    assert settings(sync_since=text).sync_since_ms == since_ms


def test_sync_since_in_the_future_is_refused() -> None:
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86_400))
    assert "in the future" in sentence(sync_since=tomorrow)


BAD_KEYS = [
    None,
    "",
    "   ",
    "<YOUR_COURIER_API_KEY>",
    " <YOUR_COURIER_API_KEY>\n",
    "<your key>",
    f" {KEY}",
    f"{KEY} ",
    f"{KEY}\n",
    f"{KEY[:10]} {KEY[10:]}",
    f"{KEY[:10]}\t{KEY[10:]}",
    f"{KEY[:10]}\r\nX-Other: 1",
    f"{KEY}\x00",
    f"{KEY}\x7f",
    f"{KEY}\u00a0",
    f"{KEY}\u200b",
    f"{KEY}é",
    12345,
    [KEY],
    {"key": KEY},
    True,
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: Any) -> None:
    said = sentence(api_key=key)
    assert said.startswith("api_key")
    assert "Settings > API Keys" in said
    for piece in (KEY, KEY[:10], KEY[10:], "12345", "your key"):
        assert piece not in said


@pytest.mark.parametrize(
    "text",
    [
        "<YOUR_COURIER_API_KEY>",
        "pk_prod_...",
        "pk_prod_…",
        "...",
        "${COURIER_API_KEY}",
        "{{ courier_api_key }}",
        "changeme",
        "CHANGE_ME",
        "your-api-key",
        "YOUR_API_KEY",
        "yourkey",
        "pk_prod_your_key",
    ],
)
def test_a_placeholder_is_said_to_be_one(text: str) -> None:
    assert sentence(api_key=text).startswith("api_key still contains the placeholder.")


def test_a_missing_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^api_key is missing"):
        Settings.from_configuration({})


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "api_key"])
@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": 1}])
def test_a_value_that_is_not_text_is_refused_by_name(name: str, value: object) -> None:
    said = sentence(**{name: value})
    assert said.startswith(name)
    assert "text in quotes" in said


@pytest.mark.parametrize("configuration", [None, [], "api_key", 3])
def test_a_configuration_that_is_no_object_is_refused(configuration: Any) -> None:
    with pytest.raises(ValueError, match=r"^The configuration must be a JSON object"):
        Settings.from_configuration(configuration)


def test_a_bad_value_never_brings_the_key_into_the_error() -> None:
    """A key pasted into the wrong field is still a secret."""
    for name in OPTIONS:
        with pytest.raises(ValueError, match=name) as caught:
            Settings.from_configuration({"api_key": KEY if name != "api_key" else "", name: "<>"})
        assert KEY not in str(caught.value)


@pytest.mark.parametrize("pasted", [KEY, f" {KEY}\n", "dk_test_OTHER", "key-without-prefix"])
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "api_key"])
def test_a_key_pasted_into_another_field_is_not_shown(name: str, pasted: str) -> None:
    own = "key-without-prefix" if "-" in pasted else KEY
    said = sentence(api_key=own, **{name: pasted})
    assert said.startswith(f"{name} contains an API key")
    assert pasted.strip() not in said


def test_a_key_in_a_setting_that_is_not_known_is_refused_and_not_shown() -> None:
    assert sentence(note="pk_test_OTHER").startswith("note contains an API key")
    said = sentence(**{f"x{KEY}": KEY})
    assert said.startswith("(not shown) contains an API key")
    assert KEY not in said


def test_a_key_short_enough_to_stand_in_an_address_by_chance_is_let_be() -> None:
    assert settings(api_key="test", base_url="http://localhost/test").api_key == "test"


def test_an_unknown_setting_is_told_by_its_name() -> None:
    assert unknown_settings({"api_key": KEY, "colour": "red"}) == [
        "The configuration has an unknown setting: colour."
    ]
    assert unknown_settings(dict.fromkeys(OPTIONS, "")) == []


def test_an_unknown_name_is_told_with_the_nearest_known_one() -> None:
    (told,) = unknown_settings({"api_key": KEY, "message_lookback": "3"})
    assert told.endswith("unknown setting: message_lookback. Did you mean message_lookback_days?")
    assert sentence(streams="brands, List").endswith(". Did you mean list, brand?")
    assert "Did you mean" not in sentence(streams="webhook")


@pytest.mark.parametrize("name", [KEY, f"x{KEY}", "pk_test_OTHER"])
def test_a_key_that_stands_in_place_of_a_settings_name_is_not_shown(name: str) -> None:
    (told,) = unknown_settings({"api_key": KEY, name: ""})
    assert name not in told


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("apikey", "api_key"),
        ("Api-Key", "api_key"),
        ("Region", "region"),
        ("regions", "region"),
        ("stream", "streams"),
        ("request_per_second", "requests_per_second"),
        ("baseUrl", "base_url"),
        ("max retries", "max_retries"),
        ("sync_sinse", "sync_since"),
    ],
)
def test_a_name_that_differs_by_case_separator_or_one_letter_is_an_error(
    written: str, right: str
) -> None:
    said = sentence(**{written: "1"})
    assert said == f"The configuration has {written!r}: the setting is called {right}."


@pytest.mark.parametrize("name", ["regionals", "message_deep_lookback_days", "retries", "x"])
def test_a_name_that_is_like_no_setting_is_no_error(name: str) -> None:
    assert settings(**{name: "1"}) == settings()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, US),
        ({"region": ""}, US),
        ({"region": "US"}, US),
        ({"region": "EU"}, EU),
        ({"region": " eu "}, EU),
        ({"base_url": EU}, EU),
        ({"region": "", "base_url": OWN}, OWN),
        ({"region": "EU", "base_url": ""}, EU),
    ],
)
def test_the_address_is_that_of_the_region_or_the_base_url(
    given: dict[str, str], address: str
) -> None:
    assert settings(**given).base_url == address


@pytest.mark.parametrize("base_url", [US, EU, OWN])
@pytest.mark.parametrize("region", ["US", "EU"])
def test_a_region_beside_a_base_url_is_an_error(region: str, base_url: str) -> None:
    said = sentence(region=region, base_url=base_url)
    assert said == "Set region or base_url, not both: each sets Courier's address."


@pytest.mark.parametrize(
    ("given", "is_us"),
    [
        ({}, True),
        ({"region": "EU"}, False),
        ({"base_url": OWN}, True),
        ({"base_url": "https://API.EU.Courier.com"}, False),
        ({"base_url": "https://api.eu.courier.com:443/"}, False),
    ],
)
def test_only_the_eu_region_lacks_what_the_us_region_alone_has(
    given: dict[str, str], is_us: bool
) -> None:
    assert settings(**given).is_us is is_us


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("core", [stream.table for stream in STREAMS]),
        ("all", [stream.table for stream in ALL]),
        ("brand,core", [stream.table for stream in STREAMS]),
        ("tenant_user,tenant", ["tenant", "tenant_user"]),
    ],
)
def test_core_stands_for_the_seven_tables_and_all_for_every_table(
    text: str, tables: list[str]
) -> None:
    assert [stream.table for stream in settings(streams=text).streams] == tables


@pytest.mark.parametrize("child", [stream.table for stream in ALL if stream.parent])
def test_a_table_of_children_needs_its_parents_table(child: str) -> None:
    parent = BY_TABLE[child].parent
    said = sentence(streams=child)
    assert said.startswith(f"streams names {child}, which is read for each row of {parent}.")
    assert f"Add {parent} to streams." in said


def test_no_repr_shows_the_key() -> None:
    for text in (repr(settings()), str(settings()), f"{settings()}"):
        assert KEY not in text
        assert "base_url" in text


@pytest.mark.parametrize(
    ("key", "base_url", "source"),
    [
        (KEY, "", "api.courier.com pk_prod"),
        ("dk_test_ABC", "", "api.courier.com dk_test"),
        ("pk_test_ABC", "https://API.EU.courier.com", "api.eu.courier.com pk_test"),
        ("pk_production", "", "api.courier.com other"),
        ("secret", "http://[::1]:80", "::1 other"),
    ],
)
def test_the_source_is_the_host_and_no_more_of_the_key_than_its_environment(
    key: str, base_url: str, source: str
) -> None:
    assert settings(api_key=key, base_url=base_url).source == source


def test_durations_are_also_had_in_milliseconds() -> None:
    given = settings(message_lookback_days="0.5", children_refresh_hours="1.5")
    assert given.message_lookback_ms == 43_200_000
    assert given.children_refresh_ms == 5_400_000


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
LIKELY = st.sampled_from(
    ["", "1", "https://a.example", "http://[::1]", "https://[", "2026-01-01", "true", "message"]
)


@given(
    st.dictionaries(
        st.sampled_from(list(OPTIONS)) | st.text(max_size=5), LIKELY | ANYTHING, max_size=6
    )
    | ANYTHING
)
def test_any_configuration_gives_settings_or_a_sentence(configuration: Any) -> None:
    said = ""
    try:
        given = Settings.from_configuration(configuration)
    except ValueError as error:
        said = str(error)
    else:
        assert isinstance(given, Settings)
        unknown_settings(configuration)
    assert not said or re.match(
        r"(The configuration|[a-z_]+) (is|must|names|still|has|holds|contains)\b|"
        r"(?s:.*) contains an API|Set region",
        said,
    ), said
