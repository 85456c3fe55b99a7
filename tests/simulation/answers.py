"""Records what the API has answered: whole walks of a listing, and rows requested by id."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from courier_async.catalog.streams import BY_TABLE
from courier_async.state.sent_rows import key_text
from tests.simulation.source import TIMED


@dataclass(slots=True)
class _Chain:
    """An unbroken walk from the head so far. cursors: those that may continue it."""

    began_ms: int
    held: set[str] = field(default_factory=set)
    cursors: set[str] = field(default_factory=set)


class Answers:
    """The answers of one sync. statuses: of rows requested by id, in order.

    held: ids of all pages of walks. whole: for each table, the walks from the head to the end:
    when each began and what it held. children_held: the keys of the children on all pages.
    """

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, str], list[int]] = {}
        self.held: dict[str, set[str]] = {}
        self._asked_again: set[tuple[str, str | None]] = set()
        self.whole: dict[str, list[tuple[int, set[str]]]] = {}
        self.spoilt: set[str] = set()
        self.pages = 0
        self._chains: dict[str, _Chain] = {}
        self.children_held: dict[str, set[str]] = {}
        # By parent: the complete readings of its children, and the one in progress.
        self._readings: dict[tuple[str, str], list[set[str]]] = {}
        self._reading: dict[tuple[str, str], _Chain] = {}

    def by_id(self, table: str, id_: str, status: int, body: bytes) -> None:
        if status == 200 and not _is_json(body):
            return  # an intermediary's page, which says nothing about the row
        self.statuses.setdefault((table, id_), []).append(status)

    def page(self, table: str, cursor: str | None, body: bytes, asked_ms: int) -> None:
        """Records that a listing was answered with 200."""
        try:
            answer = msgspec.json.decode(body)
        except ValueError:
            return
        stream = BY_TABLE[table]
        array = next((name for name in stream.arrays if name in answer), None)
        if array is None or not isinstance(answer[array], list):
            return
        self.pages += table == "message" and bool(answer[array])
        keys = {key[0] for record in answer[array] if (key := stream.key_of(record))}
        if len(keys) < len(answer[array]) and any(
            stream.key_of(record) is None for record in answer[array]
        ):
            self.spoilt.add(table)
            if (table, cursor) not in self._asked_again:
                # The connector requests this page again; only the second answer counts.
                self._asked_again.add((table, cursor))
                return
        self._asked_again.discard((table, cursor))
        if table not in self.whole or table in TIMED:
            # After a whole walk of a table without times, the connector only reads its head again.
            self.held.setdefault(table, set()).update(keys)
        if cursor is None:
            self._chains[table] = _Chain(asked_ms)
        chain = self._chains.get(table)
        if chain is None or (cursor is not None and cursor not in chain.cursors):
            return
        chain.held |= keys
        following = _following(answer)
        chain.cursors |= set(following)
        if not following:
            self.whole.setdefault(table, []).append((chain.began_ms, chain.held))
            del self._chains[table]

    def children(
        self, table: str, parent: str, cursor: str | None, status: int, body: bytes
    ) -> None:
        """Records the answer to a request for a page of a parent's children."""
        place = (table, parent)
        if 400 <= status < 500:
            # The parent is unknown, or its row is no longer listed, which counts the same.
            self._readings.setdefault(place, []).append(set())
        if status != 200:
            return
        try:
            answer = msgspec.json.decode(body)
        except ValueError:
            return
        key, records = BY_TABLE[table].key, answer.get(BY_TABLE[table].arrays[0]) or []
        held = {key_text((parent, record[key[1]])) for record in records}
        self.children_held.setdefault(table, set()).update(held)
        if cursor is None:
            self._reading[place] = _Chain(0)
        chain = self._reading.get(place)
        if chain is None:
            return
        chain.held |= held
        if not _following(answer):
            self._readings.setdefault(place, []).append(chain.held)
            del self._reading[place]

    def missed_child(self, table: str, parent: str, key: str) -> bool:
        """Returns whether a complete reading of the parent's children lacked this one."""
        return any(key not in held for held in self._readings.get((table, parent), ()))


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except ValueError:
        return False
    return True


def _following(answer: dict[str, Any]) -> list[str]:
    """Returns the cursors that may request the next page; none after the last page."""
    paging = answer.get("paging", answer)
    if not isinstance(paging, dict) or paging.get("more", paging.get("has_more")) is False:
        return []
    cursor, url = paging.get("cursor"), paging.get("next_url")
    from_url = url.partition("cursor=")[2].replace("%2B", "+") if isinstance(url, str) else ""
    return [text for text in (cursor, from_url) if text]
