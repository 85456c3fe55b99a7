"""Makes a simulated sync die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.destination import Crashed, Destination, SinkRaised

if TYPE_CHECKING:
    from tests.simulation.weather import Weather


class Death:
    """Makes a sync die where its weather says so. forget: makes the API forget its cursors."""

    def __init__(
        self, weather: Weather, destination: Destination, forget: Callable[[], None]
    ) -> None:
        self._weather = weather
        self._destination = destination
        self._forget = forget
        self.task: asyncio.Task[None] | None = None
        self.struck = False
        self.stand_still: Callable[[], None] = lambda: None

    def arm(self) -> None:
        at = self._weather.crash_at
        if at is not None and at[0] == "second":
            asyncio.get_running_loop().call_later(at[1], self._strike)

    def at_request(self, number: int) -> None:
        if number == self._weather.forget_at:
            self._forget()
        if self._weather.crash_at == ("request", number):
            self._strike()

    def at_operation(self, name: str, number: int) -> None:
        if self._weather.crash_at == (name, self._destination.counts[name]):
            self._strike()
            raise Crashed
        if number == self._weather.raise_at:
            raise SinkRaised
        self.stand_still()

    def _strike(self) -> None:
        self.struck = True
        self._destination.dead = True
        if self.task is not None:
            self.task.cancel()
