"""Fixtures of the whole suite."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.provider import Provider


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    """A scripted model provider of this test's own, with no requests yet."""
    async with Provider.start() as started:
        yield started
