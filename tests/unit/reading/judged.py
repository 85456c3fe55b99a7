"""Pages as judge.py makes them, from only the ids and times of their records."""

from collections.abc import Sequence

from courier_async.reading.judge import JudgedPage


def judged(
    ids: Sequence[str],
    times: Sequence[int | None] | None = None,
    *,
    next_cursor: str | None = "next",
    gaps: Sequence[int] = (),
) -> JudgedPage:
    """Returns a page of records with only their ids; without `times`, they have none."""
    own_times: list[int | None] = [None] * len(ids) if times is None else list(times)
    known = sorted([time for time in own_times if time is not None])
    return JudgedPage(
        records=[{"id": id_} for id_ in ids],
        keys=[(id_,) for id_ in ids],
        times=own_times,
        gaps=list(gaps),
        next_cursor=next_cursor,
        newest=known[-1] if known else None,
        oldest=known[0] if known else None,
        median=known[(len(known) - 1) // 2] if known else None,
    )
