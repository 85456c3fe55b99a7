"""`make picture`: draws docs/sync.svg and docs/reread.svg from real runs against the fake API."""

from typing import Final

from courier_async.catalog.streams import STREAMS
from tools.recorded import record_rereads, record_sync
from tools.stage import ROOT
from tools.svg import rereads, syncs

SYNC: Final = ROOT / "docs" / "sync.svg"
REREAD: Final = ROOT / "docs" / "reread.svg"
SIZES: Final = {"message": 900, "audit_event": 90, "tenant": 250}
LATENCY_MS: Final = 60.0
ROW_SECONDS: Final = 0.001  # how long the destination takes per row
SETTINGS: Final = {"requests_per_second": "120", "checkpoint_interval_seconds": "1"}
# Label -> settings added to SETTINGS. Without message_lanes, the connector finds the number.
PANELS: Final = {
    "One lane (message_lanes = 1)": {"message_lanes": "1"},
    "As many lanes as the rate allows (the default)": {},
}
DAYS: Final = 10
HOURS_BETWEEN: Final = 1.0
MESSAGES: Final = 2000


def main() -> None:
    """Draws both pictures, in about two minutes."""
    panels = {
        title: record_sync(
            sizes=SIZES,
            latency_ms=LATENCY_MS,
            row_seconds=ROW_SECONDS,
            settings=SETTINGS | own,
        )
        for title, own in PANELS.items()
    }
    SYNC.write_text(syncs(panels, {stream.table: stream.path for stream in STREAMS}))
    log = record_rereads(days=DAYS, hours_between=HOURS_BETWEEN, messages=MESSAGES)
    REREAD.write_text(rereads(log))
    print(f"Drawn: {SYNC.relative_to(ROOT)}, {REREAD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
