"""Running calls in a table of their own; `calls` is written once, when a call has ended.

Servers of the version before go on writing running calls to `calls`, which those of this one find and end. What runs on
these, those do not see: they take none of it for lost, and a job counts its running calls in its own row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = """id, job_id, team_id, worker_id, purpose, model_group, is_stream, metadata, prompt_tokens, cost_nano_usd,
    price_nano_usd, markup_bps, reserved_tokens, reserved_cost_nano_usd, worst_nano_usd, created_at"""


def upgrade() -> None:
    op.create_table(
        "open_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("model_group", sa.String(), nullable=False),
        sa.Column("is_stream", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("price_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("markup_bps", sa.Integer(), nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reserved_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("worst_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.execute(
        f"""INSERT INTO calls ({COLUMNS}, status, completion_tokens, is_estimated, is_cached, latency_ms)
            SELECT {COLUMNS}, 'open', 0, true, false, 0 FROM open_calls"""
    )
    op.drop_table("open_calls")
