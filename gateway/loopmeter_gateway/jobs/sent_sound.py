"""Sound that customers send along with a request: a source to work on, a reference for its timbre. Up to 4.5 MB each.

It is kept in a table of its own for as long as a job may need it to go on after a crash, and its score to be made; it
is forgotten in the transaction in which both are done, nearly always the one that ends the job. Offers are kept without
it. Every function is one unit of work inside a transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, insert, select

from loopmeter import LoopRequest
from loopmeter_gateway.jobs.scores import keep_none
from loopmeter_gateway.money.quotes import SOUNDS, Offer, with_sound
from loopmeter_gateway.tables import scores, sent_sounds


def keep_sound(connection: Connection, job_id: str, request: LoopRequest) -> None:
    """Keep the sound that came with a request, if any did."""
    sounds = {name: getattr(request, name) for name in SOUNDS}
    if any(sounds.values()):
        connection.execute(insert(sent_sounds).values(job_id=job_id, **sounds))


def find_sound(connection: Connection, job_id: str, offer: Offer) -> Offer:
    """The offer of a job with the sound that came along, as long as the job or its score need it."""
    row = connection.execute(select(sent_sounds).where(sent_sounds.c.job_id == job_id)).first()
    return offer if row is None else with_sound(offer, {name: getattr(row, name) for name in SOUNDS})


def forget_sound(connection: Connection, job_id: str, *, heard: bool) -> None:
    """Forget what came with a job that has ended, once its score is kept. Of a job that nobody heard none is made."""
    mine = sent_sounds.c.job_id == job_id
    kept = select(scores.c.job_id).where(scores.c.job_id == job_id)
    gone = connection.execute(delete(sent_sounds).where(mine, exists(kept))).rowcount
    if not (gone or heard) and connection.execute(select(sent_sounds.c.job_id).where(mine)).first() is not None:
        keep_none(connection, job_id)
