"""Through which lane a call was made, and an attempt reported."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("calls", "spend_logs")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("lane", sa.String(), server_default="litellm", nullable=False))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "lane")
