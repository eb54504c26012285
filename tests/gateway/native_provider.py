"""A provider that answers any path with the bytes it is given, and those bytes in each provider's own wire."""

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Json = Mapping[str, Any]

SSE, JSON, NDJSON = "text/event-stream", "application/json", "application/x-ndjson"
EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Reply:
    """One answer. `is_dropped`: the connection breaks behind the pieces; `is_held`: nothing more comes, and no end."""

    pieces: Sequence[bytes] = ()
    content_type: str = SSE
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_dropped: bool = False
    is_held: bool = False


@dataclass
class Seen:
    """A request."""

    path: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class NativeProvider:
    """`provider.url("a")` is the `api_base` of a deployment that gets `provider.replies["a"]`, whatever it asks."""

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        provider = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{name}/{rest:.*}", provider.answer)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            provider.port = runner.addresses[0][1]
            yield provider
        finally:
            await runner.cleanup()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def forget(self) -> None:
        """As if it had just begun."""
        self.replies.clear()
        self.requests.clear()
        self.left.clear()
        self.asked.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Seen(request.path, await request.read()))
        reply = self.replies[request.match_info["name"]]
        response = web.StreamResponse(
            status=reply.status, headers={"Content-Type": reply.content_type, **reply.headers}
        )
        try:
            await response.prepare(request)
            for piece in reply.pieces:
                await response.write(piece)
            self.asked.set()
            if reply.is_held:
                await asyncio.Event().wait()
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        if reply.is_dropped:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response


def sse(*documents: Json | bytes, name: str | None = None) -> bytes:
    """Events; each named by its own `type` where it has one, as Anthropic's, Cohere's and OpenAI's are."""
    return b"".join(
        document if isinstance(document, bytes) else _event(document, name or document.get("type"))
        for document in documents
    )


def _event(document: Json, name: object) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(document).encode() + b"\n\n"


def ndjson(*documents: Json) -> bytes:
    """Lines, as Ollama's."""
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def frame(kind: str, document: Json, *, message_type: str = "event") -> bytes:
    """A message of AWS's event stream."""
    named = "exception" if message_type == "exception" else "event"
    headers = {
        f":{named}-type": kind,
        ":content-type": JSON,
        ":message-type": message_type,
    }
    packed = b"".join(_header(name, value) for name, value in headers.items())
    payload = json.dumps(document).encode()
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    whole = prelude + packed + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def frames(*documents: Json) -> bytes:
    """Bedrock's converse-stream: each event under its only key."""
    return b"".join(frame(kind, content) for document in documents for kind, content in document.items())


def invoked(*documents: Json) -> bytes:
    """Bedrock's invoke-with-response-stream: the model's own events, wrapped."""
    return b"".join(
        frame("chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode()}) for document in documents
    )


def cut(body: bytes, size: int) -> list[bytes]:
    """The bytes in pieces of that size: borders where no provider would put them."""
    return [body[start : start + size] for start in range(0, len(body), size)]
