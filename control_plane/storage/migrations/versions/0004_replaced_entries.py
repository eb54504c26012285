"""SQLite replaces rows (`INSERT OR REPLACE`) without running the triggers against deletion: one more trigger rejects
that.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            """CREATE TRIGGER ledger_entries_no_replace BEFORE INSERT ON ledger_entries
            WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE id = NEW.id
                OR (kind = NEW.kind AND ref = NEW.ref) OR (team_id = NEW.team_id AND number = NEW.number))
            BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END"""
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER ledger_entries_no_replace")
