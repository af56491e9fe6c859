"""A gateway can say when the sessions of another one end."""

import sqlalchemy as sa
from alembic import op

revision = "v0009"
down_revision = "v0008"


def upgrade() -> None:
    """Sessions say when they end by themselves."""
    op.add_column("live_sessions", sa.Column("ends_at_ms", sa.BigInteger))
