"""Whole syncs against servers that are broken below HTTP, send too much, or are impostors.

Each test runs one sync and checks its time and memory, its messages, and what lands.
test_hostile_answers.py covers single answers in a sync; test_transport.py a single request.
"""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

import connector
from courier_async.catalog.stream import Family
from courier_async.catalog.streams import BY_TABLE, STREAMS
from tests.support import own_process
from tests.support.fake_courier import DEFAULT_KEY, Account
from tests.support.handmade_server import Send, by_size, serve_by_hand
from tests.support.harness import expected
from tests.support.own_process import Outcome, sync_once, syncs_of_their_own

TABLES = [stream.table for stream in STREAMS]
SMALL = dict.fromkeys(TABLES, 12)
SAVED = "What was read is saved, and the next sync continues from there."


def account() -> Account:
    return Account(seed=3, sizes=SMALL)


async def update(
    configuration: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    state: Mapping[str, Any] | None = None,
) -> Outcome:
    """Runs one sync through connector.update beside this event loop, which runs the server."""
    for name in ("op", "_forward_logs"):
        # Restored after the test, because sync_once sets its own.
        monkeypatch.setattr(connector, name, getattr(connector, name))
    return await asyncio.to_thread(sync_once, configuration, state or {})


def assert_landed(outcome: Outcome, truth: Account, *, but: frozenset[str] = frozenset()) -> None:
    """Checks that exactly the streams other than `but` have landed whole and are claimed."""
    for table in TABLES:
        assert outcome.rows[table] == ({} if table in but else expected(truth, table)), table
        done = outcome.state["streams"].get(table, {})
        assert ("read_at" in done or "watermark" in done) == (table not in but), table


def assert_told(error: str | None, tables: Collection[str], reason: str) -> None:
    """Checks that exactly these streams failed, all for one reason."""
    head = f"{len(tables)} of 7 streams could not be read to the end. "
    assert error is not None
    assert error.startswith(head)
    names, _, rest = error.removeprefix(head).partition(": ")
    assert sorted(names.split(", ")) == sorted(tables)
    assert rest.startswith(reason)


# -- memory ------------------------------------------------------------------------------------


def at(case: str, tables: list[str], send: Send | bytes) -> dict[str, Send | bytes]:
    return {f"/{case}{BY_TABLE[table].path}": send for table in tables}


def pour(*, chunked: bool) -> Send:
    """Sends a hundred megabytes, with or without announcing the length."""

    async def send(writer: asyncio.StreamWriter) -> None:
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 104857600"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        piece = b"a" * 2**20
        for _ in range(100):
            writer.write(b"100000\r\n%b\r\n" % piece if chunked else piece)
            await writer.drain()

    return send


