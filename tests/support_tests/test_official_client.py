"""Courier's own client reads every endpoint of the fake API, and agrees with its truth.

The client is used without strict validation, which refuses even real rows. REFUSED lists what
strict validation refuses in the fake's rows, with the reason; any other refusal is a bug of the
fake.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import courier
import pytest
from pydantic import ValidationError

from tests.support.fake_courier import DEFAULT_KEY, Account, Options
from tests.support.fake_courier.server import FakeServer, serve

# Stream and field -> why the fake serves what the client's types do not allow.
REFUSED = {
    ("brand", "updated"): "absent or null in older brands: tolerated, not promised",
    ("audience", "filter"): "a single condition is documented beside the group of conditions",
    ("audit_event", "target"): "text by the client, an object or nothing by the docs and mocks",
    ("audit_event", "actor"): "nullable until September 2025",
    ("message", "event"): "lacking in a real row",
    ("message", "notification"): "lacking in real rows",
    ("notification", "topic_id"): "lacking where a template never had a topic",
}
# The serializer warns if a value was kept unchanged, which is what these tests check.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

Row = dict[str, Any]
Call = Callable[..., Awaitable[Any]]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    options = Options(metrics_per_second=0)
    # A fixed clock: today's metrics grow with time, and the reading must match the truth.
    account = Account(sizes={"message": 120}, now_ms=time.time_ns() // 1_000_000)
    async with serve(account, options) as running:
        yield running


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Any]:
    key, url = DEFAULT_KEY, server.url
    async with courier.AsyncCourier(api_key=key, base_url=url, max_retries=0) as made:
        yield made


async def paged(call: Call, **query: Any) -> list[Any]:
    """Returns the records of all pages."""
    found: list[Any] = []
    while True:
        page = await call(**query)
        found += (page.results if hasattr(page, "results") else page.items) or []
        paging: Any = getattr(page, "paging", page)
        if not getattr(paging, "more", getattr(paging, "has_more", False)):
            return found
        query["cursor"] = paging.cursor


def row(model: Any) -> Row:
    return dict(model.to_dict(mode="json", use_api_names=True, exclude_unset=True))


def check(stream: str, models: list[Any], truth: Iterable[Row]) -> None:
    """Checks that the client read the truth, and strictly refuses only what REFUSED lists."""
    expected = list(truth)
    assert [row(model) for model in models] == expected
    assert expected
    refused = set()
    for model, record in zip(models, expected, strict=True):
        try:
            type(model).model_validate(record)
        except ValidationError as error:
            refused |= {(stream, str(one["loc"][0])) for one in error.errors()}
    assert refused == {known for known in REFUSED if known[0] == stream}


LISTINGS: dict[str, Callable[[Any], Call]] = {
    "brand": lambda client: client.brands.list,
    "audience": lambda client: client.audiences.list,
    "audit_event": lambda client: client.audit_events.list,
    "list": lambda client: client.lists.list,
    "message": lambda client: client.messages.list,
    "notification": lambda client: partial(client.notifications.list, notes=True),
    "tenant": lambda client: client.tenants.list,
    "preference_change": lambda client: client.workspace_preferences.list_logs,
}
MEMBERS: dict[str, Callable[[Any], Call]] = {
    "list_subscription": lambda client: client.lists.subscriptions.list,
    "audience_member": lambda client: client.audiences.list_members,
    "tenant_user": lambda client: client.tenants.list_users,
}
BY_ID: dict[str, Callable[[Any], Call]] = {
    "brand": lambda client: client.brands.retrieve,
    "audience": lambda client: client.audiences.retrieve,
    "list": lambda client: client.lists.retrieve,
    "tenant": lambda client: client.tenants.retrieve,
}


@pytest.mark.parametrize("stream", LISTINGS)
async def test_the_client_reads_each_listing(stream: str, server: FakeServer, client: Any) -> None:
    check(stream, await paged(LISTINGS[stream](client)), server.api.truth(stream))


@pytest.mark.parametrize("stream", MEMBERS)
async def test_the_client_reads_the_members_of_each_parent(
    stream: str, server: FakeServer, client: Any
) -> None:
    read: list[Any] = []
    for parent in server.account.parents(stream):
        read += await paged(partial(MEMBERS[stream](client), parent))
    truth = server.api.truth(stream)
    check(stream, read, ({k: v for k, v in one.items() if k != "list_id"} for one in truth))


@pytest.mark.parametrize("stream", BY_ID)
async def test_the_client_reads_each_record_by_its_id(
    stream: str, server: FakeServer, client: Any
) -> None:
    retrieve = BY_ID[stream](client)
    truth = list(server.api.truth(stream))
    assert [row(await retrieve(record["id"])) for record in truth] == truth


async def test_the_client_reads_templates_by_id_and_drafts_on_demand(
    server: FakeServer, client: Any
) -> None:
    server.api.change_options(drafts_by_id=False)
    for record in server.api.truth("notification"):
        query = {"version": "draft"} if record.get("state") == "DRAFT" else {}
        assert (
            row(await client.notifications.retrieve(record["id"], **query))["id"] == record["id"]
        )
        if query:
            with pytest.raises(courier.NotFoundError):
                await client.notifications.retrieve(record["id"])


async def test_the_client_reads_sections_with_their_topics(
    server: FakeServer, client: Any
) -> None:
    sections = (await client.workspace_preferences.list()).results
    topics = list(server.api.truth("subscription_topic"))
    truth = []
    for section in server.api.truth("preference_section"):
        own = [topic for topic in topics if topic["section_id"] == section["id"]]
        shown = [{k: v for k, v in topic.items() if k != "section_id"} for topic in own]
        truth.append(section | {"topics": shown})
    check("preference_section", sections, truth)


async def test_the_client_reads_the_metrics_of_each_template(
    server: FakeServer, client: Any
) -> None:
    rows = []
    for template in server.api.truth("notification"):
        answer = row(await client.notifications.get_metrics(template["id"]))
        key = {"notification_id": template["id"], "granularity": answer["granularity"]}
        for bucket in answer["series"]:
            rows += [key | {"period": bucket["period"]} | one for one in bucket["data"]]
    assert rows == list(server.api.truth("notification_metric"))
    assert rows


async def test_the_client_reads_the_children_of_each_message(
    server: FakeServer, client: Any
) -> None:
    attempts, events = [], []
    for message in server.api.truth("message"):
        detail = row(await client.messages.retrieve(message["id"]))
        history = row(await client.messages.history(message["id"]))
        key = {"message_id": message["id"]}
        attempts += [key | {"position": at} | one for at, one in enumerate(detail["providers"])]
        events += [key | {"position": at} | one for at, one in enumerate(history["results"])]
        del detail["providers"]
        assert detail == message
    assert attempts == list(server.api.truth("message_provider"))
    assert events == list(server.api.truth("message_event"))
    assert attempts


async def test_the_client_knows_the_errors_of_the_fake(server: FakeServer, client: Any) -> None:
    for status, kind in (
        (401, courier.AuthenticationError),
        (403, courier.PermissionDeniedError),
        (404, courier.NotFoundError),
        (409, courier.ConflictError),
        (429, courier.RateLimitError),
        (530, courier.InternalServerError),
    ):
        server.api.change_options(rules=[{"status": status}])
        with pytest.raises(kind):
            await client.brands.list()
