"""A database that is away for a while: Postgres lets nobody into it and ends who is inside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import sql
from sqlalchemy import make_url

from tests.support.databases import Postgres


@asynccontextmanager
async def outage(postgres: Postgres, url: str) -> AsyncIterator[None]:
    """The database of that URL is out of reach until the end of the block."""
    name = make_url(url).database
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    await postgres.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
    end = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
    await postgres.execute(end.format(sql.Literal(name)))
    try:
        yield
    finally:
        await postgres.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))
