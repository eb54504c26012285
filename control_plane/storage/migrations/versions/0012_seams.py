"""Repetitions, the worst case of running calls, and one id for each claim of an idempotency key.

Code from before it writes none of these: its jobs repeat nothing, its calls count with what they have cost, and a key that
it takes over has another worker than the claim before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("is_repetition", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("calls", sa.Column("worst_nano_usd", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "credit_balances", sa.Column("open_worst_nano_usd", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("idempotency_keys", sa.Column("claim_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("idempotency_keys", "claim_id")
    op.drop_column("credit_balances", "open_worst_nano_usd")
    op.drop_column("calls", "worst_nano_usd")
    op.drop_column("jobs", "is_repetition")
