"""Switches such as YES=1, read from the environment."""

import sys
from collections.abc import Mapping


def is_on(environment: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on. Raises SystemExit with a sentence if its value is not allowed."""
    value = environment.get(name, "").strip().lower()
    if value in ("1", "true", "yes"):
        return True
    if value in ("", "0", "false", "no"):
        return False
    sys.exit(f"{name} is {value!r}. Allowed: 1, true or yes; 0, false, no or nothing.")
