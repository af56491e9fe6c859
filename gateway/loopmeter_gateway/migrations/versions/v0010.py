"""What moved tokens is found by the account, but for charges, which are found by their holds."""

import sqlalchemy as sa
from alembic import op

revision = "v0010"
down_revision = "v0009"


def upgrade() -> None:
    """Two indexes that no charge is in."""
    no_charge = sa.text("kind <> 'charge'")
    for way, side in (("from", "debit"), ("to", "credit")):
        op.create_index(
            f"transfers_moved_{way}",
            "transfers",
            [f"{side}_account_id"],
            sqlite_where=no_charge,
            postgresql_where=no_charge,
        )
