"""402 or 403 on every stream means the key, even with tables of children among them."""

import pytest

from courier_async.catalog.streams import ALL, BY_TABLE
from courier_async.ending import SyncFailed
from tests.support.fake_courier import Account, FakeApi, Options
from tests.support.harness import Sink, sync

PARENTS = [stream.table for stream in ALL if stream.parent is None]


@pytest.mark.parametrize("tables", [("list", "list_subscription"), tuple(BY_TABLE)])
async def test_a_key_that_may_read_no_stream_fails_the_sync(tables: tuple[str, ...]) -> None:
    account = Account(seed=7, sizes={"message": 20})
    api = FakeApi(account, Options(denied=dict.fromkeys(PARENTS, 403)))
    sink = Sink()
    with pytest.raises(SyncFailed, match="refused the key for every stream"):
        await sync(api, sink=sink, streams=tuple(BY_TABLE[table] for table in tables))
    assert sink.warnings == []


async def test_children_of_a_denied_stream_are_skipped_with_it() -> None:
    account = Account(seed=7, sizes={"message": 20})
    api = FakeApi(account, Options(denied={"list": 403}))
    sink = Sink()
    streams = ("brand", "list", "list_subscription")
    await sync(api, sink=sink, streams=tuple(BY_TABLE[table] for table in streams))
    (warning,) = sink.warnings
    assert warning.startswith("list: Courier answered 403")
