"""What happens in the fake Courier between two syncs of `make demo`."""

from collections.abc import Iterator, Mapping

from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.warehouse import Cells
from tools.demo_tables import Tables


def change_some(fake: FakeCourierProcess, tables: Tables) -> list[str]:
    """Changes data of these tables in the fake; returns sentences that say what happened."""
    steps = (_messages, _names, _rows, _members, _preferences)
    return [_sentence(clauses) for step in steps if (clauses := list(step(fake, tables)))]


def _messages(fake: FakeCourierProcess, tables: Tables) -> Iterator[str]:
    if "message" in tables:
        added = fake.change("add", stream="message", n=4)
        moved = fake.change("progress_messages", n=6, newest=40)
        yield (
            f"{len(added)} messages are sent, and {len(moved)} earlier ones advance to their next "
            "status"
        )


def _names(fake: FakeCourierProcess, tables: Tables) -> Iterator[str]:
    if "brand" in tables:
        brand = _named_row(tables["brand"])
        fake.change("edit", stream="brand", id=brand, fields={"name": "Spring campaign"})
        yield f"the brand '{tables['brand'][brand]['name']}' is renamed"
    if "tenant" in tables:
        tenants = tables["tenant"]
        tenant = _named_row(tenants, "parent_tenant_id")
        family = (tenant, tenants[tenant]["parent_tenant_id"])
        parent = next(key for key in tenants if key not in family)
        fake.change("edit", stream="tenant", id=tenant, fields={"parent_tenant_id": parent})
        yield f"the tenant '{tenants[tenant]['name']}' moves below '{tenants[parent]['name']}'"


def _rows(fake: FakeCourierProcess, tables: Tables) -> Iterator[str]:
    if "list" in tables:
        list_ = _named_row(tables["list"])
        fake.change("delete", stream="list", id=list_)
        yield f"the list '{tables['list'][list_]['name']}' is deleted"
    if "audience" in tables:
        fake.change("add", stream="audience")
        yield "an audience is created"


def _members(fake: FakeCourierProcess, tables: Tables) -> Iterator[str]:
    if "list_subscription" in tables:
        added = fake.change("add_members", stream="list_subscription", n=2)
        yield f"{len(added)} users subscribe to a list"
    if "audience_member" in tables:
        fake.change("remove_members", stream="audience_member")
        yield "a user leaves an audience"
    if "tenant_user" in tables:
        fake.change("move_members", stream="tenant_user")
        yield "a user changes tenants"


def _preferences(fake: FakeCourierProcess, tables: Tables) -> Iterator[str]:
    if "preference_change" in tables:
        added = fake.change("add", stream="preference_change", n=2)
        yield f"{len(added)} users change a preference"
    if "preference_section" in tables:
        section = _named_row(tables["preference_section"])
        fake.change("edit", stream="preference_section", id=section, fields={"name": "Other"})
        yield f"the section '{tables['preference_section'][section]['name']}' is renamed"
    if "subscription_topic" in tables:
        fake.change("add", stream="subscription_topic")
        yield "a topic is created"


def _named_row(rows: Mapping[str, Cells], column: str = "name") -> str:
    """Returns the key of a row with a name and a value in the column."""
    return next(key for key, row in rows.items() if row.get("name") and row.get(column))


def _sentence(clauses: list[str]) -> str:
    """Joins the clauses into one sentence."""
    *first, last = clauses
    text = f"{', '.join(first)}, and {last}." if first else f"{last}."
    return text[0].upper() + text[1:]
