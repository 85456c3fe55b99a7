"""A server that sends some answers by hand, byte by byte, and the fake API's otherwise."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.support.fake_courier import DEFAULT_KEY, Account, FakeApi

Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class HandmadeServer:
    """heads: the request line and headers of each request. url has no trailing slash."""

    account: Account
    url: str = ""
    heads: list[str] = field(default_factory=list)

    def configuration(self, case: str = "any", **changes: str) -> dict[str, str]:
        """Returns one sync's configuration, set to be fast; its requests begin with /<case>/."""
        quick = {"requests_per_second": "1000", "max_retries": "0"}
        return {"api_key": DEFAULT_KEY, "base_url": f"{self.url}/{case}"} | quick | changes


def drop(writer: asyncio.StreamWriter) -> None:
    """Closes a connection at once, whatever its state."""
    # asyncio's abort() fails on a connection that was closed and has since sent its last bytes.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


def by_size(body: bytes, *, headers: bytes = b"") -> bytes:
    """Returns a complete answer with a Content-Length."""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


@contextlib.asynccontextmanager
async def serve_by_hand(
    account: Account,
    by_hand: Mapping[str, Send | bytes],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[HandmadeServer]:
    """Listens until the block ends. `by_hand`: "/<case>/<path>" -> what to send there.

    If that is a function, the connection closes after it.
    """
    api = FakeApi(account)
    server = HandmadeServer(account)
    open_writers: set[asyncio.StreamWriter] = set()
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                server.heads.append(head)
                path, _, query = head.split(" ")[1].partition("?")
                send = by_hand.get(path)
                if isinstance(send, bytes):
                    writer.write(send)
                elif send is not None:
                    await send(writer)
                    break
                else:
                    _, _, own_path = path.removeprefix("/").partition("/")
                    authorization = head.partition("Authorization: ")[2].partition("\r\n")[0]
                    headers = {"Authorization": authorization, "Host": "fake"}
                    reply = api.answer(f"/{own_path}", dict(parse_qsl(query)), headers)
                    writer.write(by_size(reply.body).replace(b"200", b"%d" % reply.status, 1))
                await writer.drain()
        writer.close()
        open_writers.discard(writer)

    listening = await asyncio.start_server(serve, host, 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    server.url = f"{'https' if tls else 'http'}://{name}:{port}"
    try:
        yield server
    finally:
        listening.close()
        for writer in open_writers:
            drop(writer)
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
