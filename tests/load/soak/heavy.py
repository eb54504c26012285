"""Clients that cost a server memory: pictures of 4 MB, PDFs, and streams that nobody reads."""

import asyncio
import base64
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from tests.load.chaos.server import ChaosServer
from tests.support.pdfs import PNG, pdf

GROUPS = {"GoodThrough": "good", "Long": "long", "LongThrough": "long"}
"""Further model groups, and the behaviour of their provider."""

PICTURE_BYTES = 4_000_000
PAGES = 40
WRITE_TIMEOUT_S = 5
"""Of the server: many who never read are let go within the run."""

LET_GO_S = 120


@dataclass
class Heavy:
    """One app that does one such thing again and again. `statuses` counts what it was answered."""

    server: ChaosServer
    key: str
    act: Callable[["Heavy", httpx.AsyncClient, str], Awaitable[int]]
    statuses: Counter[int] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        suffixes = cycle(["", "Through"])
        async with self.server.client(self.key) as http:
            while not stop.is_set():
                self.statuses[await self.act(self, http, next(suffixes))] += 1

    async def post(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> int:
        return (await http.post(self.server.url + path, json=body, timeout=120)).status_code


async def picture(client: Heavy, http: httpx.AsyncClient, suffix: str) -> int:
    """A picture that is no other's, in a call of the OpenAI API."""
    data = base64.b64encode(PNG + os.urandom(PICTURE_BYTES)).decode()
    link = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return await client.post(http, "/v1/chat/completions", {"model": f"Good{suffix}", "messages": said(link)})


async def document(client: Heavy, http: httpx.AsyncClient, suffix: str) -> int:
    """A PDF whose text is taken out of it."""
    data = base64.b64encode(pdf(*(f"page {number} of {uuid4()}" for number in range(PAGES)))).decode()
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}}
    engine = [{"id": "file-parser", "pdf": {"engine": "pdf-text"}}]
    return await client.post(
        http, "/api/v1/llm/respond", {"model": f"Good{suffix}", "messages": said(part), "plugins": engine}
    )


async def reader_of_nothing(client: Heavy, _: httpx.AsyncClient, suffix: str) -> int:
    """Asks for 8 MB, reads the status, and nothing more until the server has let go."""
    where = urlsplit(client.server.url)
    body = json.dumps({"model": f"Long{suffix}", "stream": True, "messages": said()}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {client.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**12)
    rest = b""
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(LET_GO_S):
            status = int((await reader.readline()).split()[1])
            await asyncio.sleep(6 * WRITE_TIMEOUT_S)  # until a busy server has noticed, too
            while piece := await reader.read(2**16):  # what the sockets on the way have kept
                rest = rest[-64:] + piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    assert b"[DONE]" not in rest, "a client that reads nothing was kept"
    return status


ACTS = [picture, picture, picture, picture, document, document, *[reader_of_nothing] * 6]


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """A message of its own, with these parts."""
    return [{"role": "user", "content": [{"type": "text", "text": f"Tell me about token-{uuid4().hex}"}, *parts]}]
