"""The members of every list, audience and tenant: one table per parent, made on demand."""

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from tests.support.fake_courier.drawing import Draw, seed_key
from tests.support.fake_courier.maker import Record
from tests.support.fake_courier.members import Users, member_maker
from tests.support.fake_courier.table import Table
from tests.support.fake_courier.timeline import DAY_MS, Timeline

SPAN_MS = 300 * DAY_MS


class Children:
    """Changes take a parent's id and a user's; the account knows which parents exist.

    sizes: mean rows per parent; each has from none to twice as many.
    """

    def __init__(
        self,
        seed: int,
        sizes: Mapping[str, int],
        orders: Mapping[str, str],
        made_ms: int,
        hostile: bool,
    ) -> None:
        self._seed = seed
        self._sizes = sizes
        self._orders = orders
        self._made_ms = made_ms
        self._hostile = hostile
        self._tables: dict[tuple[str, str], Table] = {}
        self._users: dict[tuple[str, str], Users] = {}

    def table(self, stream: str, parent: str) -> Table:
        """Returns the rows of one parent."""
        place = (stream, parent)
        if place not in self._tables:
            key = seed_key(self._seed, f"{stream} of {parent}")
            users = self._users[place] = Users(key, hostile=self._hostile)
            self._tables[place] = Table(
                member_maker(stream, self._seed, parent, users),
                Timeline(
                    Draw(key, 1).take(2 * self._sizes[stream] + 1),
                    start_ms=self._made_ms - SPAN_MS,
                    end_ms=self._made_ms - 60_000,
                    salt=Draw(key, 2).take(1000),
                ),
                order=self._orders[stream],
                as_of_ms=self._made_ms,
                seed=self._seed,
            )
        return self._tables[place]

    def truth(self, stream: str, parents: Iterable[str]) -> Iterator[Record]:
        """Yields all rows of these parents; adds the list's id to subscriptions."""
        for parent in parents:
            for record in self.table(stream, parent).records():
                yield {"list_id": parent, **record} if stream == "list_subscription" else record

    def add(self, stream: str, parent: str, now_ms: int, user: str | None = None) -> str:
        """Adds a row, for a given user if there is one; a removed row comes back."""
        table, users = self.table(stream, parent), self._users[stream, parent]
        index = table.next_index
        if user is None:
            user = users.id_of(index, 0)
            if users.index_of(user) != index:  # was added by name before
                user = f"member-{index}"
                users.name(index, user)
            return table.add(now_ms, as_of_ms=now_ms, position=now_ms)
        try:
            known = table.find(user)
        except KeyError:
            users.name(index, user)
            return table.add(now_ms, as_of_ms=now_ms, position=now_ms)
        if not table.is_listed(known):
            table.show(known)
        return user

    def remove(self, stream: str, parent: str, user: str) -> None:
        table = self.table(stream, parent)
        table.hide(table.find(user))

    def edit(self, stream: str, parent: str, user: str, fields: Mapping[str, Any]) -> None:
        table = self.table(stream, parent)
        table.patch(table.find(user), fields)

    def move(self, stream: str, user: str, parent: str, to: str, now_ms: int) -> None:
        """Moves a user from one parent to another."""
        self.remove(stream, parent, user)
        self.add(stream, to, now_ms, user)

    def pick(
        self, stream: str, parents: list[str], n: int, random: Random
    ) -> list[tuple[str, str]]:
        """Returns at most n pairs (parent, user) from anywhere among the parents."""
        order = random.sample(parents, len(parents))
        found: list[tuple[str, str]] = []
        for parent in order:
            users = [row[1] for row in self.table(stream, parent).rows()]
            found += [(parent, user) for user in random.sample(users, min(len(users), 2))]
            if len(found) >= n:
                break
        return found[:n]
