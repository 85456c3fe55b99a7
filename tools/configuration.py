"""Chooses the configuration that a command uses, and checks it before the SDK reads it."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from courier_async.settings import KEY_PREFIXES, Settings, shown_name
from tools.stage import ROOT

TRACKED: Final = "configuration.json"
LOCAL: Final = "configuration.local.json"
MOST_SETTINGS: Final = 100  # The SDK refuses more.
MUST_HOLD: Final = 'It must contain {"api_key": "..."}.'
NO_BOM: Final = "Save it as UTF-8 without a byte order mark (BOM)."


class BadConfiguration(Exception):
    """A sentence that says what is wrong with a configuration file, without its name."""


def chosen(environment: Mapping[str, str]) -> Path:
    """Returns the file that CONFIGURATION names, else the profile's, the local or the tracked one.

    A profile never falls back to the local file: that holds the key of another environment.
    """
    named = environment.get("CONFIGURATION") or environment.get("FIVETRAN_CONFIGURATION")
    if named:
        return ROOT / Path(named).expanduser()
    if profile := environment.get("PROFILE", "").strip():
        return ROOT / f"configuration.{profile}.json"
    local = ROOT / LOCAL
    return local if local.exists() else ROOT / TRACKED


def environment_name(path: Path) -> str:
    """Returns a configuration's short name: "eu" for configuration.eu.json, "" for the usual one.

    The name of a file outside the project includes a hash of its path, so that it is unique.
    """
    if path.parent.resolve() != ROOT:
        digest = sha256(str(path.resolve()).encode()).hexdigest()[:8]
        return f"{_plain(path.stem)}-{digest}"
    if path.name in (TRACKED, LOCAL):
        return ""
    name = _plain(path.stem.removeprefix("configuration."))
    # `make demo` keeps its warehouse in files/demo/.
    return "demo_" if name == "demo" else name


def load(path: Path) -> dict[str, Any]:
    """Reads the configuration by the SDK's own rules. Raises BadConfiguration."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = "There is no such file" if not path.exists() else f"It cannot be read ({error})"
        raise BadConfiguration(f"{reason}. {MUST_HOLD}") from None
    except UnicodeDecodeError:
        raise BadConfiguration(f"It is not UTF-8 text. {NO_BOM}") from None
    if text.startswith("\ufeff"):
        raise BadConfiguration(f"It begins with a byte order mark. {NO_BOM}")
    if not text.strip():
        raise BadConfiguration(f"It is empty. {MUST_HOLD}")
    try:
        configuration = json.loads(text)
    except json.JSONDecodeError as error:
        if text.strip().startswith(KEY_PREFIXES):
            raise BadConfiguration(
                f"It is a key without the JSON around it. {MUST_HOLD}"
            ) from None
        raise BadConfiguration(
            f"It is not JSON (line {error.lineno}, column {error.colno})."
        ) from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise BadConfiguration("It contains a number that is too long.") from None
    except RecursionError:
        raise BadConfiguration("It is nested too deeply.") from None
    if not isinstance(configuration, dict):
        raise BadConfiguration("It must be a JSON object of text values.")
    if len(configuration) > MOST_SETTINGS:
        raise BadConfiguration(f"It has more than {MOST_SETTINGS} settings.")
    key = str(configuration.get("api_key") or "")
    for name, value in configuration.items():
        if not isinstance(value, str):
            shown = shown_name(name, key)
            raise BadConfiguration(f'{shown!r} must be text in quotes, such as "10".')
    return configuration


def checked(path: Path) -> tuple[dict[str, Any], Settings]:
    """Returns the configuration and the settings it contains. Raises BadConfiguration."""
    configuration = load(path)
    try:
        return configuration, Settings.from_configuration(configuration)
    except ValueError as error:
        raise BadConfiguration(str(error)) from None


def _plain(name: str) -> str:
    """Returns a name that is safe for a folder."""
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "other"
