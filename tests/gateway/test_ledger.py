"""The ledger alone: what may happen to money, and what the database refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, make_url, text, update
from sqlalchemy.exc import IntegrityError

from loopmeter_gateway import admin
from loopmeter_gateway.database import create_tables, open_writer
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.audit import audit
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import accounts

from .conftest import BOTH_STORES

HOUR_MS = 3_600_000


@pytest.fixture
def db(store: str) -> Iterator[Engine]:
    """The ledger on either store, without an event loop in between."""
    if store.startswith("sqlite"):
        engine = open_writer(store)
    else:
        engine = create_engine(make_url(store).set(drivername="postgresql+psycopg"))
    create_tables(engine)
    with engine.begin() as connection:
        ledger.open_house_accounts(connection)
        ledger.open_customer_account(connection, "ada")
    yield engine
    engine.dispose()


def grant(connection: Connection, tokens: int) -> None:
    movements.grant(connection, "ada", tokens, 0)


def hold(connection: Connection, name: str, tokens: int) -> None:
    ledger.hold(connection, name, "ada", tokens, 0, HOUR_MS)


def post(connection: Connection, name: str, chunk_index: int, tokens: int) -> None:
    ledger.post(connection, name, chunk_index, tokens, 0, HOUR_MS)


def amounts(connection: Connection) -> tuple[int, int, int]:
    found = ledger.balance(connection, "ada")
    return found.available, found.held, found.posted


@BOTH_STORES
def test_a_hold_sets_aside_and_moves_nothing(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)

        assert amounts(connection) == (200, 800, 1000)


@BOTH_STORES
def test_a_hold_above_the_available_amount_is_refused_with_both_figures(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)

        with pytest.raises(Refused) as caught:
            hold(connection, "i", 201)

        assert caught.value.code == "insufficient_tokens"
        assert caught.value.amounts == {"needed": 201, "available": 200}
        assert amounts(connection) == (200, 800, 1000)


@BOTH_STORES
def test_posting_moves_tokens_from_hold_to_revenue(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)
        post(connection, "h", 0, 300)

        assert amounts(connection) == (200, 500, 700)
        assert ledger.balance(connection, ledger.REVENUE).posted == 300


@BOTH_STORES
def test_closing_frees_the_rest_and_closing_again_changes_nothing(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)
        post(connection, "h", 0, 300)

        assert ledger.close_hold(connection, "h", "voided")
        assert not ledger.close_hold(connection, "h", "settled")
        assert amounts(connection) == (700, 0, 700)


@BOTH_STORES
def test_a_closed_hold_cannot_be_posted(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)
        ledger.close_hold(connection, "h", "expired", HOUR_MS)

        with pytest.raises(Refused, match="hold_expired"):
            post(connection, "h", 0, 1)


@BOTH_STORES
def test_the_database_refuses_a_second_charge_for_a_chunk(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)
        post(connection, "h", 0, 300)
    with pytest.raises(IntegrityError), db.begin() as connection:
        post(connection, "h", 0, 1)
    with db.begin() as connection:
        assert amounts(connection) == (200, 500, 700)


@BOTH_STORES
def test_the_database_refuses_more_than_was_held(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)
    with pytest.raises(IntegrityError), db.begin() as connection:
        post(connection, "h", 0, 801)


@BOTH_STORES
def test_the_database_refuses_an_overdraft_by_whatever_code(db: Engine) -> None:
    with pytest.raises(IntegrityError), db.begin() as connection:
        connection.execute(update(accounts).where(accounts.c.id == "ada").values(posted=-1))
    with pytest.raises(IntegrityError), db.begin() as connection:
        connection.execute(update(accounts).where(accounts.c.id == "ada").values(held=1))


@BOTH_STORES
@pytest.mark.parametrize("statement", ["UPDATE transfers SET amount = 1", "DELETE FROM transfers"])
def test_transfers_are_append_only(db: Engine, statement: str) -> None:
    with db.begin() as connection:
        grant(connection, 10)
    with pytest.raises(IntegrityError, match="append-only"), db.begin() as connection:
        connection.execute(text(statement))


@BOTH_STORES
@pytest.mark.parametrize("wrong", [{"debit": "nobody"}, {"credit": "nobody"}, {"hold_id": "none"}], ids=str)
def test_the_database_refuses_an_entry_that_names_what_is_not_there(db: Engine, wrong: dict[str, str]) -> None:
    entry = {"debit": ledger.GRANTS, "credit": "ada", "amount": 5, "now_ms": 0, "kind": "grant"} | wrong

    with pytest.raises(IntegrityError), db.begin() as connection:
        ledger.record_transfer(connection, **entry, reason="a test", actor="test")  # type: ignore[arg-type]


@BOTH_STORES
@pytest.mark.parametrize("table", ["accounts", "holds"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET id = 'other' || id"], ids=["delete", "rename"])
def test_what_an_entry_names_stays_there(db: Engine, table: str, change: str) -> None:
    with db.begin() as connection:
        grant(connection, 100)
        hold(connection, "job", 80)
        post(connection, "job", 0, 10)

    with pytest.raises(IntegrityError), db.begin() as connection:
        connection.execute(text(change.format(table)))


@BOTH_STORES
def test_taking_back_stops_at_what_is_available(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 1000)
        hold(connection, "h", 800)

        with pytest.raises(Refused, match="insufficient_tokens"):
            grant(connection, -201)
        grant(connection, -200)

        assert amounts(connection) == (0, 800, 800)


@BOTH_STORES
def test_an_audit_finds_a_balance_that_no_entry_explains(db: Engine) -> None:
    with db.begin() as connection:
        grant(connection, 10)
        connection.execute(update(accounts).where(accounts.c.id == "ada").values(posted=11))

        found = audit(connection)

        assert found.posted_sum == 1
        assert found.faults == ("ada: posted is 11, its entries say 10",)


_STEPS = st.one_of(
    st.tuples(st.just("grant"), st.integers(-50, 100), st.just(0)),
    st.tuples(st.just("hold"), st.integers(0, 9), st.integers(0, 120)),
    st.tuples(st.just("post"), st.integers(0, 9), st.integers(0, 60)),
    st.tuples(st.just("close"), st.integers(0, 9), st.just(0)),
)


@BOTH_STORES
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEPS, max_size=40))
def test_the_books_balance_after_any_steps(db: Engine, steps: list[tuple[str, int, int]]) -> None:
    with db.connect() as connection, connection.begin() as everything:
        for number, (step, which, tokens) in enumerate(steps):
            try:
                with connection.begin_nested():
                    _take(connection, step, which, tokens, number)
            except (Refused, IntegrityError):
                pass  # Refused steps are part of the game; they must leave no trace.
            found = audit(connection)
            assert (found.posted_sum, found.faults) == (0, ())
            assert ledger.balance(connection, "ada").available >= 0
        everything.rollback()


def _take(connection: Connection, step: str, which: int, tokens: int, number: int) -> None:
    match step:
        case "grant":
            grant(connection, which)
        case "hold":
            hold(connection, f"h{which}", tokens)
        case "post":
            post(connection, f"h{which}", number, tokens)
        case _:
            ledger.close_hold(connection, f"h{which}", "voided")


_HOLDER = """
import sys
from loopmeter_gateway.database import open_writer
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.audit import audit
from loopmeter_gateway.problems import Refused

engine, admitted = open_writer(sys.argv[1]), 0
for number in range(25):
    try:
        with engine.begin() as connection:
            ledger.hold(connection, f"{sys.argv[2]}-{number}", sys.argv[3], 800, 0, 1)
        admitted += 1
    except Refused:
        pass
print(admitted)
"""


def test_four_processes_cannot_hold_more_than_there_is(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/shared.db"
    customer_id = str(admin.create_customer(db, "ada")["customer_id"])
    admin.grant(db, customer_id, 8000)
    command = [sys.executable, "-c", _HOLDER, db]

    processes = [
        subprocess.Popen([*command, str(number), customer_id], stdout=subprocess.PIPE, text=True) for number in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert sum(int(output) for output in outputs) == 10
