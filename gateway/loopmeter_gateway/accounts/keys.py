"""API keys and client tokens. A key is shown once, when it is made; the database keeps its SHA-256.

A key has scopes: ``make`` (quotes, loops, client tokens), ``read`` (loops, balance, usage), ``admin`` (everything
under ``/admin``, for keys without a customer). A key may expire, be revoked, and be rotated: its successor shares the
budget, and the old one stays valid for the overlap. A client token is a key of scope ``make`` for other people's
hands: it expires soon, has a budget of its own, and ends with the key that made it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from loopmeter import ClientToken
from loopmeter_gateway.accounts.customers import Caller, KeyScope, Scope
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import api_keys, customers

NAME_CHARACTERS_MAX = 200
OVERLAP_S_MAX = 90 * 86_400
TOKEN_TTL_S_MAX = 86_400
TOKENS_MAX = 10**12
_NO_DIGEST = bytes(32)
# Built once: building it for each request takes three times as long as running it.
_OF_KEY = (
    select(api_keys, customers.c.plan, customers.c.price_book)
    .join_from(api_keys, customers, isouter=True)
    .where(api_keys.c.id == bindparam("key_id"))
)


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What a new key may do. Without ``expires_at_ms`` it never expires, without a budget it may spend all there is."""

    name: str = ""
    scopes: tuple[KeyScope, ...] = ("make", "read")
    expires_at_ms: int | None = None
    day_tokens_max: int | None = None
    month_tokens_max: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as operators see it. ``state`` is active, expired or revoked; ``parent_id`` makes it a client token."""

    id: str
    customer_id: str | None
    name: str
    scopes: tuple[str, ...]
    state: str
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_at_ms: int | None
    budget_id: str
    parent_id: str | None
    tokens_max: int | None
    day_tokens_max: int | None
    month_tokens_max: int | None


def create_key(
    connection: Connection, customer_id: str | None, scope: Scope, now_ms: int, spec: KeySpec | None = None
) -> str:
    """A new key. This is the only time that it can be read. Raises ``Refused`` invalid_request."""
    if spec is None:
        spec = KeySpec(scopes=("admin",)) if scope == "admin" else KeySpec()
    _check(spec, scope, now_ms)
    key_id = secrets.token_hex(8)
    return _insert(
        connection,
        key_id,
        customer_id=customer_id,
        scope=scope,
        created_at_ms=now_ms,
        name=spec.name,
        scopes=" ".join(sorted(set(spec.scopes))),
        budget_id=key_id,
        expires_at_ms=spec.expires_at_ms,
        day_tokens_max=spec.day_tokens_max,
        month_tokens_max=spec.month_tokens_max,
    )


def _check(spec: KeySpec, scope: Scope, now_ms: int) -> None:
    allowed = ("admin",) if scope == "admin" else ("make", "read")
    wrong = [found for found in spec.scopes if found not in allowed]
    if wrong or not spec.scopes:
        raise Refused.field("scopes", f"some of {', '.join(allowed)}", ", ".join(spec.scopes) or "none")
    if len(spec.name) > NAME_CHARACTERS_MAX:
        raise Refused.field("name", f"at most {NAME_CHARACTERS_MAX} characters", repr(spec.name[:80]))
    if spec.expires_at_ms is not None and spec.expires_at_ms <= now_ms:
        raise Refused.field("expires_at", "a time to come", from_ms(spec.expires_at_ms).isoformat())
    check_budget("day_tokens_max", spec.day_tokens_max)
    check_budget("month_tokens_max", spec.month_tokens_max)


def check_budget(name: str, tokens: int | None) -> None:
    """Raises ``Refused`` invalid_request for what is no budget."""
    if tokens is not None and not 0 <= tokens <= TOKENS_MAX:
        raise Refused.field(name, f"0 to {TOKENS_MAX} tokens, or nothing", tokens)


def _insert(connection: Connection, key_id: str, **values: Any) -> str:
    key = f"lm_{key_id}_{secrets.token_urlsafe(32)}"
    connection.execute(insert(api_keys).values(id=key_id, key_sha256=_digest(key), **values))
    return key


def find_caller(connection: Connection, key: str, now_ms: int) -> Caller | None:
    """Who shows this key; ``None`` if it is unknown, expired or revoked.

    The secret is compared in constant time, also for a key that does not exist.
    """
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != "lm" or not parts[1].isalnum():
        return None
    row = connection.execute(_OF_KEY, {"key_id": parts[1]}).first()
    same = hmac.compare_digest(row.key_sha256 if row is not None else _NO_DIGEST, _digest(key))
    if row is None or not same or _state(row, now_ms) != "active":
        return None
    return Caller(
        key_id=row.id,
        scope=row.scope,
        customer_id=row.customer_id or "",
        plan=row.plan or "",
        scopes=frozenset(row.scopes.split()),
        budget_id=row.budget_id,
        price_book=row.price_book,
        expires_at_ms=row.expires_at_ms,
        is_client_token=row.parent_id is not None,
    )


def list_keys(connection: Connection, customer_id: str | None, now_ms: int, *, tokens: bool = False) -> list[KeyRecord]:
    """The keys of a customer, or without one those of operators, oldest first; client tokens too if asked."""
    mine = api_keys.c.customer_id.is_(None) if customer_id is None else api_keys.c.customer_id == customer_id
    wanted = select(api_keys).where(mine).order_by(api_keys.c.created_at_ms, api_keys.c.id)
    if not tokens:
        wanted = wanted.where(api_keys.c.parent_id.is_(None))
    rows = connection.execute(wanted).all()
    return [_record(row, now_ms) for row in rows]


def find_key(connection: Connection, key_id: str, now_ms: int) -> KeyRecord:
    """A key by its id, which is the part of it between the underscores. Raises ``Refused`` not_found."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
    if row is None:
        raise Refused("not_found", f"expected the id of a key, found none called {key_id!r}")
    return _record(row, now_ms)


