"""The pictures in the docs can be drawn again from real syncs."""

from xml.etree import ElementTree

from courier_async.catalog.streams import STREAMS
from tools.recorded import record_rereads, record_sync
from tools.svg import rereads, syncs


def test_a_recorded_sync_shows_every_stream_and_its_checkpoints() -> None:
    settings = {"requests_per_second": "200", "checkpoint_interval_seconds": "0"}
    run = record_sync(sizes={"message": 40}, latency_ms=5, row_seconds=0, settings=settings)
    paths = {stream.table: stream.path for stream in STREAMS}
    asked = {path for path, _, _ in run.requests}
    assert asked >= set(paths.values())
    assert all(0 <= began <= ended <= run.seconds for _, began, ended in run.requests)
    text = syncs({"A sync": run}, paths)
    ElementTree.fromstring(text)
    assert all(f">{table}<" in text for table in paths)
    assert text.count("<circle") == len(run.checkpoints) >= 3


def test_recorded_rereads_go_further_back_the_first_time_than_later() -> None:
    log = record_rereads(days=1, hours_between=6, messages=200)
    assert len(log) == 4
    ages = [reread.at - reread.reached for reread in log]
    assert ages[0] > 30 * 24
    assert max(ages[1:]) < ages[0] / 2
    ElementTree.fromstring(rereads(log))
