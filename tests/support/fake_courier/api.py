"""Courier's REST API over an account, without HTTP: takes a request, returns an answer."""

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from random import Random
from typing import Any

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.forms import in_form
from tests.support.fake_courier.maker import Record
from tests.support.fake_courier.options import Options
from tests.support.fake_courier.pages import Pages
from tests.support.fake_courier.replies import (
    ANSWERS,
    Reply,
    bad_key_reply,
    error_reply,
    faulty,
    json_reply,
    made_reply,
    too_many_reply,
)
from tests.support.fake_courier.rules import Request, Rulebook
from tests.support.fake_courier.streams import DETAIL_STREAMS, PAGED_STREAMS, Route, route
from tests.support.fake_courier.traffic import Traffic
from tests.support.fake_courier.whole import WholeAnswers

NO_ROUTE = ANSWERS["no_route"]


class FakeApi:
    """Answers GET requests, one at a time.

    clock: seconds for the token bucket and for request times (time.monotonic by default); the Date
    header comes from the account's clock. `traffic` counts. The caller waits `delay_seconds`,
    carries out `fault`, and may call traffic.enter() and traffic.exit().
    """

    def __init__(
        self,
        account: Account,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self.traffic = Traffic()
        self._clock = clock
        self._pages = Pages(account, options or Options())
        self._whole = WholeAnswers(account, clock)
        self._scheduled: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._scripted: dict[str, list[Reply]] = {}
        self._start_faults()
        self._open_rules()
        self._fill_bucket()

    # -- control -----------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        return self._pages.options

    def change_options(self, **changes: Any) -> None:
        """Replaces some options from now on. Raises ValueError as Options.changed does.

        Changing the rules, the fault options or the rate options restarts those.
        """
        self._pages.options = self.options.changed(changes)
        if any(name.startswith("fault") for name in changes):
            self._start_faults()
        if "rules" in changes:
            self._open_rules()
        if {"allow_per_second", "burst"} & set(changes):
            self._fill_bucket()

    def forget_cursors(self) -> None:
        """Refuses from now on every cursor given out before (made-up ones never were)."""
        self._pages.generation += 1

    def change_after(self, stream: str, requests: int, change: Mapping[str, Any]) -> None:
        """Applies a change (see Account.apply) just before the stream's n-th request from now."""
        at = self.traffic.by_stream[stream] + requests
        self._scheduled.setdefault(stream, []).append((at, dict(change)))

    def script(self, stream: str, *replies: Reply) -> None:
        """Gives these answers to the stream's next listing requests, whatever they ask for."""
        self._scripted.setdefault(stream, []).extend(replies)

    def truth(self, stream: str) -> Iterator[Record]:
        """Yields Account.truth with times in the form served, or metrics and the children of
        messages.
        """
        if stream in DETAIL_STREAMS:
            yield from self._whole.truth(stream, self.options)
            return
        form = self.options.time_forms.get(stream)
        for record in self.account.truth(stream):
            yield in_form(stream, record, form) if form else record

    # -- answering ---------------------------------------------------------------------------

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Answers GET path?query. `path` is as sent (percent-encoded), `query` decoded."""
        self.traffic.requests += 1
        self.traffic.times.append(self._clock())
        self._pages.count_request()
        to = route(path)
        reply = made_reply(*NO_ROUTE) if to is None else self._asked(to, path, query, headers)
        reply.delay_seconds += self.options.latency_ms / 1000
        shift = self.options.date_shift_seconds + reply.date_shift_seconds
        reply.headers["Date"] = formatdate(self.account.now_ms() // 1000 + shift, usegmt=True)
        self.traffic.answered(to.stream if to else None, reply)
        return reply

    def _asked(
        self, to: Route, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Reply:
        if to.id is not None:
            self.traffic.by_id[to.stream] += 1
        else:
            self.traffic.listing(to.stream, query)
            self._apply_scheduled(to.stream)
            if self._scripted.get(to.stream):
                return self._scripted[to.stream].pop(0)
        options, now_ms = self.options, self.account.now_ms()
        given = headers.get("Authorization") or headers.get("authorization")
        if given != f"Bearer {options.key}":
            return bad_key_reply(options.bad_key_status)
        seconds = options.retry_after_seconds
        if not self._may_pass():
            return too_many_reply(form=options.retry_after, seconds=seconds, now_ms=now_ms)
        kind = self._fault(to.stream)
        host = headers.get("Host") or "localhost"

        def serve() -> Reply:
            return self._serve(to, query, host)

        def answer() -> Reply:
            if not options.rules:
                return serve()
            return self._rulebook.answer(self._seen(to, path, query), serve, now_ms)

        if kind is None:
            return answer()
        return faulty(
            kind,
            answer,
            retry_after_seconds=seconds,
            slow_seconds=options.slow_seconds,
            now_ms=now_ms,
        )

    def _seen(self, to: Route, path: str, query: Mapping[str, str]) -> Request:
        """Returns a request as rules see it."""
        parent = to.parent or ""
        if to.id is not None:
            return Request(to.stream, "by_id", path, query, "none", 0, parent)
        if to.stream not in PAGED_STREAMS:
            return Request(to.stream, "listing", path, query, "none", 1, parent)
        pages = self._pages
        cursor = pages.cursor_kind(to.stream, to.parent, query)
        page = pages.number(to.stream, to.parent, query)
        return Request(to.stream, "listing", path, query, cursor, page, parent)

    def _serve(self, to: Route, query: Mapping[str, str], host: str) -> Reply:
        if to.stream in self.options.down:
            return error_reply(503)
        if to.id is not None:
            return self._one(to.stream, to.id, query)
        if to.stream in PAGED_STREAMS:
            return self._pages.answer(to.stream, query, host, to.parent)
        return self._whole.answer(to.stream, to.parent, query, self.options)

    def _one(self, stream: str, id_: str, query: Mapping[str, str]) -> Reply:
        denied = {**self.options.denied, **self.options.denied_by_id}
        if stream in denied:
            return error_reply(denied[stream])
        record = self.account.get(stream, id_)
        is_draft = record is not None and record.get("state") == "DRAFT"
        if is_draft and not self.options.drafts_by_id and query.get("version") != "draft":
            record = None
        if record is None:
            return error_reply(404)
        if stream in self.options.time_forms:
            record = in_form(stream, record, self.options.time_forms[stream])
        if stream == "notification":  # its shape by id differs from the listing's
            record["content"] = {"version": "2022-01-01", "elements": []}
        return json_reply(record)

    # -- rate, faults and timed changes --------------------------------------------------------

    def _fill_bucket(self) -> None:
        self._tokens = float(self.options.burst)
        self._filled_at = self._clock()

    def _may_pass(self) -> bool:
        """Takes a token from the bucket; returns whether the request may pass."""
        options = self.options
        if not options.allow_per_second:
            return True
        now = self._clock()
        gained = (now - self._filled_at) * options.allow_per_second
        self._tokens = min(float(options.burst), self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _start_faults(self) -> None:
        self._random = Random(f"{self.account.seed}/{self.options.fault_seed}")
        self._once = {stream: list(kinds) for stream, kinds in self.options.fault_once.items()}

    def _open_rules(self) -> None:
        options = self.options
        seed = f"{self.account.seed}/{options.fault_seed}/rules"
        self._rulebook = Rulebook(options.rules, seed=seed, slow_seconds=options.slow_seconds)

    def _fault(self, stream: str) -> str | None:
        for name in (stream, "*"):
            if self._once.get(name):
                return self._once[name].pop(0)
        if self.options.fault_rate and self._random.random() < self.options.fault_rate:
            return self._random.choice(self.options.fault_kinds)
        return None

    def _apply_scheduled(self, stream: str) -> None:
        waiting = self._scheduled.get(stream)
        if not waiting:
            return
        now = self.traffic.by_stream[stream]
        self._scheduled[stream] = [entry for entry in waiting if entry[0] > now]
        for at, change in waiting:
            if at <= now:
                self.account.apply(change)
