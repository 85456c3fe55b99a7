"""The configuration, validated and typed before any network request."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from yarl import URL

from courier_async.catalog.stream import DAY_MS, HOUR_MS, Stream
from courier_async.catalog.streams import ALL, BY_TABLE, STREAMS

# Presets of Courier's own client SDKs.
REGIONS: Final = {"us": "https://api.courier.com", "eu": "https://api.eu.courier.com"}
# Values of `streams` that stand for several tables.
CORE: Final = "core"
EVERY: Final = "all"
# The only part of a key that may ever be shown: which environment it opens (docs, API keys).
KEY_PREFIXES: Final = ("pk_prod", "dk_prod", "pk_test", "dk_test")


# What example files and unfilled templates hold in place of a key.
_PLACEHOLDER: Final = re.compile(
    r"<.*>|.*(\.{3}|…|\$\{|\{\{|change.?me|your[ _-]).*|your.*", re.IGNORECASE | re.DOTALL
)
# Labels of at most 63 characters. The last is not a number, as in part of an IPv4 address.
_HOST_NAME: Final = re.compile(r"([a-z0-9_-]{1,63}\.)*(?![0-9]+\.?$)[a-z0-9_-]{1,63}\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One sync's configuration. Every field but the key has a default; no repr shows the key."""

    api_key: str = field(repr=False)
    base_url: str = REGIONS["us"]
    streams: tuple[Stream, ...] = STREAMS
    requests_per_second: float = 50.0
    max_retries: int = 3
    request_timeout_seconds: float = 60.0
    sync_since_ms: int | None = None
    message_lookback_days: float = 30.0
    message_lanes: int | None = None
    children_refresh_hours: float = 24.0
    capture_deletes: bool = True
    redact_secrets: bool = True
    checkpoint_interval_seconds: float = 60.0

    @property
    def message_lookback_ms(self) -> int:
        return int(self.message_lookback_days * DAY_MS)

    @property
    def children_refresh_ms(self) -> int:
        return int(self.children_refresh_hours * HOUR_MS)

    @property
    def is_us(self) -> bool:
        """Whether endpoints that exist only in the US region can be requested."""
        return _host_of(self.base_url) != _host_of(REGIONS["eu"])

    @property
    def source(self) -> str:
        """The account's host and the key's environment, such as "api.courier.com pk_prod"."""
        prefix = next((p for p in KEY_PREFIXES if self.api_key.startswith(p + "_")), "other")
        return f"{_host_of(self.base_url)} {prefix}"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> "Settings":
        """Returns the settings in Fivetran's configuration, whose values are all strings.

        A missing key, "" and blanks all mean the default.
        Raises ValueError with the setting's name, its value (never the key) and what is allowed.
        """
        if not isinstance(configuration, Mapping):
            raise ValueError("The configuration must be a JSON object of text values.")
        _refuse_misspelled(configuration)
        values: dict[str, Any] = {"api_key": _key(configuration.get("api_key"))}
        _refuse_keys_elsewhere(configuration, values["api_key"])
        for name, (target, parse) in OPTIONS.items():
            text = configuration.get(name)
            if name == "api_key":
                continue
            if text is not None and not isinstance(text, str):
                raise ValueError(f"{name} must be text in quotes, such as {_example(name)}.")
            if text is not None and text.strip():
                values[target] = parse(name, text.strip())
        region = values.pop("region", None)
        if region is not None and "base_url" in values:
            raise ValueError("Set region or base_url, not both: each sets Courier's address.")
        if region is not None:
            values["base_url"] = REGIONS[region]
        return cls(**values)


def unknown_settings(configuration: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each unknown setting in the configuration."""
    key = str(configuration.get("api_key") or "")
    unknown = [str(name) for name in configuration if name not in OPTIONS]
    return [
        "The configuration has an unknown setting: "
        f"{shown_name(name, key)}.{_did_you_mean([name], OPTIONS)}"
        for name in unknown
    ]


def _did_you_mean(names: Iterable[str], known: Iterable[str]) -> str:
    """Returns a question that suggests the closest known names, or ""."""
    known = list(known)
    near = [match for name in names for match in get_close_matches(name.lower(), known, n=1)]
    return f" Did you mean {', '.join(dict.fromkeys(near))}?" if near else ""


def _refuse_keys_elsewhere(configuration: Mapping[str, Any], key: str) -> None:
    """Refuses a key in any other setting, known or not: only api_key is never shown."""
    for name, text in configuration.items():
        if name != "api_key" and isinstance(text, str) and _holds_key(text, key):
            raise ValueError(
                f"{shown_name(str(name), key)} contains an API key. Put the key only in api_key."
            )


def shown_name(name: str, key: str) -> str:
    """Returns a setting's name, unless the name itself holds a key."""
    return "(not shown)" if _holds_key(name, key) else name


def _refuse_misspelled(configuration: Mapping[str, Any]) -> None:
    """Refuses near misses (case, a separator, one letter), which would have no effect."""
    for name in map(str, configuration):
        if name in OPTIONS:
            continue
        right = next((known for known in OPTIONS if _is_misspelled(name, known)), None)
        if right is not None:
            raise ValueError(f"The configuration has {name!r}: the setting is called {right}.")


def _is_misspelled(name: str, known: str) -> bool:
    name, known = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, known))
    if abs(len(name) - len(known)) > 1:
        return False
    shorter, longer = sorted((name, known), key=len)
    if len(shorter) == len(longer):
        return sum(a != b for a, b in zip(shorter, longer, strict=True)) <= 1
    return any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))


