"""Runs Alembic from the program itself: the migrations are in `migrations/`."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from control_plane.errors import DatabaseBusy, InvalidConfig, SchemaTooNew
from control_plane.storage.database import Database
from control_plane.storage.partitions import ensure

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(db: Database, applied: Callable[[int], object] = lambda _number: None) -> None:
    """Migrates the database to the newest schema; does nothing when it is up to date.

    On Postgres a new database's tables are partitioned, too, and those that are get the partitions of the coming months.
    `applied` is called, in a thread, with the number of migrations that have run.
    Raises: DatabaseUnavailable, SchemaTooNew.
    """
    if (newer := await newer_schema(db)) is not None:
        raise SchemaTooNew(schema=newer, newest=(await _revisions())[0])
    async with db.transaction(is_long=True) as tx:
        await tx.run_sync(lambda connection: _upgrade(connection, applied))
    with suppress(DatabaseBusy):  # as by a backup, which locks every table: the servers do it, too
        await ensure(db, only_empty=True)


async def pending(db: Database) -> list[str]:
    """The migrations this database still lacks, oldest first; none, if it has newer ones than this release."""
    have, known = await _revision_of(db), await _revisions()
    if have is None:
        return known[::-1]
    return known[: known.index(have)][::-1] if have in known else []


async def require_migrated(db: Database) -> None:
    """Raises: InvalidConfig for a database that lacks migrations, DatabaseUnavailable, SchemaTooNew."""
    if await pending(db):
        raise InvalidConfig(["The database lacks migrations; run `control-plane migrate` first."])
    if (newer := await newer_schema(db)) is not None:
        raise SchemaTooNew(schema=newer, newest=(await _revisions())[0])


async def newer_schema(db: Database) -> str | None:
    """The revision of a database that a newer release has migrated, unknown to this one; else None."""
    have = await _revision_of(db)
    return have if have is not None and have not in await _revisions() else None


async def _revision_of(db: Database) -> str | None:
    async with db.reader() as reader:
        return await reader.run_sync(lambda connection: MigrationContext.configure(connection).get_current_revision())


async def _revisions() -> list[str]:
    """Every revision of this release, newest first."""
    scripts = await asyncio.to_thread(lambda: list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))
    return [script.revision for script in scripts]


def _upgrade(connection: Connection, applied: Callable[[int], object]) -> None:
    numbers = count(1)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = lambda **_: applied(next(numbers))
    command.upgrade(config, "head")
