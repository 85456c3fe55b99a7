"""What the setup form's connection tests report for one request per stream."""

import asyncio
import dataclasses

import pytest

from courier_async.api.memory import SHARE_BYTES, Hold
from courier_async.api.transport import Answer, ConnectionTrouble, Transport
from courier_async.catalog.streams import BY_TABLE
from courier_async.errors import LIMIT_ADVICE
from courier_async.settings import Settings
from courier_async.setup import connection_test
from courier_async.setup.connection_test import Findings, problem_with_key, problem_with_streams
from tests.support.virtual_time import run_virtual

PAGE = b'{"results": [], "items": [], "paging": {"more": false}, "has_more": false}'


def test_a_wrong_setting_is_told_without_asking_anything() -> None:
    wrong = {"api_key": "k", "base_url": "http://courier.example.com"}
    for trouble in (connection_test.key_problem, connection_test.streams_problem):
        assert "the key would be sent unencrypted" in str(trouble(wrong))


class Answers:
    """A transport that answers by table: a status, a body, or an error to raise."""

    def __init__(self, **by_table: int | bytes | Exception) -> None:
        self._by_table = by_table
        self.asked = 0

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        self.asked += 1
        table = path_and_query.removeprefix("/").removesuffix("s")
        what = self._by_table.get(table, self._by_table.get("other", PAGE))
        if isinstance(what, Exception):
            raise what
        if isinstance(what, int):
            return Answer(what, {}, b'{"type": "other_error"}')
        return Answer(200, {}, what)


SETTINGS = Settings(api_key="k", requests_per_second=1000.0)


def ask(settings: Settings, transport: Transport) -> Findings:
    """Returns the findings, in virtual time, so that waits between tries cost nothing."""
    return run_virtual(connection_test.ask(settings, transport))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (402, "brand: plan (402): the plan of this account does not include it."),
        (404, "brand: not found (404): this account has no such data."),
        (400, "brand: Courier answered 400."),
        (b'{"rows": []}', "brand: the response is missing 'results'; has the API changed?"),
    ],
)
def test_why_a_stream_cannot_be_read(what: int | bytes, reason: str) -> None:
    findings = ask(SETTINGS, Answers(brand=what))
    text = problem_with_streams(SETTINGS, findings)
    assert text is not None
    assert "6 of 7 streams can be read: audience," in text
    assert reason in text
    assert problem_with_key(SETTINGS, findings) is None


def test_children_of_a_table_that_cannot_be_read_cannot_be_read_either() -> None:
    tables = ("list", "brand", "list_subscription")
    settings = dataclasses.replace(SETTINGS, streams=tuple(BY_TABLE[table] for table in tables))
    text = str(problem_with_streams(settings, ask(settings, Answers(list=403))))
    assert text.startswith("1 of 3 streams can be read: brand.")
    assert text.endswith("set streams to: brand")
    assert "The key cannot read any stream" in str(
        problem_with_key(settings, ask(settings, Answers(list=403, brand=403)))
    )


def test_a_401_to_every_request_is_about_the_key_whatever_else_is_answered() -> None:
    findings = ask(SETTINGS, Answers(brand=401, message=503))
    assert str(problem_with_key(SETTINGS, findings)).startswith("Courier does not accept the key")


@pytest.mark.parametrize("status", [402, 403])
def test_a_key_that_may_read_nothing_is_about_the_key(status: int) -> None:
    findings = ask(SETTINGS, Answers(brand=status, message=status, other=status))
    text = str(problem_with_key(SETTINGS, findings))
    assert text.startswith(
        f"The key cannot read any stream (Courier answered {status}). Check api_key"
    )


def test_a_table_that_is_not_asked_for_in_the_eu_says_nothing_about_the_key() -> None:
    eu = {"api_key": "k", "region": "EU", "streams": "all"}
    settings = Settings.from_configuration(eu | {"requests_per_second": "1000"})
    text = str(problem_with_key(settings, ask(settings, Answers(other=403))))
    assert text.startswith("The key cannot read any stream (Courier answered 403). Check api_key")


