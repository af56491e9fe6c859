"""What moves tokens besides charges. Each is an entry with a reason and an actor; none can overdraw a customer.

    grant       house:grants -> customer, or back
    refund      house:revenue -> customer, never more than the job was charged
    adjustment  house:adjustments <-> customer, to put right what nothing else explains
    expiry      customer -> house:grants, at the end of a plan's month (``allowances.py``)

A ``reference`` names a movement that must happen once: a payment's number, an idempotency key. The same reference
again moves nothing; with another amount or customer it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from loopmeter import Balance
from loopmeter_gateway.money.ledger import ADJUSTMENTS, GRANTS, REVENUE, Kind, balance, change_account, record_transfer
from loopmeter_gateway.money.outbox import REFUND, cloud_event, put_event
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import jobs, transfers

TOKENS_MAX = 10**12
REASON_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Why:
    """Who moves tokens, and for what reason; ``reference`` makes it happen once."""

    reason: str
    actor: str
    reference: str | None = None


OPERATOR = Why("grant", "operator")


def grant(connection: Connection, account_id: str, tokens: int, now_ms: int, why: Why = OPERATOR) -> Balance:
    """Give ``tokens`` to a customer; a negative number takes back what is available.

    Raises:
        Refused: insufficient_tokens (more taken back than is available), invalid_request (0), not_found,
            reference_reused.
    """
    return _move(connection, "grant", GRANTS, account_id, tokens, now_ms, why)


def adjust(connection: Connection, account_id: str, tokens: int, now_ms: int, why: Why) -> Balance:
    """Correct a customer's balance up or down. Raises ``Refused`` as ``grant``."""
    return _move(connection, "adjustment", ADJUSTMENTS, account_id, tokens, now_ms, why)


def expire(connection: Connection, account_id: str, tokens: int, now_ms: int, why: Why) -> Balance:
    """Take back what a month left over. Raises ``Refused`` as ``grant``."""
    return _move(connection, "expiry", GRANTS, account_id, -tokens, now_ms, why)


def refund(connection: Connection, job_id: str, tokens: int | None, now_ms: int, why: Why) -> Balance:
    """Give back ``tokens`` of what a job was charged, or all that is left of it; the customer's balance.

    Raises:
        Refused: not_found, refund_too_large (with what is left to refund), not_finished, invalid_request,
            reference_reused; nothing moved.
    """
    # The row is locked, so that two refunds at once cannot both take the rest.
    job = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).first()
    if job is None:
        raise Refused("not_found", f"expected a job, found none called {job_id!r}")
    if job.finished_at_ms is None:
        raise Refused("not_finished", f"expected a job that has ended, found it {job.state}; cancel it first")
    done = select(func.coalesce(func.sum(transfers.c.amount), 0)).where(
        transfers.c.hold_id == job.hold_id, transfers.c.kind == "refund"
    )
    rest = job.tokens_charged - int(connection.execute(done).scalar_one())
    if tokens is None:
        tokens = _moved_before(connection, why.reference) or rest
        if tokens == 0:
            found = f"nothing left of the {job.tokens_charged} that {job_id} was charged"
            raise Refused("refund_too_large", f"expected a job with tokens to give back, found {found}", available=0)
    if tokens <= 0:
        raise Refused.field("tokens", "a number above 0", tokens)
    if not _happened(connection, why, "refund", job.customer_id, tokens):
        if tokens > rest:
            raise Refused(
                "refund_too_large",
                f"tokens: expected at most {rest}, the rest of the {job.tokens_charged} that {job_id} was charged, "
                f"found {tokens}",
                available=rest,
            )
        change_account(connection, job.customer_id, posted=tokens)
        _record(connection, "refund", REVENUE, job.customer_id, tokens, now_ms, why, job.hold_id)
        data = {"job": job_id, "tokens": -tokens, "reason": why.reason}
        refund_id = f"{job_id}:refund:{rest - tokens}"  # What is left falls with every refund, so no two are equal.
        put_event(connection, cloud_event(refund_id, REFUND, job.customer_id, now_ms, data), now_ms)
    return balance(connection, job.customer_id)


def _moved_before(connection: Connection, reference: str | None) -> int | None:
    """What a reference stands for, if it is one."""
    if reference is None:
        return None
    found: int | None = connection.execute(
        select(transfers.c.amount).where(transfers.c.reference == reference)
    ).scalar()
    return found


def _move(
    connection: Connection, kind: Kind, house: str, account_id: str, tokens: int, now_ms: int, why: Why
) -> Balance:
    if tokens == 0 or abs(tokens) > TOKENS_MAX:
        raise Refused.field("tokens", f"a number other than 0, of at most {TOKENS_MAX}", tokens)
    if not _happened(connection, why, kind, account_id, tokens):
        change_account(connection, account_id, needed=max(0, -tokens), posted=tokens)
        _record(connection, kind, house, account_id, tokens, now_ms, why)
    return balance(connection, account_id)


def _happened(connection: Connection, why: Why, kind: Kind, account_id: str, tokens: int) -> bool:
    """Whether this very movement was made before. Raises ``Refused`` if its reference belongs to another one."""
    for name, text in (("reason", why.reason), ("actor", why.actor)):
        if not text.strip() or len(text) > REASON_CHARACTERS_MAX:
            raise Refused.field(name, f"1 to {REASON_CHARACTERS_MAX} characters", repr(text[:80]))
    if why.reference is None:
        return False
    before = connection.execute(select(transfers).where(transfers.c.reference == why.reference)).first()
    if before is None:
        return False
    credit, debit = (account_id, before.debit_account_id) if tokens > 0 else (before.credit_account_id, account_id)
    same = (before.kind, before.credit_account_id, before.debit_account_id, before.amount)
    if same != (kind, credit, debit, abs(tokens)):
        raise Refused(
            "reference_reused",
            f"reference: expected a new one, found {why.reference!r}, which stands for {before.amount} tokens "
            f"({before.kind}, to {before.credit_account_id}); nothing moved",
        )
    return True


def _record(
    connection: Connection,
    kind: Kind,
    house: str,
    account_id: str,
    tokens: int,
    now_ms: int,
    why: Why,
    hold_id: str | None = None,
) -> None:
    debit, credit = (house, account_id) if tokens > 0 else (account_id, house)
    record_transfer(
        connection,
        debit,
        credit,
        abs(tokens),
        now_ms,
        kind,
        hold_id=hold_id,
        reason=why.reason,
        actor=why.actor,
        reference=why.reference,
    )
