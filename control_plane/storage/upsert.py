"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy spells once for each."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel


def upsert(dialect: str, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
    """An insert that can be given `on_conflict_do_update` or `on_conflict_do_nothing`; `dialect` is the transaction's."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
