"""What thirty days cost: rows that Fivetran bills, rows sent and requests, beside the example's.

`python -m benchmark.cost` prints a table for the README. The account's clock is put forward, so
that thirty days take a few minutes; there is no HTTP between, and no figure here is of time.
"""

import argparse
import asyncio
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from courier_async.sync import run
from courier_async.writing.sdk_thread import ThreadWorker
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi
from tests.support.harness import DirectTransport

DAYS: Final = 30
DAY_MS: Final = 86_400_000
NOW_MS: Final = 1_790_000_000_000
# The account: a year of messages, which is what the larger plans keep (docs, logs).
SIZES: Final = {
    "brand": 25,
    "audience": 40,
    "audit_event": 1_800,
    "list": 60,
    "message": 73_000,
    "notification": 120,
    "tenant": 2_000,
}
ACCOUNT: Final = (
    "200 messages a day, kept for a year; 2,000 tenants, 120 templates, 60 lists, 40 audiences, "
    "25 brands; 5 audit events a day. Every day 20 tenants, 2 templates, 1 list and 1 audience "
    "are edited, 3 tenants are new and 1 goes; a brand is edited every tenth day."
)
# What the example connector sends whole in every sync, and the streams that it filters.
WHOLE: Final = ("message", "notification", "list", "audience", "tenant")
FILTERED: Final = ("brand", "audit_event")
EXAMPLE_PAGE: Final = {"message": 10, "tenant": 20}
USUAL_PAGE: Final = 50


@dataclass(slots=True)
class Bill:
    """active: (table, key) of every row that the syncs since the last clearing have sent."""

    active: set[tuple[str, str]] = field(default_factory=set)
    sent: int = 0
    requests: int = 0
    state: dict[str, Any] = field(default_factory=dict)

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self.active.add((table, data[BY_TABLE[table].key]))
        self.sent += 1

    def delete(self, table: str, keys: dict[str, Any]) -> None:
        # A row that is marked deleted is a row that is written.
        self.active.add((table, next(iter(keys.values()))))
        self.sent += 1

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.state = state

    def warning(self, message: str) -> None:
        raise AssertionError(message)

    def clear(self) -> None:
        self.active, self.sent, self.requests = set(), 0, 0


class Example:
    """What the example connector would send: five streams whole, each time.

    Its reading of brands and audit events loses rows; here it is given the right ones, those
    that are new or changed, and one request each.
    """

    def __init__(self, account: Account) -> None:
        self.bill = Bill()
        self._account = account
        self._seen: dict[tuple[str, str], Any] = {}

    def sync(self) -> None:
        bill, account = self.bill, self._account
        for table in WHOLE:
            keys = [row[1] for row in account.rows(table, None, 10**9)]
            bill.active.update((table, key) for key in keys)
            bill.sent += len(keys)
            bill.requests += max(1, ceil(len(keys) / EXAMPLE_PAGE.get(table, USUAL_PAGE)))
        for table in FILTERED:
            key = BY_TABLE[table].key
            for record in account.truth(table):
                name = (table, record[key])
                if self._seen.get(name) != record:
                    self._seen[name] = record
                    bill.active.add(name)
                    bill.sent += 1
            bill.requests += 1


async def thirty_days(*, hours: int, sizes: dict[str, int], days: int = DAYS) -> dict[str, Bill]:
    """Both bills of the days after the first sync, a sync every `hours`."""
    account = Account(sizes=sizes, now_ms=NOW_MS, span_days=365.0)
    pages = dict.fromkeys(sizes, USUAL_PAGE) | {"message": EXAMPLE_PAGE["message"]}
    api, ours, example = FakeApi(account), Bill(), Example(account)
    api.change_options(page_sizes=pages)
    await _sync(api, ours)
    example.sync()
    for bill in (ours, example.bill):
        bill.clear()
    for step in range(days * 24 // hours):
        account.advance(hours * 3_600_000)
        _live(account, share=hours / 24, is_new_day=(step + 1) * hours % 24 == 0, step=step)
        await _sync(api, ours)
        example.sync()
    return {"ours": ours, "example": example.bill}


def _live(account: Account, *, share: float, is_new_day: bool, step: int) -> None:
    """What happens in the account in a share of a day."""
    for hour in range(int(200 * share)):
        account.add_late(1, hour * int(DAY_MS * share) // int(200 * share))
    account.progress_messages(int(400 * share), newest=600)
    account.retention(account.now_ms() - 365 * DAY_MS)
    if not is_new_day:
        return
    account.add("audit_event", 5)
    for stream, edits in {"tenant": 20, "notification": 2, "list": 1, "audience": 1}.items():
        for id_ in account.pick(stream, edits):
            account.edit(stream, id_)
    account.add("tenant", 3)
    account.delete("tenant", account.pick("tenant", 1)[0])
    if step % 10 == 9:
        account.edit("brand", account.pick("brand", 1)[0])


async def _sync(api: FakeApi, bill: Bill) -> None:
    settings = Settings(
        api_key=DEFAULT_KEY,
        base_url="http://127.0.0.1:1",
        requests_per_second=1_000_000.0,
        max_retries=0,
        message_lanes=1,
    )
    before = api.traffic.requests
    async with ThreadWorker() as worker:
        await run(settings, bill.state, bill, transport=DirectTransport(api), worker=worker)
    bill.requests += api.traffic.requests - before


def table(bills: dict[int, dict[str, Bill]]) -> str:
    """A row a way to run: {hours between syncs: both bills}."""
    lines = [
        "| | monthly active rows | rows sent | requests |",
        "| --- | ---: | ---: | ---: |",
    ]
    for hours, both in bills.items():
        for name, bill in both.items():
            who = "this connector" if name == "ours" else "the example connector"
            counts = f"{len(bill.active):,} | {bill.sent:,} | {bill.requests:,}"
            lines.append(f"| {who}, a sync every {hours} hours | {counts} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmark.cost", description=__doc__)
    parser.add_argument("--hours", type=int, nargs="+", default=[24, 6], help="between syncs")
    given = parser.parse_args()
    bills = {}
    for hours in given.hours:
        bills[hours] = asyncio.run(thirty_days(hours=hours, sizes=SIZES))
    print(f"{ACCOUNT}\n\n{table(bills)}\n")
    for hours, both in bills.items():
        for name, bill in both.items():
            by_table = {each: sum(1 for row in bill.active if row[0] == each) for each in BY_TABLE}
            print(f"{hours} h, {name}: {by_table}")


if __name__ == "__main__":
    main()
