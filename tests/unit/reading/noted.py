"""A walk's parts without a server: requests that are only noted, and a probe that has held."""

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
    """Makes no request."""

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
    """A probe that has seen so many pages of the lane from the head: two are enough to ask."""
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
