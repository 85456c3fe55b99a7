"""Everything that ever existed below lists, audiences, tenants and messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from courier_async.api.decode import decode
from courier_async.catalog.streams import BY_TABLE
from courier_async.state.sent_rows import key_text
from tests.simulation.past import Past, Version
from tests.support.fake_courier.details import history, providers
from tests.support.fake_courier.whole import WholeAnswers

if TYPE_CHECKING:
    from tests.simulation.source import Source

MEMBERS = ("list_subscription", "audience_member", "tenant_user")
OF_MESSAGES = ("message_provider", "message_event")
# Table of children -> the table of their parents.
PARENT = {table: str(BY_TABLE[table].parent) for table in (*MEMBERS, *OF_MESSAGES)}
# What an edit sets. There are few values, so that a row often returns to an earlier one.
_EDITS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "list_subscription": ("created", ("2026-01-01T00:00:00.000Z", None)),
    "audience_member": ("audience_version", (1, 2)),
    "tenant_user": ("type", ("user", "owner")),
}
_KINDS = ("add", "add", "remove", "remove", "edit", "edit", "come back", "move", "empty")


class Children:
    """The children of one account in some tables, each a Past among those of the source.

    A child is listed while both it and its parent are.
    """

    def __init__(self, source: Source, tables: Iterable[str], random: Random) -> None:
        self.tables = tuple(tables)
        self._source = source
        self._random = random
        self._details = WholeAnswers(source, lambda: 0.0)
        self._of: dict[tuple[str, str], dict[str, Past]] = {}
        source.past |= {table: {} for table in self.tables}
        for stream in {PARENT[table] for table in self.tables}:
            self.note(stream, source.past[stream])

    def of(self, table: str, parent: str) -> Iterable[Past]:
        """Returns all children that one parent ever had."""
        return self._of.get((table, parent), {}).values()

    def parent_of(self, table: str, key: str) -> Past:
        """Returns the parent of any child that ever existed."""
        return self._source.past[PARENT[table]][key.partition("\t")[0]]

    def note(self, stream: str, ids: Iterable[str]) -> None:
        """Records that rows of a stream, or their children, may have changed."""
        for table in self.tables:
            for parent in ids if PARENT[table] == stream else ():
                self._note(table, parent)

    # -- what happens to members -----------------------------------------------------------------

    def change_at_random(self, table: str) -> tuple[str, list[str]]:
        """Changes children at random; returns the kind of change and the parents affected."""
        random, members = self._random, self._source.members
        if table in OF_MESSAGES:
            return "progress", self._progress()
        listed = self._source.parents(table)
        kind = random.choice(_KINDS)
        if not listed:
            return "nothing", []
        parent = random.choice(listed)
        users = [row[1] for row in self._source.children.table(table, parent).rows()]
        some = random.sample(users, min(len(users), random.choice((1, 1, 2))))
        concerned = [parent]
        if kind == "add":
            members.add_members(table, parent, random.choice((1, 1, 2, 4)))
        elif kind == "come back":
            gone = [past.id for past in self.of(table, parent) if not past.listed]
            for key in random.sample(gone, min(len(gone), 2)):
                members.add_members(table, parent, users=[key.partition("\t")[2]])
        elif kind == "empty":
            members.remove_members(table, parent, users=users)
        elif some and kind == "remove":
            members.remove_members(table, parent, users=some)
        elif some and kind == "edit":
            field, values = _EDITS[table]
            members.edit_members(table, {field: random.choice(values)}, parent, users=some)
        elif some and kind == "move":
            concerned.append(random.choice(listed))
            if concerned[1] != parent:
                members.move_members(table, parent, users=some, to=concerned[1])
        for one in concerned:
            self._note(table, one)
        return kind, concerned

    def _progress(self) -> list[str]:
        """Takes messages a step further, which adds to their children."""
        rows = self._source.listing("message")
        some = self._random.sample(rows, min(len(rows), self._random.choice((1, 2, 4))))
        ids = self._source.progress_messages(len(some), ids=[row[1] for row in some])
        self._source.note("message", ids, moved=False)
        return ids

    # -- what there is ---------------------------------------------------------------------------

    def _note(self, table: str, parent: str) -> None:
        now = self._source.now_ms()
        known = self._of.setdefault((table, parent), {})
        listed = self._source.past[PARENT[table]][parent].listed
        records = dict(self._records(table, parent)) if listed else {}
        for key in known.keys() - records.keys():
            known[key].listed = False
        for key, record in records.items():
            past = known.get(key)
            if past is None:
                past = known[key] = Past(key, record.get("ts", 0), 0, 0, now)
                self._source.past[table][key] = past
            elif not past.listed:
                past.placed_ms = now
            past.listed = True
            if not past.versions or past.versions[-1].record != record:
                past.versions.append(Version.of(table, now, record))

    def _records(self, table: str, parent: str) -> Iterator[tuple[str, dict[str, Any]]]:
        key = BY_TABLE[table].key
        for position, record in enumerate(self._served(table, parent)):
            placed = {key[0]: parent}
            placed |= {"position": position} if "position" in key else {}
            row = decode(msgspec.json.encode(record | placed))
            yield key_text(tuple(str(row[name]) for name in key)), row

    def _served(self, table: str, parent: str) -> list[dict[str, Any]]:
        """Returns a parent's children, including events of a message that show only later."""
        source = self._source
        if table in MEMBERS:
            return list(source.children.table(table, parent).records())
        message = source.get("message", parent)
        if message is None:
            return []
        if table == "message_provider":
            return providers(source.seed, message)
        return history(source.seed, message, self._details._opens(message))
