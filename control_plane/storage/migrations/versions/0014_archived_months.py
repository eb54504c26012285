"""Which months' calls and spend logs were archived and removed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archived_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("calls_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("spend_logs", sa.BigInteger(), nullable=False),
        sa.Column("spend_logs_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("month"),
    )


def downgrade() -> None:
    op.drop_table("archived_months")
