"""What Alembic runs: inside the transaction that `storage/migrate.py` opened, so a migration happens whole or not at all."""

from alembic import context
from sqlalchemy import Connection, text

connection: Connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))  # a migration must not queue the whole service behind it
context.configure(
    connection=connection,
    render_as_batch=connection.dialect.name == "sqlite",
    on_version_apply=context.config.attributes.get("on_version_apply"),
)
context.run_migrations()
