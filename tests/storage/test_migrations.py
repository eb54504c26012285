"""The migrations lead to the schema the code expects, and can be run again."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from control_plane.credits import models as credit_tables
from control_plane.idempotency import models as idempotency_tables
from control_plane.jobs import models as job_tables
from control_plane.model_groups import models as grant_tables
from control_plane.spend import models as spend_tables
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate, pending
from control_plane.tenants import models as tenant_tables

TABLES = (
    tenant_tables,
    grant_tables,
    credit_tables,
    job_tables,
    spend_tables,
    idempotency_tables,
)  # imported, so that the metadata has them


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_a_migrated_database_is_what_the_models_say(db: Database) -> None:
    async with db.reader() as reader:
        assert await reader.run_sync(differences) == []


async def test_migrating_again_changes_nothing(db: Database) -> None:
    assert await pending(db) == []
    await migrate(db)
    assert await pending(db) == []


async def test_an_empty_database_says_which_migrations_it_lacks(tmp_path: object) -> None:
    db = Database(f"sqlite:///{tmp_path}/new/empty.db")
    try:
        assert (await pending(db))[0] == "0001"
    finally:
        await db.aclose()
