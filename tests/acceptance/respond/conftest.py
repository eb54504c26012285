"""The product as document S4 uses it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.acceptance.respond.server import App, StartApp, starting
from tests.support.provider import Provider


@pytest_asyncio.fixture
async def start_app(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[StartApp]:
    async with starting(database_url, provider, tmp_path) as start:
        yield start


@pytest_asyncio.fixture
async def app(start_app: StartApp) -> App:
    """An app whose models all answer."""
    return await start_app()
