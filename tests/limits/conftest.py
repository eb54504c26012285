"""A Redis for the limits' tests; each test limits teams of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.redis_server import Redis, running_redis


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    """One for all tests that do not stop it."""
    async with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
