"""Fivetran's entry point: the schema and one sync. Everything else is in courier_async."""

import asyncio
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fivetran_connector_sdk import ConfigurationForm, Connector, Test, form_field
from fivetran_connector_sdk import Logging as sdk_log
from fivetran_connector_sdk import Operations as op

from courier_async.catalog.schema import schema_of
from courier_async.catalog.streams import STREAMS
from courier_async.ending import SyncFailed
from courier_async.settings import Settings, unknown_settings
from courier_async.setup.connection_test import key_problem, streams_problem
from courier_async.setup.form import FIELDS, KEY_TEST, STREAMS_TEST, Field, Kind
from courier_async.sync import sync


def validate_configuration(configuration: dict[str, Any]) -> Settings:
    """Returns the validated settings. Raises ValueError with a text that names the setting."""
    return Settings.from_configuration(configuration)


def schema(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the configured tables, their keys, and every column with its type."""
    try:
        return schema_of(validate_configuration(configuration).streams)
    except ValueError:
        # Fivetran asks for the schema before a sync; the sync then reports what is wrong.
        return schema_of(STREAMS)


def update(configuration: dict[str, Any], state: dict[str, Any]) -> None:
    """Runs one sync. Raises only RuntimeError, with a text that says what to do."""
    trouble = _sync(configuration, state)
    # Raise here, where no local or chained exception holds the key: tracebacks are saved.
    configuration = {}
    if trouble:
        raise RuntimeError(trouble)


def _sync(configuration: dict[str, Any], state: dict[str, Any]) -> str | None:
    """Returns what went wrong, in sentences, or None if all went well."""
    _forward_logs()
    try:
        settings = validate_configuration(configuration)
    except ValueError as error:
        return str(error)
    if _runs_in_event_loop():
        return (
            "update() was called inside a running event loop, as in a notebook, where a sync "
            "cannot start one of its own. Call it from a plain function or another thread."
        )
    try:
        for warning in unknown_settings(configuration):
            sdk_log.warning(warning)
        # Overrides the environment: asyncio's debug mode logs what a task has raised.
        asyncio.run(sync(settings, state, op), debug=False)
    except SyncFailed as error:
        return str(error)
    except KeyboardInterrupt:
        return "The sync was interrupted. What was read is saved; the next sync continues there."
    # A BaseException that left `update` would look like a success in production.
    except BaseException as error:
        where = " < ".join(
            f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
            for frame in reversed(traceback.extract_tb(error.__traceback__)[-5:])
        )
        return (
            f"The sync was stopped by {type(error).__name__} at {where}. Everything saved so far "
            "is valid, and the next sync continues from there. If it happens again, report it."
        )
    return None


def _runs_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def configuration_form() -> ConfigurationForm:
    """Returns the setup form and its two connection tests. Makes no network requests."""
    form = ConfigurationForm()
    for field in FIELDS:
        form.add_field(_form_field(field))
    form.add_test(label=KEY_TEST, func=key_is_accepted)
    form.add_test(label=STREAMS_TEST, func=streams_are_readable)
    return form


def _form_field(field: Field) -> Any:
    if field.kind is Kind.CHOICE:
        options = [form_field.DropdownFieldParam(value, label) for value, label in field.choices]
        return form_field.DropdownField(
            field.name, field.label, fields=options, description=field.description
        )
    secret = field.kind is Kind.PASSWORD
    return form_field.TextField(
        field.name,
        field.label,
        form_field.TextField.password if secret else form_field.TextField.plain_text,
        description=field.description,
        required=field.required,
    )


def key_is_accepted(configuration: dict[str, Any]) -> Any:
    """Runs the setup form's first test."""
    return _verdict(key_problem, configuration)


def streams_are_readable(configuration: dict[str, Any]) -> Any:
    """Runs the setup form's second test. A failure lists what can and cannot be read, and why."""
    return _verdict(streams_problem, configuration)


def _verdict(
    trouble: Callable[[dict[str, Any]], str | None], configuration: dict[str, Any]
) -> Any:
    try:
        text = trouble(configuration)
    except Exception as error:
        # The error's own text might hold something that the form must not show.
        text = f"The test was stopped by {type(error).__name__}. If it happens again, report it."
    return Test().failure(text) if text else Test().success()


class _ToFivetran(logging.Handler):
    """Forwards the package's log lines to the SDK, which the package does not import."""

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


connector = Connector(update=update, schema=schema, configuration_form=configuration_form)


def _beside(*names: str) -> dict[str, Any]:
    """Reads the first of these JSON files that exists next to this one; {} if none does."""
    paths = [Path(__file__).resolve().parent / name for name in names]
    found = next((path for path in paths if path.exists()), None)
    return dict(json.loads(found.read_text(encoding="utf-8"))) if found else {}


if __name__ == "__main__":
    # For running this file in an IDE; `fivetran debug` reads the same files by itself.
    # The SDK runs pipreqs, which is installed next to the interpreter.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"
    connector.debug(
        project_path=str(Path(__file__).resolve().parent),
        configuration=_beside("configuration.local.json", "configuration.json"),
        state=_beside("files/state.json"),
    )
