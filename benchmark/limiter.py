"""4. The limiter: how much of the allowed rate is used, and whether a server would refuse."""

import asyncio
from typing import Final

from benchmark.figures import Plan, Result
from benchmark.runner import account, connector
from courier_async.api.pacer import Pacer

SECONDS: Final = 6.0
# The start, with one lane and no burst, and the end, where lanes run out, are not the limiter's.
_FROM, _TO = 0.15, 0.95


def measure(plan: Plan) -> Result:
    result = Result(
        "limiter",
        "Rate reached over rate set",
        "reached: requests a second of the middle four fifths. busiest: the most requests in "
        "any one second over the rate. refused: 429s per thousand requests, by a server with a "
        "token bucket of exactly that rate that holds a tenth of a second's worth, two at least. "
        "Where the machine cannot serve a rate, the limiter alone tells whether it would keep it.",
    )
    for rate in (50,) if plan.quick else (10, 50, 200, 1000):
        requests = int(rate * (2.0 if plan.quick else SECONDS))
        requests = max(requests, 60)
        reached, busiest, refused = [], [], []
        options = {
            "page_sizes": {"message": 1},
            "allow_per_second": rate,
            "burst": max(2, rate // 10),
        }
        with account({"message": requests}, latency_ms=2.0, options=options) as fake:
            for _ in range(plan.repeats):
                fake.change_options(allow_per_second=rate)  # a full bucket for each run
                fake.reset_stats()
                connector(
                    fake,
                    lanes=32,
                    quota=plan.quota,
                    streams=["message"],
                    requests_per_second=float(rate),
                )
                stats = fake.stats(times=True)
                times = stats["times"]
                first, last = int(len(times) * _FROM), int(len(times) * _TO)
                per_second = (last - first) / (times[last] - times[first])
                reached.append(per_second / rate)
                busiest.append(stats["busiest_second"] / rate)
                refused.append(1000 * stats["by_status"].get("429", 0) / stats["requests"])
        case = f"{rate} a second"
        result.add(case, "reached / set", reached, "" if plan.quick else ">= 0.98")
        result.add(case, "busiest second / set", busiest, "" if plan.quick else "<= 1.02")
        result.add(case, "refused per 1,000", refused)
        alone = [_alone(rate) for _ in range(plan.repeats)]
        result.add(case, "limiter alone, reached / set", alone, "" if plan.quick else ">= 0.98")
    return result


def _alone(rate: int) -> float:
    """The rate reached over the rate set by many who ask for nothing but their turn."""
    waiting = 32
    turns = max(2 * rate // waiting, 1)

    async def take_turns() -> float:
        pacer = Pacer(per_second=float(rate))
        began = await pacer.wait_for_turn()

        async def one() -> float:
            for _ in range(turns):
                last = await pacer.wait_for_turn()
            return last

        ends = await asyncio.gather(*(one() for _ in range(waiting)))
        return waiting * turns / (max(ends) - began) / rate

    return asyncio.run(take_turns())
