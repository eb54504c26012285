"""Jobs of one call remember their request, so that one that is repeated by its client is charged once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

HAS_REQUEST = sa.text("fingerprint IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("fingerprint", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("is_unheard", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_jobs_fingerprint",
        "jobs",
        ["team_id", "fingerprint"],
        sqlite_where=HAS_REQUEST,
        postgresql_where=HAS_REQUEST,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_fingerprint", "jobs")
    op.drop_column("jobs", "is_unheard")
    op.drop_column("jobs", "fingerprint")