@pytest.mark.parametrize(
    ("what", "advice"),
    [
        (404, "Check region and base_url; if they are right, this account has no such data."),
        (503, "The fault is on Courier's side"),
        (ConnectionTrouble("the connection failed", "Check the network."), "Check the network."),
        (b'{"rows": []}', "Look for a newer version of this connector"),
    ],
)
def test_only_a_refusal_of_the_key_speaks_of_the_key(
    what: int | bytes | Exception, advice: str
) -> None:
    findings = ask(SETTINGS, Answers(brand=what, message=what, other=what))
    text = str(problem_with_key(SETTINGS, findings))
    assert text.startswith("Courier could not be read at https://api.courier.com (")
    assert advice in text
    assert "api_key" not in text


def test_large_pages_of_all_streams_at_once_are_read() -> None:
    class Large:
        async def get(self, path_and_query: str, hold: Hold) -> Answer:
            await hold.grow_to(SHARE_BYTES + 1)
            return Answer(200, {}, PAGE)

    assert problem_with_streams(SETTINGS, ask(SETTINGS, Large())) is None


def test_an_envelope_that_leads_nowhere_is_told() -> None:
    nowhere = b'{"results": [{"id": "x"}], "paging": {"more": true}}'
    text = problem_with_streams(SETTINGS, ask(SETTINGS, Answers(brand=nowhere)))
    assert "brand: 'more' says there is another page" in str(text)


def test_only_the_chosen_streams_are_asked_for() -> None:
    only = Settings.from_configuration({"api_key": "k", "streams": "brand,message"})
    transport = Answers()
    assert problem_with_streams(only, ask(only, transport)) is None
    assert transport.asked == 2


def test_streams_below_a_parents_row_are_left_out_and_go_with_a_denied_parent() -> None:
    child, other = BY_TABLE["list_subscription"], BY_TABLE["tenant_user"]
    only = dataclasses.replace(SETTINGS, streams=(*SETTINGS.streams, child, other))
    transport = Answers(list=403)
    text = str(problem_with_streams(only, ask(only, transport)))
    assert transport.asked == 7
    assert text.endswith(
        "set streams to: brand,audience,audit_event,message,notification,tenant,tenant_user"
    )


class Holds:
    """A transport that asks for a minute's wait with every answer."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        await asyncio.sleep(0.04)
        return Answer(self._status, {"retry-after": "60"}, b"")


def test_an_api_that_holds_the_test_up_ends_it_in_time() -> None:
    text = problem_with_key(SETTINGS, ask(SETTINGS, Holds(503)))
    assert "(no usable response within 30 s)" in str(text)


@pytest.mark.parametrize("requests_per_second", [50.0, 1000.0])
@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_that_outlasts_the_test_is_said_to_be_one(
    status: int, requests_per_second: float
) -> None:
    # At the lower rate, the first answer keeps some streams from being requested at all.
    given = dataclasses.replace(SETTINGS, requests_per_second=requests_per_second)
    text = str(problem_with_key(given, ask(given, Holds(status))))
    assert "(Courier still limited requests (429 or 403) after 30 s)" in text
    assert text.endswith(LIMIT_ADVICE)


def test_a_low_rate_does_not_pass_for_an_api_that_answers_nothing() -> None:
    slow = dataclasses.replace(SETTINGS, requests_per_second=0.1)
    assert problem_with_streams(slow, ask(slow, Answers())) is None


def test_a_failed_request_is_tried_once_more_and_no_oftener() -> None:
    only = Settings.from_configuration({"api_key": "k", "streams": "brand"})
    transport = Answers(brand=ConnectionTrouble("the connection failed"))
    findings = ask(only, transport)
    assert transport.asked == 2
    assert "no usable response after 2 attempts" in str(problem_with_key(only, findings))
