"""Keys for browsers: what kind a key is, and the web origins whose pages may use it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("virtual_keys", sa.Column("kind", sa.String(), server_default="secret", nullable=False))
    op.create_table(
        "key_origins",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["virtual_keys.id"]),
        sa.PrimaryKeyConstraint("key_id", "origin"),
    )
    op.create_index("ix_key_origins_origin", "key_origins", ["origin"])


def downgrade() -> None:
    op.drop_table("key_origins")
    op.drop_column("virtual_keys", "kind")
