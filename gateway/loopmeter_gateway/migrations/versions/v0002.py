"""Price books, plans, reasons, scopes and budgets; and balances that a stream does not have to touch at each chunk."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what is new, and put the balances in their new form."""
    _ledger()
    _customers()
    _keys()
    _jobs()
    _new_tables()


def _ledger() -> None:
    for column in (
        sa.Column("closed_at_ms", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("actor", sa.Text()),
    ):
        op.add_column("holds", column)
    op.create_index("holds_by_account", "holds", ["account_id", "state"])
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(f"DROP TRIGGER transfers_no_{action}")
    op.drop_index("transfers_debit", "transfers")
    op.drop_index("transfers_credit", "transfers")
    with op.batch_alter_table("transfers") as batch:
        batch.add_column(sa.Column("kind", sa.Text()))
        for name in ("reason", "actor", "reference"):
            batch.add_column(sa.Column(name, sa.Text()))
    op.execute("UPDATE transfers SET kind = 'charge' WHERE hold_id IS NOT NULL")
    op.execute("UPDATE transfers SET kind = 'grant', reason = 'grant', actor = 'operator' WHERE hold_id IS NULL")
    with op.batch_alter_table("transfers", recreate="auto") as batch:
        batch.alter_column("kind", existing_type=sa.Text(), nullable=False)
        batch.create_check_constraint("kind_known", "kind IN ('charge', 'grant', 'refund', 'adjustment', 'expiry')")
        batch.create_check_constraint("explained", "kind = 'charge' OR (reason IS NOT NULL AND actor IS NOT NULL)")
        batch.create_unique_constraint("moved_once", ["reference"])
    op.create_index("transfers_debit", "transfers", ["debit_account_id", "created_at_ms"])
    op.create_index("transfers_credit", "transfers", ["credit_account_id", "created_at_ms"])
    _append_only("transfers")
    # What open holds have posted moves from the balance to the hold; the house is the sum of its transfers.
    open_posted = "(SELECT COALESCE(SUM(posted), 0) FROM holds WHERE account_id = accounts.id AND state = 'open')"
    op.execute(f"UPDATE accounts SET posted = posted + {open_posted}, held = held + {open_posted}")
    op.execute("UPDATE accounts SET posted = 0 WHERE id LIKE 'house:%'")
    op.execute(
        "INSERT INTO accounts (id, may_overdraw, posted, held) SELECT 'house:adjustments', true, 0, 0 "
        "WHERE EXISTS (SELECT 1 FROM accounts WHERE id = 'house:grants')"
    )


def _customers() -> None:
    op.add_column("customers", sa.Column("price_book", sa.Text()))


def _keys() -> None:
    columns: list[sa.Column[str] | sa.Column[int]] = [
        sa.Column(name, sa.Text()) for name in ("name", "scopes", "budget_id", "parent_id")
    ]
    numbers = ("expires_at_ms", "last_used_at_ms", "tokens_max", "day_tokens_max", "month_tokens_max")
    columns += [sa.Column(name, sa.BigInteger()) for name in numbers]
    for column in columns:
        op.add_column("api_keys", column)
    op.execute(
        "UPDATE api_keys SET name = '', budget_id = id, "
        "scopes = CASE WHEN scope = 'admin' THEN 'admin' ELSE 'make read' END"
    )
    with op.batch_alter_table("api_keys") as batch:
        for name in ("name", "scopes", "budget_id"):
            batch.alter_column(name, existing_type=sa.Text(), nullable=False)
    op.create_index("api_keys_by_customer", "api_keys", ["customer_id"])
    op.create_index("api_keys_by_parent", "api_keys", ["parent_id"])


def _jobs() -> None:
    for name in ("key_id", "budget_id", "gateway_id"):
        op.add_column("jobs", sa.Column(name, sa.Text()))
    for name in ("plan", "model"):
        op.add_column("jobs", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    model = "offer_json::json #>> '{request,model}'"
    if op.get_bind().dialect.name == "sqlite":
        model = "json_extract(offer_json, '$.request.model')"
    plan = "(SELECT plan FROM customers WHERE customers.id = jobs.customer_id)"
    op.execute(f"UPDATE jobs SET plan = {plan}, model = COALESCE({model}, '')")
    op.create_index("jobs_by_hold", "jobs", ["hold_id"])
    op.create_index("jobs_by_key", "jobs", ["key_id"])
    op.create_index("jobs_by_budget", "jobs", ["budget_id", "created_at_ms"])
    op.create_index("jobs_by_time", "jobs", ["finished_at_ms"])


def _new_tables() -> None:
    op.create_table(
        "price_books",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("toml", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
    )
    _append_only("price_books")
    op.create_table(
        "allowances",
        sa.Column("customer_id", sa.Text(), sa.ForeignKey("customers.id"), primary_key=True),
        sa.Column("month", sa.Text(), primary_key=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger()),
        sa.Column("expired", sa.BigInteger()),
        sa.CheckConstraint("tokens >= 0", name="tokens_not_negative"),
    )
    op.create_table(
        "outbox",
        sa.Column("number", _ROW_NUMBER, primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("event_json", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "outbox_deliveries",
        sa.Column("target", sa.Text(), primary_key=True),
        sa.Column("number", _ROW_NUMBER, sa.ForeignKey("outbox.number"), primary_key=True),
        sa.Column("delivered_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
    )


def _append_only(table: str) -> None:
    """The database itself refuses to change or delete rows."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{table} are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()"
    )
