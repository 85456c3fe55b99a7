"""In-process walks over the fake API, for its tests."""

import json
from base64 import b64encode
from typing import Any

from tests.support.fake_courier import DEFAULT_KEY, STREAMS, Account, FakeApi, Options, Reply

NOW_MS = 1_786_700_000_000
DAY_MS = 86_400_000
AUTH = {"Authorization": f"Bearer {DEFAULT_KEY}"}
ALL = tuple(STREAMS)
BY_ID = tuple(name for name, stream in STREAMS.items() if stream.by_id)
Page = tuple[list[Any], str | None, bool]


def account(**options: Any) -> Account:
    return Account(**{"now_ms": NOW_MS, **options})


def fake(options: Options | None = None, **of_account: Any) -> FakeApi:
    return FakeApi(account(**of_account), options)


def ask(api: FakeApi, stream: str, **query: str) -> Reply:
    return api.answer(STREAMS[stream].path, query, AUTH)


def body(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    return dict(json.loads(reply.body))


def page(stream: str, data: dict[str, Any]) -> Page:
    """Returns records, next cursor, and whether more follows, for both envelope families."""
    records = data[STREAMS[stream].array]
    if stream == "tenant":
        return records, data.get("cursor"), data["has_more"]
    paging = data.get("paging") or {}
    return records, paging.get("cursor"), paging.get("more", False)


def pages(api: FakeApi, stream: str, **query: str) -> list[Page]:
    """Returns every page of a walk, read in process."""
    found: list[Page] = []
    while not found or found[-1][2]:
        cursor = {"cursor": found[-1][1] or ""} if found else {}
        found.append(page(stream, body(ask(api, stream, **query, **cursor))))
        assert len(found) < 1000
    return found


def walk(api: FakeApi, stream: str) -> list[Any]:
    query = {"notes": "true"} if stream == "notification" else {}
    return [record for found in pages(api, stream, **query) for record in found[0]]


def truth(api: FakeApi, stream: str) -> list[dict[str, Any]]:
    return list(api.account.truth(stream))


def ids(stream: str, records: list[Any]) -> list[str]:
    return [record[STREAMS[stream].key] for record in records]


def cursor_at(ms: int, id_: str = "1-ffffffff-ffffffffffffffffffffffff") -> str:
    return b64encode(f"{ms},{id_}".encode()).decode()
