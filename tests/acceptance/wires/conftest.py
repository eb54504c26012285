"""What is tested is how the APIs speak: the tests of a file share one server on SQLite, each with teams of its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.sdks.conftest import claude, client  # noqa: F401 - fixtures
from tests.support.provider import Provider
from tests.support.server import Server, config_for, serving, settings_for, write_config


@pytest_asyncio.fixture(scope="module")
async def shared(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, Provider]]:
    folder = tmp_path_factory.mktemp("wires")
    file = folder / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, file)
    async with Provider.start() as provider:
        settings = settings_for(f"sqlite:///{file}", write_config(folder, config_for(provider)))
        async with serving(settings) as running:
            yield running, provider


@pytest.fixture
def server(shared: tuple[Server, Provider]) -> Server:
    return shared[0]


@pytest.fixture
def provider(shared: tuple[Server, Provider]) -> Provider:
    """Knows nothing of other tests' requests."""
    shared[1].forget()
    return shared[1]
