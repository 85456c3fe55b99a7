"""Three accounts as records of every table: one full of edge cases, one young, one empty.

The records are generated without a sync; tests/support/declared_warehouse.py makes rows of them.
"""

from dataclasses import dataclass, field
from typing import Any

from courier_async.catalog.streams import BY_TABLE, STREAMS
from tests.support.fake_courier import Account
from tests.support.further_records import further_records

Record = dict[str, Any]

CORE_TABLES = tuple(stream.table for stream in STREAMS)
DAY_MS = 86_400_000
NOW_MS = 1_786_700_000_000  # 2026-08-14 09:33:20 UTC
MONDAY_MS = 1_786_320_000_000
MIDNIGHT_MS = NOW_MS // DAY_MS * DAY_MS


@dataclass(frozen=True)
class Landed:
    """truth: table -> the records that a sync would land. deleted: ids of deleted rows."""

    truth: dict[str, list[Record]]
    deleted: set[str] = field(default_factory=set)

    def alive(self, table: str, key: str = "id") -> list[Record]:
        """Returns the records of a table that are not marked deleted."""
        return [record for record in self.truth[table] if record[key] not in self.deleted]


def full_account() -> Landed:
    account = Account(seed=3, now_ms=NOW_MS, sizes={"message": 1200, "notification": 40})
    core = {table: list(account.truth(table)) for table in CORE_TABLES}
    lists, templates = core["list"], core["notification"]
    for number, message in enumerate(m for m in core["message"] if "listId" in m):
        message["listId"] = lists[number % 5]["id"]
    used = sorted({m["notification"] for m in core["message"] if "notification" in m})
    templates_by_id = {template["id"]: template for template in templates}
    templates_by_id[used[1]]["brand"] = {"id": core["brand"][0]["id"]}
    core["message"] += _edges(used[0], lists[1]["id"])
    deleted = {used[0], lists[1]["id"], core["tenant"][0]["id"], core["message"][5]["id"]}
    return Landed({**core, **further_records(core, now_ms=NOW_MS)}, deleted)


def young_account() -> Landed:
    """Returns a day-old account: nothing delivered, opened or failed, most fields absent."""
    templates = [{"id": "nt_first", "name": "First", "created": NOW_MS, "tags": []}]
    messages = [
        {"id": f"1-young-{n}", "status": "SENT", "enqueued": NOW_MS - n, "sent": NOW_MS}
        for n in range(3)
    ]
    messages[0] |= {"recipient": "user-1", "recipientId": "user-1", "notification": "nt_first"}
    core: dict[str, list[Record]] = {table: [] for table in CORE_TABLES}
    core |= {"message": messages, "notification": templates, "list": [{"id": "only"}]}
    core |= {"brand": [{"id": "B"}], "tenant": [{"id": "T"}], "audience": [{"id": "A"}]}
    core["audit_event"] = [{"auditEventId": "E", "timestamp": "2026-08-11T00:00:00.000Z"}]
    return Landed(core)


def empty_account() -> Landed:
    return Landed({table: [] for table in BY_TABLE})


def _edges(deleted_template: str, deleted_list: str) -> list[Record]:
    """Returns messages of the kinds that reports tend to get wrong."""
    bounced = {"status": "UNDELIVERABLE", "reason": "BOUNCED"}
    kinds: list[Record] = [
        {},
        {"status": None},
        {"status": "A_NEW_STATUS"},
        {"status": "OPENED"},
        {"recipientId": None},
        {"recipientId": None, "recipient": None},
        {"recipientId": "", "recipient": ""},
        {"notification": deleted_template, "event": None},
        {"notification": "not-in-the-warehouse"},
        {"listId": deleted_list},
        bounced | {"reasonCode": "SOFT"},
        bounced,
        bounced | {"reasonCode": "HARD", "delivered": MIDNIGHT_MS},
        {"status": "UNDELIVERABLE", "reason": "PROVIDER_ERROR"},
        {"status": "UNDELIVERABLE", "reason": "A_NEW_REASON"},
        {"status": "UNDELIVERABLE"},
        # Opened before it was sent, which differing clocks or a second channel can cause.
        {"status": "OPENED", "sent": MIDNIGHT_MS, "opened": MIDNIGHT_MS - 5},
        {"status": "CLICKED", "sent": MIDNIGHT_MS, "clicked": MIDNIGHT_MS + 1},
        # The last and the first millisecond of a UTC day, and of a Sunday and a Monday.
        {"enqueued": MIDNIGHT_MS - 1},
        {"enqueued": MIDNIGHT_MS},
        {"enqueued": MONDAY_MS - 1},
        {"enqueued": MONDAY_MS},
        {"recipient": "o'neill\\\"; -- 東京", "recipientId": "o'neill\\\"; -- 東京"},
        {"status": "UNDELIVERABLE", "reasonCode": "SOFT"},
        *[{"status": "SENT", "recipientId": "", "recipient": "ana@acme.example"}] * 2,
        *[{"status": "SENT", "recipientId": "", "recipient": ""}] * 2,
    ]
    return [
        {"id": f"1-edge-{number}", "status": "ENQUEUED", "enqueued": MIDNIGHT_MS - 60_000,
         "recipient": f"edge-{number % 3}", "recipientId": f"edge-{number % 3}"} | kind
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
