"""Every table, as SQLAlchemy Core sees it. Times are milliseconds since 1970, money is whole tokens.

Reading order: ``accounts``, ``holds``, ``transfers`` (the ledger), then who owns them and what they paid for. The
rules that must hold whatever the code does are constraints here: no overdraft, no second charge for a chunk, and a
ledger that is only ever appended to. A change here needs a step in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

metadata = MetaData()
_ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in a plain INTEGER.

# PostgreSQL writes a changed row anew. With room for that in the row's page, and no index on what changes with every
# chunk, its indexes stay as they are: half of what a charge costs the server otherwise.
_OFTEN_UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 50}}

# The balance of a customer as it stood when the last of its open holds was closed: posted = credits - debits, held =
# the amounts of the open holds. What an open hold has posted since is in neither, so that a chunk is charged without
# a write to this row, which every stream of a customer would wait for. Available = posted - held is right at any time.
# The rows of the house stay 0: what the house has is the sum of its transfers, and no stream waits for that either.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("may_overdraw", Boolean, nullable=False),
    Column("posted", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    CheckConstraint("held >= 0", name="held_not_negative"),
    CheckConstraint("may_overdraw OR posted - held >= 0", name="available_not_negative"),
)

# The pending half of a two-phase transfer. While it is open, amount stands in the account's held.
holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("posted", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("closed_at_ms", BigInteger),
    Column("reason", Text),
    Column("actor", Text),
    CheckConstraint("amount >= 0 AND posted >= 0 AND posted <= amount", name="posted_within_amount"),
    CheckConstraint("state IN ('open', 'settled', 'voided', 'expired')", name="state_known"),
    Index("holds_open", "state"),
    Index("holds_by_account", "account_id", "state"),
    **_OFTEN_UPDATED,
)

_NO_CHARGE = text("kind <> 'charge'")  # Charges are found by their holds.

# One row moves tokens from one account to another, so the entries sum to zero by construction. All but charges say
# who moved them and why. A reference names what may happen once only: a payment, a month's grant. Accounts and holds
# that an entry names are there for ever: SQLite sees to it by foreign keys, PostgreSQL by ``entries_refer``.
transfers = Table(
    "transfers",
    metadata,
    Column("id", _ROW_NUMBER, primary_key=True),
    Column("debit_account_id", Text, nullable=False),
    Column("credit_account_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("hold_id", Text),
    Column("chunk_index", Integer),
    Column("kind", Text, nullable=False),
    Column("reason", Text),
    Column("actor", Text),
    Column("reference", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("kind IN ('charge', 'grant', 'refund', 'adjustment', 'expiry')", name="kind_known"),
    CheckConstraint("kind = 'charge' OR (reason IS NOT NULL AND actor IS NOT NULL)", name="explained"),
    CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
    UniqueConstraint("hold_id", "chunk_index", name="chunk_charged_once"),
    UniqueConstraint("reference", name="moved_once"),
    *(
        Index(f"transfers_moved_{way}", f"{side}_account_id", sqlite_where=_NO_CHARGE, postgresql_where=_NO_CHARGE)
        for way, side in (("from", "debit"), ("to", "credit"))
    ),
    ForeignKeyConstraint(["debit_account_id"], ["accounts.id"]).ddl_if(dialect="sqlite"),
    ForeignKeyConstraint(["credit_account_id"], ["accounts.id"]).ddl_if(dialect="sqlite"),
    ForeignKeyConstraint(["hold_id"], ["holds.id"]).ddl_if(dialect="sqlite"),
)

# The price books that are or were in force, as they were written. Rows are never changed.
price_books = Table(
    "price_books",
    metadata,
    Column("id", Text, primary_key=True),
    Column("toml", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

# A customer without a price book of its own has that of the gateway.
customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("plan", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("price_book", Text),
)

# What a plan gave for one month, and, once the month is over, what became of it.
allowances = Table(
    "allowances",
    metadata,
    Column("customer_id", ForeignKey("customers.id"), primary_key=True),
    Column("month", Text, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("closed_at_ms", BigInteger),
    Column("expired", BigInteger),
    CheckConstraint("tokens >= 0", name="tokens_not_negative"),
)

# Only the SHA-256 of a key is kept. Keys are 256 random bits, so there is nothing for a slow hash to protect.
# Keys that followed each other by rotation share a budget_id, and so does the client token of a key, its parent.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_sha256", LargeBinary, nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("scope", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("budget_id", Text, nullable=False),
    Column("parent_id", Text),
    Column("expires_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
    Column("tokens_max", BigInteger),
    Column("day_tokens_max", BigInteger),
    Column("month_tokens_max", BigInteger),
    Index("api_keys_by_customer", "customer_id"),
    Index("api_keys_by_parent", "parent_id"),
    CheckConstraint("scope IN ('customer', 'admin')", name="scope_known"),
    CheckConstraint("scope = 'admin' OR customer_id IS NOT NULL", name="customer_key_has_customer"),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("request_sha256", LargeBinary, nullable=False),
    Column("offer_json", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("job_id", Text, unique=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", _ROW_NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("order_sha256", LargeBinary, nullable=False),
    Column("hold_id", ForeignKey("holds.id"), nullable=False),
    Column("quote_id", Text),
    Column("offer_json", Text, nullable=False),
    Column("runs_by_itself", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("tokens_quoted", BigInteger, nullable=False),
    Column("tokens_charged", BigInteger, nullable=False),
    Column("chunks_delivered", Integer, nullable=False),
    Column("frames_delivered", BigInteger, nullable=False),
    Column("error_json", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Column("key_id", Text),
    Column("budget_id", Text),
    Column("plan", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    Column("gateway_id", Text),
    UniqueConstraint("customer_id", "idempotency_key", name="one_job_per_key"),
    CheckConstraint("tokens_charged <= tokens_quoted", name="charged_within_quote"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'cancelled', 'failed')", name="state_known"),
    Index("jobs_by_customer", "customer_id", "number"),
    Index("jobs_by_state", "state"),
    Index("jobs_by_hold", "hold_id"),
    Index("jobs_by_key", "key_id"),
    Index("jobs_by_budget", "budget_id", "created_at_ms"),
    Index("jobs_by_time", "finished_at_ms"),
    **_OFTEN_UPDATED,
)

# What was delivered and charged, with what it took. The sound is the last column, so that sums need not read it.
chunks = Table(
    "chunks",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("frames", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("tokens_total", BigInteger, nullable=False),
    Column("flops", BigInteger, nullable=False),
    Column("device_seconds", Float, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("delivered_at_ms", BigInteger, nullable=False),
    Column("pcm", LargeBinary, nullable=False),
)

# The engine's state after the last delivered chunk of a job that is not finished. A table of its own, because
# SQLite rewrites a whole row, blobs and all, at every update.
engine_states = Table(
    "engine_states",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("state", LargeBinary, nullable=False),
    **_OFTEN_UPDATED,
)

# The sound that came with the request of a job that is not finished; see ``jobs/sent_sound.py``.
sent_sounds = Table(
    "sent_sounds",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("source_audio_base64", Text),
    Column("reference_audio_base64", Text),
)

scores = Table(
    "scores",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("midi", LargeBinary, nullable=False),
    Column("summary_json", Text, nullable=False),
)

# What a live session has beside its job: what was asked for, what it costs, why it ended, and when it ends by itself
# unless its client does something; NULL while that plays it.
live_sessions = Table(
    "live_sessions",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("request_json", Text, nullable=False),
    Column("terms_json", Text, nullable=False),
    Column("reason", Text),
    Column("ends_at_ms", BigInteger),
)

# The settings that a session was steered with, in order. A row is written with the first chunk that knows of it.
live_changes = Table(
    "live_changes",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("from_chunk", Integer, nullable=False),
    Column("settings_json", Text, nullable=False),
    Column("refs_json", Text, nullable=False),
)

# What is to be told to billing systems, written with what it tells of, so that neither is without the other.
outbox = Table(
    "outbox",
    metadata,
    Column("number", _ROW_NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("event_json", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

outbox_deliveries = Table(
    "outbox_deliveries",
    metadata,
    Column("target", Text, primary_key=True),
    Column("number", ForeignKey("outbox.number"), primary_key=True),
    Column("delivered_at_ms", BigInteger, nullable=False),
)

# The processes that share this database, and when each last said that it lives.
gateways = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at_ms", BigInteger, nullable=False),
)

# Until when the requests of a key are paid for, at all gateways together; see ``shared_limits.py``.
request_rates = Table(
    "request_rates",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("paid_until_ms", Float(53), nullable=False),
)


def append_only(table: str) -> dict[str, list[str]]:
    """The statements, by dialect, that make the database itself refuse to change or delete rows of a table."""
    function = (
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{table} are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    return {
        "sqlite": [
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            for action in ("UPDATE", "DELETE")
        ],
        "postgresql": [
            function,
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()",
        ],
    }


def entries_refer() -> dict[str, list[str]]:
    """The statements, by dialect, that make the database itself refuse an entry between accounts that are not there.

    What foreign keys would do, for all rows of a statement at once: row by row they are a sixth of what a charge costs
    PostgreSQL. So that what was there stays there, accounts and holds cannot be deleted at all.
    """
    known = (
        "CREATE FUNCTION transfers_refer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM entered WHERE (SELECT id FROM accounts WHERE id = entered.debit_account_id) IS NULL "
        "OR (SELECT id FROM accounts WHERE id = entered.credit_account_id) IS NULL "
        "OR (entered.hold_id IS NOT NULL AND (SELECT id FROM holds WHERE id = entered.hold_id) IS NULL)) THEN "
        "RAISE EXCEPTION 'transfers must refer to accounts and holds that are there' "
        "USING ERRCODE = 'foreign_key_violation'; END IF; RETURN NULL; END $$"
    )
    kept = (
        "CREATE FUNCTION rows_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' are never deleted', "
        "ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    return {
        "postgresql": [
            known,
            "CREATE TRIGGER transfers_refer AFTER INSERT ON transfers REFERENCING NEW TABLE AS entered "
            "FOR EACH STATEMENT EXECUTE FUNCTION transfers_refer()",
            kept,
            *(
                f"CREATE TRIGGER {table}_kept BEFORE DELETE OR UPDATE OF id ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION rows_are_kept()"
                for table in ("accounts", "holds")
            ),
        ]
    }


def _after_create(table: Table, by_dialect: dict[str, list[str]]) -> None:
    for dialect, statements in by_dialect.items():
        for statement in statements:
            # SQLAlchemy leaves this constructor untyped, and reads % as the start of a parameter.
            ddl = DDL(statement.replace("%", "%%")).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl)


for _table in (transfers, price_books):
    _after_create(_table, append_only(_table.name))
_after_create(transfers, entries_refer())
