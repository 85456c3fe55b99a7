"""One HTTP request and its response, over aiohttp. answers.py interprets the response."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Protocol

import aiohttp
import msgspec
from yarl import URL

from courier_async import __version__
from courier_async.api.machine import certificate_advice, network_advice
from courier_async.api.memory import Hold
from courier_async.api.unpack import BadEncoding, Unpacker
from courier_async.errors import COURIER_ADVICE

# Far above any page of the API, whose gateway allows 10 MB (AWS API Gateway quotas).
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
# A whole response may take this many times the time allowed between two pieces of it.
_WHOLE_ANSWER_FACTOR: Final = 5
# Policies, traces and tokens of gateways can exceed aiohttp's own 8 KB and 128 headers.
_MAX_HEADER_BYTES: Final = 64 * 1024
_MAX_HEADERS: Final = 4096
_READ_AHEAD_BYTES: Final = 32 * 1024
_TIMEOUT_ADVICE: Final = (
    "The next sync tries again. If it persists, increase request_timeout_seconds in the "
    "configuration."
)


class Answer(msgspec.Struct, frozen=True):
    """The status, the headers (look them up in lower case), and the decompressed body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ConnectionTrouble(Exception):
    """No complete response arrived. The text says why and is safe to show; a retry may help.

    is_stale: a connection kept from an earlier request was closed.
    """

    def __init__(self, text: str, advice: str = COURIER_ADVICE, *, is_stale: bool = False) -> None:
        super().__init__(text)
        self.advice = advice
        self.is_stale = is_stale


class BodyTooLarge(Exception):
    """The response is longer than MAX_BODY_BYTES; a retry would only cost as much again."""


class Transport(Protocol):
    """The interface below the limiter, the retries and the classification of failures."""

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        """Raises ConnectionTrouble or BodyTooLarge.

        `hold` has a share of the memory. Awaits hold.grow_to(size_bytes) before reading more
        of a body than that share.
        """
        ...


class HttpTransport:
    """Transport over one aiohttp session. Use as an asynchronous context manager."""

    def __init__(self, *, base_url: str, api_key: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._host = URL(base_url).host or base_url
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Accept": "application/json",
            # What Unpacker supports; aiohttp would add encodings whose packages are installed.
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"fivetran-courier-connector/{__version__}",
        }
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> "HttpTransport":
        seconds = self._timeout_seconds
        # The limiter and the number of walks bound the requests in flight, not the pool.
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
        self._session = aiohttp.ClientSession(
            # No total: it would also count the time during which this process was suspended.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=seconds, sock_connect=seconds, sock_read=seconds
            ),
            connector=self._connector,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            # Decompress here and read little ahead: 128 lanes may wait for memory at once.
            auto_decompress=False,
            read_bufsize=_READ_AHEAD_BYTES,
            # Proxy and .netrc settings of the environment must not send the key elsewhere.
            trust_env=False,
            # No cookie of one response affects the next.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would repeat a dropped request at once, past the limiter and uncounted.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path_and_query: str, hold: Hold) -> Answer:
        """Sends one GET and follows no redirect, which would take the key to its target."""
        url = URL(self._base_url + path_and_query, encoded=True)
        # aiohttp reuses a kept connection, which the server may have closed.
        is_reused = bool(self._connector._conns)
        refusal: Answer | None = None
        try:
            async with (
                asyncio.timeout(self._timeout_seconds * _WHOLE_ANSWER_FACTOR) as deadline,
                # Only the request carries the key: the session and its repr never hold it.
                self._session.get(url, headers=self._headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    # A status and its headers count even if the body cannot be read.
                    refusal = Answer(response.status, response.headers, b"")
                body = await _read(response, hold, deadline)
                return Answer(response.status, response.headers, body)
        # LookupError: aiohttp's, if the DNS cache is cleared while another task looks a name up.
        except (aiohttp.ClientError, OSError, ValueError, LookupError, BadEncoding) as error:
            # aiohttp keeps the error, and its traceback would keep the partial body: a cycle.
            trouble = self._trouble(error.with_traceback(None), is_reused=is_reused)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody stopped the sync. The task that waits for this answer would wait for ever.
            trouble = ConnectionTrouble("the request was cancelled before a response arrived")
        if refusal is not None:
            return refusal
        # The host name may resolve to another address by now.
        self._connector.clear_dns_cache()
        raise trouble

    def _trouble(self, error: Exception, *, is_reused: bool) -> ConnectionTrouble:
        """Describes the error in our words: aiohttp's may show the whole URL, with a cursor."""
        host, seconds = self._host, f"{self._timeout_seconds:g} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            # OpenSSL's text says what is wrong and names at most the host.
            reason = str(getattr(error.certificate_error, "verify_message", "")).rstrip(".")
            return ConnectionTrouble(
                f"the certificate of {host} is not valid ({reason})", certificate_advice(host)
            )
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            text = f"no connection to {host} within {seconds}"
        elif isinstance(error, TimeoutError):
            return ConnectionTrouble(f"no response within {seconds}", _TIMEOUT_ADVICE)
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            text = f"the host name {host} could not be resolved"
        elif isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            text = f"the TLS handshake with {host} failed"
        elif isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error.strerror or "unknown reason"
            text = f"the connection to {host} failed ({reason})"
        elif isinstance(error, aiohttp.InvalidURL | UnicodeError):
            text = f"{host} is not a valid host name"
        elif isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
            text = "the connection was dropped before a response arrived"
            return ConnectionTrouble(text, network_advice(host), is_stale=is_reused)
        else:
            return ConnectionTrouble(_of_answer(error))
        return ConnectionTrouble(text, network_advice(host))


def _of_answer(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientPayloadError | BadEncoding):
        return "the response was truncated or badly compressed"
    # The parser's own text, which is never shown.
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else ""
    if said.startswith("Got more than"):
        return "the response could not be read: one header is longer than 64 KB"
    if said.startswith("Too many headers"):
        return f"the response could not be read: it has more than {_MAX_HEADERS:,} headers"
    return f"the response could not be read ({type(error).__name__})"


async def _read(response: aiohttp.ClientResponse, hold: Hold, deadline: asyncio.Timeout) -> bytes:
    """Reads and decompresses the body in pieces, so its length is known before it fills memory."""
    # For a compressed body, this is the length on the wire, which is less.
    await _grow(hold, response.content_length or 0, response, deadline)
    unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
    pieces: list[bytes] = []
    length = 0
    while packed := await response.content.readany():
        for piece in unpacker.pieces(packed):
            length += len(piece)
            await _grow(hold, length, response, deadline)
            pieces.append(piece)
    unpacker.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _grow(
    hold: Hold, size_bytes: int, response: aiohttp.ClientResponse, deadline: asyncio.Timeout
) -> None:
    """Waits for memory with all timeouts suspended, since the server does not cause this wait."""
    if size_bytes > MAX_BODY_BYTES:
        raise BodyTooLarge
    if hold.fits(size_bytes):
        return
    loop = asyncio.get_running_loop()
    ends_at, began = deadline.when(), loop.time()
    deadline.reschedule(None)
    protocol = None if response.connection is None else response.connection.protocol
    read_timeout = None if protocol is None else protocol.read_timeout
    if protocol is not None:
        protocol.read_timeout = None
        protocol.start_timeout()
    await hold.grow_to(size_bytes)
    if protocol is not None:
        protocol.read_timeout = read_timeout
        protocol.start_timeout()
    if ends_at is not None:
        deadline.reschedule(ends_at + loop.time() - began)
