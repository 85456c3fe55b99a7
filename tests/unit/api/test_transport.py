"""One request over real sockets: what a hostile or broken server can cost, and the errors."""

import asyncio
import contextlib
import gc
import gzip
import random
import socket
import ssl
import time
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from courier_async import __version__
from courier_async.api.memory import Hold, MemoryBudget
from courier_async.api.transport import (
    MAX_BODY_BYTES,
    Answer,
    BodyTooLarge,
    ConnectionTrouble,
    HttpTransport,
)
from tests.support.handmade_server import drop
from tests.support.still_clock import StillClock

KEY = "pk_prod_8H4JF2N1A94WJ2MZQ0X3T5V7"
CURSOR = "MTU4OTQ5NTI1ODY4Nyw%2B%3D%3D"
PATH = f"/messages?cursor={CURSOR}"
# Part of the body in every test that sends one and fails.
PERSON = "ana@acme.example"

Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that reads a request's head, then sends what the test says."""

    url: str = ""
    heads: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def serving(send: Send | bytes) -> AsyncIterator[Server]:
    server = Server()
    open_writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            server.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            if isinstance(send, bytes):
                writer.write(send)
                await writer.drain()
            else:
                await send(writer)
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for writer in open_writers:
            drop(writer)


async def get(base_url: str, *, path: str = PATH, timeout_seconds: float = 5) -> Answer:
    async with HttpTransport(
        base_url=base_url, api_key=KEY, timeout_seconds=timeout_seconds
    ) as transport:
        return await transport.get(path, await MemoryBudget().take("message", lane=False))


async def trouble(base_url: str, *, timeout_seconds: float = 5) -> str:
    """Returns the message of a failure; checks that it reveals no secret."""
    with pytest.raises((ConnectionTrouble, BodyTooLarge)) as caught:
        await get(base_url, timeout_seconds=timeout_seconds)
    error: BaseException | None = caught.value
    # As in a crash report, with the locals of each of our frames.
    told = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    while error is not None:
        told += f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    assert KEY not in str(caught.value) + repr(caught.value)
    for secret in (CURSOR, PERSON):
        assert secret not in str(caught.value) + repr(caught.value)
    assert caught.value.__context__ is None, "aiohttp's own error may hold the address"
    assert KEY not in told
    return str(caught.value)


