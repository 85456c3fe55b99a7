"""The setup form's tests: does Courier accept the key, and which streams can it read?

Each reads one page per stream with the sync's own client, but in limited time: a person waits.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from courier_async.api.client import CourierClient
from courier_async.api.pacer import Pacer
from courier_async.api.pages import Page, parse_page
from courier_async.api.transport import HttpTransport, Transport
from courier_async.catalog.stream import Stream
from courier_async.counts import Counts
from courier_async.errors import (
    KEY_ADVICE,
    BadAnswer,
    CourierError,
    KeyRefused,
    Limited,
    NotInRegion,
    Refused,
    Unavailable,
    is_not_in_plan,
)
from courier_async.settings import Settings

_MAX_RETRIES: Final = 1
_TIMEOUT_SECONDS: Final = 10.0
# Covers all retries and waits, but not the time for which the rate holds requests back.
_WHOLE_TEST_SECONDS: Final = 30.0

# Table -> why its stream cannot be read, or None if it can.
Findings = Mapping[str, CourierError | None]

_DENIALS: Final = {
    402: "plan (402): the plan of this account does not include it",
    403: "permission (403): this key may not read it",
    404: "not found (404): this account has no such data",
}


def key_problem(configuration: Mapping[str, Any]) -> str | None:
    """Returns why the key is not accepted and what to do, or None if it can read some stream."""
    try:
        settings = Settings.from_configuration(configuration)
    except ValueError as error:
        return str(error)
    return problem_with_key(settings, asyncio.run(_ask(settings)))


def streams_problem(configuration: Mapping[str, Any]) -> str | None:
    """Returns which streams can and cannot be read, and why, or None if all can."""
    try:
        settings = Settings.from_configuration(configuration)
    except ValueError as error:
        return str(error)
    return problem_with_streams(settings, asyncio.run(_ask(settings)))


def problem_with_streams(settings: Settings, findings: Findings) -> str | None:
    """Describes the streams that cannot be read, in sentences; None if there are none."""
    readable = [table for table, error in findings.items() if error is None]
    if not readable:
        return problem_with_key(settings, findings)
    if len(readable) == len(findings):
        return None
    troubles = {table: error for table, error in findings.items() if error}
    reasons = "; ".join(f"{table}: {_reason(error)}" for table, error in troubles.items())
    text = f"{len(readable)} of {len(findings)} streams can be read: {', '.join(readable)}."
    text += f" Not readable: {reasons}."
    denied = {table for table, error in troubles.items() if _is_denial(error)}
    kept = [s.table for s in settings.streams if not denied & {s.table, s.parent}]
    if denied:
        text += (
            " A sync skips, with a warning, streams that the plan or permissions deny. To exclude "
            f"them, set streams to: {','.join(kept)}"
        )
    return text


def problem_with_key(settings: Settings, findings: Findings) -> str | None:
    """Describes a key that can read nothing, in sentences; None if it can read some stream."""
    errors = [error for error in findings.values() if error and not isinstance(error, NotInRegion)]
    refusal = next((error for error in errors if isinstance(error, KeyRefused)), None)
    if refusal is not None:
        return f"{refusal}. {refusal.advice}"
    if None in findings.values():
        return None
    # A bad key has been seen to get 403, so a 403 on one stream alone proves nothing.
    if all(is_not_in_plan(error) for error in errors):
        texts = ", ".join(sorted({str(error) for error in errors}))
        return f"The key cannot read any stream ({texts}). {KEY_ADVICE}"
    reasons = "; ".join(sorted({str(error) for error in errors}))
    advice = " ".join(sorted({error.advice for error in errors}))
    return f"Courier could not be read at {settings.base_url} ({reasons}). {advice}"


def _is_denial(error: CourierError | None) -> bool:
    if isinstance(error, NotInRegion):
        return True
    return isinstance(error, Refused) and error.status in _DENIALS


def _reason(error: CourierError) -> str:
    if isinstance(error, NotInRegion):
        return "region: only the US region has it"
    if isinstance(error, Refused):
        return _DENIALS.get(error.status, str(error))
    if isinstance(error, Unavailable):
        return f"unreachable: {error}"
    return str(error)


async def _ask(settings: Settings) -> Findings:
    async with HttpTransport(
        base_url=settings.base_url, api_key=settings.api_key, timeout_seconds=_TIMEOUT_SECONDS
    ) as transport:
        return await ask(settings, transport)


async def ask(settings: Settings, transport: Transport) -> Findings:
    """Requests the first page of each stream. Returns errors instead of raising them.

    Children are requested for one row of their parent. If there is no such row, they share the
    parent's result.
    """
    client = CourierClient(
        transport, Pacer(per_second=settings.requests_per_second), max_retries=_MAX_RETRIES
    )
    errors: dict[str, CourierError | None] = {}
    first_ids: dict[str, str | None] = {}

    async def ask_stream(stream: Stream) -> None:
        parent_id = None if stream.parent is None else first_ids[stream.parent]
        if stream.us_only and not settings.is_us:
            errors[stream.table] = NotInRegion()
        elif stream.parent is not None and parent_id is None:
            errors[stream.table] = errors[stream.parent]
        else:
            path = stream.path.replace("{id}", quote(parent_id or "", safe=""))
            page = await _first_page(stream, path, settings, client)
            errors[stream.table] = page if isinstance(page, CourierError) else page.trouble
            first_ids[stream.table] = _first_id(stream, page)

    parents = [stream for stream in settings.streams if stream.parent is None]
    await asyncio.gather(*map(ask_stream, parents))
    await asyncio.gather(*(ask_stream(s) for s in settings.streams if s.parent is not None))
    return {stream.table: errors[stream.table] for stream in settings.streams}


def _first_id(stream: Stream, page: Page | CourierError) -> str | None:
    records = page.records if isinstance(page, Page) else []
    keys = (stream.key_of(record) for record in records)
    return next((key[0] for key in keys if key is not None), None)


async def _first_page(
    stream: Stream, path: str, settings: Settings, client: CourierClient
) -> Page | CourierError:
    target = f"{path}?{urlencode(stream.params)}" if stream.params else path
    seconds = _WHOLE_TEST_SECONDS + len(settings.streams) / settings.requests_per_second
    counts = Counts(stream.table)
    try:
        async with asyncio.timeout(seconds):
            reply = await client.get(target, counts, arrays=stream.identifying_fields)
    except TimeoutError:
        # Only a limit keeps a request from being sent for so long.
        if counts.refusals or not counts.requests:
            return Limited(f"Courier still limited requests (429 or 403) after {seconds:.0f} s")
        return Unavailable(f"no usable response within {seconds:.0f} s")
    except CourierError as error:
        return error
    try:
        return parse_page(stream, reply.body, base_url=settings.base_url)
    except BadAnswer as error:
        return error
    finally:
        reply.hold.release()
