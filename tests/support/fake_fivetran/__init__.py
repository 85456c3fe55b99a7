"""The part of Fivetran's REST API that `fivetran deploy` uses, on a loopback address.

It answers the requests observed from SDK 3.0.0, and those for pausing and the saved state. It
remembers every call, and knows one account.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

DESTINATIONS = ("Staging", "Warehouse")


class FakeFivetran:
    """The account's state, and the calls it received.

    `calls` are ("METHOD", "path without query"); `packages` the uploaded archives by id;
    `connections` the connections by id, as the API would show them; `states` what they saved, by
    connection id; `groups` the destinations by id; `moved_to` another address to redirect every
    request to, or "".
    """

    def __init__(self, api_key: str, destinations: Sequence[str]) -> None:
        self.api_key = api_key
        self.groups = {f"grp_{name.lower()}": name for name in destinations}
        self.url = ""
        self.calls: list[tuple[str, str]] = []
        self.packages: dict[str, bytes] = {}
        self.connections: dict[str, dict[str, Any]] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.failing_setup_test = ""
        self.moved_to = ""

    def mutations(self) -> list[tuple[str, str]]:
        """Returns the calls that change something, in order."""
        return [(method, path) for method, path in self.calls if method != "GET"]

    def reads(self) -> set[str]:
        """Returns the paths that were read, once each."""
        return {path for method, path in self.calls if method == "GET"}

    def archive_names(self, package_id: str) -> list[str]:
        """Returns the sorted names in an uploaded archive."""
        return sorted(zipfile.ZipFile(io.BytesIO(self.packages[package_id])).namelist())

    def add_connection(self, schema: str, service: str = "connector_sdk") -> str:
        """Adds a connection to Warehouse, as an earlier deploy would have; returns its id."""
        self.packages["pkg_earlier"] = b""
        return self._keep(
            {
                "service": service,
                "group_id": "grp_warehouse",
                "succeeded_at": "2026-11-20T08:15:00Z",
                "config": {
                    "schema": schema,
                    "package_id": "pkg_earlier",
                    "python_version": "3.12",
                },
            }
        )

    def answer(self, method: str, target: str, content_type: str, body: bytes) -> tuple[int, Any]:
        """Returns the status and `data` for one authorized request."""
        url = urlsplit(target)
        match [method, *url.path.removeprefix("/v1/").split("/")]:
            case ["GET", "groups"]:
                return 200, self._page_of_groups(parse_qs(url.query).get("cursor", ["0"])[0])
            case ["GET", "groups", group_id, "connectors"]:
                schema = parse_qs(url.query).get("schema", [""])[0]
                return 200, {"items": self._in_group(group_id, schema)}
            case ["GET", "destinations", group_id]:
                return 200, {"id": group_id, "hybrid_deployment_agent_id": None}
            case ["GET", "connections", connection_id, "state"]:
                return 200, {"state": self.states.get(connection_id, {})}
            case ["PATCH", "connections", connection_id, "state"]:
                self.states[connection_id] = json.loads(body)["state"]
                return 200, {"state": self.states[connection_id]}
            case ["GET", "connectors" | "connections", connection_id]:
                return 200, self.connections[connection_id]
            case ["GET", "connector-sdk", "packages", package_id]:
                used_by = [i for i, c in self.connections.items() if _package(c) == package_id]
                return 200, {"id": package_id, "connection_ids": used_by}
            case ["GET", "connector-sdk", "migration", "connections"]:
                return 200, {"items": []}
            case ["POST", "connector-sdk", "packages"]:
                package_id = f"pkg_{len(self.packages) + 1}"
                self.packages[package_id] = _uploaded_file(content_type, body)
                return 201, {"id": package_id}
            case ["POST", "connectors"]:
                return 201, self._tested(self.connections[self._keep(json.loads(body))])
            case ["PATCH", "connectors" | "connections", connection_id]:
                change = json.loads(body)
                self.connections[connection_id]["config"] |= change.pop("config", {})
                self.connections[connection_id] |= change
                return 200, self._tested(self.connections[connection_id])
        return 404, None

    def _keep(self, connection: dict[str, Any]) -> str:
        connection_id = f"conn_{len(self.connections) + 1}"
        connection |= {"id": connection_id, "schema": connection["config"]["schema"]}
        connection.setdefault("destination_schema_names", "FIVETRAN_NAMING")
        self.connections[connection_id] = connection
        return connection_id

    def _page_of_groups(self, cursor: str) -> dict[str, Any]:
        """Returns one group per page, so that reading only the first page misses the others."""
        at = int(cursor)
        group_id, name = list(self.groups.items())[at]
        more = {"next_cursor": str(at + 1)} if at + 1 < len(self.groups) else {}
        return {"items": [{"id": group_id, "name": name}], **more}

    def _in_group(self, group_id: str, schema: str) -> list[dict[str, Any]]:
        """Returns a group's connections, or only the one of that name if a name is given."""
        found = [c for c in self.connections.values() if c["group_id"] == group_id]
        return [c for c in found if schema in ("", c["schema"])]

    def _tested(self, connection: dict[str, Any]) -> dict[str, Any]:
        failure = self.failing_setup_test
        result = {"title": "Key", "status": "FAILED" if failure else "PASSED", "message": failure}
        return connection | {"setup_tests": [result]}


def _package(connection: dict[str, Any]) -> str:
    return str(connection["config"]["package_id"])


def _uploaded_file(content_type: str, body: bytes) -> bytes:
    """Returns the content of a multipart body's only part, named `file`."""
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    _, part = message.walk()
    assert part.get_param("name", header="content-disposition") == "file"
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@contextmanager
def fake_fivetran(
    api_key: str,
    *,
    destinations: Sequence[str] = DESTINATIONS,
    on_change: Callable[[tuple[str, str]], None] | None = None,
) -> Iterator[FakeFivetran]:
    """Serves the API until the block ends; `url` is its address.

    `on_change` is called with each call that is not a GET.
    """
    fake = FakeFivetran(api_key, destinations)

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.calls.append((self.command, urlsplit(self.path).path))
            if on_change is not None and self.command != "GET":
                on_change(fake.calls[-1])
            if fake.moved_to:
                status, data = 302, None
            elif self.headers["Authorization"] == f"Basic {api_key}":
                content_type = self.headers.get("Content-Type", "")
                status, data = fake.answer(self.command, self.path, content_type, body)
            else:
                status, data = 401, None
            self.send_response(status)
            if fake.moved_to:
                self.send_header("Location", fake.moved_to + self.path)
            self.end_headers()
            self.wfile.write(json.dumps({"message": f"fake: {status}", "data": data}).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = respond

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use_fake_fivetran(home: Path, url: str) -> None:
    """Points the SDK of that home at another API than Fivetran's."""
    settings = home / ".fivetran" / "connector_sdk" / "_config.json"
    settings.write_text(json.dumps({"production_base_url": url}))
