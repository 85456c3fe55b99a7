"""`make deploy`: runs the real `fivetran deploy` on a folder with only what ships."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence, Set
from hashlib import sha256
from typing import Any

from courier_async import __version__
from courier_async.state.saved import VERSION as STATE_VERSION
from courier_async.state.saved import other_source
from tools.deploy_target import DEFAULT_PROFILE, Target, target_from
from tools.environment import is_on
from tools.fivetran_api import (
    FIVETRAN_URL,
    Connection,
    FivetranRefused,
    connection_names,
    find_connection,
    fivetran_url,
)
from tools.git import GitFailed, changed_files, git
from tools.package import ARCHIVE, package, sdk_environment, size
from tools.stage import FILES, PACKAGE, ROOT, STAGE, changed_requirements

# What the SDK gives a new connection; an existing one keeps its own.
PYTHON_VERSION = "3.14"
# asyncio.TaskGroup needs 3.11; "": the API did not say.
TOO_OLD = ("", "3.10")
SWITCHES = ("DRY_RUN", "YES", "RESYNC", "NEW", "VERBOSE")
# The prefix of a key that `fivetran configuration` has encrypted.
ENCRYPTED = "fivetran_encrypted:"
# What the SDK prints before each text: the time, a level, its own name.
_PREFIX = re.compile(r"^\d\d:\d\d:\d\d\.\d+ [A-Z]+\s+\S+ sdk\s+")
# What the SDK prints before its first step, and what our own lines already say.
_NOISE = re.compile(
    r"\s*$|\S* ?using custom|\S* ?reading api key|\S* ?resolved options|executing deploy:"
    r"|fivetran deploy |Validation of requirements|profile 'default' not found"
    r"|\s*\w+ = .* \((provided via|using) "
)


def version() -> str:
    """Returns the code's version, its commit, and the shipped files with uncommitted changes.

    Raises SystemExit in CI if there are any, since only committed code may ship there.
    """
    try:
        commit = git(ROOT, "rev-parse", "--short", "HEAD")
        changed = changed_files(ROOT, *FILES, PACKAGE)
    except GitFailed:
        return __version__
    if not changed:
        return f"{__version__} ({commit})"
    names = ", ".join(changed)
    if os.environ.get("CI"):
        sys.exit(f"Nothing was deployed: the files to deploy have uncommitted changes: {names}.")
    return f"{__version__} ({commit}), with uncommitted changes: {names}"


def python_version(target: Target, existing: Connection | None) -> str:
    """Returns the Python version that the connection will run on."""
    if target.python_version:
        return target.python_version
    kept = existing.python_version if existing else PYTHON_VERSION
    return PYTHON_VERSION if kept in TOO_OLD else kept


def python_change(target: Target, existing: Connection) -> list[str]:
    """Returns a sentence if the connection's Python version will change."""
    now, then = existing.python_version, python_version(target, existing)
    return [f"Its Python version changes from {now} to {then}."] if now not in ("", then) else []


def hidden(line: str, target: Target) -> str:
    """Hides both keys in a line, and the first characters of Fivetran's, which the SDK shows."""
    for secret in (target.api_key, target.courier_key, target.api_key[:8]):
        line = line.replace(secret, "[hidden]")
    return line


def plan(target: Target, existing: Connection | None) -> list[str]:
    """Returns what a deploy would send, without secrets."""
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
    """Runs `fivetran deploy`, prints its output without the keys, and returns its exit status."""
    command = [
        *("fivetran", "deploy", str(STAGE)),
        *("--destination", target.destination),
        *("--connection", target.connection),
        *("--configuration", str(target.configuration_path.absolute())),
        *("--python-version", python_version(target, existing)),
        # If the connection exists by now, this cancels a first deploy instead of replacing it.
        "--yes" if existing else "--non-interactive",
    ]
    if target.options_file is not None:
        command += ["--options-file", str(target.options_file.absolute())]
        command += ["--profile", target.profile]
    # Through the environment: every user of the machine can read arguments.
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


