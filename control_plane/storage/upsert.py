"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy spells once for each."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from control_plane.storage.database import Tx


def upsert(tx: Tx, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
    """An insert that can be given `on_conflict_do_update` or `on_conflict_do_nothing`."""
    return sqlite.insert(table) if tx.dialect.name == "sqlite" else postgresql.insert(table)
