"""What calls and attempts used, by kind, and what providers reported as wrong.

Code from before it names none of these columns when it writes, and what it writes used nothing by kind.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("calls", "spend_logs")
KINDS = (
    "cached_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "units",
)
WORDS = ("provider_code", "provider_type", "provider_param", "provider_text")


def upgrade() -> None:
    for table in TABLES:
        for kind in KINDS:
            op.add_column(table, sa.Column(kind, sa.Integer(), server_default="0", nullable=False))
        op.add_column(table, sa.Column("service_tier", sa.String(), nullable=True))
    op.add_column("calls", sa.Column("provider_status", sa.Integer(), nullable=True))
    for word in WORDS:
        op.add_column("calls", sa.Column(word, sa.String(), nullable=True))


def downgrade() -> None:
    for word in reversed(WORDS):
        op.drop_column("calls", word)
    op.drop_column("calls", "provider_status")
    for table in TABLES:
        op.drop_column(table, "service_tier")
        for kind in reversed(KINDS):
            op.drop_column(table, kind)
