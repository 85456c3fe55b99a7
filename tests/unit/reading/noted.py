"""Parts of a walk without a server: requests that are only recorded, and a held probe."""

from dataclasses import dataclass

from courier_async.reading.fetches import Asked, Fetches, Purpose
from courier_async.reading.judge import judge_page
from courier_async.reading.lane import LiveLane
from courier_async.reading.probe import Probe, Verdict
from courier_async.state.position import Lane
from tests.unit.reading.paged import MESSAGE, NOW, PagedApi, evenly


@dataclass
class Request:
    lane: LiveLane
    cursor: str | None
    purpose: Purpose
    yields: bool


class NotedFetches(Fetches):
    """Makes no requests, but records them."""

    def __init__(self) -> None:
        super().__init__(_never)
        self.requests: list[Request] = []

    def start(
        self,
        lane: LiveLane,
        cursor: str | None,
        *,
        purpose: Purpose = Purpose.READ,
        yields: bool = False,
    ) -> None:
        self.under_way += 1
        self.requests.append(Request(lane, cursor, purpose, yields))


async def _never(cursor: str | None, yields: bool) -> Asked:
    raise NotImplementedError


def read_probe(*, pages: int = 2) -> Probe:
    """Returns a probe that has seen some pages of the head lane; two are enough to ask."""
    api, head, probe = PagedApi(evenly(200)), LiveLane(Lane(started_at=NOW)), Probe(MESSAGE)
    for number in range(pages):
        page = api.page_from(number * api.per_page)
        probe.add(head, judge_page(MESSAGE, page, now_ms=NOW))
    return probe


def held_probe() -> Probe:
    probe = Probe(MESSAGE)
    probe.verdict = Verdict.HELD
    return probe


def refused_probe() -> Probe:
    probe = Probe(MESSAGE)
    probe.verdict = Verdict.REFUSED
    return probe
