"""The rows of a list's, an audience's or a tenant's members."""

from typing import Any

from tests.support.fake_courier.drawing import Draw, seed_key
from tests.support.fake_courier.maker import Maker, Record, iso

USERS = 20_000
STRIDE = 7919  # has no divisor in common with USERS, so no user comes twice
BACK = pow(STRIDE, -1, USERS)
HOSTILE_USERS = ("user/7", "two words", "größe 東京", "007", "100%", "🙂", "true")
FIRST_HOSTILE = 1
TOPIC = "PT91W47CKEMP6PW0RYVN3F08F2YE"


class Users:
    """The ids of one parent's rows: computed from the index, or set by name."""

    def __init__(self, key: bytes, *, hostile: bool) -> None:
        self._offset = Draw(key, 0).take(USERS)
        self._named: dict[int, str] = {}
        self._index_of_name: dict[str, int] = {}
        for number, name in enumerate(HOSTILE_USERS if hostile else ()):
            self.name(FIRST_HOSTILE + number, name)

    def name(self, index: int, user: str) -> None:
        """Assigns the row at an index to this user."""
        self._named[index] = user
        self._index_of_name[user] = index

    def is_named(self, user: str) -> bool:
        return user in self._index_of_name

    def id_of(self, index: int, time_ms: int) -> str:
        named = self._named.get(index)
        return named or f"user-{(self._offset + index * STRIDE) % USERS}"

    def index_of(self, text: str) -> int | None:
        if text in self._index_of_name:
            return self._index_of_name[text]
        digits = text.removeprefix("user-")
        if not (digits.isascii() and digits.isdigit()):
            return None
        return (int(digits) - self._offset) * BACK % USERS


def member_maker(stream: str, seed: int, parent: str, users: Users) -> Maker:
    """Returns the maker of one parent's rows."""
    key = seed_key(seed, f"{stream} of {parent}")
    shape = {
        "list_subscription": _subscription,
        "audience_member": _audience_member,
        "tenant_user": _tenant_user,
    }[stream]

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        return shape(Draw(key, index), parent, users.id_of(index, time_ms), time_ms)

    return Maker(users.id_of, users.index_of, record)


def _subscription(draw: Draw, parent: str, user: str, time_ms: int) -> Record:
    row: Record = {"recipientId": user}
    if draw.take(6):
        row["created"] = iso(time_ms) if draw.take(5) else None
    preference: dict[str, Any] = {"status": draw.of(("OPTED_IN", "OPTED_OUT"))}
    if draw.take(2):
        preference |= {
            "channel_preferences": [{"channel": "email"}],
            "rules": [{"until": "2026-12-31T00:00:00.000Z"}],
        }
    preferences = {"notifications": {"nt_01kmrbq6ypf25tsge12qek41r0": preference}}
    if draw.take(3) == 0:
        row["preferences"] = draw.of((None, preferences | {"categories": {}}, preferences))
    return row


def _audience_member(draw: Draw, parent: str, user: str, time_ms: int) -> Record:
    title = draw.of(("Software Engineer", "Designer"))
    return {
        "audience_id": parent,
        "member_id": user,
        "added_at": iso(time_ms),
        "audience_version": 1 + draw.take(4),
        "reason": f"EQ('title', '{title}') => true",
    }


def _tenant_user(draw: Draw, parent: str, user: str, time_ms: int) -> Record:
    row: Record = {"tenant_id": parent, "user_id": user}
    if draw.take(5):
        row["type"] = "user"
    secret = {"title": "Engineer", "slack": {"access_token": f"xoxb-fake-{draw.take(9000)}"}}
    if draw.take(4):
        row["profile"] = draw.of((None, {}, secret, {"title": "Designer"}))
    return row
