"""The scores of jobs: made by the engine when first asked for, then kept, so that they stay what was played."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from loopmeter_engine.contract import ScoreSheet
from loopmeter_gateway.database import insert_if_new
from loopmeter_gateway.tables import scores


def find_score(connection: Connection, job_id: str) -> ScoreSheet | None:
    """The kept score of a job, if there is one."""
    row = connection.execute(select(scores).where(scores.c.job_id == job_id)).first()
    return None if row is None else ScoreSheet(midi=row.midi, summary=json.loads(row.summary_json))


def keep_score(connection: Connection, job_id: str, sheet: ScoreSheet) -> None:
    """Keep a score. The first one stays."""
    values: dict[str, object] = {"job_id": job_id, "midi": sheet.midi, "summary_json": json.dumps(sheet.summary)}
    insert_if_new(connection, scores, values)
