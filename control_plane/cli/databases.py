"""The database for commands that use it without a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.errors import InvalidConfig
from control_plane.storage.database import Database, parse_database_url
from control_plane.storage.migrate import require_migrated


@asynccontextmanager
async def existing_database(database_url: str) -> AsyncIterator[Database]:
    """The database while the block runs. None is made: it would be taken for the real one.

    Raises: InvalidConfig for one that is not there or lacks migrations, SchemaTooNew, DatabaseUnavailable.
    """
    url = parse_database_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():  # noqa: ASYNC240 - nothing waits
        raise InvalidConfig([f"There is no database {url.database}; run `control-plane migrate` first."])
    db = Database(database_url)
    try:
        await require_migrated(db)
        yield db
    finally:
        await db.aclose()
