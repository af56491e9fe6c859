"""Sound that was sent along lies in a table of its own, and only as long as its job may need it."""

import json

import sqlalchemy as sa
from alembic import op

revision = "v0007"
down_revision = "v0006"
_SOUNDS = ("source_audio_base64", "reference_audio_base64")
_ENDED = ("completed", "cancelled", "failed")


def upgrade() -> None:
    """Take the sound out of all offers; that of jobs which have not ended is kept."""
    op.create_table(
        "sent_sounds",
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
        *(sa.Column(name, sa.Text) for name in _SOUNDS),
    )
    connection = op.get_bind()
    # A quotation mark within a text is escaped in JSON, so nothing that a customer wrote looks like this.
    with_sound = "SELECT id FROM {} WHERE offer_json LIKE '%\\_audio\\_base64\":\"%' ESCAPE '\\'"
    for table in ("jobs", "quotes"):
        # One after the other: each may be megabytes.
        for row_id in list(connection.execute(sa.text(with_sound.format(table))).scalars()):
            row = connection.execute(sa.text(f"SELECT * FROM {table} WHERE id = :id"), {"id": row_id}).one()
            offer = json.loads(row.offer_json)
            sounds = {name: offer["request"].pop(name, None) for name in _SOUNDS}
            change = sa.text(f"UPDATE {table} SET offer_json = :offer WHERE id = :id")
            connection.execute(change, {"id": row_id, "offer": json.dumps(offer, separators=(",", ":"))})
            if table == "jobs" and row.state not in _ENDED:
                keep = sa.text("INSERT INTO sent_sounds VALUES (:id, :source_audio_base64, :reference_audio_base64)")
                connection.execute(keep, {"id": row_id} | sounds)
