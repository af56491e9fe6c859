"""The ledger: double entry, append-only, in two phases. Every function is one unit of work inside a transaction.

    hold    part of what is available is set aside; nothing moves
    post    customer -> house:revenue, chunk by chunk, never more than the hold
    settle, void, expire   the hold closes; what was not posted is available again

Closing a hold twice changes nothing. What else moves tokens (grants, refunds, adjustments) is in ``movements.py``, and
``audit.py`` adds all of it up anew. The database itself refuses an overdraft and a second charge for one chunk.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from sqlalchemy import Connection, bindparam, func, insert, select, update

from loopmeter import Balance
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.stores.many_rows import ForEach
from loopmeter_gateway.tables import accounts, holds, transfers

GRANTS = "house:grants"
REVENUE = "house:revenue"
ADJUSTMENTS = "house:adjustments"
HOUSE = (GRANTS, REVENUE, ADJUSTMENTS)
Closed = Literal["settled", "voided", "expired"]
Kind = Literal["charge", "grant", "refund", "adjustment", "expiry"]

# Built once: building a statement takes several times as long as running it, and every order waits for these.
_HOLD = insert(holds)
_CHANGE = (
    update(accounts)
    .where(accounts.c.id == bindparam("account_id"), accounts.c.posted - accounts.c.held >= bindparam("needed"))
    .values(posted=accounts.c.posted + bindparam("more_posted"), held=accounts.c.held + bindparam("more_held"))
)


def hold_id(customer_id: str, idempotency_key: str) -> str:
    """The id of the one hold that a request may ever take."""
    return "hold_" + hashlib.sha256(f"{customer_id}\0{idempotency_key}".encode()).hexdigest()[:40]


def open_house_accounts(connection: Connection) -> None:
    """Open the accounts that stand against those of the customers, if they are missing."""
    for account_id in HOUSE:
        if connection.execute(select(accounts.c.id).where(accounts.c.id == account_id)).first() is None:
            _open_account(connection, account_id, may_overdraw=account_id != REVENUE)


def open_customer_account(connection: Connection, customer_id: str) -> None:
    """Open the account of a customer, empty."""
    _open_account(connection, customer_id, may_overdraw=False)


def _open_account(connection: Connection, account_id: str, *, may_overdraw: bool) -> None:
    connection.execute(insert(accounts).values(id=account_id, may_overdraw=may_overdraw, posted=0, held=0))


def balance(connection: Connection, account_id: str) -> Balance:
    """What a customer has, or what the house has taken or given. Raises ``Refused`` not_found: no such account."""
    row = connection.execute(select(accounts.c.posted, accounts.c.held).where(accounts.c.id == account_id)).first()
    if row is None:
        raise Refused("not_found", f"expected an account, found none called {account_id}")
    if account_id in HOUSE:
        entries = moved(connection, account_id)
        return Balance(available=entries, held=0, posted=entries)
    open_holds = (holds.c.account_id == account_id) & (holds.c.state == "open")
    streaming = int(
        connection.execute(select(func.coalesce(func.sum(holds.c.posted), 0)).where(open_holds)).scalar_one()
    )
    return Balance(available=row.posted - row.held, held=row.held - streaming, posted=row.posted - streaming)


def moved(connection: Connection, account_id: str) -> int:
    """All that came to an account, less all that left it. Reads every transfer."""
    total = func.coalesce(func.sum(transfers.c.amount), 0)
    came = connection.execute(select(total).where(transfers.c.credit_account_id == account_id)).scalar_one()
    left = connection.execute(select(total).where(transfers.c.debit_account_id == account_id)).scalar_one()
    return int(came) - int(left)


def hold(connection: Connection, hold_id: str, account_id: str, tokens: int, now_ms: int, expires_at_ms: int) -> None:
    """Set ``tokens`` aside. Raises ``Refused`` insufficient_tokens: less is available; nothing is held."""
    change_account(connection, account_id, needed=tokens, held=tokens)
    connection.execute(
        _HOLD,
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


def change_account(connection: Connection, account_id: str, *, needed: int = 0, posted: int = 0, held: int = 0) -> None:
    """Change a customer's balance, if ``needed`` tokens are available.

    Raises:
        Refused: insufficient_tokens, not_found; nothing changed.
    """
    change = {"account_id": account_id, "needed": needed, "more_posted": posted, "more_held": held}
    changed = connection.execute(_CHANGE, change)
    if changed.rowcount != 1:
        available = balance(connection, account_id).available
        raise Refused(
            "insufficient_tokens",
            f"expected {needed} available tokens, found {available}; grant {needed - available} more. Nothing was held",
            needed=needed,
            available=available,
        )


# What charges do to the ledger, for ``ForEach``. The caller has locked the holds. The balance takes note when a hold is
# closed: until then the hold itself says what was posted. 0 tokens leave no entry. The state is compared so that no
# index on it is used: it would find all open holds.
CHARGE = {
    "hold_id": "text",
    "account_id": "text",
    "chunk_index": "integer",
    "tokens": "bigint",
    "now_ms": "bigint",
    "expires_at_ms": "bigint",
}
POSTING = (
    "UPDATE holds SET posted = posted + given.tokens, expires_at_ms = given.expires_at_ms FROM given "
    "WHERE id = given.hold_id AND (state = 'open') IS TRUE",
    "INSERT INTO transfers (debit_account_id, credit_account_id, amount, hold_id, chunk_index, kind, created_at_ms) "
    f"SELECT given.account_id, '{REVENUE}', given.tokens, given.hold_id, given.chunk_index, 'charge', given.now_ms "
    "FROM given WHERE given.tokens > 0",
)
_POST = ForEach(CHARGE, *POSTING)


def post(connection: Connection, hold_id: str, chunk_index: int, tokens: int, now_ms: int, expires_at_ms: int) -> None:
    """Charge one chunk against its hold, and put off its expiry.

    Raises:
        Refused: hold_expired; the hold is closed.
        sqlalchemy.exc.IntegrityError: more than was held, or the chunk was charged before.
    """
    open_ = (holds.c.id == hold_id) & (holds.c.state == "open")
    account_id = connection.execute(select(holds.c.account_id).where(open_).with_for_update()).scalar()
    if account_id is None:
        raise closed_hold(hold_id)
    charge = (hold_id, account_id, chunk_index, tokens, now_ms, expires_at_ms)
    _POST.run(connection, [dict(zip(CHARGE, charge, strict=True))])


def closed_hold(hold_id: str) -> Refused:
    """What to answer to a charge against a hold that is not open."""
    return Refused("hold_expired", f"expected an open hold, found {hold_id} closed; ask again with a new request")


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


def close_hold(
    connection: Connection, hold_id: str, state: Closed, now_ms: int = 0, *, reason: str = "", actor: str = ""
) -> bool:
    """Close a hold and free what it did not post. ``False``: it was closed before (or, to be expired, has time left),
    and nothing changed."""
    open_ = (holds.c.id == hold_id) & (holds.c.state == "open")
    if state == "expired":
        open_ &= holds.c.expires_at_ms <= now_ms
    closed = connection.execute(
        update(holds)
        .where(open_)
        .values(state=state, closed_at_ms=now_ms, reason=reason or None, actor=actor or None)
        .returning(holds.c.account_id, holds.c.amount, holds.c.posted)
    ).first()
    if closed is None:
        return False
    change_account(connection, closed.account_id, posted=-closed.posted, held=-closed.amount)
    return True


def expired_holds(connection: Connection, now_ms: int) -> list[str]:
    """The ids of open holds whose time is over."""
    found = select(holds.c.id).where(holds.c.state == "open", holds.c.expires_at_ms <= now_ms)
    return list(connection.execute(found).scalars())


def record_transfer(
    connection: Connection,
    debit: str,
    credit: str,
    amount: int,
    now_ms: int,
    kind: Kind,
    *,
    hold_id: str | None = None,
    reason: str | None = None,
    actor: str | None = None,
    reference: str | None = None,
) -> None:
    """Write one entry. Whoever calls this keeps the customer's balance in step."""
    values = {
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount": amount,
        "hold_id": hold_id,
        "kind": kind,
        "reason": reason,
        "actor": actor,
        "reference": reference,
        "created_at_ms": now_ms,
    }
    connection.execute(insert(transfers), values)
