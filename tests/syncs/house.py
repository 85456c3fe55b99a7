"""An account and the tables that successive syncs make of it, in virtual time."""

from collections.abc import Callable
from typing import Any, TypeVar

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE, STREAMS
from courier_async.ending import SyncFailed
from courier_async.sync import run
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi, Options
from tests.support.harness import (
    Crash,
    DirectTransport,
    Sink,
    Tables,
    expected,
    expected_keys,
    settings,
)
from tests.support.virtual_time import run_virtual

T = TypeVar("T")

NOW_MS = 1_794_657_600_000
MINUTE_MS = 60_000
TABLES = [stream.table for stream in STREAMS]
KEPT = [stream.table for stream in STREAMS if stream.keeps_rows]
SMALL = {
    "message": 160,
    "audit_event": 70,
    "tenant": 130,
    "list": 23,
    "brand": 21,
    "audience": 9,
    "notification": 12,
}
PAGES = {table: 7 for table in TABLES if table != "message"}
# A single table keeps a test short.
MESSAGES = (BY_TABLE["message"],)


class Inline:
    """A worker whose jobs take no time."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()


def small_account(**changes: Any) -> Account:
    usual: dict[str, Any] = {"seed": 5, "sizes": SMALL, "span_days": 40.0, "now_ms": NOW_MS}
    return Account(**(usual | changes))


def messages_account(count: int, *, days: float, **changes: Any) -> Account:
    """Returns an account for tests of messages; every other table has one row."""
    sizes = dict.fromkeys(SMALL, 1) | {"message": count}
    return small_account(sizes=sizes, span_days=days, **changes)


def with_rules(*rules: dict[str, Any]) -> Any:
    """Returns what prepares a sync whose API answers by these rules alone."""
    return lambda api: api.change_options(rules=rules)


class House:
    """Runs successive syncs into the same tables, each from the last saved state.

    options: of the fake API, for all syncs. settings: of the connector, for all syncs. error: why
    the last sync failed, or "".
    """

    def __init__(
        self,
        account: Account | None = None,
        *,
        options: dict[str, Any] | None = None,
        **given: Any,
    ) -> None:
        self.account = account or small_account()
        self.options = {"page_sizes": PAGES} | (options or {})
        self.settings = given
        self.tables = Tables()
        self.state: dict[str, Any] = {}
        self.error = ""
        self.api = FakeApi(self.account, Options(**self.options))

    def sync(
        self,
        *,
        after_ms: int = HOUR_MS,
        options: dict[str, Any] | None = None,
        prepare: Callable[[FakeApi], None] = lambda api: None,
        crash_at: int | None = None,
        sink: Sink | None = None,
        fails: bool = False,
        **changes: Any,
    ) -> Sink:
        """Runs one sync, `after_ms` later. Its rows land even if it dies at an operation.

        Raises AssertionError if a sync fails unless `fails`, or does not fail although `fails`.
        """
        self.account.advance(after_ms)
        self.api = FakeApi(self.account, Options(**(self.options | (options or {}))))
        prepare(self.api)
        sink = sink or Sink(crash_at=crash_at)
        self.error = ""
        given = self.settings | changes
        key = given.get("api_key", DEFAULT_KEY)
        try:
            run_virtual(
                run(
                    settings(**given),
                    self.state,
                    sink,
                    transport=DirectTransport(self.api, key=key, hold_seconds=0.05),
                    worker=Inline(),
                )
            )
        except SyncFailed as error:
            self.error = str(error)
        except Crash:
            pass
        self.tables.apply(sink)
        self.state = sink.last_state() or self.state
        if sink.crash_at is None:
            assert bool(self.error) == fails, self.error
        return sink

    def syncs(self, count: int, **given: Any) -> Sink:
        """Runs several such syncs; returns the last one's sink."""
        for _ in range(count - 1):
            self.sync(**given)
        return self.sync(**given)

    @property
    def wrong(self) -> dict[str, tuple[int, int, int]]:
        """Table -> the numbers of rows that are missing, stale, or still there though deleted."""
        found = {}
        for stream in self.settings.get("streams", STREAMS):
            table = stream.table
            truth, landed = expected(self.account, table), self.tables.rows[table]
            missing = len(truth.keys() - landed.keys())
            stale = sum(landed[key] != row for key, row in truth.items() if key in landed)
            extra = len(landed.keys() - truth.keys())
            if missing or stale or extra:
                found[table] = (missing, stale, extra)
        return found

    def of(self, table: str) -> dict[str, Any]:
        """Returns the saved state of a table."""
        return dict(self.state["streams"].get(table, {}))

    def requests(self, table: str = "message") -> int:
        """Returns how many pages the last sync requested."""
        return self.api.traffic.by_stream[table]

    def missing(self, table: str = "message") -> int:
        return len(expected_keys(self.account, table) - self.tables.rows[table].keys())


def ready(account: Account | None = None, **given: Any) -> House:
    """Returns a house whose first sync has read everything."""
    house = House(account, **given)
    house.sync()
    assert house.wrong == {}
    return house


__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "KEPT",
    "MESSAGES",
    "MINUTE_MS",
    "NOW_MS",
    "PAGES",
    "SMALL",
    "TABLES",
    "House",
    "Inline",
    "messages_account",
    "ready",
    "small_account",
    "with_rules",
]
