"""A refused key, a denied stream, and lost access."""

import pytest

from tests.syncs.house import KEPT, House, ready

ALL_DENIED = ("brand", "audience", "audit_event", "list", "message", "notification", "tenant")


@pytest.mark.parametrize("status", [402, 403, 404])
@pytest.mark.parametrize("table", ["audit_event", "list", "message"])
def test_a_stream_that_was_never_readable_is_skipped_with_a_warning(
    table: str, status: int
) -> None:
    house = House(options={"denied": {table: status}})
    (warning,) = house.sync().warnings
    assert warning.startswith(f"{table}: Courier answered {status}, so this stream was skipped")
    assert house.wrong.keys() == {table}
    assert house.of(table) == {}
    house.sync()
    # Once the plan includes the stream, all of it lands.
    house.options = {"page_sizes": {}}
    house.sync()
    assert house.wrong == {}


@pytest.mark.parametrize("status", [402, 403, 404])
@pytest.mark.parametrize("table", ["audit_event", "list", "message"])
def test_access_that_is_lost_fails_the_sync_and_names_the_stream(table: str, status: int) -> None:
    house = ready()
    before = house.of(table)
    others = {other: house.account.add(other, 2) for other in KEPT if other != table}
    sink = house.sync(options={"denied": {table: status}}, fails=True)
    assert f"1 of 7 streams could not be read to the end. {table}: Courier answered {status}" in (
        house.error
    )
    assert "access has been lost" in house.error
    for other, ids in others.items():
        assert set(ids) <= {row["id"] for row in sink.sent(other)}
    assert house.of(table) == before
    assert sink.deleted(table) == []
    house.sync()
    assert house.wrong == {}


def test_a_stream_refused_on_a_later_page_fails_and_names_itself() -> None:
    house = House(options={"denied": {"audit_event": 403}, "denied_from_page": 3})
    house.sync(fails=True)
    assert "audit_event: Courier answered 403" in house.error
    assert house.wrong.keys() == {"audit_event"}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_ends_the_sync_at_once_and_is_said_to_be_the_fault(
    status: int,
) -> None:
    house = ready()
    before = house.state
    sink = house.sync(options={"key": "another", "bad_key_status": status}, fails=True)
    assert house.error.startswith(f"Courier does not accept the key (it answered {status}).")
    assert "api_key" in house.error
    assert sink.sent("message") == []
    assert house.api.traffic.requests <= 8
    assert house.state == before


@pytest.mark.parametrize("status", [402, 403])
def test_a_refusal_of_every_stream_is_about_the_key(status: int) -> None:
    house = House(options={"denied": dict.fromkeys(ALL_DENIED, status)})
    sink = house.sync(fails=True)
    assert house.error.startswith("Courier refused the key for every stream")
    assert sink.warnings == []


@pytest.mark.parametrize("status", [402, 403])
def test_a_refusal_of_every_stream_that_was_read_before_is_about_the_key(status: int) -> None:
    house = ready()
    before = house.of("brand")
    sink = house.sync(options={"denied": dict.fromkeys(ALL_DENIED, status)}, fails=True)
    assert house.error.startswith(
        f"Courier refused the key for every stream (it answered {status}). Check api_key"
    )
    assert sink.warnings == []
    assert house.of("brand") == before
    house.sync()
    assert house.wrong == {}


def test_a_404_of_every_stream_that_was_read_before_says_nothing_about_the_key() -> None:
    house = ready()
    house.sync(options={"denied": dict.fromkeys(ALL_DENIED, 404)}, fails=True)
    assert house.error.startswith("7 of 7 streams could not be read to the end.")
    assert "api_key" not in house.error


def test_a_single_401_after_the_key_was_accepted_is_asked_again() -> None:
    house = ready()
    stray = {"stream": "tenant", "page": 2, "answer": "bad_key", "times": 1}
    house.sync(options={"rules": [stray]})
    assert house.wrong == {}


def test_a_key_that_is_withdrawn_during_a_sync_saves_what_had_landed() -> None:
    house = House()
    withdrawn = {"answer": "bad_key", "after": 20}
    house.sync(options={"rules": [withdrawn]}, fails=True)
    assert house.error.startswith("Courier does not accept the key")
    house.sync()
    assert house.wrong == {}
