"""Rules: which requests get an unusual answer, when, and which one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any

from tests.support.fake_courier.alterations import PAGING_CHANGES, RECORD_CHANGES, alter
from tests.support.fake_courier.replies import ANSWERS, FAULTS, Reply, faulty, made_reply

KINDS = ("any", "listing", "by_id")
# none: the head. own: given out by this API. old: given out before forget_cursors(). bad: not a
# cursor of this listing. given: any but none.
CURSORS = ("any", "none", "given", "own", "made_up", "old", "bad")
ENCODINGS = ("", "gzip", "chunked")


@dataclass(frozen=True)
class Request:
    """A request as rules see it. stream: the table's name; cursor: one of CURSORS."""

    stream: str
    kind: str
    path: str
    query: Mapping[str, str]
    cursor: str
    page: int
    parent: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One exception to the usual answers; in JSON, an object with these fields.

    All conditions must hold. `after`, `times` and `every` count the requests that meet the other
    conditions since the rules were set. With `answer`, `status` or `body`, the answer is replaced
    by one of ANSWERS or a made one (text as it is, anything else as JSON); otherwise the usual
    answer is altered. The first rule that replaces wins; the alterations of all rules apply.
    Raises ValueError for a value that is not allowed.
    """

    # Which requests.
    stream: str = "*"  # a table's name
    kind: str = "any"
    path: str = ""  # a prefix of the path as sent
    parent: str = ""  # the id of the parent whose rows are requested
    cursor: str = "any"
    cursor_is: str = ""  # exactly this cursor
    page: int = 0  # the page's number, by its place in the listing; 0: any
    holds: str = ""  # pages that hold the record with this id
    holds_from_ms: int = 0  # pages that hold a record from this time ...
    holds_until_ms: int = 0  # ... to before this one
    answered: int = 0  # requests that would be answered with this status

    # When.
    after: int = 0  # skips the first ones
    times: int = 0  # at most this many; 0: unlimited
    every: int = 1  # only every k-th one
    rate: float = 1.0
    from_ms: int = 0  # by the account's clock
    until_ms: int = 0

    # What: a replaced answer.
    answer: str = ""
    status: int = 0
    body: Any = None
    fault: str = ""  # one of FAULTS

    # What: an altered answer.
    headers: Mapping[str, str] = field(default_factory=dict)
    latency_ms: float = 0.0
    date_shift_seconds: float = 0.0
    paging: str = ""  # one of PAGING_CHANGES
    records: str = ""  # one of RECORD_CHANGES, of a share of the page's records
    share: float = 1.0
    pad_bytes: int = 0  # pads the body with blanks to this size
    encoding: str = ""  # over HTTP only

    def __post_init__(self) -> None:
        for name, allowed in (
            ("kind", KINDS),
            ("cursor", CURSORS),
            ("answer", ("", *ANSWERS)),
            ("fault", ("", *FAULTS)),
            ("paging", ("", *PAGING_CHANGES)),
            ("records", ("", *RECORD_CHANGES)),
            ("encoding", ENCODINGS),
        ):
            if getattr(self, name) not in allowed:
                listed = ", ".join(filter(None, allowed))
                raise ValueError(f"rule: {name} {getattr(self, name)!r}, not one of {listed}")

    @classmethod
    def of(cls, given: "Rule | Mapping[str, Any]") -> "Rule":
        """Returns the rule, made from JSON if necessary."""
        if isinstance(given, Rule):
            return given
        unknown = set(given) - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"rule: {', '.join(sorted(unknown))} is not one of its fields")
        return cls(**given)

    @property
    def replaces(self) -> bool:
        return bool(self.answer or self.status or self.body is not None)

    @property
    def looks_at_answer(self) -> bool:
        return bool(self.holds or self.holds_until_ms or self.answered)

    def matches(self, request: Request, now_ms: int) -> bool:
        return (
            self.stream in ("*", request.stream)
            and self.kind in ("any", request.kind)
            and request.path.startswith(self.path)
            and self.parent in ("", request.parent)
            and (self.cursor in ("any", request.cursor) or self._is_given(request))
            and self.cursor_is in ("", request.query.get("cursor"))
            and self.page in (0, request.page)
            and self.from_ms <= now_ms
            and (not self.until_ms or now_ms < self.until_ms)
        )

    def matches_answer(self, reply: Reply) -> bool:
        low, high = self.holds_from_ms, self.holds_until_ms
        return (
            (not self.answered or reply.status == self.answered)
            and (not self.holds or any(id_ == self.holds for id_, _ in reply.rows))
            and (not high or any(low <= time_ms < high for _, time_ms in reply.rows))
        )

    def _is_given(self, request: Request) -> bool:
        return self.cursor == "given" and request.cursor != "none"


class Rulebook:
    """The active rules, and how often each has been met."""

    def __init__(self, rules: tuple[Rule, ...], *, seed: str, slow_seconds: float) -> None:
        self._rules = rules
        self._random = Random(seed)
        self._slow_seconds = slow_seconds
        self._met = [0] * len(rules)

    def answer(self, request: Request, serve: Callable[[], Reply], now_ms: int) -> Reply:
        """Answers a request to which `serve` gives the usual answer."""
        ordinary: Reply | None = None
        due: list[Rule] = []
        for number, rule in enumerate(self._rules):
            if not rule.matches(request, now_ms):
                continue
            if rule.looks_at_answer:
                ordinary = ordinary or serve()
                if not rule.matches_answer(ordinary):
                    continue
            if self._is_due(number, rule):
                due.append(rule)
        reply = next((_replacement(rule) for rule in due if rule.replaces), ordinary) or serve()
        for rule in due:
            reply = self._altered(rule, reply, now_ms)
        return reply

    def _is_due(self, number: int, rule: Rule) -> bool:
        self._met[number] += 1
        counted = self._met[number] - rule.after
        if counted < 1 or (rule.times and counted > rule.times) or counted % rule.every:
            return False
        return rule.rate >= 1 or self._random.random() < rule.rate

    def _altered(self, rule: Rule, reply: Reply, now_ms: int) -> Reply:
        if rule.fault:
            ordinary = reply
            reply = faulty(
                rule.fault,
                lambda: ordinary,
                retry_after_seconds=1.0,
                slow_seconds=self._slow_seconds,
                now_ms=now_ms,
            )
        if rule.paging or rule.records:
            alter(reply, rule.paging, rule.records, rule.share, self._random)
        reply.headers |= rule.headers
        reply.delay_seconds += rule.latency_ms / 1000
        reply.date_shift_seconds += rule.date_shift_seconds
        reply.body = reply.body.ljust(rule.pad_bytes)
        reply.encoding = rule.encoding or reply.encoding
        return reply


def _replacement(rule: Rule) -> Reply:
    status, body, headers = ANSWERS.get(rule.answer, (200, None, {}))
    return made_reply(rule.status or status, body if rule.body is None else rule.body, headers)