def answer(body: bytes, *, head: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + head + b"\r\n" + length + headers + b"\r\n" + body


async def test_an_answer_is_its_status_headers_and_body() -> None:
    sent = answer(b'{"results": []}', head=b"404 Not Found", headers=b"X-ODD-Case: a\r\n")
    async with serving(sent) as server:
        got = await get(server.url)
    assert (got.status, got.body, got.headers["x-odd-case"]) == (404, b'{"results": []}', "a")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_packed_body_is_unpacked(encoding: str) -> None:
    packed = (
        gzip.compress(b"x" * 1000, mtime=0) if encoding == "gzip" else zlib.compress(b"x" * 1000)
    )
    sent = answer(packed, headers=f"Content-Encoding: {encoding}\r\n".encode())
    async with serving(sent) as server:
        assert (await get(server.url)).body == b"x" * 1000


async def test_the_address_goes_out_as_it_was_encoded_and_the_key_in_its_header() -> None:
    async with serving(answer(b"{}")) as server:
        await get(f"{server.url}/courier", path="/messages?cursor=a%2Bb%2F%3D%25&x=%C3%A9")
    (head,) = server.heads
    assert head.startswith("GET /courier/messages?cursor=a%2Bb%2F%3D%25&x=%C3%A9 HTTP/1.1\r\n")
    assert head.count(KEY) == 1
    assert head.count("Accept-Encoding: gzip, deflate\r\n") == 1
    assert f"Authorization: Bearer {KEY}\r\n" in head
    assert f"User-Agent: fivetran-courier-connector/{__version__}\r\n" in head


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_takes_the_key_nowhere(status: int) -> None:
    async with serving(answer(b"{}")) as elsewhere:
        target = f"Location: {elsewhere.url}/steal\r\n".encode()
        async with serving(answer(b"", head=b"%d Moved" % status, headers=target)) as server:
            assert (await get(server.url)).status == status
    assert len(server.heads) == 1
    assert elsewhere.heads == []


async def test_cookies_of_one_answer_do_not_come_with_the_next() -> None:
    headers = b"Set-Cookie: a=b\r\nConnection: close\r\n"
    async with serving(answer(b"{}", headers=headers)) as server:
        # By host name, because aiohttp keeps no cookies for a bare IP address.
        base_url = server.url.replace("127.0.0.1", "localhost")
        async with HttpTransport(base_url=base_url, api_key=KEY, timeout_seconds=5) as transport:
            hold = await MemoryBudget().take("message", lane=False)
            await transport.get("/one", hold)
            await transport.get("/two", hold)
    assert len(server.heads) == 2
    assert "cookie" not in "".join(server.heads).lower()


async def test_proxies_and_netrc_of_the_environment_are_let_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(answer(b"{}")) as proxy, serving(answer(b"{}")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        await get(server.url)
    assert proxy.heads == []
    assert f"Bearer {KEY}" in server.heads[0]
    assert "Basic" not in server.heads[0]


# Failing connections.


def silence(clock: StillClock) -> Send:
    """Returns a sender that sends nothing for a minute."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await clock.forward(60)

    return send


async def test_a_server_that_never_answers_is_given_up_after_the_time_out() -> None:
    clock = StillClock()
    async with serving(silence(clock)) as server:
        assert await trouble(server.url, timeout_seconds=5) == "no response within 5 s"
        assert 5 <= clock.passed_seconds < 20, "long before five times that"


async def test_an_answer_that_stops_midway_is_given_up_after_the_time_out() -> None:
    async def stop(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + PERSON.encode())
        await writer.drain()
        await clock.forward(60)

    clock = StillClock()
    async with serving(stop) as server:
        assert "no response within" in await trouble(server.url)


@pytest.mark.parametrize("in_head", [True, False])
async def test_an_answer_that_drips_takes_at_most_five_times_the_time_out(in_head: bool) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        if not in_head:
            writer.write(b"Content-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"a")
            await writer.drain()
            await clock.forward(1)

    clock = StillClock()
    async with serving(drip) as server:
        assert "no response within" in await trouble(server.url, timeout_seconds=4)
        assert 16 <= clock.passed_seconds < 40


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + PERSON.encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + PERSON.encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + PERSON.encode(),
        answer(PERSON.encode(), headers=b"Content-Encoding: gzip\r\n"),
        b"ana@acme.example\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ana@acme.example\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2**20 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 2**20 + b"\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[-30:]),
)
async def test_a_broken_answer_is_a_failure_with_words(sent: bytes) -> None:
    began = time.monotonic()
    async with serving(sent) as server:
        said = await trouble(server.url, timeout_seconds=60)
    assert said.startswith(("the connection was dropped", "the response c", "the response was"))
    assert time.monotonic() - began < 30


async def test_a_dropped_request_is_not_repeated_by_aiohttp() -> None:
    # Also fails if aiohttp renames the attribute that turns this off.
    async with serving(b"") as server:
        assert await trouble(server.url) == "the connection was dropped before a response arrived"
    assert len(server.heads) == 1


@pytest.mark.parametrize("is_reset", [False, True])
async def test_only_the_loss_of_a_connection_that_was_kept_is_stale(is_reset: bool) -> None:
    async def answer_once(writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 1:
            writer.write(answer(b"{}"))
            await asked_again.wait()
        if is_reset:
            drop(writer)

    asked_again = asyncio.Event()
    async with (
        serving(answer_once) as server,
        HttpTransport(base_url=server.url, api_key=KEY, timeout_seconds=5) as transport,
    ):
        hold = await MemoryBudget().take("message", lane=False)
        await transport.get(PATH, hold)
        again = asyncio.create_task(transport.get(PATH, hold))
        await asyncio.sleep(0.05)
        asked_again.set()
        with pytest.raises(ConnectionTrouble, match="was dropped") as kept:
            await again
        with pytest.raises(ConnectionTrouble, match="was dropped") as new:
            await transport.get(PATH, hold)
    assert (kept.value.is_stale, new.value.is_stale) == (True, False)


async def test_nobody_listening_is_a_failed_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = await trouble(f"http://127.0.0.1:{port}")
    assert said.startswith("the connection to 127.0.0.1 failed (")


async def test_a_name_that_does_not_resolve_is_told_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unknown(*question: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    said = await trouble("https://api.courier.example")
    assert said == "the host name api.courier.example could not be resolved"


async def test_a_server_that_speaks_no_tls_is_told_as_that() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        said = await trouble(f"https://127.0.0.1:{port}")
    assert said == "the TLS handshake with 127.0.0.1 failed"


async def test_a_server_that_only_speaks_ipv6_is_reached() -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}"))
        writer.close()

    try:
        listening = await asyncio.start_server(reply, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert (await get(f"http://[::1]:{port}")).body == b"{}"


# Names and addresses.


def no_name(host: str) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def resolve_by(monkeypatch: pytest.MonkeyPatch, resolve: Callable[[str], list[Any]]) -> None:
    async def getaddrinfo(host: str, port: int, **more: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in resolve(host)
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_an_address_that_moves_in_mid_sync_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    address = "127.0.0.1"

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return [address]

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}", headers=b"Connection: close\r\n"))
        writer.close()

    old = await asyncio.start_server(reply, "127.0.0.1", 0)
    port = old.sockets[0].getsockname()[1]
    try:
        new = await asyncio.start_server(reply, "127.0.0.2", port)
    except OSError:
        pytest.skip("this machine has one loopback address")
    resolve_by(monkeypatch, resolve)
    async with (
        new,
        HttpTransport(
            base_url=f"http://courier.example:{port}", api_key=KEY, timeout_seconds=5
        ) as transport,
    ):
        hold = await MemoryBudget().take("message", lane=False)
        for _ in range(3):
            await transport.get(PATH, hold)
        assert len(asked) == 1, "a name is remembered while its address answers"
        old.close()
        address = "127.0.0.2"
        with pytest.raises(ConnectionTrouble, match=r"the connection to courier\.example failed"):
            await transport.get(PATH, hold)
        assert (await transport.get(PATH, hold)).status == 200
        assert len(asked) == 2


async def test_names_that_are_forgotten_while_another_task_looks_one_up_are_a_failed_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def forgotten(*asked: Any, **more: Any) -> Any:
        raise KeyError(("courier.example", 443))

    monkeypatch.setattr(aiohttp.TCPConnector, "_resolve_host", forgotten)
    with pytest.raises(ConnectionTrouble):
        await get("https://courier.example")


# Advice in errors.


async def advice(base_url: str) -> str:
    with pytest.raises(ConnectionTrouble) as caught:
        await get(base_url)
    assert "api_key" not in caught.value.advice
    return caught.value.advice


async def test_an_address_that_is_not_reached_is_about_the_address_and_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = await advice(f"http://127.0.0.1:{unused.getsockname()[1]}")
    resolve_by(monkeypatch, no_name)
    unknown = await advice("https://api.courier.example")
    for text, host in ((refused, "127.0.0.1"), (unknown, "api.courier.example")):
        assert text == (
            "Check region and base_url in the configuration, and whether this machine can reach "
            f"{host} directly."
        )


@pytest.mark.parametrize("host", ["api..courier.com", f"{'a' * 64}.example.com", "10.0.0"])
async def test_a_host_that_cannot_exist_is_about_the_address(host: str) -> None:
    assert await trouble(f"https://{host}") == f"{host} is not a valid host name"
    assert (await advice(f"https://{host}")).startswith("Check region and base_url")


async def test_a_proxy_variable_that_is_set_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_by(monkeypatch, no_name)
    monkeypatch.setenv("https_proxy", "http://user:password@proxy.example:3128")
    said = await advice("https://api.courier.example")
    assert "https_proxy is set, but this connector ignores proxies" in said
    assert "password" not in said
    assert "proxy.example" not in said


async def test_a_python_without_trusted_certificates_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ca = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(str(ca))
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        assert "Check base_url, this machine's clock" in await advice(url)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "nothing"))
        said = await advice(url)
        assert "no trusted certificates: install them" in said
        assert "SSL_CERT_FILE" in said


async def test_a_slow_answer_is_about_the_time_that_it_may_take() -> None:
    async with serving(silence(StillClock())) as server:
        said = await advice(server.url)
    assert "increase request_timeout_seconds" in said


# Headers.


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Policy: " + b"a" * 8_300 + b"\r\n",
        b"X-Policy: " + b"a" * 65_000 + b"\r\n",
        b"".join(b"X-Trace-%d: a\r\n" % number for number in range(4_000)),
    ],
    ids=["8 KB", "64 KB", "4,000"],
)
async def test_headers_of_64_kilobytes_are_taken(headers: bytes) -> None:
    async with serving(answer(b"{}", headers=headers)) as server:
        assert (await get(server.url)).body == b"{}"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (b"X: " + b"a" * 70_000 + b"\r\n", "one header is longer than 64 KB"),
        (b"X: a\r\n" * 5_000, "it has more than 4,096 headers"),
    ],
)
async def test_longer_headers_are_told_as_that(headers: bytes, text: str) -> None:
    async with serving(answer(b"{}", headers=headers)) as server:
        assert await trouble(server.url) == f"the response could not be read: {text}"


# Compressed bodies.


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("size", [0, 1, 1_000, 3_000_000])
async def test_a_body_of_any_size_is_unpacked(encoding: str, size: int) -> None:
    body = random.Random(size).randbytes(size // 2) + b"x" * (size - size // 2)
    if encoding == "gzip":
        # In two parts, as some servers send it.
        packed = gzip.compress(body[: size // 2], mtime=0) + gzip.compress(
            body[size // 2 :], mtime=0
        )
    elif encoding == "deflate":
        packed = zlib.compress(body)
    else:
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(body) + packer.flush()
    headers = f"Content-Encoding: {encoding.split()[-1]}\r\n".encode()
    async with serving(answer(packed, headers=headers)) as server:
        assert (await get(server.url)).body == body


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"x" * 1_000, mtime=0)[:-9]),
        ("gzip", gzip.compress(b"x" * 1_000, mtime=0)[:-9] + bytes(9)),
        ("deflate", zlib.compress(b"x" * 1_000)[:-5]),
        ("br", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0)),
    ],
)
async def test_a_badly_packed_body_is_told_as_that(encoding: str, packed: bytes) -> None:
    headers = f"Content-Encoding: {encoding}\r\n".encode()
    async with serving(answer(packed, headers=headers)) as server:
        assert await trouble(server.url) == "the response was truncated or badly compressed"


UNREADABLE = {
    "cut short": (b"Content-Length: 100\r\n", PERSON.encode()),
    "cut chunk": (b"Transfer-Encoding: chunked\r\n", b"20\r\n" + PERSON.encode()),
    "brotli": (b"Content-Encoding: br\r\nContent-Length: 16\r\n", PERSON.encode()),
    "not gzip": (b"Content-Encoding: gzip\r\nContent-Length: 16\r\n", PERSON.encode()),
}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
@pytest.mark.parametrize(("headers", "body"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_status_counts_even_if_its_body_cannot_be_read(
    status: int, headers: bytes, body: bytes
) -> None:
    head = b"HTTP/1.1 %d No\r\nRetry-After: 3\r\n" % status
    async with serving(head + headers + b"\r\n" + body) as server:
        got = await get(server.url)
    assert (got.status, got.headers["retry-after"], got.body) == (status, "3", b"")


async def test_a_status_counts_even_if_its_body_never_ends() -> None:
    async def stop(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 Slow down\r\nContent-Length: 100\r\n\r\n")
        await writer.drain()
        await clock.forward(60)

    clock = StillClock()
    async with serving(stop) as server:
        assert (await get(server.url)).status == 429


# Memory.


@pytest.fixture
def asked_for_memory(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Returns an event that is set once an answer has asked for more than its share."""
    asked, grow_to = asyncio.Event(), Hold.grow_to

    async def noted(hold: Hold, size_bytes: int) -> None:
        if size_bytes < MAX_BODY_BYTES:
            asked.set()
        await grow_to(hold, size_bytes)

    monkeypatch.setattr(Hold, "grow_to", noted)
    return asked


@pytest.mark.parametrize("packed", [False, True])
async def test_waiting_for_memory_takes_nothing_of_the_time_that_an_answer_has(
    packed: bool, asked_for_memory: asyncio.Event
) -> None:
    clock = StillClock()
    body = random.Random(1).randbytes(3_000_000)
    sent = (
        answer(gzip.compress(body, mtime=0), headers=b"Content-Encoding: gzip\r\n")
        if packed
        else answer(body)
    )
    budget = MemoryBudget()
    first = await budget.take("brand", lane=False)
    await first.grow_to(MAX_BODY_BYTES)
    async with (
        serving(sent) as server,
        HttpTransport(base_url=server.url, api_key=KEY, timeout_seconds=5) as transport,
    ):
        hold = await budget.take("list", lane=False)
        waiting = asyncio.create_task(transport.get(PATH, hold))
        await asked_for_memory.wait()
        await clock.forward(60)
        assert not waiting.done()
        first.release()
        assert (await waiting).body == body


async def test_a_server_may_pause_while_an_answer_waits_for_memory(
    asked_for_memory: asyncio.Event,
) -> None:
    clock = StillClock()
    body = b"x" * 200_000
    goes_on = asyncio.Event()

    async def pause(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body)[:10_000])
        await goes_on.wait()
        writer.write(answer(body)[10_000:])

    budget = MemoryBudget()
    first = await budget.take("brand", lane=False)
    await first.grow_to(MAX_BODY_BYTES)
    hold = await budget.take("list", lane=False)
    async with (
        serving(pause) as server,
        HttpTransport(base_url=server.url, api_key=KEY, timeout_seconds=5) as transport,
    ):
        waiting = asyncio.create_task(transport.get(PATH, hold))
        await asked_for_memory.wait()
        await clock.forward(60)
        goes_on.set()
        first.release()
        assert (await waiting).body == body
        # Its clocks run again afterwards.
        goes_on.clear()
        again = asyncio.create_task(transport.get(PATH, hold))
        await clock.forward(20)
        assert again.done(), "long before five times the time-out"
        with pytest.raises(ConnectionTrouble, match="no response within 5 s"):
            await again


# Oversized bodies.


@contextlib.contextmanager
def bounded(*, seconds: float, megabytes: int) -> Any:
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < seconds
    assert peak < megabytes * 2**20


async def pour(writer: asyncio.StreamWriter, *, megabytes: int, chunked: bool) -> None:
    piece = b"a" * 2**20
    for _ in range(megabytes):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_of_a_hundred_megabytes_is_refused_before_it_fills_the_memory(
    chunked: bool,
) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 104857600"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        await pour(writer, megabytes=100, chunked=chunked)

    with bounded(seconds=5, megabytes=60):
        async with serving(send) as server:
            with pytest.raises(BodyTooLarge):
                await get(server.url)


@pytest.fixture
def no_search_for_cycles() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_search_for_cycles")
@pytest.mark.parametrize("chunked", [True, False])
async def test_what_was_read_of_an_answer_that_failed_is_gone_at_once(chunked: bool) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 16000000"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        await pour(writer, megabytes=8, chunked=chunked)

    with bounded(seconds=20, megabytes=40):
        async with serving(send) as server:
            for _ in range(10):
                with pytest.raises(ConnectionTrouble, match="truncated"):
                    await get(server.url)


@pytest.mark.parametrize("packed_at_once", [True, False])
async def test_a_body_that_unpacks_to_a_gigabyte_is_refused(packed_at_once: bool) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (
        packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    # After a full flush, the same megabyte packs to the same bytes, whatever came before.
    packed = first + again * 1023

    async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        for start in range(0, len(packed), 1_000):
            writer.write(packed[start : start + 1_000])
            await writer.drain()
            await asyncio.sleep(0)

    whole = answer(packed, headers=b"Content-Encoding: gzip\r\n")
    with bounded(seconds=5, megabytes=110):
        async with serving(whole if packed_at_once else drop_by_drop) as server:
            with pytest.raises((BodyTooLarge, ConnectionTrouble)):
                await get(server.url)


async def test_the_largest_body_allowed_is_read() -> None:
    async with serving(answer(b"a" * MAX_BODY_BYTES)) as server:
        assert len((await get(server.url)).body) == MAX_BODY_BYTES
    async with serving(answer(b"a" * (MAX_BODY_BYTES + 1))) as server:
        with pytest.raises(BodyTooLarge):
            await get(server.url)


async def test_no_repr_shows_the_key() -> None:
    async with HttpTransport(
        base_url="https://api.courier.com", api_key=KEY, timeout_seconds=5
    ) as transport:
        shown = f"{transport!r} {transport} {transport._session!r} {transport._session.headers!r}"
    assert KEY not in shown


async def test_a_cancelled_request_closes_its_connection() -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def watch(writer: asyncio.StreamWriter) -> None:
        reached.set()
        while not writer.transport.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            with contextlib.suppress(OSError):
                await writer.drain()
            await asyncio.sleep(0.02)
        closed.set()

    async with serving(watch) as server:
        task = asyncio.create_task(get(server.url))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await closed.wait()


async def test_a_request_that_is_cancelled_by_the_http_client_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cancelled(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(aiohttp.ClientSession, "_request", cancelled)
    with pytest.raises(ConnectionTrouble, match="was cancelled before a response arrived"):
        await get("http://127.0.0.1:1")
