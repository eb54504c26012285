"""Alembic, run from the program itself: the migrations lie in `migrations/`."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from control_plane.storage.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(db: Database) -> None:
    """Brings the database to the newest schema; does nothing when it is there already. Raises: DatabaseUnavailable."""
    async with db.transaction(is_long=True) as tx:
        await tx.run_sync(_upgrade)


async def pending(db: Database) -> list[str]:
    """The migrations this database still lacks, oldest first."""
    async with db.reader() as reader:
        have = await reader.run_sync(lambda connection: MigrationContext.configure(connection).get_current_revision())
    revisions = await asyncio.to_thread(lambda: list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))
    missing = []
    for revision in revisions:  # newest first
        if revision.revision == have:
            break
        missing.append(revision.revision)
    return missing[::-1]


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
