"""Checks what must hold after every sync, for every delete, and at the quiet end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from courier_async.catalog.stream import DAY_MS, HOUR_MS
from courier_async.errors import StateRefused
from courier_async.state import saved as states
from courier_async.state.plan import INDEX_LAG_MS
from courier_async.state.sent_rows import key_text
from tests.simulation.answers import Answers
from tests.simulation.child_oracle import ChildOracle
from tests.simulation.children import MEMBERS, OF_MESSAGES, PARENT
from tests.simulation.claims import Broken, Claims
from tests.simulation.past import Past
from tests.simulation.source import TIMED, Source

if TYPE_CHECKING:
    from tests.simulation.destination import Destination

State = dict[str, Any]
# A record that becomes visible this long after its own time lands in the next sync that ends.
FRESH_MS = {"message": HOUR_MS + 9 * 60_000, "audit_event": DAY_MS + 9 * 60_000}
# The Date header has no milliseconds.
_DATE_MS = 2_000
_SILENT = (401, 402, 403, 429)


@dataclass(slots=True)
class Missed:
    """A row that whole walks have missed. since_ms: when the first of them began."""

    since_ms: int


@dataclass(slots=True)
class SyncFacts:
    """The facts about one sync that its checks need.

    complete: streams that it says were read to the end. blind: streams whose listings told it
    nothing. fails_below: the message time below which pages fail; everything above it still lands.
    bad_parent: a table of children, and the one parent whose children fail.
    """

    died: bool
    complete: set[str]
    lookback_ms: int
    source_name: str
    blind: set[str] = field(default_factory=set)
    fails_below: int | None = None
    bad_parent: tuple[str, str] | None = None


class Oracle:
    """Checks one account's syncs. Times are epoch ms of the simulated clock.

    off_ms: how far the server's clock has been wrong in any sync so far.
    """

    def __init__(self, source: Source, destination: Destination, *, most_rows: int) -> None:
        self.source = source
        self.destination = destination
        self.claims = Claims(source, destination, most_rows=most_rows)
        self.children = self.claims.children = ChildOracle(source, destination, self.claims)
        self.answers = Answers()
        self.off_ms = 0
        self._began_ms = 0
        # Table -> the spans that unfinished walks of the last minutes have read.
        self._just_read: dict[str, list[tuple[int, int]]] = {}
        self._missed: dict[tuple[str, str], Missed] = {}
        # Table -> what the state has saved of its missing rows.
        self._saved_missing: dict[str, dict[str, list[int | None]]] = {}
        # When each sync began, and its lookback for late changes.
        self._lookbacks: list[tuple[int, int]] = []
        # When each sync began, and its `sync_since`.
        self._floors: list[tuple[int, int]] = []

    # -- one sync ----------------------------------------------------------------------------

    def begin(
        self, state: State, *, now_ms: int, since_ms: int | None, redacts: bool, blind: set[str]
    ) -> None:
        self._began_ms = now_ms
        if since_ms is not None:
            self._floors.append((now_ms, since_ms))
        self._just_read = {
            table: [
                (lane["oldest"], lane["started_at"])
                for lane in part.get("lanes", ())
                if "oldest" in lane and now_ms - lane["started_at"] < INDEX_LAG_MS
            ]
            for table, part in state.get("streams", {}).items()
        }
        self._saved_missing = {
            table: part.get("missing", {}) for table, part in state.get("streams", {}).items()
        }
        self.answers = Answers()
        self.claims.since_ms, self.claims.redacts = since_ms, redacts
        self.claims.blind = blind
        self.claims.begin(state.get("streams", {}))
        self.children.begin(state.get("streams", {}), now_ms=now_ms)

    def on_delete(self, table: str, key: str) -> None:
        if table in MEMBERS:
            self.children.on_delete(table, key, self.answers)
            return
        self.children.on_parent_delete(table, key)
        past = self.source.past[table].get(key)
        if past is None:
            raise Broken(f"{table}: {key!r} deleted, which never existed")
        # Of templates, whose ids tell nothing, the listing's word counts, even if it is false.
        is_deceived = table == "notification" and table in self.claims.blind
        if past.listed and past.placed_ms < self._began_ms and not is_deceived:
            raise Broken(f"{table}: {key!r} deleted, although it was listed throughout")
        whole = self.answers.whole.get(table, [])
        missed = [began for began, held in whole if key not in held]
        if not missed:
            raise Broken(f"{table}: {key!r} deleted without a whole walk that missed it")
        statuses = self.answers.statuses.get((table, key), [])
        if table != "notification" and 200 in statuses:
            raise Broken(f"{table}: {key!r} deleted, though its id answers 200")
        lives = self.source.get(table, key) is not None
        if table != "notification" and not statuses and lives:
            raise Broken(f"{table}: {key!r} deleted without requesting its id, which answers 200")
        # An empty listing has no row to test ids with, so Courier's own word is believed.
        can_test = bool(whole[-1][1])
        if can_test and lives and self._returned_200(table, key):
            raise Broken(
                f"{table}: {key!r} deleted in an outage of the ids; it returned 200 before"
            )
        told = [status for status in statuses if 400 <= status < 500 and status not in _SILENT]
        least = HOUR_MS if told and table != "notification" else DAY_MS
        before = self._missed.get((table, key))
        if before is None or missed[-1] - before.since_ms < least - _DATE_MS - self.off_ms:
            raise Broken(
                f"{table}: {key!r} deleted, although no walk missed it long enough before"
            )

    def _returned_200(self, table: str, key: str) -> bool:
        """Returns whether a missing row's id told something less than a week ago."""
        saved = self._saved_missing.get(table, {}).get(key_text((key,)))
        if saved is None:
            return False
        *_, failing_ms, _, was_found = saved
        if not was_found:
            return False
        return failing_ms is None or self._began_ms - failing_ms < 7 * DAY_MS - self.off_ms

    def after(self, facts: SyncFacts) -> None:
        """Checks a sync that has ended."""
        state = msgspec.json.decode(self.destination.saved)
        self._check_state(state, facts.source_name)
        self._lookbacks.append((self._began_ms, facts.lookback_ms))
        self._note_missed(died=facts.died)
        for table in facts.complete - facts.blind - PARENT.keys():
            self._check_complete(table, state["streams"].get(table, {}))
        if facts.fails_below is not None and not facts.died and "message" not in facts.complete:
            self._check_fresh("message", facts.fails_below)
        streams = state.get("streams", {})
        self.children.after(
            streams,
            self.answers,
            complete=facts.complete,
            all_but_one={facts.bad_parent[0]} if facts.bad_parent else set(),
            died=facts.died,
        )
        if facts.bad_parent is not None and not facts.died:
            table, bad = facts.bad_parent
            if PARENT[table] in facts.complete:
                self.children.check_all_but(table, streams, self.answers, bad)

    def _note_missed(self, *, died: bool) -> None:
        """Updates which rows whole walks have missed, and since when no walk has held them.

        A sync that died passes on nothing that it held.
        """
        for table, held in self.answers.held.items() if not died else ():
            for key in held:
                self._missed.pop((table, key), None)
        for table, walks in self.answers.whole.items():
            began, held = walks[-1]
            for key, row in self.destination.called[table].items():
                if row is not None and key not in held:
                    self._missed.setdefault((table, key), Missed(began))

    # -- what has landed ---------------------------------------------------------------------

    def _check_complete(self, table: str, part: State) -> None:
        unusable = part.get("unusable")
        if table not in TIMED:
            for past in self.source.past[table].values():
                if past.listed and past.placed_ms < self._began_ms and unusable is None:
                    self._check_landed(table, past, past.version_at(self._began_ms))
            return
        self._check_fresh(table, None if unusable is None else self._began_ms)
        if table == "message" and unusable is None:
            self._check_lateness()

    def _check_fresh(self, table: str, above_ms: int | None) -> None:
        """Checks that records visible soon after their own times have landed."""
        # A clock that was ahead hides the newest record's age, which costs the slack for it.
        fresh_ms = FRESH_MS[table] - (INDEX_LAG_MS if self.claims.ahead_ms else 0)
        for past in self.source.past[table].values():
            if not past.listed or past.placed_ms >= self._began_ms - self.off_ms:
                continue
            if not self.claims.is_wanted(table, past) or past.first_ms <= self.source.made_ms:
                continue
            if above_ms is not None and past.place_ms <= above_ms:
                continue
            spans = self._just_read.get(table, ())
            if any(low <= past.place_ms <= began <= past.first_ms for low, began in spans):
                # It showed up too late for that walk. The next one reads the overlap again.
                continue
            is_fresh = past.place_ms == past.time_ms and past.first_ms - past.time_ms <= fresh_ms
            if is_fresh and not self._was_closed(past):
                self._check_landed(table, past, 0)

    def _was_closed(self, past: Past) -> bool:
        """Whether it showed up over an hour late, and a later `sync_since` hid it then."""
        is_late = past.first_ms - past.time_ms > FRESH_MS["message"]
        return is_late and any(
            began >= past.first_ms and floor > past.time_ms for began, floor in self._floors
        )

    def _check_lateness(self) -> None:
        """Checks that a change lands before its delay passes a quarter of the message's age."""
        began, landed = self._began_ms, self.destination.landed["message"]
        floor = self.claims.since_ms or 0
        for past in self.source.past["message"].values():
            # Whatever time a message carries, no walk meets one that is listed below the floor.
            if not past.listed or past.place_ms < floor:
                continue
            have = past.version_of(landed.get(past.id))
            for version in past.versions[0 if have is None else have + 1 :]:
                since = max(version.since_ms, past.first_ms)
                if since >= began or not self._is_owed(past, since):
                    continue
                age, delay = began - past.place_ms, began - since
                if delay > age / 4 + self.off_ms + _DATE_MS:
                    raise Broken(
                        f"message: {past.id!r} changed {delay / HOUR_MS:.2f} h ago at an age of "
                        f"{(since - past.place_ms) / DAY_MS:.2f} days, and has not landed"
                    )

    def _is_owed(self, past: Past, since_ms: int) -> bool:
        """Returns whether a change was within the lookback of every sync since."""
        age = since_ms - past.place_ms
        spans = [span for began, span in self._lookbacks if began > since_ms]
        return all(age < span - 60_000 - self.off_ms for span in spans)

    def _check_landed(self, table: str, past: Past, version: int) -> None:
        landed = past.version_of(self.destination.landed[table].get(past.id))
        if landed is None:
            raise Broken(f"{table}: {past.id!r} has not landed")
        if landed < version:
            raise Broken(f"{table}: {past.id!r} has landed in an outdated version")

    def _check_state(self, state: State, source_name: str) -> None:
        if not state:
            return
        try:
            loaded, warnings = states.load(state, source=source_name)
        except StateRefused as refusal:
            raise Broken(f"the state is refused: {refusal}") from None
        again = msgspec.json.decode(msgspec.json.encode(loaded.as_json()))
        for table, part in state["streams"].items():
            mine = again["streams"].get(table, {})
            if part.pop("open", None):
                mine.pop("sent", None)
                part.pop("sent", None)
        if warnings or again != state:
            raise Broken(f"the state changes when saved and loaded: {warnings}")

    def check_pages_landed(self) -> None:
        """Checks that everything a page held has landed, whatever was wrong with the page."""
        for table, held in self.answers.held.items():
            # Excludes messages, as pages of unproved lanes are discarded, and tables with unusable
            # records, as their pages were requested again.
            for key in held if table not in {"message"} | self.answers.spoilt else ():
                past = self.source.past[table][key]
                is_new = past.placed_ms >= self._began_ms
                if past.listed and not is_new and self.claims.is_wanted(table, past):
                    self._check_landed(table, past, 0)

    # -- once all is quiet -------------------------------------------------------------------

    def given_up(self) -> set[str]:
        """Returns the tables whose rows may be sent again although nothing has changed."""
        streams = msgspec.json.decode(self.destination.saved)["streams"]
        tables = {table for table, part in streams.items() if part.get("sent_whole")}
        if "given_up" in streams.get("message", {}).get("sent", {}):
            # A forgotten message that changed just before it was read counts as news each time.
            tables |= {*OF_MESSAGES}
        return tables

    def check_cost(self, page_size: int) -> None:
        """Checks that a minute after a sync little is read, whatever times records have."""
        positions = [row[0] for row in self.source.listing("message")]
        all_pages = len(positions) / page_size
        # What each sync reads again.
        last_hour = sum(at >= positions[0] - HOUR_MS for at in positions) / page_size
        if all_pages >= 8 and self.answers.pages > 4 + max(all_pages / 2, last_hour):
            raise Broken(f"message: {self.answers.pages} pages read though nothing has changed")

    def tables_equal(self, tables: tuple[str, ...]) -> None:
        """Checks that exactly the source's rows are alive; messages and audit events may stay."""
        given_up = self.given_up()
        self.children.check_nothing_invented()
        self.children.check_all_messages()
        for table in (*tables, *(t for t in self.source.kin.tables if t in MEMBERS)):
            for past in self.source.past[table].values():
                if table not in TIMED:
                    if past.listed:
                        self._check_landed(table, past, len(past.versions) - 1)
                elif past.promised is not None and self.claims.is_wanted(table, past):
                    self._check_landed(table, past, past.promised)
            for key, row in self.destination.landed[table].items():
                if row is None:
                    continue
                past_or_none = self.source.past[table].get(key)
                if past_or_none is None:
                    raise Broken(f"{table}: {key!r} landed, which never existed")
                if table in TIMED or past_or_none.listed or table in given_up:
                    continue
                if self._answers_by_id(table, key) or key in self.destination.untracked[table]:
                    continue
                raise Broken(f"{table}: {key!r} is alive, but is gone from the source")

    def _answers_by_id(self, table: str, key: str) -> bool:
        if table in MEMBERS:
            # Children of a parent that is no longer listed but answers by id are never requested.
            parent = self.source.kin.parent_of(table, key)
            return not parent.listed and self._answers_by_id(PARENT[table], parent.id)
        return table != "notification" and self.source.get(table, key) is not None
