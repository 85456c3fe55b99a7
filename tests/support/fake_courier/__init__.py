"""A fake Courier API: seeded data of any size, every known oddity as a switch, traffic counted.

`account` holds and changes the data, `api` answers requests without HTTP, and `server`, `process`
and `thread` serve them on a loopback port. Only `server` needs aiohttp.
"""

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.api import FakeApi
from tests.support.fake_courier.options import DEFAULT_KEY, Options
from tests.support.fake_courier.replies import Reply
from tests.support.fake_courier.streams import STREAMS
from tests.support.fake_courier.table import ABSENT

__all__ = ["ABSENT", "DEFAULT_KEY", "STREAMS", "Account", "FakeApi", "Options", "Reply"]