def bomb(encoding: str, window_bits: int) -> bytes:
    """Returns an answer of one megabyte that unpacks to one gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    first, again = (
        packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    # After a full flush, the same megabyte packs to the same bytes, whatever came before.
    return by_size(first + again * 1023, headers=f"Content-Encoding: {encoding}\r\n".encode())


def dense(table: str, megabytes: int) -> bytes:
    """Returns a page of one record that takes thirty times its size in memory once parsed."""
    stream = BY_TABLE[table]
    lists = b"[]," * (megabytes * 2**20 // 3) + b"[]"
    name, key = stream.arrays[0].encode(), stream.key[0].encode()
    end = b'"has_more":false' if stream.family is Family.LIST else b'"paging":{"more":false}'
    return by_size(b'{"%b":[{"%b":"x1","cells":[%b]}],%b}' % (name, key, lists, end))


@pytest.mark.skipif(
    not own_process.STATUS.exists(), reason="skipped: /proc is not available for measuring"
)
async def test_no_body_fills_the_memory_in_one_stream_or_in_all_at_once() -> None:
    others = frozenset({"message"})
    cases: dict[str, frozenset[str]] = {}
    by_hand: dict[str, Send | bytes] = {}
    sent: dict[str, Send | bytes] = {
        "long": pour(chunked=False),
        "endless": pour(chunked=True),
        "gzip": bomb("gzip", 31),
        "deflate": bomb("deflate", -15),
    }
    for name, send in sent.items():
        for case, tables in ((f"{name}-of-one", others), (f"{name}-of-all", frozenset(TABLES))):
            cases[case] = tables
            by_hand |= at(case, sorted(tables), send)
    async with serve_by_hand(account(), by_hand) as server:
        outcomes = await syncs_of_their_own([server.configuration(case) for case in cases])
    for (case, tables), outcome in zip(cases.items(), outcomes, strict=True):
        reason = f"a response is larger than any page should be (over 16 MB). {SAVED}"
        assert_told(outcome.error, tables, reason)
        assert_landed(outcome, server.account, but=tables)
        assert outcome.seconds < 30, case
        # The peak includes all syncs before it.
        assert outcome.peak_mb < 512, case


@pytest.mark.skipif(
    not own_process.STATUS.exists(), reason="skipped: /proc is not available for measuring"
)
async def test_of_large_pages_in_several_streams_at_once_one_is_in_memory() -> None:
    tables = ["brand", "message", "tenant"]
    by_hand = {f"/any{BY_TABLE[table].path}": dense(table, 2) for table in tables}
    async with serve_by_hand(account(), by_hand) as server:
        (outcome,) = await syncs_of_their_own([server.configuration()])
    assert outcome.error is None
    for table in tables:
        (row,) = outcome.rows[table].values()
        # The sink keeps only the length of such a value.
        assert row["additional_fields"] > 2_000_000
    # Mostly for parsing 700,000 lists a page, which takes five seconds on an idle machine.
    assert outcome.seconds < 60
    # One page takes 190 MB in all, and each further one 90 MB.
    assert outcome.peak_mb < 275


# -- certificates --------------------------------------------------------------------------------


def context_of(certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_a_certificate_that_is_not_valid_is_told_and_gets_no_key(
    tmp_path: Path,
) -> None:
    trusted, unknown = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    self_signed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    unknown.private_key_pem.write_to_path(str(tmp_path / "unknown.pem"))
    unknown.cert_pem.write_to_path(str(tmp_path / "unknown.pem"), append=True)
    self_signed.load_cert_chain(tmp_path / "unknown.pem")
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    expired = trusted.issue_cert(
        "127.0.0.1", not_before=long_ago, not_after=long_ago.replace(year=2021)
    )
    cases = {
        "self-signed": self_signed,
        "local issuer": context_of(unknown.issue_cert("127.0.0.1")),
        "expired": context_of(expired),
        "not valid for '127.0.0.1'": context_of(trusted.issue_cert("api.courier.example")),
        "": context_of(trusted.issue_cert("127.0.0.1")),
    }
    truth = account()
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serve_by_hand(truth, {}, tls=context))
            for context in cases.values()
        ]
        outcomes = await syncs_of_their_own(
            [server.configuration(max_retries="0") for server in servers],
            environment={"SSL_CERT_FILE": str(tmp_path / "trusted.pem")},
        )
    for reason, server, outcome in zip(cases, servers, outcomes, strict=True):
        if not reason:
            assert outcome.error is None
            assert_landed(outcome, truth)
            continue
        begins = "no usable response after 1 attempt: the certificate of "
        assert_told(outcome.error, TABLES, begins)
        assert outcome.error is not None
        assert reason in outcome.error
        assert f"). {SAVED} Check base_url, this machine's clock" in outcome.error
        assert "api_key" not in outcome.error
        assert server.heads == []
        assert_landed(outcome, truth, but=frozenset(TABLES))
        # No retries, and no waiting for a timeout of 30 s.
        assert outcome.seconds < 10


async def test_a_server_that_never_ends_its_handshake_gets_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_by_hand(account(), {}) as server:
        configuration = server.configuration(request_timeout_seconds="1")
        configuration["base_url"] = configuration["base_url"].replace("http:", "https:")
        outcome = await update(configuration, monkeypatch)
    assert "no connection to 127.0.0.1 within 1 s" in (outcome.error or "")
    assert server.heads == []
    # Far below the usual timeout of 30 s, however busy the machine is.
    assert outcome.seconds < 10


# -- names and addresses -------------------------------------------------------------------------


Resolve = Callable[..., Any]


def resolve_by(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `resolve` look up every name in this process; it also gets the real function."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: resolve(real, *asked, **how))


async def test_a_name_that_resolves_after_a_while_costs_a_retry_and_no_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_at: list[float] = []

    def resolve(real: Resolve, host: Any, *more: Any, **how: Any) -> Any:
        asked_at.append(time.monotonic())
        if asked_at[-1] < asked_at[0] + 0.5:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *more, **how)

    async with serve_by_hand(account(), {}) as server:
        configuration = server.configuration(max_retries="1")
        configuration["base_url"] = configuration["base_url"].replace("127.0.0.1", "localhost")
        resolve_by(resolve, monkeypatch)
        outcome = await update(configuration, monkeypatch)
    assert outcome.error is None
    assert len(asked_at) > 1
    assert_landed(outcome, server.account)
    assert outcome.seconds < 10


async def test_a_name_that_never_resolves_is_told_once_for_all_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(real: Resolve, host: Any, *more: Any, **how: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolve_by(resolve, monkeypatch)
    configuration = {"api_key": DEFAULT_KEY, "base_url": "https://api.courier.example"}
    outcome = await update(configuration | {"max_retries": "1"}, monkeypatch)
    reason = (
        "no usable response after 2 attempts: the host name api.courier.example could not be "
        "resolved. "
    )
    assert_told(outcome.error, TABLES, reason)
    assert outcome.error is not None
    assert "Check region and base_url in the configuration, and whether" in outcome.error
    assert "api_key" not in outcome.error
    # The only wait, between two tries, is at most 1.5 s, and the streams wait at the same time.
    assert outcome.seconds < 4


async def test_a_name_server_that_does_not_answer_is_given_up_after_the_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def resolve(real: Resolve, host: Any, *more: Any, **how: Any) -> Any:
        answered.wait(1.5)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    resolve_by(resolve, monkeypatch)
    configuration = {"api_key": DEFAULT_KEY, "base_url": "https://api.courier.example"}
    quick = {"max_retries": "0", "request_timeout_seconds": "1"}
    outcome = await update(configuration | quick, monkeypatch)
    assert "no connection to api.courier.example within 1 s" in (outcome.error or "")
    # The system's own look-up cannot be interrupted, but it ends by itself.
    assert outcome.seconds < 10


@pytest.mark.parametrize("name", ["[::1]", "localhost"])
async def test_a_server_that_only_has_an_ipv6_address_is_synced(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(real: Resolve, host: Any, *more: Any, **how: Any) -> Any:
        return real("::1", *more, **how)

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("skipped: this machine has no IPv6 loopback address")
    async with serve_by_hand(account(), {}, host="::1") as server:
        configuration = server.configuration()
        configuration["base_url"] = configuration["base_url"].replace("[::1]", name)
        resolve_by(resolve, monkeypatch)
        outcome = await update(configuration, monkeypatch)
    assert outcome.error is None
    assert_landed(outcome, server.account)


# -- silence and slowness ------------------------------------------------------------------------


async def silence(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def head_alone(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    await silence(writer)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.3)


async def close_at_once(writer: asyncio.StreamWriter) -> None:
    return


async def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def test_streams_that_hang_drip_or_break_end_in_time_and_keep_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken: dict[str, tuple[Send, str]] = {
        "brand": (silence, "no response within 1 s"),
        "audience": (head_alone, "no response within 1 s"),
        "list": (drip, "no response within 1 s"),
        "notification": (close_at_once, "the connection was dropped before a response arrived"),
        "tenant": (reset, "the connection was dropped before a response arrived"),
    }
    by_hand = {f"/any{BY_TABLE[table].path}": send for table, (send, _) in broken.items()}
    async with serve_by_hand(account(), by_hand) as server:
        configuration = server.configuration(request_timeout_seconds="1")
        outcome = await update(configuration, monkeypatch)
        by_hand.clear()
        again = await update(configuration, monkeypatch, outcome.state)
    assert outcome.error is not None
    assert outcome.error.startswith("5 of 7 streams could not be read to the end. ")
    for table, (_, reason) in broken.items():
        told = next(text for text in outcome.error.split("; ") if table in text)
        assert f"no usable response after 1 attempt: {reason}" in told
    assert_landed(outcome, server.account, but=frozenset(broken))
    # Five times the timeout for the stream that drips; the others end long before.
    assert 4.5 < outcome.seconds < 20
    assert again.error is None
    for table in TABLES:
        assert outcome.rows[table] | again.rows[table] == expected(server.account, table)


async def test_a_server_that_refuses_connections_is_told_once_for_all_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_by_hand(account(), {}) as server:
        configuration = server.configuration(max_retries="1")
    outcome = await update(configuration, monkeypatch)
    reason = "no usable response after 2 attempts: the connection to 127.0.0.1 failed ("
    assert_told(outcome.error, TABLES, reason)
    assert outcome.seconds < 4
