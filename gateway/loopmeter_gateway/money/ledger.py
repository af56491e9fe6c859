"""The ledger: double entry, append-only, in two phases. Every function is one unit of work inside a transaction.

    grant   house:grants -> customer
    hold    part of what is available is set aside; nothing moves
    post    customer -> house:revenue, chunk by chunk, never more than the hold
    settle, void, expire   the hold closes; what was not posted is available again

Closing a hold twice changes nothing. The database itself refuses an overdraft and a second charge for one chunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Column, Connection, func, insert, select, update

from loopmeter import Balance
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import accounts, holds, transfers

GRANTS = "house:grants"
REVENUE = "house:revenue"
Closed = Literal["settled", "voided", "expired"]


def hold_id(customer_id: str, idempotency_key: str) -> str:
    """The id of the one hold that a request may ever take."""
    return "hold_" + hashlib.sha256(f"{customer_id}\0{idempotency_key}".encode()).hexdigest()[:40]


def open_house_accounts(connection: Connection) -> None:
    """Open the accounts that stand against those of the customers, if they are missing."""
    for account_id in (GRANTS, REVENUE):
        if connection.execute(select(accounts.c.id).where(accounts.c.id == account_id)).first() is None:
            _open_account(connection, account_id, may_overdraw=account_id == GRANTS)


def open_customer_account(connection: Connection, customer_id: str) -> None:
    """Open the account of a customer, empty."""
    _open_account(connection, customer_id, may_overdraw=False)


def _open_account(connection: Connection, account_id: str, *, may_overdraw: bool) -> None:
    connection.execute(insert(accounts).values(id=account_id, may_overdraw=may_overdraw, posted=0, held=0))


def balance(connection: Connection, account_id: str) -> Balance:
    """Raises ``Refused`` not_found: no such account."""
    row = connection.execute(select(accounts.c.posted, accounts.c.held).where(accounts.c.id == account_id)).first()
    if row is None:
        raise Refused("not_found", f"expected an account, found none called {account_id}")
    return Balance(available=row.posted - row.held, held=row.held, posted=row.posted)


def grant(connection: Connection, account_id: str, tokens: int, now_ms: int) -> Balance:
    """Give ``tokens`` to a customer; a negative number takes back what is available.

    Raises:
        Refused: insufficient_tokens (more taken back than is available), invalid_request (0), not_found.
    """
    if tokens == 0:
        raise Refused.field("tokens", "a number other than 0", tokens)
    before = balance(connection, account_id)
    if before.available + tokens < 0:
        raise _insufficient(-tokens, before.available)
    debit, credit = (GRANTS, account_id) if tokens > 0 else (account_id, GRANTS)
    _transfer(connection, debit, credit, abs(tokens), now_ms)
    return balance(connection, account_id)


def hold(connection: Connection, hold_id: str, account_id: str, tokens: int, now_ms: int, expires_at_ms: int) -> None:
    """Set ``tokens`` aside. Raises ``Refused`` insufficient_tokens: less is available; nothing is held."""
    taken = connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.posted - accounts.c.held >= tokens)
        .values(held=accounts.c.held + tokens)
    )
    if taken.rowcount != 1:
        raise _insufficient(tokens, balance(connection, account_id).available)
    connection.execute(
        insert(holds),
        {
            "id": hold_id,
            "account_id": account_id,
            "amount": tokens,
            "posted": 0,
            "state": "open",
            "created_at_ms": now_ms,
            "expires_at_ms": expires_at_ms,
        },
    )


def _insufficient(needed: int, available: int) -> Refused:
    return Refused(
        "insufficient_tokens",
        f"expected {needed} available tokens, found {available}; grant {needed - available} more. Nothing was held",
        needed=needed,
        available=available,
    )


def post(connection: Connection, hold_id: str, chunk_index: int, tokens: int, now_ms: int, expires_at_ms: int) -> None:
    """Charge one chunk against its hold, and put off the hold's expiry. 0 tokens leave no transfer.

    Raises:
        Refused: hold_expired (the hold is closed).
        sqlalchemy.exc.IntegrityError: more than was held, or the chunk was charged before.
    """
    moved = connection.execute(
        update(holds)
        .where(holds.c.id == hold_id, holds.c.state == "open")
        .values(posted=holds.c.posted + tokens, expires_at_ms=expires_at_ms)
        .returning(holds.c.account_id)
    ).first()
    if moved is None:
        raise Refused("hold_expired", f"expected an open hold, found {hold_id} closed; ask again with a new request")
    if tokens == 0:
        return
    connection.execute(update(accounts).where(accounts.c.id == moved.account_id).values(held=accounts.c.held - tokens))
    _transfer(connection, moved.account_id, REVENUE, tokens, now_ms, hold_id, chunk_index)


def extend_hold(connection: Connection, hold_id: str, tokens: int) -> int:
    """Set up to ``tokens`` more aside for an open hold: how many were available, 0 for a closed one."""
    row = connection.execute(
        select(accounts.c.id, accounts.c.posted - accounts.c.held)
        .join_from(holds, accounts)
        .where(holds.c.id == hold_id, holds.c.state == "open")
        .with_for_update()
    ).first()
    more = 0 if row is None else max(0, min(tokens, row[1]))
    if row is not None and more:
        connection.execute(update(accounts).where(accounts.c.id == row.id).values(held=accounts.c.held + more))
        connection.execute(update(holds).where(holds.c.id == hold_id).values(amount=holds.c.amount + more))
    return more


def close_hold(connection: Connection, hold_id: str, state: Closed) -> bool:
    """Close a hold and free what it did not post. ``False``: it was closed before, and nothing changed."""
    closed = connection.execute(
        update(holds)
        .where(holds.c.id == hold_id, holds.c.state == "open")
        .values(state=state)
        .returning(holds.c.account_id, holds.c.amount, holds.c.posted)
    ).first()
    if closed is None:
        return False
    rest = closed.amount - closed.posted
    connection.execute(update(accounts).where(accounts.c.id == closed.account_id).values(held=accounts.c.held - rest))
    return True


def expired_holds(connection: Connection, now_ms: int) -> list[str]:
    """The ids of open holds whose time is over."""
    found = select(holds.c.id).where(holds.c.state == "open", holds.c.expires_at_ms <= now_ms)
    return list(connection.execute(found).scalars())


def _transfer(
    connection: Connection,
    debit: str,
    credit: str,
    amount: int,
    now_ms: int,
    hold_id: str | None = None,
    chunk_index: int | None = None,
) -> None:
    connection.execute(
        insert(transfers),
        {
            "debit_account_id": debit,
            "credit_account_id": credit,
            "amount": amount,
            "hold_id": hold_id,
            "chunk_index": chunk_index,
            "created_at_ms": now_ms,
        },
    )
    for account_id, change in ((debit, -amount), (credit, amount)):
        connection.execute(
            update(accounts).where(accounts.c.id == account_id).values(posted=accounts.c.posted + change)
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """What the books say when added up anew. ``faults`` is empty if every balance is explained by its entries."""

    posted_sum: int
    open_holds: int
    faults: tuple[str, ...]


def audit(connection: Connection) -> Audit:
    """Add up all transfers and holds and compare them with the balances. Reads all of both."""
    credits = _sums(connection, transfers.c.credit_account_id)
    debits = _sums(connection, transfers.c.debit_account_id)
    rest = select(holds.c.account_id, func.sum(holds.c.amount - holds.c.posted)).where(holds.c.state == "open")
    held = {account: int(total) for account, total in connection.execute(rest.group_by(holds.c.account_id))}
    rows = connection.execute(select(accounts)).all()

    def faults() -> Iterator[str]:
        for row in rows:
            entries = credits.get(row.id, 0) - debits.get(row.id, 0)
            if row.posted != entries:
                yield f"{row.id}: posted is {row.posted}, its entries say {entries}"
            if row.held != held.get(row.id, 0):
                yield f"{row.id}: held is {row.held}, its open holds say {held.get(row.id, 0)}"

    open_holds = connection.execute(select(func.count()).select_from(holds).where(holds.c.state == "open")).scalar_one()
    return Audit(sum(row.posted for row in rows), open_holds, tuple(faults()))


def _sums(connection: Connection, side: Column[str]) -> dict[str, int]:
    totals = select(side, func.sum(transfers.c.amount)).group_by(side)
    return {account: int(total) for account, total in connection.execute(totals)}
