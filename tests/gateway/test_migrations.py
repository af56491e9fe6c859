"""A database of the first release becomes one of this release, with its balances, keys and jobs."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, insert, inspect, make_url, select, text

from loopmeter import Balance
from loopmeter_gateway import admin, migrations
from loopmeter_gateway.accounts.keys import find_caller
from loopmeter_gateway.database import create_tables, once, open_writer
from loopmeter_gateway.money import ledger
from loopmeter_gateway.money.audit import audit
from loopmeter_gateway.tables import jobs, metadata, quotes, sent_sounds

from .conftest import BOTH_STORES

FIRST = Path(__file__).parent / "first_release.sql"


def open_sync(url: str) -> Engine:
    if url.startswith("sqlite"):
        return open_writer(url)
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))


@pytest.fixture
def db(store: str) -> Iterator[Engine]:
    engine = open_sync(store)
    yield engine
    engine.dispose()


def steps() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrations.__file__).parent))


def upgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def checks(connection: Connection) -> dict[str, set[str]]:
    """The CHECK constraints of every table, its triggers and its settings, without the differences of quoting."""
    found = {
        table: {
            re.sub(r"[\s()]|::text|'", "", str(check["sqltext"]))
            for check in inspect(connection).get_check_constraints(table)
        }
        for table in metadata.tables
    }
    if connection.dialect.name == "sqlite":
        triggers = "SELECT name || sql FROM sqlite_master WHERE type = 'trigger'"
    else:
        triggers = (
            "SELECT DISTINCT event_object_table || trigger_name FROM information_schema.triggers "
            "UNION SELECT relname || array_to_string(reloptions, ',') FROM pg_class WHERE relkind = 'r'"
        )
    return found | {"triggers": {str(row[0]) for row in connection.execute(text(triggers))}}


def created_by(dialect: str) -> Callable[..., bool]:
    """Alembic compares what a store has with what it should have, but does not read that some is for one store."""

    def included(thing: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        condition = None if reflected else getattr(thing, "_ddl_if", None)
        return condition is None or condition.dialect == dialect

    return included


def test_the_newest_step_is_the_head() -> None:
    assert steps().get_current_head() == migrations.HEAD


@BOTH_STORES
def test_the_steps_lead_to_the_tables_of_today(db: Engine) -> None:
    with db.begin() as connection:
        upgrade(connection, "head")

        options = {"include_object": created_by(connection.dialect.name)}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


@BOTH_STORES
def test_steps_and_a_new_database_have_the_same_constraints(db: Engine) -> None:
    with db.connect() as connection, connection.begin() as everything:
        upgrade(connection, "head")
        by_steps = checks(connection)
        everything.rollback()
    create_tables(db)
    with db.begin() as connection:
        assert checks(connection) == by_steps


@BOTH_STORES
def test_a_database_that_is_up_to_date_is_left_alone(db: Engine) -> None:
    create_tables(db)
    with db.begin() as connection:
        ledger.open_house_accounts(connection)
    create_tables(db)

    with db.begin() as connection:
        assert ledger.balance(connection, ledger.GRANTS).posted == 0


@BOTH_STORES
def test_a_database_of_a_later_release_is_refused(db: Engine) -> None:
    create_tables(db)
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))

    with pytest.raises(ValueError, match="found step v9999"):
        create_tables(db)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A file of the first release: ada was granted 5,000, paid one job, and streams another, 3 chunks of 6 so far."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(FIRST.read_text())
    return f"sqlite:///{tmp_path}/old.db"


def test_the_balances_of_the_first_release_are_kept(old: str) -> None:
    found = once(old, lambda connection: ledger.balance(connection, "cus_ada"))

    assert found == Balance(available=3400, held=401, posted=3801)
    assert once(old, audit).faults == ()
    assert once(old, audit).posted_sum == 0


def test_the_keys_and_jobs_of_the_first_release_are_kept(old: str) -> None:
    caller = once(old, lambda connection: find_caller(connection, "lm_0123456789abcdef_secret", 0))
    plans = once(old, lambda connection: connection.execute(select(jobs.c.plan, jobs.c.model)).all())

    assert caller is not None
    assert (caller.customer_id, caller.scopes) == ("cus_ada", frozenset({"make", "read"}))
    assert {tuple(row) for row in plans} == {("standard", "loopmeter")}


def test_the_first_release_s_database_can_be_granted_and_stays_append_only(old: str) -> None:
    admin.grant(old, "ada", 10)

    with pytest.raises(Exception, match="append-only"):
        once(old, lambda connection: connection.execute(text("DELETE FROM transfers")))
    assert once(old, audit).faults == ()


def offer(**sounds: str | None) -> str:
    none = {"source_audio_base64": None, "reference_audio_base64": None}
    return json.dumps({"request": {"prompt": '_audio_base64":"'} | none | sounds, "frames": 1}, separators=(",", ":"))


@BOTH_STORES
def test_sound_in_offers_moves_to_its_own_table_or_is_forgotten_with_the_end_of_its_job(db: Engine) -> None:
    kept = {
        "made": ("running", offer(reference_audio_base64="UmVm")),
        "over": ("completed", offer(source_audio_base64="U291")),
        "mute": ("running", offer()),
    }
    with db.begin() as connection:
        upgrade(connection, "v0006")
        run = connection.exec_driver_sql
        run("INSERT INTO accounts VALUES ('ada', false, 0, 0)")
        run("INSERT INTO customers (id, name, plan, created_at_ms) VALUES ('ada', 'ada', 'standard', 0)")
        run("INSERT INTO holds VALUES ('hold', 'ada', 0, 0, 'open', 0, 0, NULL, NULL, NULL)")
        for number, (job_id, (state, text_)) in enumerate(kept.items()):
            values = {"customer_id": "ada", "order_sha256": b"", "hold_id": "hold", "runs_by_itself": False}
            counts = dict.fromkeys(("tokens_quoted", "tokens_charged", "chunks_delivered", "frames_delivered"), 0)
            row = {"id": job_id, "number": number, "idempotency_key": job_id, "state": state, "offer_json": text_}
            connection.execute(insert(jobs).values(values | counts | row | {"created_at_ms": 0}))
        quote = {"id": "quote", "customer_id": "ada", "request_sha256": b"", "expires_at_ms": 0}
        connection.execute(insert(quotes).values(quote | {"offer_json": kept["over"][1]}))

        upgrade(connection, "head")
        offers = connection.execute(
            select(jobs.c.id, jobs.c.offer_json).union(select(quotes.c.id, quotes.c.offer_json))
        )
        found = {row_id: json.loads(text_)["request"] for row_id, text_ in offers}
        sounds = [tuple(row) for row in connection.execute(select(sent_sounds))]

    prompt = {"prompt": '_audio_base64":"'}
    assert found == {
        "made": prompt,
        "over": prompt,
        "quote": prompt,
        "mute": prompt | {"source_audio_base64": None, "reference_audio_base64": None},
    }
    assert sounds == [("made", None, "UmVm")]
