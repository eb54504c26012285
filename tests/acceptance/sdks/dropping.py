"""A network that loses an answer: the server has done its work, and the client only sees the connection drop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def dropping(url: str, answers: int = 1) -> AsyncIterator[str]:
    """The address of a way to `url` on which the first `answers` are lost, each when it is whole."""
    left = answers
    target = urlsplit(url)
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        to_server = await asyncio.open_connection(target.hostname, target.port)
        sending = asyncio.create_task(_copy(reader, to_server[1]))
        try:
            while data := await to_server[0].read(65536):
                if left:
                    left -= 1
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            carrying.discard(task)
            sending.cancel()
            for end in (to_server[1], writer):
                end.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
