"""Requests are counted by all gateways together."""

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision = "v0004"


def upgrade() -> None:
    """Begin to count."""
    op.create_table(
        "request_rates",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("paid_until_ms", sa.Float(53), nullable=False),
    )
