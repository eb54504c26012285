"""Databases for the tests: SQLite files and a real Postgres, each test its own, made from a migrated template."""

import asyncio
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy import make_url

from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate

TEMPLATE = "control_plane_template"


@dataclass(frozen=True)
class Postgres:
    """A running server. `admin_url` is for psycopg, as its superuser."""

    admin_url: str

    def url_of(self, database: str) -> str:
        return make_url(self.admin_url).set(database=database).render_as_string(hide_password=False)

    async def execute(self, statement: sql.Composed) -> None:
        async with await psycopg.AsyncConnection.connect(self.admin_url, autocommit=True) as connection:
            await connection.execute(statement)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A Postgres from its wheel, on a unix socket, gone afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about a missing XDG_RUNTIME_DIR
        import pgserver  # noqa: PLC0415 - only where the warning is silenced
    folder = Path(tempfile.mkdtemp(prefix="cp-pg-"))
    server = pgserver.get_server(folder / "data")
    try:
        yield Postgres(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def make_migrated(url: str) -> None:
    db = Database(url)
    await migrate(db)
    await db.aclose()


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    """One server for the whole run, with a migrated template database."""
    with running_postgres() as server:
        await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        await make_migrated(server.url_of(TEMPLATE))
        yield server


@pytest_asyncio.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    await make_migrated(f"sqlite:///{file}")
    return file


@pytest_asyncio.fixture
async def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    file = tmp_path / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, file)
    return f"sqlite:///{file}"


@pytest_asyncio.fixture
async def postgres_url(postgres: Postgres) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
    await postgres.execute(made)
    yield postgres.url_of(name)
    await postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the test's own; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
