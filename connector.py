"""What Fivetran imports: the schema, and one sync. All else is in courier_async."""

import asyncio
import logging
import traceback
from typing import Any

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Logging as sdk_log
from fivetran_connector_sdk import Operations as op

from courier_async.settings import Settings, unknown_settings
from courier_async.streams import STREAMS
from courier_async.sync import SyncFailed, sync


def validate_configuration(configuration: dict[str, Any]) -> Settings:
    """The checked settings. Raises ValueError with a sentence that names the setting."""
    return Settings.from_configuration(configuration)


def schema(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    """Seven tables: their keys, and the columns whose text the destination would misread."""
    return [
        {
            "table": stream.table,
            "primary_key": [stream.key],
            "columns": dict.fromkeys((stream.key, *stream.text_columns), "STRING"),
        }
        for stream in STREAMS
    ]


def update(configuration: dict[str, Any], state: dict[str, Any]) -> None:
    """One sync. Leaves by returning, or by one RuntimeError that says what to do."""
    trouble = _sync(configuration, state)
    # Raised here, where no local and no chained exception holds the key: tracebacks are kept.
    configuration = {}
    if trouble:
        raise RuntimeError(trouble)


def _sync(configuration: dict[str, Any], state: dict[str, Any]) -> str | None:
    """What went wrong, in sentences; None when all went well."""
    _forward_logs()
    try:
        settings = validate_configuration(configuration)
    except ValueError as error:
        return str(error)
    try:
        for warning in unknown_settings(configuration):
            sdk_log.warning(warning)
        asyncio.run(sync(settings, state, op))
    except SyncFailed as error:
        return str(error)
    # A BaseException that left `update` would look like a success in production.
    except BaseException as error:
        where = " < ".join(
            f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
            for frame in reversed(traceback.extract_tb(error.__traceback__)[-5:])
        )
        return (
            f"The sync was stopped by {type(error).__name__} at {where}. All that was saved "
            "stays true, and the next sync goes on from there. If it comes again, report it."
        )
    return None


class _ToFivetran(logging.Handler):
    """Hands the package's log lines to the SDK, which it does not know."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            sdk_log.severe(text)
        elif record.levelno >= logging.WARNING:
            sdk_log.warning(text)
        else:
            sdk_log.info(text)


def _forward_logs() -> None:
    package_log = logging.getLogger("courier_async")
    package_log.setLevel(logging.INFO)
    package_log.propagate = False
    package_log.handlers = [_ToFivetran()]


connector = Connector(update=update, schema=schema)

if __name__ == "__main__":
    connector.debug()
