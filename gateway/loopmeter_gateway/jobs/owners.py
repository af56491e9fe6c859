"""Which gateway makes a job, where several share a database: the one that is written on the job.

A gateway says every few seconds that it lives. It takes up the jobs of those that were not seen for a while, and any
job that one of its own readers asks for. Whoever made it before learns so at its next chunk, which is then neither
stored nor charged, and cuts its readers, who resume by chunk number.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update

from loopmeter_gateway.database import insert_if_new
from loopmeter_gateway.jobs.records import JobRecord, record_of
from loopmeter_gateway.tables import gateways, jobs

BEAT_MS = 5_000
DEAD_MS = 30_000


class JobMoved(Exception):
    """Another gateway makes this job now. Nothing was stored or charged."""


def beat(connection: Connection, gateway_id: str, now_ms: int) -> None:
    """Say that a gateway lives, and forget those that have long been dead."""
    if not insert_if_new(connection, gateways, {"id": gateway_id, "seen_at_ms": now_ms}):
        connection.execute(update(gateways).where(gateways.c.id == gateway_id).values(seen_at_ms=now_ms))
    connection.execute(delete(gateways).where(gateways.c.seen_at_ms < now_ms - 100 * DEAD_MS))


def first_alive(connection: Connection, now_ms: int) -> str | None:
    """The gateway that does what only one should do; ``None`` where none says that it lives."""
    alive = select(func.min(gateways.c.id)).where(gateways.c.seen_at_ms > now_ms - DEAD_MS)
    found: str | None = connection.execute(alive).scalar()
    return found


def leave(connection: Connection, gateway_id: str) -> None:
    """A gateway stops: its jobs may be taken up at once."""
    connection.execute(delete(gateways).where(gateways.c.id == gateway_id))


def claim(connection: Connection, job_id: str, gateway_id: str) -> JobRecord:
    """Make a job this gateway's own, whoever made it before; as it stands now."""
    row = connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(gateway_id=gateway_id).returning(jobs)
    ).one()
    return record_of(row)


def find_unfinished(connection: Connection, job_id: str, gateway_id: str) -> JobRecord | None:
    """A job of this gateway that has not ended; ``None`` if it has, or is another's now."""
    mine = (jobs.c.id == job_id) & (jobs.c.gateway_id == gateway_id) & jobs.c.state.in_(("queued", "running"))
    row = connection.execute(select(jobs).where(mine)).first()
    return None if row is None else record_of(row)


def claim_orphans(connection: Connection, gateway_id: str, now_ms: int) -> list[JobRecord]:
    """Make those unfinished jobs this gateway's own that nobody who lives makes, oldest first."""
    alive = select(gateways.c.id).where(gateways.c.seen_at_ms > now_ms - DEAD_MS)
    orphaned = jobs.c.gateway_id.is_(None) | jobs.c.gateway_id.not_in(alive)
    unfinished = jobs.c.state.in_(("queued", "running"))
    wanted = select(jobs.c.id).where(unfinished, orphaned).order_by(jobs.c.number).with_for_update(skip_locked=True)
    ids = list(connection.execute(wanted).scalars())
    return [claim(connection, job_id, gateway_id) for job_id in ids]


def claim_all(connection: Connection, gateway_id: str) -> list[JobRecord]:
    """Make all unfinished jobs this gateway's own, oldest first."""
    unfinished = jobs.c.state.in_(("queued", "running"))
    ids = connection.execute(select(jobs.c.id).where(unfinished).order_by(jobs.c.number)).scalars()
    return [claim(connection, job_id, gateway_id) for job_id in list(ids)]


def check_owner(connection: Connection, job_id: str, gateway_id: str) -> None:
    """Lock a job that is this gateway's. Raises ``JobMoved``."""
    found = connection.execute(select(jobs.c.gateway_id).where(jobs.c.id == job_id).with_for_update()).scalar_one()
    if found != gateway_id:
        raise JobMoved(f"job {job_id} is made by {found}, not by {gateway_id}")
