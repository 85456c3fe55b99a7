"""What can go wrong, named by its consequence, and what the user can do about it.

Users read every text here. It says what happened, and never shows the contents of a record,
a header, a cursor or the key.
"""

from collections.abc import Mapping
from typing import Final, TypeGuard

KEY_ADVICE: Final = (
    "Check api_key in the configuration against Settings > API Keys in Courier, and region or "
    "base_url against the region of the account (EU: https://api.eu.courier.com)."
)
DENIED_ADVICE: Final = (
    "The plan may not include this stream, or the key may not read it: change the plan or the "
    "key, or leave the stream out of 'streams'."
)
LIMIT_ADVICE: Final = (
    "Lower requests_per_second, or sync when others use the account less. If a firewall responds "
    "instead of Courier, ask its owner to allow this machine."
)
COURIER_ADVICE: Final = (
    "The fault is on Courier's side: the next sync tries again. If it persists, see Courier's "
    "status page or ask Courier's support."
)
CONTRACT_ADVICE: Final = "Look for a newer version of this connector; if there is none, report it."


class CourierError(Exception):
    """Any problem with Courier's responses that ends the reading of a stream.

    advice: what the user can do, in whole sentences.
    """

    @property
    def advice(self) -> str:
        return COURIER_ADVICE


class KeyRefused(CourierError):
    """The key is not accepted, so no stream can be read and the whole sync ends at once."""

    def __init__(self, status: int = 401) -> None:
        super().__init__(f"Courier does not accept the key (it answered {status})")
        self.status = status

    @property
    def advice(self) -> str:
        return KEY_ADVICE


class Refused(CourierError):
    """A response that no retry can change. `status` decides what happens next.

    by_gateway: a gateway in front of Courier may have refused the request, and only for a while.
    """

    def __init__(self, status: int, kind: str, *, by_gateway: bool = False) -> None:
        super().__init__(f"Courier answered {status}{kind}")
        self.status = status
        self.by_gateway = by_gateway

    @property
    def advice(self) -> str:
        return _advice_by_status(self.status)


def is_not_found(error: CourierError | None) -> TypeGuard[Refused]:
    return isinstance(error, Refused) and error.status == 404


def is_not_in_plan(error: CourierError | None) -> TypeGuard[Refused]:
    return isinstance(error, Refused) and error.status in (402, 403)


class Denied(CourierError):
    """402, 403 or 404 for a stream that has never been read: a question of plan or permission."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Courier answered {status}")
        self.status = status

    @property
    def advice(self) -> str:
        return _advice_by_status(self.status)


class NotInRegion(Denied):
    """The EU region does not have the endpoint, so the connector does not request it."""

    def __init__(self) -> None:
        super().__init__(404)


class AccessLost(CourierError):
    """402, 403 or 404 for a stream that has been read before."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"Courier answered {status}, but this stream was readable before: access has been lost"
        )
        self.status = status

    @property
    def advice(self) -> str:
        return DENIED_ADVICE


class ParentsFailed(CourierError):
    """The children of some rows could not be read.

    errors: row id -> reason. The ids are the customer's own, so the text names only one.
    """

    def __init__(self, parent: str, errors: Mapping[str, CourierError]) -> None:
        row_id, error = next(iter(errors.items()))
        rows = "1 row" if len(errors) == 1 else f"{len(errors):,} rows"
        super().__init__(f"for {rows} of {parent}, such as {row_id!r}: {error}")
        self._advice = error.advice

    @property
    def advice(self) -> str:
        return self._advice


class Limited(CourierError):
    """A stream got nothing but refusals for too many requests until it gave up."""

    @property
    def advice(self) -> str:
        return LIMIT_ADVICE


class Unavailable(CourierError):
    """No usable response after all retries."""

    def __init__(self, text: str, advice: str = COURIER_ADVICE) -> None:
        super().__init__(text)
        self._advice = advice

    @property
    def advice(self) -> str:
        return self._advice


class BadAnswer(CourierError):
    """A well-formed response that breaks the API's own contract; a retry would not help."""

    @property
    def advice(self) -> str:
        return CONTRACT_ADVICE


def _advice_by_status(status: int) -> str:
    if status in (402, 403):
        return DENIED_ADVICE
    if 300 <= status < 400:
        return "Set base_url to Courier's new address, or remove it."
    if status == 404:
        return "Check region and base_url; if they are right, this account has no such data."
    return CONTRACT_ADVICE


class StateRefused(Exception):
    """The saved state must not be replaced by this sync. The text says what to do."""
