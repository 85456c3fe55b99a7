"""What nothing that reads the same pages can be faster or cheaper than, and a plain reader."""

import asyncio
import http.client
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson
from yarl import URL

from courier_async.catalog.streams import STREAMS


@dataclass(frozen=True, slots=True)
class Chain:
    """Pages of /messages to be read one after another, the first at `cursor` (None: the head)."""

    cursor: str | None
    pages: int


def split(cursors: list[str | None], *, lanes: int) -> list[Chain]:
    """The chain of pages at `cursors` as `lanes` chains of equal length, at most one apart."""
    bounds = [len(cursors) * lane // lanes for lane in range(lanes + 1)]
    return [
        Chain(cursors[first], past - first) for first, past in pairwise(bounds) if past > first
    ]


async def parse_floor(url: str, key: str, chains: list[Chain]) -> int:
    """The pages, over the connector's HTTP library, parsed by its JSON library; nothing else.

    Returns the number of records read.
    """
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    async def read(session: aiohttp.ClientSession, chain: Chain) -> int:
        cursor, records = chain.cursor, 0
        for _ in range(chain.pages):
            query = "" if cursor is None else f"?cursor={quote(cursor, safe='')}"
            target = URL(f"{url}/messages{query}", encoded=True)
            async with session.get(target, headers=headers) as answer:
                body = orjson.loads(await answer.read())
            records += len(body["results"])
            cursor = body["paging"]["cursor"]
        return records

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        return sum(await asyncio.gather(*(read(session, chain) for chain in chains)))


def serial_reader(url: str, key: str) -> int:
    """Every page of every stream, one request at a time over one connection; the requests."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port)
    headers = {"Authorization": f"Bearer {key}"}
    requests = 0
    for stream in STREAMS:
        cursor: str | None = None
        while True:
            query = urlencode([*stream.params, *([("cursor", cursor)] if cursor else [])])
            connection.request("GET", f"{stream.path}?{query}", headers=headers)
            body: dict[str, Any] = orjson.loads(connection.getresponse().read())
            requests += 1
            paging = body.get("paging", body)
            if not (paging.get("more") or paging.get("has_more")):
                break
            cursor = paging["cursor"]
    connection.close()
    return requests
