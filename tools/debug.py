"""`make debug`: runs one local sync with the real `fivetran debug`, and prints a summary.

The tables land in the project's files/warehouse.db, and the next run continues from there.
VERBOSE=1 shows everything that the SDK prints.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from tools.configuration import LOCAL, BadConfiguration, checked, chosen
from tools.console import Digest, Line, lines, progress
from tools.live import Live
from tools.local_run import LocalRun
from tools.package import sdk_environment
from tools.summary import summary

PRIVATE_UMASK = 0o077
STOPPING = "\nStopping after a checkpoint ... (press Ctrl-C again to stop now)\n"


class Stopper:
    """Passes the first Ctrl-C or SIGTERM on to the sync as SIGINT, and kills it on the second."""

    def __init__(self, live: Live) -> None:
        self.is_asked = False
        self._live = live
        self._child: subprocess.Popen[str] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def watch(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        if self.is_asked:
            child.send_signal(signal.SIGINT)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._child is not None and self.is_asked:
            self._child.kill()
        elif self._child is not None:
            self._child.send_signal(signal.SIGINT)
        if not self.is_asked:
            self._live.end()
            # Not print(), which a signal handler must not call while another print() is running.
            os.write(sys.stdout.fileno(), STOPPING.encode())
        self.is_asked = True


def debug() -> int:
    """Returns the exit status: 0, 1 after a failure, 130 after Ctrl-C or SIGTERM."""
    path = chosen(os.environ)
    try:
        checked(path)
    except BadConfiguration as trouble:
        print(f"{path.name}: {trouble}")
        if "api_key" in str(trouble):
            print(f"Keep your key in {LOCAL}, which git ignores. Without one, try 'make demo'.")
        return 1
    run = LocalRun(path)
    with run.alone():
        for oddity in run.prepare():
            print(oddity)
        return _sync(run)


def _sync(run: LocalRun) -> int:
    digest, live = Digest(), Live(sys.stdout)
    stopper = Stopper(live)
    print(f"Syncing with {run.configuration.name} ...", flush=True)
    command = ["fivetran", "debug", str(run.project), "--configuration", str(run.configuration)]
    with subprocess.Popen(
        command,
        env=sdk_environment() | {"TMPDIR": str(run.temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        # In its own group: Ctrl-C on a terminal would end the runner before the last checkpoint.
        start_new_session=True,
        umask=PRIVATE_UMASK,
    ) as child:
        stopper.watch(child)
        for line in lines(child.stdout or ()):
            digest.take(line)
            _show(line, digest, live)
        status = child.wait()
    seconds = live.end()
    interrupted = stopper.is_asked and status != 0
    if status and not digest.failure and not interrupted:
        print(*digest.recent, sep="\n")
        digest.failure = f"'fivetran debug' ended with status {status}; its last lines are above."
    if digest.crash_report and (digest.is_orderly or interrupted):
        Path(digest.crash_report).unlink(missing_ok=True)
    print(*summary(run, digest, seconds=seconds, interrupted=interrupted), sep="\n")
    return 130 if interrupted else int(status != 0)


def _show(line: Line, digest: Digest, live: Live) -> None:
    """Prints what a person needs to see at once; the summary has the rest."""
    if os.environ.get("VERBOSE") == "1":
        live.say(line.text)
    elif found := progress(line):
        live.take(found)
    elif line.source == "connector" and line.level == "WARNING":
        live.say(f"warning: {line.text}")
    elif (
        line.level == "INFO"
        and line.source == "connector"
        and not digest.has_ended
        and line.text not in digest.remarks
    ):
        live.say(f"  {line.text}")


if __name__ == "__main__":
    sys.exit(debug())
