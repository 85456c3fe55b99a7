"""The picture of a sync in the README can be drawn again."""

import asyncio
from xml.etree import ElementTree

from courier_async import sync
from courier_async.catalog.streams import STREAMS
from tools.picture import draw, watch


def test_the_picture_shows_every_stream_the_queue_and_the_checkpoints() -> None:
    before = sync.Writer  # type: ignore[attr-defined]
    story = asyncio.run(watch())
    assert sync.Writer is before  # type: ignore[attr-defined]
    text = draw(story)
    ElementTree.fromstring(text)
    assert all(f">{stream.table}<" in text for stream in STREAMS)
    assert text.count("<circle") == len(story.checkpoints) >= 3
    assert max(waiting for _, waiting in story.queue) > 0
