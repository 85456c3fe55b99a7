"""Changes to the members of lists, audiences and tenants."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from tests.support.fake_courier.children import Children

MEMBER_CHANGES = ("add_members", "remove_members", "edit_members", "move_members")


class MemberChanges:
    """Each change takes a stream of members, and returns the ids of the users changed.

    parent: its id; if missing, a random listed one. users: by name; if missing, n of them.
    parents: returns the ids of the listed rows that a stream of members belongs to.
    """

    def __init__(
        self,
        children: Children,
        parents: Callable[[str], list[str]],
        now_ms: Callable[[], int],
        seed: int,
    ) -> None:
        self._children = children
        self._parents = parents
        self._now_ms = now_ms
        self._random = Random(f"{seed}/members")

    def add_members(
        self, stream: str, parent: str | None = None, n: int = 1, users: Sequence[str] = ()
    ) -> list[str]:
        """Adds rows to a parent; a user that was there before comes back as it was."""
        parent = parent or self._random.choice(self._parents(stream))
        named: list[str | None] = [*users] or [None] * n
        return [self._children.add(stream, parent, self._now_ms(), user) for user in named]

    def remove_members(
        self, stream: str, parent: str | None = None, n: int = 1, users: Sequence[str] = ()
    ) -> list[str]:
        """Removes rows from their parent's listing."""
        found = self._chosen(stream, parent, n, users)
        for of, user in found:
            self._children.remove(stream, of, user)
        return [user for _, user in found]

    def edit_members(
        self,
        stream: str,
        fields: Mapping[str, Any],
        parent: str | None = None,
        n: int = 1,
        users: Sequence[str] = (),
    ) -> list[str]:
        """Sets fields of rows."""
        found = self._chosen(stream, parent, n, users)
        for of, user in found:
            self._children.edit(stream, of, user, fields)
        return [user for _, user in found]

    def move_members(
        self,
        stream: str,
        parent: str | None = None,
        n: int = 1,
        users: Sequence[str] = (),
        to: str | None = None,
    ) -> list[str]:
        """Moves rows from their parent to another one."""
        found = self._chosen(stream, parent, n, users)
        for of, user in found:
            others = [one for one in self._parents(stream) if one != of]
            target = to or self._random.choice(others)
            self._children.move(stream, user, of, target, self._now_ms())
        return [user for _, user in found]

    def _chosen(
        self, stream: str, parent: str | None, n: int, users: Sequence[str]
    ) -> list[tuple[str, str]]:
        if users and parent is None:
            raise ValueError("users need a parent")
        if parent is not None and users:
            return [(parent, user) for user in users]
        parents = self._parents(stream) if parent is None else [parent]
        return self._children.pick(stream, parents, n, self._random)
