"""Cursors that expire."""


class CursorLives:
    """Remembers when each cursor was given out, for an API whose cursors expire."""

    def __init__(self) -> None:
        self.requests = 0
        self._given: dict[str, tuple[int, int]] = {}  # epoch ms, number of requests by then

    def given_out(self, text: str, now_ms: int) -> None:
        self._given[text] = (now_ms, self.requests)

    def serves(self, text: str, now_ms: int, most_seconds: float, most_requests: int) -> bool:
        if text not in self._given:
            return True
        given_ms, requests = self._given[text]
        is_old = most_seconds and now_ms - given_ms > most_seconds * 1000
        return not is_old and not (most_requests and self.requests - requests > most_requests)
