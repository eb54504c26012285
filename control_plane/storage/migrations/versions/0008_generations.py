"""Which version of the YAML is in force at which server."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("name", sa.String(), nullable=True))
    op.add_column("workers", sa.Column("generation", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "generation")
    op.drop_column("workers", "name")
