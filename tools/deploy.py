"""`make deploy`: the real `fivetran deploy`, on a folder that holds only what runs."""

import os
import re
import subprocess
import sys
from collections.abc import Set
from hashlib import sha256

from courier_async.state.saved import VERSION as STATE_VERSION
from tools.deploy_target import DEFAULT_PROFILE, Target, target_from
from tools.environment import is_on
from tools.fivetran_api import Connection, FivetranRefused, find_connection
from tools.package import ARCHIVE, package, sdk_environment, size
from tools.stage import STAGE, changed_requirements

# What the SDK gives a new connection; an existing one keeps its own.
PYTHON_VERSION = "3.14"
# asyncio.TaskGroup needs 3.11; "": the API did not say.
TOO_OLD = ("", "3.10")
SWITCHES = ("DRY_RUN", "YES", "VERBOSE")
# What the SDK prints before a text: the time, a level, its own name.
_PREFIX = re.compile(r"^\d\d:\d\d:\d\d\.\d+ [A-Z]+\s+\S+ sdk\s+")
# What the SDK says before its first step, and what our own lines say already.
_NOISE = re.compile(
    r"\s*$|\S* ?using custom|\S* ?reading api key|\S* ?resolved options|executing deploy:"
    r"|fivetran deploy |Validation of requirements|profile 'default' not found"
    r"|\s*\w+ = .* \((provided via|using) "
)


def python_version(target: Target, existing: Connection | None) -> str:
    """The Python that the connection will run on."""
    if target.python_version:
        return target.python_version
    kept = existing.python_version if existing else PYTHON_VERSION
    return PYTHON_VERSION if kept in TOO_OLD else kept


def hidden(line: str, target: Target) -> str:
    """The line without either key, nor the first characters of Fivetran's that the SDK shows."""
    for secret in (target.api_key, target.courier_key, target.api_key[:8]):
        line = line.replace(secret, "[hidden]")
    return line


def plan(target: Target, existing: Connection | None) -> list[str]:
    """What a deploy would send, without secrets."""
    settings = {
        name: "[hidden]" if name == "api_key" else value
        for name, value in target.configuration.items()
    }
    digest = sha256(ARCHIVE.read_bytes()).hexdigest()[:16]
    return [
        f"Destination:    {target.destination}",
        f"Connection:     {target.connection} ({existing.id if existing else 'new, paused'})",
        f"Python:         {python_version(target, existing)}",
        f"Package:        {size(ARCHIVE)}, sha256 {digest}...",
        f"Configuration:  {target.configuration_path}",
        *(f"  {name} = {value!r}" for name, value in settings.items()),
    ]


def run_deploy(target: Target, existing: Connection | None, *, verbose: bool) -> int:
    """Run `fivetran deploy`, passing on what it prints less the keys; return its exit status."""
    command = [
        *("fivetran", "deploy", str(STAGE)),
        *("--destination", target.destination),
        *("--connection", target.connection),
        *("--configuration", str(target.configuration_path.absolute())),
        *("--python-version", python_version(target, existing)),
        # A first deploy is cancelled, not made a replacement, if the connection now exists.
        "--yes" if existing else "--non-interactive",
    ]
    if target.options_file is not None:
        command += ["--options-file", str(target.options_file.absolute())]
        command += ["--profile", target.profile]
    # By the environment: arguments can be read by every user of the machine.
    environment = sdk_environment() | {"FIVETRAN_API_KEY": target.api_key}
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        for line in running.stdout or ():
            text = _PREFIX.sub("", hidden(line, target)).rstrip()
            if verbose or not _NOISE.match(text):
                print(f"  {text}", flush=True)
    return running.returncode


def state_notice(existing: Connection) -> str:
    """What becomes of the saved state; "" where this code goes on from it.

    Raises SystemExit where a newer version of the connector saved it.
    """
    saved = existing.state_version
    if saved is None or saved == STATE_VERSION:
        return ""
    if saved > STATE_VERSION:
        sys.exit(
            f"Nothing was deployed: a newer version of the connector saved the state of this "
            f"connection (state version {saved}, this code reads {STATE_VERSION}), and every sync "
            "would fail. Deploy that version again, or see 'Rollback' in docs/deploying.md."
        )
    return (
        f"Its state is of version {saved}, and this code keeps version {STATE_VERSION}: the next "
        "sync reads and sends everything again."
    )


def confirm(target: Target, switches: Set[str], *, on_terminal: bool) -> None:
    """Have the replacement confirmed; SystemExit if it is not."""
    if "YES" in switches:
        return
    if not on_terminal:
        sys.exit("Nothing was deployed: YES=1 confirms the replacement.")
    if input(f"Replace {target.connection}? [y/N] ").strip().lower() not in {"y", "yes"}:
        sys.exit("Nothing was deployed.")


def describe_existing(target: Target, existing: Connection) -> list[str]:
    """What a redeploy replaces, and what stays."""
    return [
        f"Connection {target.connection} ({existing.id}) exists in {target.destination}; "
        f"its last successful sync: {existing.succeeded_at or 'never'}.",
        "Its code will be replaced, and its whole configuration by "
        f"{target.configuration_path}; its tables and its state stay.",
        *filter(None, [state_notice(existing)]),
    ]


def main() -> int:
    """Deploy to the target of the environment; return the exit status."""
    switches = {name for name in SWITCHES if is_on(os.environ, name)}
    on_terminal = sys.stdin.isatty()
    target = target_from(os.environ, on_terminal=on_terminal)
    if target.profile != DEFAULT_PROFILE:
        print(f"Profile: {target.profile} of {target.options_file}.")
    print(f"Configuration: {target.configuration_path.name} is valid.")
    try:
        existing = find_connection(target.api_key, target.destination, target.connection)
    except FivetranRefused as refusal:
        sys.exit(str(refusal))
    if existing is None:
        print(f"Connection {target.connection} is new in {target.destination}: it starts paused.")
    else:
        print(*describe_existing(target, existing), sep="\n", flush=True)
    package(quiet=True)
    print(f"Package: {size(ARCHIVE)}.", flush=True)
    if "DRY_RUN" in switches:
        print("", *plan(target, existing), "", "Nothing was sent (DRY_RUN=1).", sep="\n")
        return 0
    if existing is not None:
        confirm(target, switches, on_terminal=on_terminal)
    status = run_deploy(target, existing, verbose="VERBOSE" in switches)
    if change := changed_requirements():
        sys.exit(f"The SDK changed requirements.txt before it sent the package: {change}.")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, EOFError):
        sys.exit("\nStopped.")
