"""One HTTP request and its answer, over aiohttp. What an answer means is client.py's."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

import aiohttp
from yarl import URL

# Far above any page of the API, whose gateway passes 10 MB (AWS API Gateway quotas); parsed at
# its densest, a page of this size still fits into production's memory (large_answers.py).
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
# A whole answer may take this many times the time allowed between two pieces of it.
_WHOLE_ANSWER_FACTOR: Final = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """status, the headers (asked for in lower case), and the body as it was sent, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ConnectionTrouble(Exception):
    """No whole answer came. The text says why and is safe to show; a retry may help."""


class BodyTooLarge(Exception):
    """The answer is longer than MAX_BODY_BYTES; a retry would only cost as much again."""


class Transport(Protocol):
    """The seam below limiter, retries and the classing of failures."""

    async def get(self, path_and_query: str) -> Answer:
        """Raises ConnectionTrouble or BodyTooLarge."""
        ...


class HttpTransport:
    """Transport over one aiohttp session. Use as an asynchronous context manager."""

    def __init__(self, *, base_url: str, api_key: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._host = URL(base_url).host
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Accept": "application/json",
            # What aiohttp unpacks in pieces; it would ask for more where more is installed.
            "Accept-Encoding": "gzip, deflate",
        }
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> "HttpTransport":
        seconds = self._timeout_seconds
        self._session = aiohttp.ClientSession(
            # No total: it would also count the time in which this process did not run.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=seconds, sock_connect=seconds, sock_read=seconds
            ),
            # The limiter and the number of walks bound what is under way, not the pool.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            # Proxy and .netrc settings of the environment must not send the key elsewhere.
            trust_env=False,
            # No cookie of one answer changes the next.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path_and_query: str) -> Answer:
        """One GET, never redirected: a redirect would take the key to where it points."""
        url = URL(self._base_url + path_and_query, encoded=True)
        trouble: str
        try:
            async with (
                asyncio.timeout(self._timeout_seconds * _WHOLE_ANSWER_FACTOR),
                # The key travels with the request alone: the session and its repr never hold it.
                self._session.get(url, headers=self._headers, allow_redirects=False) as response,
            ):
                body = await _read(response)
                return Answer(response.status, response.headers, body)
        # The texts are ours: aiohttp's may name the whole address, and with it a cursor.
        except aiohttp.ConnectionTimeoutError:
            trouble = f"no connection to {self._host} within {self._timeout_seconds:g} s"
        except TimeoutError:
            trouble = f"no answer within {self._timeout_seconds:g} s"
        except aiohttp.ClientConnectorDNSError:
            trouble = f"the host name {self._host} could not be resolved; check base_url"
        except aiohttp.ClientConnectorCertificateError as error:
            # OpenSSL's words: what is wrong, and at most the name of the host.
            reason = str(getattr(error.certificate_error, "verify_message", "")).rstrip(".")
            trouble = f"the certificate of {self._host} is not valid ({reason})"
        except (aiohttp.ClientSSLError, ssl.SSLError):
            trouble = f"{self._host} did not agree on a TLS connection; check base_url"
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or "unexplained"
            trouble = f"the connection to {self._host} failed ({reason})"
        except aiohttp.ServerDisconnectedError:
            trouble = "the connection was dropped before an answer"
        except aiohttp.ClientPayloadError:
            trouble = "the answer was cut short or badly packed"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            trouble = f"the answer could not be read ({type(error).__name__})"
        raise ConnectionTrouble(trouble)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked, in pieces so that its length is known before it fills the memory."""
    if (response.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge
    pieces: list[bytes] = []
    length = 0
    while piece := await response.content.readany():
        length += len(piece)
        if length > MAX_BODY_BYTES:
            raise BodyTooLarge
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
