"""`python -m tests.support.fake_courier`: runs the fake API alone until it is stopped."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import textwrap
from collections.abc import Sequence

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.changes import CHANGES
from tests.support.fake_courier.options import DEFAULT_KEY, Options
from tests.support.fake_courier.replies import ANSWERS
from tests.support.fake_courier.rules import Rule
from tests.support.fake_courier.server import serve
from tests.support.fake_courier.tables import DEFAULT_SIZES


def main() -> None:
    """Serves what the command line describes; prints one line with the URL when ready."""
    parent = os.getppid()  # before the URL is printed, after which the parent may exit
    parser = _parser()
    given = parser.parse_args()
    try:
        account, options = _made(given)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    asyncio.run(_run(account, options, given.port, parent if given.exit_with_parent else None))


def told(arguments: Sequence[str]) -> tuple[Account, Options, int]:
    """Returns the account, the options and the port of such a command line."""
    given = _parser().parse_args(arguments)
    return *_made(given), given.port


def _made(given: argparse.Namespace) -> tuple[Account, Options]:
    account = Account(
        seed=given.seed,
        sizes=_sizes(given.sizes),
        now_ms=given.now_ms,
        span_days=given.span_days,
        cluster_share=given.cluster_share,
        orders=_pairs(given.orders),
        targets=given.targets,
        daily={name: float(rate) for name, rate in _pairs(given.daily).items()},
        hostile_names=given.hostile_names,
    )
    changes = {name: json.loads(text) for name, text in _each(given.option)}
    return account, Options(key=given.key, latency_ms=given.latency_ms).changed(changes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.fake_courier",
        description="A fake Courier API on a loopback port, with seeded data and faults on "
        "demand.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 (default): any free port")
    add("--seed", type=int, default=1, help="decides every record (default 1)")
    sizes = ",".join(f"{name}={size}" for name, size in DEFAULT_SIZES.items())
    sizes_help = f"records per stream; defaults: {sizes}"
    add("--sizes", default="", metavar="STREAM=N,...", help=sizes_help)
    add("--orders", default="", metavar="STREAM=ORDER,...", help="newest, oldest, shuffled ...")
    targets = "form of audit event targets: mixed, string, object, empty, absent"
    add("--targets", default="mixed", help=targets)
    add("--daily", default="", metavar="STREAM=N,...", help="new records per day")
    names = "use ids and names that encoding, typing or a terminal gets wrong"
    add("--hostile-names", action="store_true", help=names)
    add("--span-days", type=float, default=30.0, help="age of the oldest message (default 30)")
    add("--cluster-share", type=float, default=0.0, help="share of the messages in one week")
    add("--now-ms", type=int, help="fix the clock at this epoch ms (default: real time)")
    add("--latency-ms", type=float, default=0.0, help="delay before each response")
    add("--key", default=DEFAULT_KEY, help=f"the API key to accept (default {DEFAULT_KEY})")
    add("--option", action="append", default=[], metavar="NAME=JSON", help="any other switch")
    add("--exit-with-parent", action="store_true", help="stop when the parent process exits")
    return parser


def _epilog() -> str:
    """Names every switch, so that the help is always complete."""
    paragraphs = (
        "Options (--option NAME=JSON; what each does: options.py): " + _names(Options),
        "Fields of a rule in `rules` (rules.py): " + _names(Rule),
        "Named answers for a rule: " + ", ".join(ANSWERS),
        "Changes (POST /_fake/change; changes.py): " + ", ".join(CHANGES),
        "While it runs, GET /_fake/stats shows its traffic, PATCH /_fake/options sets options.",
    )
    examples = (
        "--sizes message=5000,tenant=300 --option fault_rate=0.05",
        '--option \'rules=[{"stream": "message", "after": 20, "status": 530, "times": 1}]\'',
    )
    wrapped = "\n\n".join(textwrap.fill(text, 95) for text in paragraphs)
    return wrapped + "\n\nExamples:\n  " + "\n  ".join(examples)


def _names(kind: type[Options] | type[Rule]) -> str:
    return ", ".join(one.name for one in dataclasses.fields(kind))


def _each(texts: list[str]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts if text]
    for name, separator, _ in pairs:
        if not separator:
            raise ValueError(f"{name!r} is not NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def _pairs(text: str) -> dict[str, str]:
    return dict(_each(text.split(",")))


def _sizes(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in _pairs(text).items()}


async def _run(account: Account, options: Options, port: int, parent: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # not on Windows
            loop.add_signal_handler(number, stop.set)
    async with serve(account, options, port=port) as server:
        print(f"Fake Courier API at {server.url}", flush=True)
        watch = asyncio.create_task(_watch(parent, stop)) if parent is not None else None
        await stop.wait()
        if watch is not None:
            watch.cancel()
    # While the loop closes, a second signal would make asyncio complain of a closed pipe.
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def _watch(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.5)
    stop.set()


if __name__ == "__main__":
    main()
