"""What can go wrong, named by what follows from it.

Every text here is read by a person: it says what happened, never what a record held,
never a header, never the key.
"""

from typing import Final

KEY_ADVICE: Final = (
    "Check api_key in the configuration against Settings > API Keys in Courier, and region or "
    "base_url against the region of the account (EU: https://api.eu.courier.com)."
)


class CourierError(Exception):
    """Anything about Courier's answers that ends the reading of a stream."""


class KeyRefused(CourierError):
    """401: no stream can be read with this key, so the whole sync ends at once."""


class Refused(CourierError):
    """A 4xx that no retry can change. `status` decides what follows (see walk.py)."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(f"Courier answered {status}{kind}")
        self.status = status

    @property
    def may_mean_cursor(self) -> bool:
        """Whether it can say, of a page at a cursor, that the cursor is no longer known."""
        return self.status in (400, 404, 410)


class Denied(CourierError):
    """402, 403 or 404 before anything of the stream could be read: plan or permission."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Courier answered {status}")
        self.status = status


class Unavailable(CourierError):
    """Still no usable answer after every retry."""


class BadAnswer(CourierError):
    """A well-formed answer that breaks the API's own contract; a retry would not help."""


class StateRefused(Exception):
    """The saved state must not be replaced by this sync. The text says what to do."""
