"""Every switch of the fake API, as data that fits into JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tests.support.fake_courier.forms import TIME_FORMS
from tests.support.fake_courier.replies import FAULTS
from tests.support.fake_courier.rules import Rule
from tests.support.fake_courier.streams import EVERY_STREAM, STREAMS

__all__ = ["DEFAULT_KEY", "FAULTS", "LAST_PAGES", "MADE_UP", "MADE_UP_ENDS", "Options"]

DEFAULT_KEY = "pk_test_FAKE0123456789"

LAST_PAGES = (
    "cursor_null", "cursor", "cursor_absent", "cursor_only", "paging_null", "paging_empty",
    "paging_absent",
)  # fmt: skip
MADE_UP = (
    "honoured", "refused", "not_found", "gone", "head", "partly", "gaps", "newer", "backwards",
)  # fmt: skip
# And: every third record from there to the end; no records and no more.
MADE_UP_ENDS = ("thin", "empty")
CHOICES: dict[str, tuple[Any, ...]] = {
    "bad_key_status": (401, 403),
    "region": ("US", "EU"),
    "retry_after": ("none", "seconds", "date", "ms"),
    "tenant_next_url": ("relative", "absolute", "other_origin", "none"),
    "enqueued_after": ("honoured", "ignored", "refused", "refuse_iso", "refuse_ms"),
    "made_up_cursors": (*MADE_UP, *MADE_UP_ENDS),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the API does out of the ordinary. Mappings are from a stream's name to its value.

    Page numbers count from 1 at the head of the listing and depend on position, so the same cursor
    always gets the same treatment. Injected extras (records without a key, duplicates, or values
    that are not objects) are added to a page's records, so the truth still holds. Anything without
    an option of its own is a rule (see rules.py): any answer, or a change of one, for any
    requests. Raises ValueError for a value that is not allowed.
    """

    # The key, and who may read what.
    key: str = DEFAULT_KEY
    bad_key_status: int = 403
    denied: Mapping[str, int] = field(default_factory=dict)  # stream -> 402, 403, 404 …
    denied_from_page: int = 1  # pages before this one are still served
    denied_by_id: Mapping[str, int] = field(default_factory=dict)
    down: tuple[str, ...] = ()  # these streams answer 503, always
    drafts_by_id: bool = True  # if False, a draft template is 404 by id unless version=draft

    # Further endpoints.
    region: str = "US"  # elsewhere there are no metrics
    metrics_days: int = 30  # the plan's look-back; beyond it, 402
    metrics_per_second: int = 50  # sent in RateLimit-*; beyond it, 429; 0: no limit
    history_delay_seconds: float = 0.0  # how late an event becomes visible
    history_days: float = 0.0  # older events are gone, and 404 once all are; 0: never

    # Exceptions, as Rule or as JSON. Setting them restarts their counts.
    rules: tuple[Any, ...] = ()

    # Faults. fault_once: stream (or "*") -> faults for its next requests, in order.
    fault_rate: float = 0.0
    fault_kinds: tuple[str, ...] = FAULTS
    fault_once: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fault_seed: int = 0
    slow_seconds: float = 2.0
    date_shift_seconds: float = 0.0  # how far the Date header is ahead; negative: behind

    # Rate. allow_per_second 0: no limit; else a token bucket of `burst` answers 429.
    latency_ms: float = 0.0
    allow_per_second: float = 0.0
    burst: int = 1
    retry_after: str = "none"  # the header of the bucket's 429
    retry_after_seconds: float = 1.0  # its value, also for the fault 429_retry_after

    # Pages.
    page_sizes: Mapping[str, int] = field(default_factory=dict)
    most_per_page: Mapping[str, int] = field(default_factory=dict)  # whatever limit is requested
    arrays: Mapping[str, str] = field(default_factory=dict)  # stream -> name of its array
    last_page: Mapping[str, str] = field(default_factory=dict)  # stream -> one of LAST_PAGES
    empty_page_every: Mapping[str, int] = field(default_factory=dict)  # k: before page k, 2k …
    keyless_every: Mapping[str, int] = field(default_factory=dict)  # k: on page k, 2k …
    duplicate_every: Mapping[str, int] = field(default_factory=dict)
    non_dict_every: Mapping[str, int] = field(default_factory=dict)
    tenant_cursor: bool = True  # if False, only next_url leads on
    tenant_next_url: str = "relative"
    other_origin: str = "http://127.0.0.1:9"
    enqueued_after: str = "honoured"
    time_forms: Mapping[str, str] = field(default_factory=dict)  # stream -> one of TIME_FORMS

    # Cursors. Awkward ones always contain + and /, which makes those of messages longer.
    awkward_cursors: tuple[str, ...] = tuple(name for name in STREAMS if name != "message")
    made_up_cursors: str = "honoured"  # for message cursors whose id the API does not know
    forgotten_status: int = 400  # for expired or forgotten cursors; 200: an error inside a 200
    cursor_seconds: float = 0.0  # a cursor's lifetime by the account's clock; 0: unlimited
    cursor_requests: int = 0  # its lifetime in requests of all streams; 0: unlimited
    more_without_cursor: Mapping[str, int] = field(default_factory=dict)  # from this page on
    repeat_cursor: Mapping[str, int] = field(default_factory=dict)  # from this page on
    endless: tuple[str, ...] = ()  # serve the first page for ever, with a new cursor each time

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            _one_of(name, getattr(self, name), allowed)
        for ending in self.last_page.values():
            _one_of("last_page", ending, LAST_PAGES)
        for form in self.time_forms.values():
            _one_of("time_forms", form, TIME_FORMS)
        object.__setattr__(self, "rules", tuple(Rule.of(rule) for rule in self.rules))
        for rule in self.rules:
            _one_of("rule: stream", rule.stream, (*EVERY_STREAM, "*"))
        for kind in (*self.fault_kinds, *(k for kinds in self.fault_once.values() for k in kinds)):
            _one_of("fault", kind, FAULTS)
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name in _BY_STREAM:
                for stream in value:
                    _one_of(option.name, stream, (*EVERY_STREAM, "*"))

    def changed(self, changes: Mapping[str, Any]) -> "Options":
        """Returns a copy with some options replaced by JSON values (lists for tuples).

        Raises ValueError for an unknown name or a value that is not allowed.
        """
        known = {option.name: getattr(self, option.name) for option in fields(self)}
        for name in changes:
            _one_of("option", name, tuple(known))
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(known[name], tuple) else value
            for name, value in changes.items()
        }
        return replace(self, **values)


_BY_STREAM = {
    "denied", "denied_by_id", "down", "fault_once", "page_sizes", "most_per_page", "arrays",
    "last_page", "empty_page_every", "keyless_every", "duplicate_every", "non_dict_every",
    "awkward_cursors", "more_without_cursor", "repeat_cursor", "endless", "time_forms",
}  # fmt: skip


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: {value!r}, not one of {', '.join(map(str, allowed))}")
