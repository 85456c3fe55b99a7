"""Which rows have gone from the source: missing from a whole walk, and confirmed by id."""

import bisect
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from courier_async.api.client import CourierClient
from courier_async.catalog.streams import Stream
from courier_async.errors import BadAnswer, Refused, Unavailable
from courier_async.report import Tally
from courier_async.state.sent_rows import Deletions, KnownRows

MOST_ASKED: Final = 500
# So many at once look more like a fault of the source than like deletes.
_FEW: Final = 20
_MOST_ODD_ANSWERS: Final = 5


@dataclass(slots=True)
class _Answers:
    gone: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    last_asked: str | None = None


async def find_deletions(
    stream: Stream,
    known: KnownRows,
    *,
    known_ids: frozenset[str],
    missing: set[str],
    client: CourierClient,
    tally: Tally,
) -> tuple[Deletions, str | None]:
    """What has gone of `known_ids`, of which a whole walk did not see `missing`; and a warning.

    An id is gone when the API answers 404 to it; or twice 200, after two walks that did not
    see it: then it has left the listing, as an archived template does (SDK, notifications).
    Any other answer leaves it for the next sync. Raises KeyRefused.
    """
    many = len(missing) >= _FEW and 2 * len(missing) > len(known_ids)
    still_left = known.left & missing
    if many and not known.half_gone:
        waiting = Deletions(left=tuple(still_left), asked_after=known.asked_after, half_gone=True)
        return waiting, (
            f"{stream.table}: {len(missing):,} of {len(known_ids):,} rows are missing from "
            "Courier's answers at once. Nothing is deleted until the next sync finds the same."
        )
    answers = await _ask(stream, _in_turn(missing, known.asked_after), client, tally)
    gone = [*answers.gone, *(key for key in answers.present if key in still_left)]
    left = (still_left | set(answers.present)) - set(gone)
    return (
        Deletions(
            gone=tuple(gone),
            left=tuple(left),
            asked_after=answers.last_asked or known.asked_after,
            # Agreed once, it stays agreed until all that is missing has been asked for.
            half_gone=many,
        ),
        None,
    )


def _in_turn(missing: set[str], asked_after: str | None) -> list[str]:
    """The ids to ask for now, beginning behind the last one asked for."""
    ordered = sorted(missing)
    start = 0 if asked_after is None else bisect.bisect_right(ordered, asked_after)
    return (ordered[start:] + ordered[:start])[:MOST_ASKED]


async def _ask(stream: Stream, keys: list[str], client: CourierClient, tally: Tally) -> _Answers:
    answers = _Answers()
    odd_answers = 0
    for key in keys:
        answers.last_asked = key
        # As part of a path these two are names of folders.
        if key in (".", ".."):
            continue
        try:
            await client.get(f"{stream.path}/{quote(key, safe='')}", tally)
        except Refused as refusal:
            if refusal.status == 404:
                answers.gone.append(key)
                odd_answers = 0
                continue
            odd_answers += 1
            if odd_answers >= _MOST_ODD_ANSWERS:
                break
        except (Unavailable, BadAnswer):
            break
        else:
            answers.present.append(key)
            odd_answers = 0
    return answers
