"""Changes of an account by name, as given in JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tests.support.fake_courier.maker import Record, iso
from tests.support.fake_courier.member_changes import MEMBER_CHANGES
from tests.support.fake_courier.table import ABSENT

if TYPE_CHECKING:
    from tests.support.fake_courier.account import Account

# Changes that take a row, or pick one.
ROW_CHANGES = (
    "edit", "touch", "move", "revert", "delete", "hide", "archive", "restore",
)  # fmt: skip
OTHER_CHANGES = ("add", "add_late", "progress_messages", "retention", "advance")
MESSAGE_CHANGES = ("add_settled", "change_at_age")
CHANGES = (*OTHER_CHANGES, *ROW_CHANGES, *MESSAGE_CHANGES, *MEMBER_CHANGES)


def apply_change(account: "Account", change: Mapping[str, Any]) -> list[str]:
    """See Account.apply."""
    arguments = dict(change)
    name = arguments.pop("do", None)
    if name not in CHANGES:
        raise ValueError(f"do: {name!r}, not one of {', '.join(CHANGES)}")
    if name in MEMBER_CHANGES:
        return list(getattr(account.members, name)(**arguments))
    if name == "add_settled":
        return add_settled(account, **arguments)
    if name == "change_at_age":
        return change_at_age(account, **arguments)
    method = getattr(account, name)
    if name in OTHER_CHANGES:
        return method(**arguments) or []
    stream = arguments.pop("stream", "notification")
    ids = arguments.pop("ids", None) or [arguments.pop("id", None)]
    if ids == [None]:
        ids = account.pick(stream, arguments.pop("n", 1))
    fields = arguments.pop("fields", {})
    for id_ in ids:
        target = (id_,) if name == "archive" else (stream, id_)
        method(*target, **arguments, **fields)
    return list(ids)


def add_settled(account: "Account", n: int = 1, age_ms: int = 0) -> list[str]:
    """Adds messages that become visible now, DELIVERED, `age_ms` after all their own times."""
    ids = account.add_late(n, age_ms)
    for id_ in ids:
        at = account.now_ms() - age_ms
        unset = ("opened", "clicked", "canceledAt", "error", "reason", "reasonCode")
        fields: Record = dict.fromkeys(unset, ABSENT)
        fields |= {"status": "DELIVERED", "sent": at + 1000, "delivered": at + 2000}
        account.edit("message", id_, **fields)
    return ids


def change_at_age(
    account: "Account", age_ms: int, n: int = 1, status: str = "OPENED"
) -> list[str]:
    """Sets the n messages of that age, or the next older ones, to OPENED (CLICKED ...) now."""
    place = (account.now_ms() - age_ms, "~")
    ids = [row[1] for row in account.rows("message", place, n)]
    for id_ in ids:
        fields: Record = {"status": status, status.lower(): account.now_ms()}
        account.edit("message", id_, **fields)
    return ids


NEXT_STEP = {
    "ENQUEUED": ("SENT", "sent"),
    "SENT": ("DELIVERED", "delivered"),
    "DELIVERED": ("OPENED", "opened"),
    "OPENED": ("CLICKED", "clicked"),
}


def progress(account: "Account", n: int, *, ids: Sequence[str] | None, newest: int) -> list[str]:
    """See Account.progress_messages."""
    if ids is None:
        rows = account.rows("message", None, newest)
        account.random("progress").shuffle(rows)
        ids = [row[1] for row in rows]
    table = account.table("message")
    moved: list[str] = []
    for id_ in ids:
        index = account.listed_index("message", id_)
        step = NEXT_STEP.get(table.record(index)["status"])
        if step is not None and len(moved) < n:
            table.patch(index, {"status": step[0], step[1]: account.now_ms()})
            moved.append(id_)
    return moved


def renamed(stream: str, record: Record, number: int) -> Record:
    """Returns the fields of an edit that changes only the name."""
    if stream in ("message", "audit_event", "preference_change"):
        raise TypeError(f"an edit of {stream} needs fields")
    name = "title" if "title" in record else "name"
    return {name: f"{record.get(name)} (edit {number})"}


def updated(stream: str, id_: str, now_ms: int) -> Record:
    """Returns the record's updated time as fields, if such a record has one."""
    if stream == "audience":
        return {"updated_at": iso(now_ms)}
    if stream in ("list", "preference_section", "subscription_topic"):
        return {"updated": iso(now_ms)}
    if stream == "brand" or id_.startswith("nt_"):
        return {"updated": now_ms}
    return {"updated_at": now_ms} if stream == "notification" else {}
