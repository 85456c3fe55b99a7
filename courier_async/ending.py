"""How a sync ends: what was skipped or left out, and what the user must know and do."""

from collections.abc import Collection, Mapping

from courier_async.catalog.streams import BY_TABLE
from courier_async.counts import Counts
from courier_async.errors import (
    KEY_ADVICE,
    AccessLost,
    CourierError,
    Denied,
    KeyRefused,
    NotInRegion,
)

# Table -> why its stream was not read to the end, or None if it was.
Endings = dict[str, CourierError | None]


class SyncFailed(Exception):
    """A failed sync, explained in sentences to the person who has to act."""


def notices(endings: Endings, counts: Collection[Counts]) -> list[str]:
    """Returns a sentence for each stream that was skipped or had records left out."""
    texts = [_skipped(table, denial) for table, denial in _denied(endings).items()]
    return texts + [
        f"{stream.table}: records that have no key or are not objects were skipped "
        f"({stream.unusable:,}). Later syncs look for them again. Ask Courier's support about "
        "them."
        for stream in counts
        if stream.unusable
    ]


def _skipped(table: str, denial: Denied) -> str:
    if isinstance(denial, NotInRegion):
        return (
            f"{table}: Courier offers this table in the US region only, so this stream was "
            "skipped. To silence this warning, leave it out of 'streams' in the configuration."
        )
    return (
        f"{table}: Courier answered {denial.status}, so this stream was skipped; the others are "
        "synced. The plan may not include it, or the key may not read it. To silence this "
        "warning, leave it out of 'streams' in the configuration."
    )


def _denied(endings: Endings) -> dict[str, Denied]:
    """Returns the skipped streams; none if all are denied, since then the key is the problem."""
    if _all_denied(endings):
        return {}
    return {table: ending for table, ending in endings.items() if isinstance(ending, Denied)}


def _all_denied(endings: Endings) -> list[Denied | AccessLost]:
    """Returns the denials if every stream is denied. Ignores children: they request nothing."""
    own = [ending for table, ending in endings.items() if BY_TABLE[table].parent is None]
    # A 404 for a stream that was readable before says nothing about the key.
    denials = [e for e in own if isinstance(e, Denied | AccessLost)]
    is_lost = any(isinstance(e, AccessLost) and e.status == 404 for e in denials)
    return denials if len(denials) == len(own) and not is_lost else []


def raise_if_failed(endings: Endings, refusal: KeyRefused | None) -> None:
    """Raises SyncFailed with what the user must know and do, if the sync failed."""
    if refusal is not None:
        raise SyncFailed(f"{refusal}. {refusal.advice}")
    if denials := _all_denied(endings):
        statuses = ", ".join(str(status) for status in sorted({d.status for d in denials}))
        raise SyncFailed(
            f"Courier refused the key for every stream (it answered {statuses}). {KEY_ADVICE}"
        )
    failures = {
        table: ending
        for table, ending in endings.items()
        if ending is not None and not isinstance(ending, Denied)
    }
    if failures:
        reasons = "; ".join(_by_reason(failures))
        advice = " ".join(dict.fromkeys(error.advice for error in failures.values()))
        raise SyncFailed(
            f"{len(failures)} of {len(endings)} streams could not be read to the end. {reasons}. "
            f"What was read is saved, and the next sync continues from there. {advice}"
        )


def _by_reason(failures: Mapping[str, CourierError]) -> list[str]:
    """Returns a text per reason, prefixed with its streams: one fault often affects them all."""
    streams: dict[str, list[str]] = {}
    for name, error in failures.items():
        streams.setdefault(str(error), []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in streams.items()]
