"""Reads what a sync says about itself, and checks that its weather allows it."""

from courier_async.catalog.streams import BY_TABLE
from courier_async.settings import Settings
from tests.simulation.claims import Broken
from tests.simulation.weather import Weather

_CONTRADICTIONS = (
    "the listing ends, but more records follow",
    "the listing ends, but an earlier sync has read older records",
    "the listing ends, but other lanes have read older records",
    "the listing ends, but older records follow",
)

# A lane of an earlier sync whose cursor has expired contradicts an end for a day.
_HELD = "the listing ends above records that an earlier sync read"
# So does one that was dropped before the walk had read as far.
_DROPPED = "the listing ends, but an earlier sync has read older records"


def complete_streams(
    weather: Weather,
    settings: Settings,
    outcome: BaseException | None,
    warnings: list[str],
    read_before: set[str],
) -> set[str]:
    """Returns the streams that were read to the end, according to the sync itself."""
    tables = {stream.table for stream in settings.streams}
    skipped = {
        table
        for table in tables
        if any(
            text.startswith(f"{table}: Courier answered") and "skipped" in text
            for text in warnings
        )
    }
    if skipped & read_before:
        raise Broken(f"lost access to {skipped & read_before} is reported only as a warning")
    if outcome is None:
        lost = tables & set(weather.options.get("down", ()))
        if lost:
            raise Broken(f"{lost} was down, and the sync says that it is complete")
        return tables - skipped
    text = str(outcome)
    held = {table for table in tables if any(w.startswith(f"{table}: {_HELD}") for w in warnings)}
    held |= {table for table, reason in _reasons(text) if reason.startswith(_DROPPED)}
    if weather.quiet and not (held and _named(text) == held):
        raise Broken(f"a quiet sync failed: {text}")
    if "refused the key" in text or "not accept the key" in text:
        if weather.excused is not None and "denied" not in weather.options:
            raise Broken(f"failed without a reason: {text}")
        return set()
    named = _named(text)
    if not named:
        raise Broken(f"the error names no stream: {text}")
    contradicted = _contradicted(weather, text) | held
    if weather.excused is not None and named - weather.excused - contradicted:
        raise Broken(f"failed without a reason: {text}")
    return tables - skipped - named


def _contradicted(weather: Weather, text: str) -> set[str]:
    """Returns the streams whose listing contradicted itself: a false end, or vanished rows."""
    rules = weather.options.get("rules", ())
    is_false = any(rule.get("paging") == "false_end" for rule in rules)
    if not is_false and "the listing ends, but more records follow" in text:
        return set()
    return {table for table, reason in _reasons(text) if reason.startswith(_CONTRADICTIONS)}


def _named(text: str) -> set[str]:
    """Returns each stream that a failed sync names."""
    return {table for table, _ in _reasons(text)}


def _reasons(text: str) -> list[tuple[str, str]]:
    """Returns each stream that a failed sync names, with the reason it gives."""
    return [
        (table, reason)
        for part in text.partition(" could not be read to the end. ")[2].split("; ")
        for tables, colon, reason in [part.partition(": ")]
        for table in (tables.split(", ") if colon else ())
        if table in BY_TABLE
    ]
