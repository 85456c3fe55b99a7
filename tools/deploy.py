"""`make deploy`: the real `fivetran deploy`, on a folder that holds only what runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path

from courier_async.settings import Settings, unknown_settings
from tools.fivetran_api import Connection, FivetranRefused, find_connection
from tools.package import describe, package, sdk_environment
from tools.stage import ROOT, STAGE, changed_requirements

# What the SDK gives a new connection; an existing one keeps its own.
PYTHON_VERSION = "3.14"
# asyncio.TaskGroup needs 3.11; "": the API did not say.
TOO_OLD = ("", "3.10")


@dataclass(frozen=True)
class Target:
    """Where to deploy, with which keys; neither key is in its repr."""

    destination: str
    connection: str
    configuration_path: Path
    api_key: str = field(repr=False)
    courier_key: str = field(repr=False)


def target_from(environment: Mapping[str, str], *, on_terminal: bool) -> Target:
    """The target that the environment names; what is missing is asked for on a terminal.

    Raises SystemExit with a sentence where something is missing or could not work.
    """

    def wanted(name: str, question: str, ask: Callable[[str], str] = input) -> str:
        value = environment.get(name, "").strip()
        if not value and on_terminal:
            value = ask(f"{question}: ").strip()
        return value or sys.exit(f"{name} is not set: {question}.")

    chosen = environment.get("CONFIGURATION") or environment.get("FIVETRAN_CONFIGURATION")
    path = ROOT / Path(chosen or "configuration.json").expanduser()
    courier_key = checked_courier_key(path)
    api_key = wanted("FIVETRAN_API_KEY", "Fivetran API key, base64-encoded", getpass)
    if ":" in api_key:
        sys.exit("FIVETRAN_API_KEY must be base64-encoded, not 'key:secret'.")
    return Target(
        destination=wanted("FIVETRAN_DESTINATION_NAME", "name of the Fivetran destination"),
        connection=wanted("FIVETRAN_CONNECTION_NAME", "name of the connection, e.g. courier"),
        configuration_path=path,
        api_key=api_key,
        courier_key=courier_key,
    )


def checked_courier_key(path: Path) -> str:
    """The Courier key that a configuration holds; SystemExit with a sentence if it is no key."""
    try:
        configuration = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError:
        sys.exit(f"{path} does not exist: name the configuration to deploy in CONFIGURATION.")
    except ValueError:
        sys.exit(f"{path} is not JSON.")
    key = configuration.get("api_key") if isinstance(configuration, dict) else None
    if not isinstance(key, str) or not key.strip():
        sys.exit(f"{path} has no api_key: Fivetran would get a connection that cannot sync.")
    if key.strip().startswith("<"):
        sys.exit(f"{path} still has the placeholder as its api_key: put your Courier key there.")
    try:
        Settings.from_configuration(configuration)
    except ValueError as error:
        # Found here, it does not replace a configuration that works.
        sys.exit(f"{path} cannot be deployed: {error}")
    for warning in unknown_settings(configuration):
        print(f"{path}: {warning}")
    return key


def hidden(line: str, *, api_key: str, courier_key: str) -> str:
    """The line without either key, nor the first characters of Fivetran's that the SDK shows."""
    for secret in (api_key, courier_key, api_key[:8]):
        line = line.replace(secret, "[hidden]")
    return line


def run_deploy(target: Target, existing: Connection | None) -> int:
    """Run `fivetran deploy`, passing on what it prints less the keys; return its exit status."""
    python_version = existing.python_version if existing else PYTHON_VERSION
    if python_version in TOO_OLD:
        python_version = PYTHON_VERSION
    command = [
        "fivetran",
        "deploy",
        str(STAGE),
        *("--destination", target.destination),
        *("--connection", target.connection),
        *("--configuration", str(target.configuration_path)),
        *("--python-version", os.environ.get("FIVETRAN_PYTHON_VERSION") or python_version),
        # A first deploy is cancelled, not made a replacement, if the connection now exists.
        "--yes" if existing else "--non-interactive",
    ]
    # By the environment: arguments can be read by every user of the machine.
    environment = sdk_environment() | {"FIVETRAN_API_KEY": target.api_key}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            shown = hidden(line, api_key=target.api_key, courier_key=target.courier_key)
            print(shown, end="", flush=True)
    return running.returncode


def confirm(target: Target, existing: Connection, *, on_terminal: bool) -> None:
    """Say what a redeploy replaces and have it confirmed; SystemExit if it is not."""
    print(
        f"Connection {target.connection} ({existing.id}) exists in {target.destination}; "
        f"its last successful sync: {existing.succeeded_at or 'never'}.\n"
        f"Its code will be replaced, and its whole configuration by {target.configuration_path}; "
        "its tables and its state stay.",
        flush=True,
    )
    if os.environ.get("YES") == "1":
        return
    if not on_terminal:
        sys.exit("Nothing was deployed: YES=1 confirms the replacement.")
    if input("Replace it? [y/N] ").strip().lower() not in {"y", "yes"}:
        sys.exit("Nothing was deployed.")


def main() -> int:
    """Deploy to the target of the environment; return the exit status."""
    on_terminal = sys.stdin.isatty()
    target = target_from(os.environ, on_terminal=on_terminal)
    try:
        existing = find_connection(target.api_key, target.destination, target.connection)
    except FivetranRefused as refusal:
        sys.exit(str(refusal))
    print(describe(package()), flush=True)
    if existing is None:
        print(f"Connection {target.connection} is new in {target.destination}: it starts paused.")
    else:
        confirm(target, existing, on_terminal=on_terminal)
    status = run_deploy(target, existing)
    if change := changed_requirements():
        sys.exit(f"The SDK changed requirements.txt before it sent the package: {change}.")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, EOFError):
        sys.exit("\nStopped.")
