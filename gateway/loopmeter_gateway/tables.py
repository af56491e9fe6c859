"""Every table, as SQLAlchemy Core sees it. Times are milliseconds since 1970, money is whole tokens.

Reading order: ``accounts``, ``holds``, ``transfers`` (the ledger), then who owns them and what they paid for. The
rules that must hold whatever the code does are constraints here: no overdraft, no second charge for a chunk, and a
ledger that is only ever appended to.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
)

SCHEMA_VERSION = 1

metadata = MetaData()

# posted = credits - debits. Only the house accounts may go below zero: what they owe is what customers own.
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

# The pending half of a two-phase transfer. While it is open, amount - posted stands in the account's held.
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
    CheckConstraint("amount >= 0 AND posted >= 0 AND posted <= amount", name="posted_within_amount"),
    CheckConstraint("state IN ('open', 'settled', 'voided', 'expired')", name="state_known"),
    Index("holds_open", "state", "expires_at_ms"),
)

# One row moves tokens from one account to another, so the entries sum to zero by construction.
transfers = Table(
    "transfers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("debit_account_id", ForeignKey("accounts.id"), nullable=False),
    Column("credit_account_id", ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("hold_id", ForeignKey("holds.id")),
    Column("chunk_index", Integer),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
    UniqueConstraint("hold_id", "chunk_index", name="chunk_charged_once"),
    Index("transfers_debit", "debit_account_id"),
    Index("transfers_credit", "credit_account_id"),
)

customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("plan", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

# Only the SHA-256 of a key is kept. Keys are 256 random bits, so there is nothing for a slow hash to protect.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_sha256", LargeBinary, nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("scope", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
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
    Column("number", Integer, primary_key=True),
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
    UniqueConstraint("customer_id", "idempotency_key", name="one_job_per_key"),
    CheckConstraint("tokens_charged <= tokens_quoted", name="charged_within_quote"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'cancelled', 'failed')", name="state_known"),
    Index("jobs_by_customer", "customer_id", "number"),
    Index("jobs_by_state", "state"),
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
)

scores = Table(
    "scores",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("midi", LargeBinary, nullable=False),
    Column("summary_json", Text, nullable=False),
)

# What a live session has beside its job: what was asked for, what it costs, and why it ended.
live_sessions = Table(
    "live_sessions",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("request_json", Text, nullable=False),
    Column("terms_json", Text, nullable=False),
    Column("reason", Text),
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

for _action in ("UPDATE", "DELETE"):
    event.listen(
        transfers,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this constructor untyped.
            f"CREATE TRIGGER transfers_no_{_action.lower()} BEFORE {_action} ON transfers "
            "BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
        ).execute_if(dialect="sqlite"),
    )
