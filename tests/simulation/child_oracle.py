"""Checks children: at each checkpoint, at each delete, and after each sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier_async.catalog.schema import salt_of
from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.catalog.streams import BY_TABLE
from courier_async.reading import rounds
from courier_async.state.sent_rows import SentByHour, short_hash
from tests.simulation.children import MEMBERS, OF_MESSAGES, PARENT
from tests.simulation.claims import Broken, Claims, Part, marks_of

if TYPE_CHECKING:
    from tests.simulation.answers import Answers
    from tests.simulation.destination import Destination
    from tests.simulation.past import Past
    from tests.simulation.source import Source

# A walk's start comes from the server's clock, less the time its answers took.
_CLOCK_MS = 5 * 60_000
# A message's history may show this late.
_HISTORY_MS = 10 * 60_000
# The second try of an older message is final.
_YOUNG_MS = 7 * DAY_MS
_SALTS = tuple(salt_of(BY_TABLE["message"], redacts) for redacts in (True, False))
# Ids that cannot be part of a path.
_NEVER_ASKED = (".", "..")


class ChildOracle:
    """Judges the children of one account. Times are epoch ms of the simulated clock."""

    def __init__(self, source: Source, destination: Destination, claims: Claims) -> None:
        self._source = source
        self._destination = destination
        self._claims = claims
        self._began_ms = 0
        self._streams: dict[str, Part] = {}
        # When complete readings first missed a row that no reading has held since.
        self._missed: dict[tuple[str, str], int] = {}
        # Parents that existed when a sync read everything that was due.
        self._met: set[tuple[str, str]] = set()
        # (child table, parent): parents whose rows were deleted by a sync that reads that table.
        self._deleted: set[tuple[str, str]] = set()
        # (child table, message): tried for the last time while the histories told nothing.
        self._tried_last: set[tuple[str, str]] = set()
        # Children deleted although no reading missed them: their parents' rows must follow.
        self._with_parent: set[tuple[str, str]] = set()

    def begin(self, streams: dict[str, Part], *, now_ms: int) -> None:
        self._began_ms, self._streams = now_ms, streams
        self._with_parent.clear()

    # -- checkpoints -----------------------------------------------------------------------------

    def check(self, table: str, part: Part, before: Part, *, parents: Part) -> None:
        """Checks that a round's bookmark passes only parents that were read or are owed."""
        current = part.get("round")
        if current is None or PARENT[table] in self._claims.blind or "unusable" in parents:
            return
        began = current["began"] - self._claims.ahead_ms
        is_same = before.get("round", {}).get("began") == current["began"]
        # A sync that died may have sent rows that the state does not know.
        known = marks_of(parents).keys()
        if "sent_whole" in parents:
            known = self._destination.called[PARENT[table]].keys()
        for parent in self._source.past[PARENT[table]].values():
            if not parent.listed or parent.placed_ms >= began or parent.id in _NEVER_ASKED:
                continue
            if parent.id not in known:
                # Its page failed. It is owed once it is met.
                continue
            if _claims(part, parent.id) and not (is_same and _claims(before, parent.id)):
                self._check_called(table, parent.id, began)

    def _check_called(self, table: str, parent: str, moment_ms: int) -> None:
        for child in self._source.kin.of(table, parent):
            if child.listed and child.placed_ms < moment_ms:
                version = child.version_at(moment_ms)
                self._claims.check_called(table, child, version, f"the round of {moment_ms}")

    # -- deletes ---------------------------------------------------------------------------------

    def on_delete(self, table: str, key: str, answers: Answers) -> None:
        """Requires two complete readings without the child, or a deleted parent row."""
        child = self._source.past[table].get(key)
        if child is None:
            raise Broken(f"{table}: {key!r} deleted, which never existed")
        if child.listed and child.placed_ms < self._began_ms:
            raise Broken(f"{table}: {key!r} deleted, although it was listed throughout")
        parent = self._source.kin.parent_of(table, key).id
        if self._destination.called[PARENT[table]].get(parent, child) is None:
            return
        if not answers.missed_child(table, parent, key):
            walks = answers.whole.get(PARENT[table])
            if not walks or parent in walks[-1][1]:
                raise Broken(f"{table}: {key!r} deleted without a whole reading that missed it")
            self._with_parent.add((table, key))
            return
        since = self._missed.get((table, key))
        least = HOUR_MS - _CLOCK_MS - self._claims.ahead_ms
        if since is None or self._began_ms - since < least:
            raise Broken(
                f"{table}: {key!r} deleted, although no reading missed it long enough before"
            )

    def on_parent_delete(self, stream: str, id_: str) -> None:
        read = [table for table in self._claims.children_read if PARENT[table] == stream]
        # The last delete counts: one of a sync that died may not have landed.
        self._deleted -= {(table, id_) for table in PARENT if PARENT[table] == stream}
        self._deleted |= {(table, id_) for table in read}
        self._with_parent = {
            (table, key)
            for table, key in self._with_parent
            if PARENT[table] != stream or self._source.kin.parent_of(table, key).id != id_
        }

    # -- one sync --------------------------------------------------------------------------------

    def after(
        self,
        streams: dict[str, Part],
        answers: Answers,
        *,
        complete: set[str],
        all_but_one: set[str],
        died: bool,
    ) -> None:
        """Checks a sync that has ended. all_but_one: tables of which a single parent fails."""
        self._note_missed(answers, set() if died else complete | all_but_one)
        if self._with_parent and not died:
            raise Broken(
                f"{self._with_parent} deleted, but no reading missed them and their parents were "
                "not deleted"
            )
        for table in self._source.kin.tables:
            if table in OF_MESSAGES:
                self._check_messages(table, streams)
            elif {table, PARENT[table]} <= complete - self._claims.blind:
                self._check_whole(table, streams, answers)

    def check_all_but(
        self, table: str, streams: dict[str, Part], answers: Answers, bad: str
    ) -> None:
        """Checks that one failing parent does not affect the others."""
        if table in MEMBERS:
            self._check_whole(table, streams, answers, bad)
            return
        # A history that does not show, or no longer, is requested again.
        waiting = {
            message
            for message in streams.get(table, {}).get("due", {}).keys() - {bad}
            if any(
                child.listed
                and child.versions[-1].record.get("ts", 0) <= self._began_ms - _HISTORY_MS
                for child in self._source.kin.of(table, message)
            )
        }
        if waiting:
            raise Broken(f"{table}: {waiting} are still waiting, though only {bad!r} fails")

    def _note_missed(self, answers: Answers, read: set[str]) -> None:
        """Updates which rows are missed.

        read: tables of which every answer was processed. After too many failures, or if the sync
        dies, the rest are discarded.
        """
        for table in answers.children_held.keys() & read:
            for key in answers.children_held[table]:
                self._missed.pop((table, key), None)
        for table in self._source.kin.tables:
            for key, row in self._destination.called[table].items() if table in MEMBERS else ():
                parent = self._source.kin.parent_of(table, key).id
                if row is not None and answers.missed_child(table, parent, key):
                    self._missed.setdefault((table, key), self._began_ms)

    def _check_whole(
        self, table: str, streams: dict[str, Part], answers: Answers, but: str | None = None
    ) -> None:
        """Checks a sync that has read all parents and all children that were due."""
        walks = answers.whole.get(PARENT[table])
        if not walks or walks[-1][1] <= set(_NEVER_ASKED):
            # An empty listing does not count as a reading.
            return
        past = self._source.past[PARENT[table]]
        if but and not any(past[id_].listed for id_ in walks[-1][1] - {but, *_NEVER_ASKED}):
            # If every parent that is still listed fails, the cause may be the plan.
            return
        part, parents = streams.get(table, {}), streams.get(PARENT[table], {})
        current, slack = part.get("round"), self._claims.ahead_ms + _CLOCK_MS
        known = marks_of(self._streams.get(PARENT[table], {})).keys()
        owed_before = self._streams.get(table, {}).get("owed", {})
        # One that was missing may have been deleted, so it counts as new.
        missing = self._streams.get(PARENT[table], {}).get("missing", {}).keys()
        owed = owed_before.keys() | (walks[-1][1] - (known - missing))
        if current is None and but and but not in owed_before and len(owed) >= rounds.MOST_OWED:
            # There was no room to owe it, so a new round over all parents is due at once.
            return
        if current is None or not current.get("over"):
            raise Broken(f"{table}: complete, though its round is not over")
        was_over = self._streams.get(table, {}).get("round", {"over": True}).get("over")
        if was_over and current["began"] + self._claims.refresh_ms < self._began_ms - slack:
            raise Broken(f"{table}: no round has begun though one was due")
        moment = self._began_ms - self._claims.ahead_ms
        is_tracked = not ({"unusable", "sent_whole"} & parents.keys())
        for parent in self._source.past[PARENT[table]].values():
            if not parent.listed or parent.placed_ms >= moment:
                continue
            place = (table, parent.id)
            if parent.id in (but, *_NEVER_ASKED) or (place in self._met and parent.id in known):
                continue
            self._met.add(place)
            if is_tracked:
                # An earlier sync that did not finish may have read this parent's children.
                since = parent.first_ms + 1 if parent.id in known else moment
                self._check_called(table, parent.id, since)
        # A sync that died may have deleted rows that the state still knows; they go again.
        still_known = marks_of(parents).keys()
        for key, row in self._destination.landed[table].items():
            if row is None or key in self._destination.untracked[table] or "sent_whole" in part:
                continue
            id_ = self._source.kin.parent_of(table, key).id
            if id_ in still_known:
                continue
            if (table, id_) in self._deleted and self._destination.landed[PARENT[table]].get(
                id_
            ) is None:
                raise Broken(f"{table}: {key!r} is alive, but its parent's row is deleted")

    # -- messages --------------------------------------------------------------------------------

    def _check_messages(self, table: str, streams: dict[str, Part]) -> None:
        """Checks that each message whose row the state knows has its children or has them due."""
        sent = streams.get("message", {}).get("sent", {})
        due = streams.get(table, {}).get("due", {})
        if table in self._claims.blind:
            failed_before = self._streams.get(table, {}).get("due", {}).items()
            oldest = self._began_ms - _YOUNG_MS + _CLOCK_MS
            self._tried_last |= {(table, id_) for id_, time in failed_before if -oldest < time < 0}
        if self._claims.ahead_ms:
            # If the clock is ahead, a history is requested before it shows.
            return
        hours = SentByHour.from_json(sent).hours.values() if sent else ()
        marks = {name: mark for entries in hours for name, mark in entries.items()}
        for message in self._source.past["message"].values():
            mark = marks.get(short_hash((message.id,)))
            if not mark or not message.listed or message.id in due:
                continue
            since = _since(message, mark)
            if since is not None:
                self._check_landed_of(table, message.id, since)

    def check_all_messages(self) -> None:
        """Checks at the end that each unchanged message has its children, remembered or not."""
        if self._claims.ahead_ms:
            return
        for message in self._source.past["message"].values():
            # For messages that show late, below what is remembered, children are not guaranteed.
            is_late = message.first_ms > message.time_ms + _HISTORY_MS
            if is_late or not message.listed or len(message.versions) > 1:
                continue
            if self._destination.landed["message"].get(message.id) is not None:
                for table in set(OF_MESSAGES) & set(self._source.kin.tables):
                    self._check_landed_of(table, message.id, message.first_ms)

    def _check_landed_of(self, table: str, message: str, since_ms: int) -> None:
        if (table, message) in self._tried_last:
            return
        for child in self._source.kin.of(table, message):
            # Later events show only then, such as a click that replaced an earlier one.
            newest_ms = max(version.record.get("ts", 0) for version in child.versions)
            is_late = newest_ms > since_ms + _HISTORY_MS
            if is_late or not child.listed or child.first_ms > since_ms:
                continue
            landed = child.version_of(self._destination.landed[table].get(child.id))
            if landed is None or landed < child.version_at(since_ms + 1):
                raise Broken(f"{table}: {child.id!r} has not landed, and is not due either")

    def check_nothing_invented(self) -> None:
        """Checks that each landed row existed in the source."""
        for table in self._source.kin.tables:
            for key, row in self._destination.landed[table].items():
                past = self._source.past[table].get(key)
                if row is not None and (past is None or past.version_of(row) is None):
                    raise Broken(f"{table}: {key!r} landed in a version that never existed")


def _claims(part: Part, parent: str) -> bool:
    """Returns whether a state says that a parent's children have been read in its round."""
    current = part.get("round", {})
    passed = current.get("over") or parent <= current.get("done_to", "")
    return bool(passed) and parent not in part.get("owed", {})


def _since(message: Past, mark: bytes) -> int | None:
    """Returns since when the message has been as the state knows it."""
    for version in message.versions:
        if any(version.mark(salt) == mark for salt in _SALTS):
            return version.since_ms
    return None
