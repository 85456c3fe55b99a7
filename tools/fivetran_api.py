"""The one question that `fivetran deploy` answers too late: does the connection exist already?

The requests are ones that the SDK itself makes (GET /v1/groups, then its connectors), to the
same address, with the same key; nothing is changed by them.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where the SDK's own settings name another API than Fivetran's, as tests do.
SDK_SETTINGS = Path(".fivetran") / "connector_sdk" / "_config.json"
FIVETRAN_URL = "https://api.fivetran.com"


class FivetranRefused(Exception):
    """A sentence that says what Fivetran refused, and what to do."""


@dataclass(frozen=True)
class Connection:
    """What a redeploy would replace; `succeeded_at` is ISO text, or "" before the first sync."""

    id: str
    python_version: str
    succeeded_at: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuse: urllib would send the key along to wherever it is pointed."""


def find_connection(api_key: str, destination: str, name: str) -> Connection | None:
    """The Connector SDK connection of that name in that destination, or None.

    Raises FivetranRefused for a key that is not accepted, a destination that is not there, a
    connection of another kind and an API that cannot be reached.
    """
    group_id = _group_id(api_key, destination)
    query = urllib.parse.urlencode({"schema": name})
    items = _get(api_key, f"/v1/groups/{group_id}/connectors?{query}")["items"]
    if not items:
        return None
    found = items[0]
    if found["service"] != "connector_sdk":
        raise FivetranRefused(
            f"Connection {name} in {destination} is a {found['service']} connection, "
            "which this would break: choose another FIVETRAN_CONNECTION_NAME."
        )
    details = _get(api_key, f"/v1/connectors/{found['id']}")
    return Connection(
        id=found["id"],
        python_version=details.get("config", {}).get("python_version") or "",
        succeeded_at=details.get("succeeded_at") or "",
    )


def _group_id(api_key: str, destination: str) -> str:
    names: list[str] = []
    query = {"limit": "500"}
    while True:
        page = _get(api_key, f"/v1/groups?{urllib.parse.urlencode(query)}")
        for group in page["items"]:
            if group["name"] == destination:
                return str(group["id"])
            names.append(group["name"])
        if not page.get("next_cursor"):
            known = ", ".join(sorted(names)) or "none"
            raise FivetranRefused(f"No destination is named {destination}; there is: {known}.")
        query["cursor"] = page["next_cursor"]


def _get(api_key: str, path: str) -> dict[str, Any]:
    settings = Path.home() / SDK_SETTINGS
    base_url = FIVETRAN_URL
    if settings.exists():
        base_url = json.loads(settings.read_text()).get("production_base_url") or base_url
    request = urllib.request.Request(
        base_url + path, headers={"Authorization": f"Basic {api_key}"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
            return data
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise FivetranRefused(
                f"Fivetran does not accept FIVETRAN_API_KEY ({error.code}): it must be the "
                "base64-encoded key of a user who may manage this destination's connections."
            ) from None
        raise FivetranRefused(f"Fivetran answered {error.code}; nothing was deployed.") from None
    except (OSError, ValueError, KeyError) as error:
        raise FivetranRefused(
            f"Fivetran's API at {base_url} cannot be read ({type(error).__name__})."
        ) from None
