"""A server on loopback that answers as no server of ours does: cut, endless, of another service, or not at all."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

CREATED = {"job_id": "j", "status": "pending", "created_at": "2026-01-01T00:00:00Z", "team_id": "t"}
DEEP = b"[" * 200_000

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: int = 200, length: int | None = None, headers: str = "") -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + body


@asynccontextmanager
async def serving(answers: Answer, *, creates: bool = True) -> AsyncIterator[tuple[str, list[str]]]:
    """The address of a server that answers so, and the paths that it was asked for. `creates`: it creates any job."""
    asked: list[str] = []
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(length[1]))
            path = head.split()[1]
            asked.append(path)
            if creates and path == "/api/jobs/create":
                writer.write(answer(json.dumps(CREATED).encode()))
            else:
                await answers(path, writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


def always(written: bytes) -> Answer:
    async def write(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(written)

    return write


def dripping(head: bytes, drop: bytes) -> Answer:
    """It goes on as long as somebody reads."""

    async def drip(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.01)

    return drip


async def never(_path: str, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()
