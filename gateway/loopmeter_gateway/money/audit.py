"""The books, added up anew from their entries and compared with what the balances say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, func, select

from loopmeter_gateway.money.ledger import HOUSE
from loopmeter_gateway.tables import accounts, chunks, holds, jobs, transfers


@dataclass(frozen=True, slots=True)
class Audit:
    """What the books say when added up anew. ``faults`` is empty if every balance is explained by its entries.

    ``posted_sum`` is what customers and the house have together: 0.
    """

    posted_sum: int
    open_holds: int
    faults: tuple[str, ...]


def audit(connection: Connection) -> Audit:
    """Add up all transfers and holds and compare them with the balances. Reads all of both."""
    credits = _sums(connection, transfers.c.credit_account_id)
    debits = _sums(connection, transfers.c.debit_account_id)
    sums = select(holds.c.account_id, func.sum(holds.c.amount), func.sum(holds.c.posted), func.count())
    open_holds = {
        account: (int(amount), int(posted), int(count))
        for account, amount, posted, count in connection.execute(
            sums.where(holds.c.state == "open").group_by(holds.c.account_id)
        )
    }
    house, customers, faults = 0, 0, []
    for row in connection.execute(select(accounts)).all():
        entries = credits.get(row.id, 0) - debits.get(row.id, 0)
        if row.id in HOUSE:
            house += entries
            continue
        amount, posted, _ = open_holds.get(row.id, (0, 0, 0))
        customers += row.posted - posted
        if row.posted - posted != entries:
            faults.append(f"{row.id}: posted is {row.posted - posted}, its entries say {entries}")
        if row.held != amount:
            faults.append(f"{row.id}: held is {row.held - posted}, its open holds say {amount - posted}")
    faults += _hold_faults(connection)
    return Audit(house + customers, sum(count for _, _, count in open_holds.values()), tuple(faults))


def _sums(connection: Connection, side: Column[str]) -> dict[str, int]:
    totals = select(side, func.sum(transfers.c.amount)).group_by(side)
    return {account: int(total) for account, total in connection.execute(totals)}


def _hold_faults(connection: Connection) -> Iterator[str]:
    """Holds that posted something else than their charges, and jobs that paid something else than their chunks."""
    charged = (
        select(transfers.c.hold_id, func.sum(transfers.c.amount).label("total"))
        .where(transfers.c.kind == "charge")
        .group_by(transfers.c.hold_id)
        .subquery()
    )
    total = func.coalesce(charged.c.total, 0)
    for row in connection.execute(
        select(holds.c.id, holds.c.posted, total.label("total"))
        .join_from(holds, charged, holds.c.id == charged.c.hold_id, isouter=True)
        .where(holds.c.posted != total)
    ):
        yield f"{row.id}: posted is {row.posted}, its charges say {row.total}"
    made = select(chunks.c.job_id, func.sum(chunks.c.tokens).label("total")).group_by(chunks.c.job_id).subquery()
    total = func.coalesce(made.c.total, 0)
    for job in connection.execute(
        select(jobs.c.id, jobs.c.tokens_charged, holds.c.posted, total.label("total"))
        .join_from(jobs, holds, jobs.c.hold_id == holds.c.id)
        .join(made, made.c.job_id == jobs.c.id, isouter=True)
        .where((jobs.c.tokens_charged != total) | (jobs.c.tokens_charged != holds.c.posted))
    ):
        yield f"{job.id}: charged is {job.tokens_charged}, its hold says {job.posted}, its chunks say {job.total}"