def _key(text: Any) -> str:
    """Returns the key. Raises ValueError that says what is wrong without showing any of it."""
    where = "Put a key from Courier's Settings > API Keys there, as one line of text."
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"api_key is missing from the configuration. {where}")
    if _PLACEHOLDER.fullmatch(text.strip()):
        raise ValueError(f"api_key still contains the placeholder. {where}")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError(
            f"api_key contains white space or characters that keys never have. {where}"
        )
    return text


def _holds_key(text: str, key: str = "") -> bool:
    """Whether a text holds a key where none belongs; a short key could match by chance."""
    return (len(key) >= 8 and key in text) or any(f"{p}_" in text for p in KEY_PREFIXES)


def _host_of(url: str) -> str:
    """Returns the host in lower case, however the address is written."""
    return urlsplit(url).hostname or ""


def _base_url(name: str, text: str) -> str:
    allowed = (
        "Allowed: https://api.courier.com, https://api.eu.courier.com or another https address "
        "(http only for a loopback address such as http://127.0.0.1:8080)."
    )
    try:
        parts = urlsplit(text)
        # URL decodes the host, which fails if it only looks like an encoded international name.
        host, _, _ = parts.hostname, parts.port, URL(text).host
    except (ValueError, IndexError):
        raise ValueError(f"{name} is not an address. {allowed}") from None
    if re.search(r"[?#@]|[^\x21-\x7e]", text):
        # Not shown: an address of this form may hold a secret.
        raise ValueError(
            f"{name} must not contain a user name, password, query or space. {allowed}"
        )
    if (
        not host
        or not (_ip(host) or _HOST_NAME.fullmatch(host))
        or parts.scheme not in ("https", "http")
    ):
        raise ValueError(f"{name} is {text!r}, which is not a full web address. {allowed}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(f"{name} is {text!r}: the key would be sent unencrypted. {allowed}")
    return text.rstrip("/")


def _region(name: str, text: str) -> str:
    if text.lower() not in REGIONS:
        raise ValueError(f"{name} is {text!r}. Allowed: US or EU.")
    return text.lower()


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    ip = _ip(host)
    return host == "localhost" or (ip is not None and ip.is_loopback)


def _streams(name: str, text: str) -> tuple[Stream, ...]:
    names = {table.strip() for table in text.split(",") if table.strip()}
    unknown = names - {CORE, EVERY, *BY_TABLE}
    if unknown or not names:
        raise ValueError(
            f"{name} names {', '.join(sorted(unknown)) or text!r}. Allowed: {CORE} (the seven "
            f"tables), {EVERY}, or any of {', '.join(BY_TABLE)}."
            f"{_did_you_mean(sorted(unknown), BY_TABLE)}"
        )
    if CORE in names:
        names |= {stream.table for stream in STREAMS}
    chosen = tuple(s for s in ALL if EVERY in names or s.table in names)
    tables = {stream.table for stream in chosen}
    for stream in chosen:
        if stream.parent is not None and stream.parent not in tables:
            raise ValueError(
                f"{name} names {stream.table}, which is read for each row of {stream.parent}. "
                f"Add {stream.parent} to {name}."
            )
    return chosen


def _number(low: float, high: float) -> Callable[[str, str], float]:
    def parse(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{name} is {text!r}. Allowed: a number from {low:g} to {high:g}.")
        return value

    return parse


def _whole_number(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"{name} is {text!r}. Allowed: a whole number from {low} to {high}.")
        return int(text)

    return parse


def _yes_or_no(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name} is {text!r}. Allowed: true or false.")
    return text.lower() == "true"


def _date(name: str, text: str) -> int:
    """Returns the epoch milliseconds of an ISO date or time; without an offset it is UTC."""
    try:
        if re.fullmatch(r"[0-9]{9,}", text):  # epoch time, which would parse as some old year
            raise ValueError
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {text!r}. Allowed: an ISO date such as 2026-01-31.") from None
    if since_ms > datetime.now(UTC).timestamp() * 1000:
        raise ValueError(f"{name} is {text!r}, which is in the future. Allowed: a past ISO date.")
    return since_ms


def _example(name: str) -> str:
    texts = {"capture_deletes": '"true"', "streams": '"message,brand"', "region": '"EU"'}
    return texts.get(name, '"10"')


# Configuration key -> the field of Settings, and the parser of its text.
OPTIONS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "api_key": ("api_key", lambda name, text: text),
    "region": ("region", _region),
    "base_url": ("base_url", _base_url),
    "streams": ("streams", _streams),
    "requests_per_second": ("requests_per_second", _number(0.1, 1000)),
    "max_retries": ("max_retries", _whole_number(0, 10)),
    "request_timeout_seconds": ("request_timeout_seconds", _number(1, 600)),
    "sync_since": ("sync_since_ms", _date),
    "message_lookback_days": ("message_lookback_days", _number(0, 365)),
    "message_lanes": ("message_lanes", _whole_number(1, 128)),
    "children_refresh_hours": ("children_refresh_hours", _number(0, 720)),
    "capture_deletes": ("capture_deletes", _yes_or_no),
    "redact_secrets": ("redact_secrets", _yes_or_no),
    "checkpoint_interval_seconds": ("checkpoint_interval_seconds", _number(0, 3600)),
}
