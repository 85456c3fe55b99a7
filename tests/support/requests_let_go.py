"""When a limiter lets requests go, and how many in a window of time."""

import asyncio

from courier_async.api.pacer import Pacer

# The rounding error of floats over a second, far less than the time between two requests.
_SLACK_SECONDS = 1e-9


async def let_go(pacer: Pacer, *, seconds: float, workers: int = 8) -> list[float]:
    """Returns when each request was let go, with `workers` requests waiting at once."""
    end = asyncio.get_running_loop().time() + seconds
    moments: list[float] = []

    async def work() -> None:
        while (moment := await pacer.wait_for_turn()) < end:
            moments.append(moment)

    await asyncio.gather(*(work() for _ in range(workers)))
    return sorted(moments)


def most_in_a_window(moments: list[float], *, seconds: float) -> int:
    """Returns the most moments in any half-open window [t, t + seconds)."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds - _SLACK_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most