def rotate_key(connection: Connection, key_id: str, overlap_s: int, now_ms: int) -> str:
    """A successor with the same scopes and budget; the old key expires after ``overlap_s`` seconds.

    Raises:
        Refused: not_found, key_ended (expired or revoked), invalid_request; nothing changed.
    """
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise Refused.field("overlap_s", f"0 to {OVERLAP_S_MAX} seconds", overlap_s)
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id).with_for_update()).first()
    record = find_key(connection, key_id, now_ms)
    if row is None or record.state != "active":
        raise Refused("key_ended", f"expected an active key, found {key_id} {record.state}; create a new one")
    if record.parent_id is not None:
        raise Refused.field("key", "an API key", f"{key_id}, a client token; make a new one")
    new_id = secrets.token_hex(8)
    key = _insert(
        connection,
        new_id,
        customer_id=row.customer_id,
        scope=row.scope,
        created_at_ms=now_ms,
        name=row.name,
        scopes=row.scopes,
        budget_id=row.budget_id,  # Budgets stay with the first key of the line.
        expires_at_ms=row.expires_at_ms,
    )
    ends = now_ms + overlap_s * 1000
    ends = ends if row.expires_at_ms is None else min(ends, row.expires_at_ms)
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(expires_at_ms=ends))
    return key


def revoke_key(connection: Connection, key_id: str, now_ms: int) -> KeyRecord:
    """End a key and its client tokens at once; one that was revoked before stays as it is. Raises ``Refused``."""
    find_key(connection, key_id, now_ms)
    mine = or_(api_keys.c.id == key_id, api_keys.c.parent_id == key_id)
    connection.execute(update(api_keys).where(mine, api_keys.c.revoked_at_ms.is_(None)).values(revoked_at_ms=now_ms))
    return find_key(connection, key_id, now_ms)


def set_budget(
    connection: Connection, key_id: str, day_tokens_max: int | None, month_tokens_max: int | None, now_ms: int
) -> KeyRecord:
    """What a key, its predecessors and successors may spend together. Raises ``Refused`` not_found, invalid_request."""
    check_budget("day_tokens_max", day_tokens_max)
    check_budget("month_tokens_max", month_tokens_max)
    record = find_key(connection, key_id, now_ms)
    connection.execute(
        update(api_keys)
        .where(api_keys.c.id == record.budget_id)
        .values(day_tokens_max=day_tokens_max, month_tokens_max=month_tokens_max)
    )
    return find_key(connection, record.budget_id, now_ms)


def create_client_token(
    connection: Connection, caller: Caller, tokens_max: int, ttl_s: int, now_ms: int
) -> ClientToken:
    """A key for a player: scope ``make``, valid for ``ttl_s`` seconds, for at most ``tokens_max`` tokens.

    Raises:
        Refused: forbidden (a client token makes no others), invalid_request.
    """
    if caller.is_client_token:
        raise Refused("forbidden", "expected an API key, found a client token, which cannot make others")
    token_id = secrets.token_hex(8)
    expires_at_ms = min(now_ms + ttl_s * 1000, caller.expires_at_ms or now_ms + ttl_s * 1000)
    token = _insert(
        connection,
        token_id,
        customer_id=caller.customer_id,
        scope="customer",
        created_at_ms=now_ms,
        name="client token",
        scopes="make",
        budget_id=caller.budget_id,
        parent_id=caller.key_id,
        expires_at_ms=expires_at_ms,
        tokens_max=tokens_max,
    )
    return ClientToken(token=token, token_id=token_id, expires_at=from_ms(expires_at_ms), tokens_max=tokens_max)


def forget_client_tokens(connection: Connection, before_ms: int) -> int:
    """Delete the client tokens that expired before a moment; how many. Their jobs stay."""
    old = api_keys.delete().where(api_keys.c.parent_id.is_not(None), api_keys.c.expires_at_ms < before_ms)
    return connection.execute(old).rowcount


def note_use(connection: Connection, used: Mapping[str, int]) -> None:
    """Write down when keys were last used. Rows are taken in one order, so that two gateways do not meet."""
    for key_id, at_ms in sorted(used.items()):
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at_ms=at_ms))


def key_scopes(names: Iterable[str]) -> tuple[KeyScope, ...]:
    """Scopes from words. Raises ``Refused`` invalid_request for other words."""
    known = {scope: scope for scope in get_args(KeyScope)}
    found = tuple(names)
    wrong = [name for name in found if name not in known]
    if wrong:
        raise Refused.field("scopes", f"some of {', '.join(known)}", ", ".join(wrong))
    return tuple(known[name] for name in found)


def _state(row: Any, now_ms: int) -> str:
    if row.revoked_at_ms is not None:
        return "revoked"
    return "expired" if row.expires_at_ms is not None and row.expires_at_ms <= now_ms else "active"


def _record(row: Any, now_ms: int) -> KeyRecord:
    fields = {name: row._mapping[name] for name in KeyRecord.__slots__ if name in row._mapping}
    return KeyRecord(**fields | {"scopes": tuple(row.scopes.split()), "state": _state(row, now_ms)})


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