def resync_notice(target: Target, existing: Connection) -> str:
    """Returns why all rows will be read and sent again; "" if this code continues from the state.

    Raises SystemExit if the state is another account's or another connector's.
    """
    saved = existing.state
    if not saved:
        return ""
    version = saved.get("version") if isinstance(saved, dict) else None
    if not isinstance(version, int):
        sys.exit(
            "Nothing was deployed: this connection's state was not written by this connector "
            "(perhaps by Fivetran's example for Courier). Deploy to a new connection: see 'Move "
            "from the example connector' in docs/deploying.md."
        )
    says_source = "source" in saved or version == STATE_VERSION
    if says_source and not _is_same_source(saved.get("source"), target):
        sys.exit(f"Nothing was deployed. {other_source(saved.get('source'), target.source)}")
    if version > STATE_VERSION:
        return (
            f"A newer version of the connector saved its state (version {version}; this code "
            f"reads {STATE_VERSION}): after this deploy every sync fails until you re-sync the "
            "connection (in Fivetran, Setup > Re-sync all historical data) or empty its state. "
            "See 'Rollback' in docs/deploying.md."
        )
    if version < STATE_VERSION:
        return (
            f"Its state has version {version}, but this code uses version {STATE_VERSION}: the "
            "next sync reads and sends every row again."
        )
    return ""


def _is_same_source(saved: Any, target: Target) -> bool:
    if target.courier_key.startswith(ENCRYPTED):
        # Only the SDK can tell which kind of key it is.
        return str(saved).split(" ")[0] == target.source.split(" ")[0]
    return bool(saved == target.source)


def confirm(target: Target, switches: Set[str], notice: str, *, on_terminal: bool) -> None:
    """Asks to confirm the replacement and its cost. Raises SystemExit if not confirmed."""
    if notice and "RESYNC" not in switches:
        sys.exit("Nothing was deployed: RESYNC=1 confirms that every row is sent again.")
    if "YES" in switches:
        return
    if not on_terminal:
        sys.exit("Nothing was deployed: YES=1 confirms the replacement.")
    ask(f"Replace {target.connection}?")


def confirm_new(
    target: Target, switches: Set[str], others: Sequence[str], *, on_terminal: bool
) -> None:
    """Asks to confirm a new connection: its name may be a typo. Raises SystemExit if not."""
    if "NEW" in switches:
        return
    known = (
        f"Existing connections: {', '.join(others)}."
        if others
        else "There are no connections yet."
    )
    if not on_terminal:
        sys.exit(
            f"Nothing was deployed: {target.connection} is not in {target.destination}. {known} "
            "NEW=1 confirms a new connection."
        )
    ask(f"Create {target.connection} in {target.destination}? {known}")


def ask(question: str) -> None:
    """Asks a question. Raises SystemExit for any answer but yes."""
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        sys.exit("Nothing was deployed.")


def describe_existing(target: Target, existing: Connection, notice: str) -> list[str]:
    """Says what a redeploy replaces, what stays, and why it may send every row again."""
    return [
        f"Connection {target.connection} ({existing.id}) exists in {target.destination}; "
        f"its last successful sync: {existing.succeeded_at or 'never'}.",
        "Its code will be replaced, and its entire configuration with "
        f"{target.configuration_path}; its tables and state are kept.",
        *python_change(target, existing),
        *([f"{notice} RESYNC=1 confirms that every row is sent again."] if notice else []),
    ]


def main() -> int:
    """Deploys to the target that the environment names; returns the exit status."""
    switches = {name for name in SWITCHES if is_on(os.environ, name)}
    if (url := fivetran_url()) != FIVETRAN_URL:
        print(f"Fivetran: {url} (a rehearsal)")
    print(f"Version: {version()}", flush=True)
    on_terminal = sys.stdin.isatty()
    target = target_from(os.environ, on_terminal=on_terminal)
    if target.profile != DEFAULT_PROFILE:
        print(f"Profile: {target.profile} of {target.options_file}.")
    print(f"Configuration: {target.configuration_path.name} is valid.")
    try:
        existing = find_connection(target.api_key, target.destination, target.connection)
        others = [] if existing else connection_names(target.api_key, target.destination)
    except FivetranRefused as refusal:
        sys.exit(str(refusal))
    notice = resync_notice(target, existing) if existing else ""
    if existing is None:
        print(f"Connection {target.connection} is new in {target.destination}: it starts paused.")
    else:
        print(*describe_existing(target, existing, notice), sep="\n", flush=True)
    package(quiet=True)
    print(f"Package: {size(ARCHIVE)}.", flush=True)
    if "DRY_RUN" in switches:
        print("", *plan(target, existing), "", "Nothing was sent (DRY_RUN=1).", sep="\n")
        return 0
    if existing is None:
        confirm_new(target, switches, others, on_terminal=on_terminal)
    else:
        confirm(target, switches, notice, on_terminal=on_terminal)
    status = run_deploy(target, existing, verbose="VERBOSE" in switches)
    if change := changed_requirements():
        sys.exit(f"The SDK changed requirements.txt before it sent the package: {change}.")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, EOFError):
        sys.exit("\nStopped.")
