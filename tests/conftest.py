"""Fixtures of the whole suite."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from hypothesis import is_hypothesis_test

from control_plane.settings import Settings
from control_plane.storage.database import Database
from tests.support.databases import database_url, postgres, postgres_url, sqlite_template, sqlite_url  # noqa: F401 - fixtures
from tests.support.provider import Provider
from tests.support.redis_server import redis_server  # noqa: F401 - a fixture
from tests.support.server import MASTER_KEY, Server, Team, config_for, new_team, serving, settings_for, write_config

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

TESTS = Path(__file__).parent

SLOW_FIXTURES = frozenset({"files", "native", "postgres", "provider", "redis", "server"})
"""They start a server or a database; so does each fixture that uses one of them."""
SLOW_PATHS = (
    "acceptance",
    "client",
    "corpus",
    "gateway/test_outbound.py",
    "limits/test_redis_returns.py",
    "limits/test_replicas.py",
    "load",
    "model_groups/test_importing.py",
    "model_groups/test_shipped_file.py",
    "model_groups/test_unreadable_files.py",
    "pdf",
    "storage/test_migrations.py",
    "test_logs.py",
)
"""Folders and files of tests that start processes, browsers, SDKs or a Redis of their own, or have thousands of cases.

A single test among quick ones has the marker itself.
"""


def is_slow(item: pytest.Item) -> bool:
    """True: the test starts servers, databases or processes, or makes up its cases (Hypothesis)."""
    path = item.path.relative_to(TESTS)
    if any(path.is_relative_to(slow) for slow in SLOW_PATHS):
        return True
    if not isinstance(item, pytest.Function):
        return False
    variant = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "postgres" in variant or not SLOW_FIXTURES.isdisjoint(item.fixturenames) or is_hypothesis_test(item.obj)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests, before `-m` chooses."""
    for item in items:
        if is_slow(item):
            item.add_marker(pytest.mark.slow)


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    """A scripted model provider of this test's own, with no requests yet."""
    async with Provider.start() as started:
        yield started


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:  # noqa: F811 - pytest hands the fixture in
    """A migrated database, once SQLite and once Postgres."""
    database = Database(database_url)
    yield database
    await database.aclose()


@pytest_asyncio.fixture
async def settings(database_url: str, provider: Provider, tmp_path: Path) -> Settings:  # noqa: F811
    """Settings of a product whose models are the scripted provider's behaviours."""
    return settings_for(database_url, write_config(tmp_path, config_for(provider)))


@pytest_asyncio.fixture
async def server(settings: Settings) -> AsyncIterator[Server]:
    """The whole product behind a real uvicorn, on both databases."""
    async with serving(settings) as running:
        yield running


@pytest_asyncio.fixture
async def api(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with server.client() as client:
        yield client


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the master key."""
    async with server.client(MASTER_KEY) as client:
        yield client


@pytest_asyncio.fixture
async def team(server: Server) -> AsyncIterator[Team]:
    """A team with 100 credits in `job_based` mode that may use every group but `Private`."""
    async with new_team(server) as made:
        yield made


@pytest_asyncio.fixture
async def other_team(server: Server) -> AsyncIterator[Team]:
    """Another team."""
    async with new_team(server) as made:
        yield made
