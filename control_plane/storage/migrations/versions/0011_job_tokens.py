"""What the jobs of a publishable key are called, and tokens with which a web page uses one job."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("virtual_keys", sa.Column("job_type", sa.String(), nullable=True))
    op.create_table(
        "job_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("origins", sa.JSON(), nullable=False),
        sa.Column("model_groups", sa.JSON(), nullable=True),
        sa.Column("may_complete", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["key_id"], ["virtual_keys.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_hash"),
    )
    op.create_index("ix_job_tokens_job_id", "job_tokens", ["job_id"])
    op.create_index("ix_job_tokens_expires_at", "job_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("job_tokens")
    op.drop_column("virtual_keys", "job_type")
