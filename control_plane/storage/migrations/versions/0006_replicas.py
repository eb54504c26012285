"""Many replicas: limits of teams and keys, the model groups of a key."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("teams", sa.Column("max_parallel_calls", sa.Integer(), nullable=True))
    op.add_column("teams", sa.Column("jobs_per_minute", sa.Integer(), server_default=sa.text("100"), nullable=False))
    op.add_column("virtual_keys", sa.Column("model_groups", sa.JSON(none_as_null=True), nullable=True))
    for name in ("rpm", "tpm", "max_parallel_calls", "jobs_per_minute"):
        op.add_column("virtual_keys", sa.Column(name, sa.Integer(), nullable=True))
