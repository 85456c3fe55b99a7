"""A round over all parents of a child table: which parents are next, and how far it has got."""

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from courier_async.state.position import Round, StreamState

MOST_OWED: Final = 1_000
# The share of syncs in which failed ones do not come last.
_MINGLED: Final = 0.25
# Scheduled syncs do not start on the minute.
_SOONER_MS: Final = 5 * 60 * 1000


@dataclass(slots=True, kw_only=True)
class Parents:
    """What this sync's walk found out about the parents.

    listed: ids that the walk held. whole: whether it ran to the end. new: ids not known before.
    known: ids of all rows after it, including any that it missed. now: the walk's start by the
    server's clock; 0 if no page was read.
    """

    listed: set[str]
    whole: bool
    new: set[str]
    known: set[str]
    now: int

    def is_unlisted(self, parent: str) -> bool:
        """Whether a whole walk has shown that a parent is not listed."""
        return self.whole and parent not in self.listed


@dataclass(slots=True)
class Progress:
    """The work of this sync: new parents, then the round's and those that failed before.

    owed: parent -> whether it failed before. round_ids: in order.
    """

    owed: dict[str, bool]
    round_ids: list[str]
    done: set[str] = field(default_factory=set)
    at: int = 0

    def work(self) -> list[str]:
        new = [parent for parent in self.owed if not self.owed[parent]]
        others = [parent for parent in self.round_ids if parent not in self.owed]
        failed = [parent for parent in self.owed if self.owed[parent]]
        if others and random.random() < _MINGLED:  # noqa: S311
            # A sync may be cut off before its end. Deletes rely on the order of the others.
            if len(failed) >= MOST_OWED:
                # The round cannot pass those that fail, so they must not always come first.
                random.shuffle(others)
            for parent in failed:
                others.insert(random.randint(0, len(others)), parent)  # noqa: S311
        return list(dict.fromkeys(new + others + failed))

    def advance(self, parent: str) -> str | None:
        """Marks a parent as done. Returns the last id with all before it done, if that changed."""
        self.done.add(parent)
        before = self.at
        while self.at < len(self.round_ids) and self.round_ids[self.at] in self.done:
            self.at += 1
        return self.round_ids[self.at - 1] if self.at > before else None

    def advanced(self, current: Round | None, parent: str) -> Round | None:
        done_to = self.advance(parent)
        if current is None or done_to is None:
            return current
        over = self.at == len(self.round_ids)
        return replace(current, done_to="" if over else done_to, over=over)


def begin(
    state: StreamState,
    parents: Parents,
    kept: Collection[str],
    *,
    refresh_ms: int,
    can_ask: Callable[[str], bool],
) -> tuple[StreamState, Progress]:
    """Returns what to read: the owed parents, and a round if one is under way or due.

    kept: ids of the parents whose children are kept. can_ask: whether an id can be requested.
    """
    there = parents.listed.union(parents.known, kept)
    known = {parent for parent in there if can_ask(parent)}
    # Drop parents that are gone: nobody waits for their children.
    owed = {p: failed for p, failed in state.owed.items() if p in known or not parents.whole}
    state = with_owed(replace(state, owed=owed), parents.new & known)
    owed = state.owed
    current, ids = state.round, list[str]()
    if parents.whole or (parents.known and parents.now):
        if current is not None and not any(parent > current.done_to for parent in known):
            # The round's remaining parents are gone.
            current = replace(current, done_to="", over=True)
        if current is None or _is_due(current, parents.now, refresh_ms):
            current = Round(began=parents.now)
        if not current.over:
            ids = sorted(parent for parent in known if parent > current.done_to)
        if not ids:
            current = replace(current, done_to="", over=True)
    # The round does not wait for them, as they stay owed.
    failed = {parent for parent in owed if owed[parent]}
    return replace(state, owed=owed, round=current), Progress(owed, ids, done=failed)


def with_owed(state: StreamState, new: Iterable[str]) -> StreamState:
    """Returns the state after noting the parents that are new since its last round.

    If there are too many to note, a new round is due at once.
    """
    if state.round is None:
        return state
    unnoted = sorted(set(new) - state.owed.keys())
    room = max(0, MOST_OWED - len(state.owed))
    owed = state.owed | dict.fromkeys(unnoted[:room], False)
    return replace(state, owed=owed, round=None if unnoted[room:] else state.round)


def _is_due(current: Round, now: int, refresh_ms: int) -> bool:
    """Whether the next round is due; a last round dated in the future does not delay it."""
    return current.over and not 0 <= now - current.began < refresh_ms - _SOONER_MS
