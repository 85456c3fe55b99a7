"""Progress while a sync runs: redrawn in place on a terminal, plain lines elsewhere."""

import time
from typing import TextIO

from tools.console import Progress

WIDTH = 99


class Live:
    """Shows where each stream stands. `end` leaves the last lines, with the cursor below them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._on_terminal = out.isatty()
        self._began = time.monotonic()
        self._streams: dict[str, Progress] = {}
        self._drawn = 0
        self._is_over = False

    def take(self, progress: Progress) -> None:
        """Shows new progress."""
        if self._is_over:
            return
        if not self._on_terminal:
            self._print(f"{self._elapsed_seconds:4.0f} s  {self._line(progress)}")
            return
        self._erase()
        self._streams[progress.stream] = progress
        self._draw()

    def say(self, text: str) -> None:
        """Prints a line that stays, above the lines that are redrawn."""
        self._erase()
        self._print(text)
        self._draw()

    def end(self) -> float:
        """Stops showing progress. Returns the seconds since the start."""
        self._streams, self._drawn, self._is_over = {}, 0, True
        return self._elapsed_seconds

    @property
    def _elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    def _line(self, progress: Progress) -> str:
        return progress.line(self._elapsed_seconds)

    def _draw(self) -> None:
        for progress in self._streams.values():
            # A wrapped line could not be erased.
            self._print(f"  {self._line(progress)}"[:WIDTH])
        self._drawn = len(self._streams)

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\033[{self._drawn}A\033[J")
            self._drawn = 0

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
