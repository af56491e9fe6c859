"""The scores of jobs: made by the engine when first asked for, then kept, so that they stay what was played.

That of a job with sound of its own is made at once, and the sound is kept until it is there: without it the engine
could not make it again. Every function is one unit of work inside a transaction.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, delete, select

from loopmeter import ENDED_STATES
from loopmeter_engine.contract import ScoreSheet
from loopmeter_gateway.database import insert_if_new
from loopmeter_gateway.tables import jobs, scores, sent_sounds

_NONE: dict[str, object] = {"midi": b"", "summary_json": "null"}


def find_score(connection: Connection, job_id: str) -> tuple[bool, ScoreSheet | None]:
    """Whether there is an answer, and the kept score of a job; ``None`` if there never will be one."""
    row = connection.execute(select(scores).where(scores.c.job_id == job_id)).first()
    if row is None or not row.midi:
        return row is not None, None
    return True, ScoreSheet(midi=row.midi, summary=json.loads(row.summary_json))


def keep_score(connection: Connection, job_id: str, sheet: ScoreSheet) -> ScoreSheet | None:
    """Keep a score: the one that is kept, as the first one stays. A job that has ended needs its sound no more then."""
    # Locked, so that of this and the end of the job the later one sees the earlier.
    state = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id).with_for_update(key_share=True))
    ended = state.scalar_one() in ENDED_STATES
    values: dict[str, object] = {"job_id": job_id, "midi": sheet.midi, "summary_json": json.dumps(sheet.summary)}
    insert_if_new(connection, scores, values)
    if ended:
        connection.execute(delete(sent_sounds).where(sent_sounds.c.job_id == job_id))
    return find_score(connection, job_id)[1]


def keep_none(connection: Connection, job_id: str) -> None:
    """Give up the score of a job that has ended, and forget its sound."""
    insert_if_new(connection, scores, {"job_id": job_id} | _NONE)
    connection.execute(delete(sent_sounds).where(sent_sounds.c.job_id == job_id))
