"""The engine's states say to which chunk they lead."""

from alembic import op

revision = "v0004"
down_revision = "v0003"


def upgrade() -> None:
    """Forget the states of an older form: their jobs are made again from the start, free where they were charged."""
    op.execute("DELETE FROM engine_states")
