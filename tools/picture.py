"""`make picture`: one sync in time, drawn from a real run against the fake API (docs/sync.svg).

A row a stream with a bar a request, the pages waiting for the writer, and the checkpoints.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from courier_async import sync as syncs
from courier_async.api.transport import Answer, HttpTransport
from courier_async.catalog.streams import STREAMS
from courier_async.settings import Settings
from courier_async.writing.sdk_thread import ThreadWorker
from courier_async.writing.writer import Writer
from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi, Options
from tests.support.fake_courier.server import serve
from tools.stage import ROOT

TARGET = ROOT / "docs" / "sync.svg"
LATENCY_MS = 60.0
ROW_SECONDS = 0.002  # what the destination takes for a row
SIZES = {"message": 900, "audit_event": 90, "tenant": 250}
PAGES = {"brand": 8, "audience": 10, "audit_event": 10, "list": 7, "notification": 6}

WIDTH, LEFT, ROW, QUEUE_HEIGHT = 960, 110, 26, 70
COLOURS = ("#4e79a7", "#59a14f", "#e15759", "#b07aa1", "#f28e2b", "#76b7b2", "#9c755f")


@dataclass
class Story:
    """What happened when, in seconds from the start."""

    began: float = field(default_factory=time.monotonic)
    requests: list[tuple[str, float, float]] = field(default_factory=list)
    queue: list[tuple[float, int]] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)
    rows: int = 0

    def now(self) -> float:
        return time.monotonic() - self.began


class WatchedTransport:
    """The real transport; each request is noted."""

    def __init__(self, transport: HttpTransport, story: Story) -> None:
        self._transport = transport
        self._story = story

    async def get(self, path_and_query: str) -> Answer:
        began = self._story.now()
        try:
            return await self._transport.get(path_and_query)
        finally:
            self._story.requests.append(
                (path_and_query.partition("?")[0], began, self._story.now())
            )


class WatchedSink:
    """Stands in for the SDK's operations; a row takes its time."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def upsert(self, table: str, data: dict[str, Any]) -> None:
        self._story.rows += 1
        time.sleep(ROW_SECONDS)

    def delete(self, table: str, keys: dict[str, Any]) -> None: ...

    def warning(self, message: str) -> None: ...

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._story.checkpoints.append(self._story.now())


async def watch() -> Story:
    """A first sync of a small account, watched."""
    account = Account(seed=4, sizes=SIZES, span_days=60.0)
    api = FakeApi(account, Options(latency_ms=LATENCY_MS, page_sizes=PAGES))
    async with serve(api=api) as server, ThreadWorker() as worker:
        settings = Settings(
            api_key=DEFAULT_KEY,
            base_url=server.url,
            requests_per_second=120.0,
            checkpoint_interval_seconds=0.5,
        )
        async with HttpTransport(
            base_url=server.url, api_key=DEFAULT_KEY, timeout_seconds=10
        ) as http:
            story = WatchedWriter.story = Story()
            real, syncs.Writer = syncs.Writer, WatchedWriter  # type: ignore[attr-defined]
            try:
                await syncs.run(
                    settings,
                    {},
                    WatchedSink(story),
                    transport=WatchedTransport(http, story),
                    worker=worker,
                )
            finally:
                syncs.Writer = real  # type: ignore[attr-defined]
    return story


class WatchedWriter(Writer):
    """The real writer; how many pages wait for it is sampled every five milliseconds."""

    story: Story

    async def run(self) -> None:
        sampler = asyncio.create_task(self._sample())
        try:
            await super().run()
        finally:
            sampler.cancel()

    async def _sample(self) -> None:
        while True:
            self.story.queue.append((self.story.now(), self.queue.qsize()))
            await asyncio.sleep(0.005)


def draw(story: Story) -> str:
    """The story as SVG."""
    end = max(*(finished for _, _, finished in story.requests), *story.checkpoints)
    scale = (WIDTH - LEFT - 20) / end
    top = 46
    parts = [
        _text(LEFT, 20, f"A first sync: {len(story.requests)} requests of {LATENCY_MS:g} ms, "
              f"{story.rows:,} rows, {end:.1f} s", size=14),
    ]  # fmt: skip
    for number, stream in enumerate(STREAMS):
        y = top + number * ROW
        parts.append(_text(LEFT - 8, y + 14, stream.table, anchor="end"))
        own = sorted((a, b) for path, a, b in story.requests if path.startswith(stream.path))
        parts += _bars(own, y, scale, COLOURS[number])
    bottom = top + len(STREAMS) * ROW + 12
    most = max((size for _, size in story.queue), default=1) or 1
    parts.append(_text(LEFT - 8, bottom + 16, "pages waiting", anchor="end"))
    parts.append(_text(LEFT - 8, bottom + 32, f"(most: {most})", anchor="end", size=10))
    points = " ".join(
        f"{LEFT + at * scale:.1f},{bottom + QUEUE_HEIGHT * (1 - size / most):.1f}"
        for at, size in story.queue
    )
    parts.append(f'<polyline points="{points}" fill="none" stroke="#555" stroke-width="1"/>')
    base = bottom + QUEUE_HEIGHT + 8
    for at in story.checkpoints:
        x = LEFT + at * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{base}" stroke="#c33" '
            'stroke-width="1" stroke-dasharray="3 3"/>'
        )
    parts.append(_text(LEFT - 8, base + 14, "checkpoints", anchor="end"))
    for at in story.checkpoints:
        parts.append(f'<circle cx="{LEFT + at * scale:.1f}" cy="{base + 10}" r="4" fill="#c33"/>')
    for second in range(int(end * 2) + 1):
        x = LEFT + second / 2 * scale
        parts.append(_text(x, base + 36, f"{second / 2:g} s", anchor="middle", size=10))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{base + 48}" '
        'font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _bars(spans: list[tuple[float, float]], top: int, scale: float, colour: str) -> list[str]:
    """A bar a request, thinner where several are under way at once."""
    lanes: list[float] = []
    placed = []
    for began, ended in spans:
        lane = next((n for n, free in enumerate(lanes) if free <= began), len(lanes))
        if lane == len(lanes):
            lanes.append(0.0)
        lanes[lane] = ended
        placed.append((lane, began, ended))
    height = (ROW - 6) / max(len(lanes), 1)
    return [
        f'<rect x="{LEFT + began * scale:.1f}" y="{top + lane * height:.1f}" '
        f'width="{max((ended - began) * scale - 0.6, 0.6):.1f}" '
        f'height="{max(height - 0.5, 0.8):.1f}" fill="{colour}"/>'
        for lane, began, ended in placed
    ]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="#222">{text}</text>'
    )


def main(target: Path = TARGET) -> None:
    target.write_text(draw(asyncio.run(watch())))
    print(f"drawn: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
