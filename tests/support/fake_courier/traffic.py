"""Counts the requests to the fake API."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from tests.support.fake_courier.replies import Reply

KEPT_TIMES = 100_000
KEPT_CURSORS = 20_000


class Traffic:
    """Counts since the start or the last reset; memory stays bounded.

    cursors: the cursor of each listing request in order, None for the head. times: when each
    request came, in seconds of the API's clock, the last KEPT_TIMES of them.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        self.requests = 0
        self.by_stream: Counter[str] = Counter()  # listing requests
        self.by_id: Counter[str] = Counter()  # GET by id
        self.by_status: Counter[str] = Counter()  # "200", "429" …, "drop", "cut"
        self.records: Counter[str] = Counter()  # rows in the pages answered
        self.body_bytes = 0
        self.most_in_flight = self.in_flight
        self.cursors: dict[str, deque[str | None]] = {}
        self.last_query: dict[str, dict[str, str]] = {}
        self.times: deque[float] = deque(maxlen=KEPT_TIMES)

    def enter(self) -> None:
        """Records that a request has arrived. Called by the server that carries the requests."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def exit(self) -> None:
        self.in_flight -= 1

    def listing(self, stream: str, query: Mapping[str, str]) -> None:
        self.by_stream[stream] += 1
        kept = self.cursors.setdefault(stream, deque(maxlen=KEPT_CURSORS))
        kept.append(query.get("cursor"))
        self.last_query[stream] = dict(query)

    def answered(self, stream: str | None, reply: Reply) -> None:
        self.by_status[reply.fault or str(reply.status)] += 1
        self.body_bytes += len(reply.body)
        if stream is not None and reply.fault is None:
            self.records[stream] += reply.records

    def busiest(self, window_seconds: float = 1.0) -> int:
        """Returns the most requests in any half-open window of that length, of the times kept."""
        most, first, times = 0, 0, list(self.times)
        for last, moment in enumerate(times):
            while moment - times[first] >= window_seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def as_json(self, *, times: bool = False) -> dict[str, Any]:
        data: dict[str, Any] = {
            "requests": self.requests,
            "by_stream": dict(self.by_stream),
            "by_id": dict(self.by_id),
            "by_status": dict(self.by_status),
            "records": dict(self.records),
            "body_bytes": self.body_bytes,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "busiest_second": self.busiest(),
            "cursors": {stream: list(kept) for stream, kept in self.cursors.items()},
            "last_query": self.last_query,
        }
        return data | ({"times": list(self.times)} if times else {})
