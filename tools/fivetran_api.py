"""What `fivetran deploy` finds out too late: the connection that a deploy would replace.

Every request is a GET, to the address that the SDK uses, with the same key.
"""

import http.client
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The SDK's own settings, where tests and rehearsals name another API than Fivetran's.
SDK_SETTINGS = Path(".fivetran") / "connector_sdk" / "_config.json"
FIVETRAN_URL = "https://api.fivetran.com"
TIMEOUT_SECONDS = 30
PROXY_REFUSED = 407


class FivetranRefused(Exception):
    """A sentence that says what Fivetran refused, and what to do."""


@dataclass(frozen=True)
class Connection:
    """What a redeploy would replace.

    `succeeded_at` is ISO text, or "" before the first sync; `state` is the saved state, if any.
    """

    id: str
    python_version: str
    succeeded_at: str
    state: Any = field(repr=False)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuses: urllib would send the key along to the redirect's target."""


def find_connection(api_key: str, destination: str, name: str) -> Connection | None:
    """Returns the Connector SDK connection of that name in that destination, or None.

    Raises FivetranRefused if the key is not accepted, the destination does not exist, the
    connection is of another kind or the API cannot be reached.
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
    saved = _get(api_key, f"/v1/connections/{found['id']}/state")
    return Connection(
        id=found["id"],
        python_version=details.get("config", {}).get("python_version") or "",
        succeeded_at=details.get("succeeded_at") or "",
        state=saved.get("state"),
    )


def connection_names(api_key: str, destination: str) -> list[str]:
    """Returns the names of a destination's Connector SDK connections. Raises FivetranRefused."""
    path = f"/v1/groups/{_group_id(api_key, destination)}/connectors"
    found = _items(api_key, path)
    return sorted(item["schema"] for item in found if item["service"] == "connector_sdk")


def _group_id(api_key: str, destination: str) -> str:
    groups = {group["name"]: str(group["id"]) for group in _items(api_key, "/v1/groups")}
    if destination not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise FivetranRefused(f"No destination is named {destination}. Available: {known}.")
    return groups[destination]


def _items(api_key: str, path: str) -> Iterator[dict[str, Any]]:
    """Yields the items of all pages of a listing."""
    query = {"limit": "500"}
    while True:
        page = _get(api_key, f"{path}?{urllib.parse.urlencode(query)}")
        yield from page["items"]
        if not page.get("next_cursor"):
            return
        query["cursor"] = page["next_cursor"]


def fivetran_url() -> str:
    """Returns the address of the API that the SDK talks to."""
    settings = Path.home() / SDK_SETTINGS
    if settings.exists():
        return json.loads(settings.read_text()).get("production_base_url") or FIVETRAN_URL
    return FIVETRAN_URL


def _get(api_key: str, path: str) -> dict[str, Any]:
    base_url = fivetran_url()
    request = urllib.request.Request(
        base_url + path, headers={"Authorization": f"Basic {api_key}"}
    )
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
            return data
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise FivetranRefused(
                f"Fivetran does not accept FIVETRAN_API_KEY ({error.code}): it must be the "
                "base64-encoded key of a user who may manage this destination's connections."
            ) from None
        if error.code != PROXY_REFUSED:
            sentence = f"Fivetran answered {error.code}; nothing was deployed."
            raise FivetranRefused(sentence) from None
        cause = _refused_by_proxy(PROXY_REFUSED)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        cause = _cause(error)
    variable = _proxy_variable(base_url)
    through = f" through the proxy that {variable} names" if variable else ""
    raise FivetranRefused(
        f"Fivetran's API at {base_url} cannot be reached{through}: {cause}. Nothing was deployed."
    )


def _proxy_variable(url: str) -> str:
    """Returns the variable that names the proxy for requests to this address, or "".

    Never returns its value, which may hold a password.
    """
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "")


def _refused_by_proxy(status: int | str) -> str:
    return f"the proxy answered {status}"


def _cause(error: BaseException) -> str:
    """Says why a request got no response."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return "its name cannot be resolved (is this machine offline?)"
    if isinstance(reason, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(reason, TimeoutError):
        return f"no response within {TIMEOUT_SECONDS} s"
    if tunnel := re.match(r"Tunnel connection failed: (\d+)", str(reason)):
        return _refused_by_proxy(tunnel[1])
    if isinstance(reason, ssl.SSLError):
        return "its certificate is not trusted on this machine"
    if isinstance(reason, (http.client.IncompleteRead, http.client.RemoteDisconnected)):
        return "the connection was closed before the whole response had arrived"
    if isinstance(reason, (http.client.HTTPException, ValueError, KeyError, TypeError)):
        return "the response is not from Fivetran"
    return type(reason).__name__
