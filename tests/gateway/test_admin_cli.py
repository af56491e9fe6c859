"""``loopmeter admin`` as an operator types it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from loopmeter._cli._program import program
from loopmeter_gateway.money.price_book import parse_price_book

from .conftest import BOTH_STORES, House
from .test_admin_http import MINE


class Shell:
    """Runs the program on one database."""

    def __init__(self, db: str) -> None:
        self._db = db

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(program, ["admin", "--db", self._db, *arguments])

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)


@pytest.fixture
def shell(house: House) -> Shell:
    return Shell(house.settings.db)


def test_a_customer_gets_a_plan_a_key_and_tokens(shell: Shell) -> None:
    made = shell.json("customer", "create", "bob", "--plan", "studio")
    key = shell.json("key", "create", "bob", "--scope", "make", "--day-tokens", "900", "--expires", "2100-01-01")
    granted = shell.json("grant", "bob", "500", "--reason", "invoice 17", "--reference", "inv-17")
    again = shell.json("grant", "bob", "500", "--reason", "invoice 17", "--reference", "inv-17")
    less = shell.json("adjust", "bob", "-400", "--reason", "typing error")

    assert made["available"] == 60_000
    assert key["key"].startswith("lm_") and key["scopes"] == ["make"]
    assert (granted["available"], again["available"], less["available"]) == (60_500, 60_500, 60_100)
    assert {found["name"] for found in shell.json("customer", "list")["customers"]} == {"ada", "bob"}


@BOTH_STORES
def test_every_movement_of_a_customer_is_listed_with_its_reason(shell: Shell, house: House) -> None:
    shell.run("grant", "ada", "2000", "--reason", "invoice 17", "--reference", "inv-17")
    job_id = asyncio.run(paid_job(house))
    shell.run("refund", job_id, "300", "--reason", "a click")
    shell.run("adjust", "ada", "-50", "--reason", "typing error")
    found = shell.json("entries", "ada")["entries"]
    chunks = shell.json("job", "list")["jobs"][0]["chunks"]
    table = shell.run("entries", "ada", "--limit", "2").output

    by_kind = {entry["kind"]: entry for entry in found}
    assert {kind: entry["tokens"] for kind, entry in by_kind.items()} == {
        "grant": 2000,
        "charge": -800,
        "refund": 300,
        "adjustment": -50,
    }
    assert sum(entry["tokens"] for entry in found) == shell.json("customer", "show", "ada")["posted"]
    assert (by_kind["charge"]["job_id"], by_kind["charge"]["chunks"]) == (job_id, chunks)
    assert (by_kind["grant"]["reason"], by_kind["grant"]["reference"]) == ("invoice 17", "inv-17")
    assert by_kind["refund"]["job_id"] == job_id
    assert (table.count("\n"), "typing error" in table) == (3, True)
    assert shell.json("entries", "ada", "--until", "2001-01-01") == {"entries": []}


def test_times_are_shown_to_people_as_times(shell: Shell) -> None:
    assert re.search(
        r"created_at.*\n.*standard-1 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", shell.run("price-book", "list").output
    )


def test_a_shipped_price_book_is_printed_as_a_file_to_begin_with(shell: Shell) -> None:
    assert parse_price_book(shell.run("price-book", "show", "loops").output).name == "loops"
    assert "expected a price book" in shell.run("price-book", "show", "mine").output


def test_a_key_is_listed_rotated_budgeted_and_revoked(shell: Shell, house: House) -> None:
    key_id = house.key.split("_")[1]
    new = shell.json("key", "rotate", key_id, "--overlap", "60")
    budget = shell.json("key", "budget", new["key_id"], "--month-tokens", "5000")
    shell.json("key", "revoke", key_id)
    states = {key["id"]: key["state"] for key in shell.json("key", "list", "ada")["keys"]}

    assert budget["month_tokens_max"] == 5000
    assert states == {key_id: "revoked", new["key_id"]: "active"}
    assert house.key not in shell.run("key", "list", "ada").output


def test_a_price_book_is_simulated_added_and_given(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)

    simulated = shell.json("simulate", str(file), "--token-price", "0.0005", "--device-hour", "0.6")
    before = shell.json("price-book", "list")["price_books"]
    shell.json("price-book", "add", str(file))
    given = shell.json("customer", "set", "ada", "--price-book", "mine-1")
    file.write_text(MINE.replace("= 5", "= 6"))
    changed = shell.run("price-book", "add", str(file))

    assert simulated["price_book"] == "mine-1"
    assert [book["id"] for book in before] == ["standard-1"]
    assert given["price_book"] == "mine-1"
    assert changed.exit_code == 1 and "never changes" in changed.output


def test_reports_are_tables_csv_and_json(shell: Shell) -> None:
    rows = list(csv.DictReader(io.StringIO(shell.run("export").output)))
    margin = shell.run("margin", "--since", "2026-01-01")

    assert rows == []
    assert margin.exit_code == 0 and "tokens_sold" in margin.output
    assert shell.json("audit") == {"posted_sum": 0, "open_holds": 0, "faults": []}
    assert shell.json("hold", "list") == {"holds": []}
    assert shell.json("job", "list", "--customer", "ada") == {"jobs": []}


def test_a_refund_without_a_number_gives_back_what_is_left_once(shell: Shell, house: House) -> None:
    shell.run("grant", "ada", "800")
    job_id = asyncio.run(paid_job(house))
    part = shell.json("refund", job_id, "300", "--reason", "a click")
    rest = [shell.json("refund", job_id, "--reason", "the rest", "--reference", "r-1") for _ in range(2)]
    more = shell.run("refund", job_id, "--reason", "again")

    assert [found["available"] for found in (part, *rest)] == [300, 800, 800]
    assert (more.exit_code, "nothing left of the 800" in more.output) == (1, True)


async def paid_job(house: House) -> str:
    async with house.open() as client:
        job_id = str((await client.order()).json()["id"])
        await client.ended(job_id)
        return job_id


@pytest.mark.parametrize(
    ("db", "words"),
    [
        ("sqlite:////no/such/folder/loopmeter.db", "found none: unable to open database file"),
        ("postgresql+asyncpg://ada:secret@127.0.0.1:9/loopmeter", "ada:***@127.0.0.1:9/loopmeter, found none"),
        ("mysql://127.0.0.1/loopmeter", "expected a database such as sqlite:///loopmeter.db"),
    ],
)
@pytest.mark.parametrize("command", [("admin", "customer", "list"), ("serve", "--engine", "fake", "--port", "0")])
def test_a_database_that_cannot_be_opened_is_named_in_a_sentence(db: str, words: str, command: tuple[str, ...]) -> None:
    group, *rest = command
    result = CliRunner().invoke(program, [group, "--db", db, *rest])

    assert result.exit_code == 1
    assert words in result.output
    assert result.output.count("\n") == 1


def test_serve_without_such_a_price_book_ends_with_a_sentence(house: House) -> None:
    command = ["serve", "--db", house.settings.db, "--engine", "fake", "--port", "0", "--price-book", "mine-1"]
    result = CliRunner().invoke(program, command)

    assert (result.exit_code, result.output) == (
        1,
        "Error: expected a price book such as standard-1, found none called 'mine-1'\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grant", "nobody", "5"), "expected the id or name of a customer"),
        (("adjust", "ada", "-5", "--reason", "x"), "expected 5 available tokens, found 0"),
        (("refund", "job_x", "--reason", "x"), "expected a job"),
        (("customer", "create", "eve", "--plan", "gold"), "plan: expected one of standard, free, studio, scale"),
        (("simulate", "nobody-1"), "expected a price book"),
        (("customer", "set", "ada"), "expected --plan or --price-book, found neither"),
        (("margin", "--token-price", "-1"), "expected an amount such as 1.25"),
        (("margin", "--since", "yesterday"), "expected a date or a time"),
        (("hold", "void", "hold_x", "--reason", "x"), "expected a hold"),
        (("outbox", "send", "--target", "openmeter", "--url", "http://127.0.0.1:9"), "0 events sent"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    result = shell.run(*arguments)

    assert words in result.output
    assert "Traceback" not in result.output
