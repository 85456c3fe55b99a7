"""Where to deploy and with what, checked before any request to Fivetran."""

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from getpass import getpass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from courier_async.settings import KEY_PREFIXES, unknown_settings
from tools.configuration import BadConfiguration, checked, chosen
from tools.stage import ROOT

CONNECTION_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
DEFAULT_PROFILE: Final = "default"
KEY_QUESTION: Final = (
    "Fivetran API key, base64-encoded (in Fivetran, click your user name, then API Key)"
)
PYTHON_VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
# What the SDK reads from a profile.
PROFILE_FIELDS: Final = (
    "connection",
    "destination",
    "hybrid_deployment_agent_id",
    "naming",
    "proxy_host_config_key",
    "proxy_id",
    "python_version",
)
_HOLDS_KEY: Final = re.compile(rf"(?i)api[_-]?key[\"']?\s*=|(?:{'|'.join(KEY_PREFIXES)})_")


@dataclass(frozen=True)
class Target:
    """Where to deploy, with which keys; neither key is in its repr.

    `source` is the Courier account as the state names it: the host and the kind of key.
    `options_file` is the SDK's file of profiles, or None; `profile` the one in use.
    """

    destination: str
    connection: str
    configuration_path: Path
    configuration: Mapping[str, str] = field(repr=False)
    source: str
    api_key: str = field(repr=False)
    options_file: Path | None = None
    profile: str = DEFAULT_PROFILE
    python_version: str = ""

    @property
    def courier_key(self) -> str:
        return self.configuration["api_key"]


def target_from(environment: Mapping[str, str], *, on_terminal: bool) -> Target:
    """Returns the target that environment and profile name; on a terminal, asks for the rest.

    Raises SystemExit with a sentence if something is missing or cannot work.
    """
    named_profile = environment.get("PROFILE", "").strip()
    options_file = _options_file(environment)
    profile = _profile(options_file, named_profile or DEFAULT_PROFILE)
    path = chosen(environment)
    configuration, source = deployable(path)

    def wanted(name: str, option: str, question: str, ask: Callable[[str], str] = input) -> str:
        value, of_profile = environment.get(name, "").strip(), str(profile.get(option, ""))
        if named_profile and value and of_profile and value != of_profile:
            sys.exit(
                f"{name} is {value!r}, but the {option} of profile {named_profile!r} is "
                f"{of_profile!r}: unset {name}, or PROFILE."
            )
        value = value or of_profile
        if not value and on_terminal:
            value = ask(f"{question}: ").strip()
        return value or sys.exit(f"{name} is not set: {question}.")

    api_key = wanted("FIVETRAN_API_KEY", "", KEY_QUESTION, getpass)
    if ":" in api_key:
        sys.exit("FIVETRAN_API_KEY must be base64-encoded, not 'key:secret'.")
    return Target(
        destination=wanted(
            "FIVETRAN_DESTINATION_NAME", "destination", "name of the Fivetran destination"
        ),
        connection=_connection_name(
            wanted(
                "FIVETRAN_CONNECTION_NAME", "connection", "name of the connection, e.g. courier"
            )
        ),
        configuration_path=path,
        configuration=configuration,
        source=source,
        api_key=api_key,
        options_file=options_file,
        profile=named_profile or DEFAULT_PROFILE,
        python_version=_python_version(
            environment.get("FIVETRAN_PYTHON_VERSION", "").strip()
            or str(profile.get("python_version", ""))
        ),
    )


def deployable(path: Path) -> tuple[dict[str, str], str]:
    """Returns a configuration that Fivetran can sync with, and its source.

    Raises SystemExit with a sentence if Fivetran cannot sync with it.
    """
    try:
        configuration, settings = checked(path)
    except BadConfiguration as trouble:
        sys.exit(f"{path} cannot be deployed: {trouble}")
    url = urlsplit(settings.base_url)
    if url.scheme != "https" or _is_loopback(url.hostname or ""):
        sys.exit(
            f"{path} cannot be deployed: base_url is {settings.base_url}, which Fivetran cannot "
            "reach. Remove it, or give the https address of your Courier account."
        )
    for sentence in unknown_settings(configuration):
        sys.exit(f"{path} cannot be deployed: {sentence}")
    return configuration, settings.source


def _connection_name(name: str) -> str:
    if not CONNECTION_NAME.fullmatch(name):
        sys.exit(
            f"FIVETRAN_CONNECTION_NAME is {name!r}. Allowed: lower-case letters, digits and "
            "underscores, and it must not start with a digit."
        )
    return name


def _python_version(version: str) -> str:
    if version not in ("", *PYTHON_VERSIONS):
        sys.exit(
            f"The Python version is {version!r}. Allowed: {', '.join(PYTHON_VERSIONS)}; set it "
            "with FIVETRAN_PYTHON_VERSION, or as python_version in a profile."
        )
    return version


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _options_file(environment: Mapping[str, str]) -> Path | None:
    """Finds the SDK's options.toml, where the SDK looks for it."""
    named = environment.get("FIVETRAN_OPTIONS_FILE", "")
    if named:
        return Path(named).expanduser()
    places = (ROOT / "options.toml", Path.home() / ".fivetran/connector_sdk/options.toml")
    return next((place for place in places if place.is_file()), None)


def _profile(options_file: Path | None, name: str) -> dict[str, Any]:
    """Returns a profile's options; {} if there is none and no profile was named."""
    if options_file is None:
        if name != DEFAULT_PROFILE:
            sys.exit(f"PROFILE is {name!r}, but there is no options.toml.")
        return {}
    try:
        text = options_file.read_text(encoding="utf-8")
        if _HOLDS_KEY.search(text):
            sys.exit(
                f"{options_file} contains an API key. Put Fivetran's key in FIVETRAN_API_KEY and "
                "Courier's in the configuration."
            )
        found: Any = tomllib.loads(text)
    except OSError as error:
        sys.exit(f"{options_file} cannot be read: {os.strerror(error.errno or 0)}.")
    except ValueError as error:
        sys.exit(f"{options_file} is not TOML: {error}.")
    known = ", ".join(sorted(found)) or "none"
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        if name != DEFAULT_PROFILE:
            sys.exit(f"{options_file} has no profile {name!r}. Available: {known}.")
        return {}
    # A profile may hold others, as [eu] holds [eu.test].
    fields = [field for field, value in found.items() if not isinstance(value, dict)]
    if unknown := [field for field in fields if field not in PROFILE_FIELDS]:
        sys.exit(
            f"Profile {name!r} of {options_file} has unknown options: {', '.join(unknown)}. "
            f"Allowed: {', '.join(PROFILE_FIELDS)}."
        )
    return found
