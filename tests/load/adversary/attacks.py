"""The attacks, by name. Another one is a function here and a line in `ATTACKS`; each is made several times at once."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.support.pdfs import slow

Json = dict[str, Any]
SAID = [{"role": "user", "content": "token-a"}]


@dataclass(frozen=True)
class Target:
    """The server and a key of a team."""

    url: str
    key: str

    async def post(self, path: str, body: bytes | Json, key: str | None = None) -> int:
        """The status of the answer; 0 when the server closed the connection."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(timeout=180) as http:
            try:
                return (await http.post(self.url + path, content=content, headers=headers)).status_code
            except httpx.TransportError:
                return 0

    async def write(self, *pieces: bytes) -> int:
        """Writes to the socket until the server has enough."""
        where = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(60):
                first = await reader.readline()
            return int(first.split()[1]) if first else 0
        except ConnectionError:
            return 0
        finally:
            writer.close()


async def tool_results(target: Target) -> int:
    """S1: results of tools without calls."""
    results = [{"role": "tool", "tool_call_id": f"call_{number}", "content": "ok"} for number in range(9_000)]
    return await target.post("/api/v1/llm/respond", {"model": "Good", "messages": [*SAID, *results]})


async def allowed_tool_results(target: Target) -> int:
    """S1, as many as are allowed."""
    results = [{"role": "tool", "tool_call_id": f"call_{number}", "content": "ok"} for number in range(1_990)]
    return await target.post("/api/v1/llm/respond", {"model": "Good", "messages": [*SAID, *results]})


async def schema_bomb(target: Target) -> int:
    """S2: definitions that double 18 times."""
    tables: Json = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(18)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**tables, "d18": {}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    return await target.post("/v1/chat/completions", {"model": "Good", "messages": SAID, "tools": tools})


async def long_stops(target: Target) -> int:
    """S4b: parameters that are remembered, of any size."""
    return await target.post("/v1/chat/completions", {"model": "Good", "messages": SAID, "stop": "a" * 9_000_000})


async def empty_lists(target: Target) -> int:
    """S4c: 18 MB of `[]`."""
    body = b'{"model":"Good","messages":[{"role":"user","content":"token-a"}],"x":[' + b"[]," * 6_000_000 + b"1]}"
    return await target.post("/v1/chat/completions", body)


async def large_bodies(target: Target) -> int:
    """S4d: bodies of 18 MB that are files."""
    picture = base64.b64encode(bytes(13_000_000)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    said = [{"role": "user", "content": [{"type": "text", "text": "token-a"}, part]}]
    return await target.post("/v1/chat/completions", {"model": "Good", "messages": said})


async def endless_header(target: Target) -> int:
    """S7: a header without an end, without a key."""
    return await target.write(b"GET / HTTP/1.1\r\nX: ", *[b"a" * 1_000_000] * 50)


async def many_headers(target: Target) -> int:
    """S7: small headers without an end."""
    return await target.write(b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 100_000] * 20)


async def slow_pdf(target: Target) -> int:
    """S8: a PDF that takes long to read."""
    url = f"data:application/pdf;base64,{base64.b64encode(slow()).decode()}"
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": url}}
    said = [{"role": "user", "content": [{"type": "text", "text": "token-a"}, part]}]
    plugins = [{"id": "file-parser", "pdf": {"engine": "pdf-text"}}]
    return await target.post("/api/v1/llm/respond", {"model": "Good", "messages": said, "plugins": plugins})


async def counted_tokens(target: Target) -> int:
    """S12: the longest text, without a blank."""
    said = [{"role": "user", "content": "ab" * 490_000}]
    return await target.post("/v1/messages/count_tokens", {"model": "Good", "messages": said})


async def deep_body(target: Target) -> int:
    """S13: nested deeply."""
    body = b'{"model":"Good","messages":[{"role":"user","content":"token-a"}],"x":' + b"[" * 256 + b"]" * 256 + b"}"
    return await target.post("/api/v1/llm/respond", body)


async def many_mistakes(target: Target) -> int:
    """A body that is wrong in every place."""
    return await target.post("/v1/messages", {"model": "Good", "messages": [{"role": "user", "content": [{}] * 9_999}]})


Attack = Callable[[Target], Awaitable[int]]

ATTACKS: Mapping[Attack, frozenset[int]] = {
    tool_results: frozenset({422}),
    allowed_tool_results: frozenset({200}),
    schema_bomb: frozenset({400}),
    long_stops: frozenset({400, 413, 429}),
    empty_lists: frozenset({0, 413, 429}),
    large_bodies: frozenset({200, 429}),
    endless_header: frozenset({0, 431}),
    many_headers: frozenset({0, 431}),
    slow_pdf: frozenset({422}),
    counted_tokens: frozenset({200}),
    deep_body: frozenset({422}),
    many_mistakes: frozenset({400}),
}
"""Each attack, and how it may be answered."""
