"""The same statements for many rows do on both stores what they would do one by one, and say so if they cannot."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from loopmeter_gateway.database import once
from loopmeter_gateway.stores.many_rows import ForEach, ForThoseThat

from .conftest import BOTH_STORES, ON_POSTGRESQL

WORK = ForEach(
    {"name": "text", "more": "bigint", "note": "bytea"},
    "UPDATE stock SET pieces = pieces + given.more FROM given WHERE stock.name = given.name",
    "INSERT INTO moves (name, pieces) SELECT given.name, given.more FROM given WHERE given.more > 0",
    "INSERT INTO notes (name, note) SELECT given.name, given.note FROM given WHERE given.note IS NOT NULL "
    "ON CONFLICT (name) DO UPDATE SET note = excluded.note",
)


def make(connection: Connection) -> None:
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    connection.execute(text("CREATE TABLE stock (name TEXT PRIMARY KEY, pieces BIGINT CHECK (pieces >= 0))"))
    connection.execute(text("CREATE TABLE moves (name TEXT, pieces BIGINT)"))
    connection.execute(text(f"CREATE TABLE notes (name TEXT PRIMARY KEY, note {blob})"))
    connection.execute(text("INSERT INTO stock VALUES ('kick', 1), ('snare', 2), ('hat', 3)"))


def found(connection: Connection) -> list[list[tuple[object, ...]]]:
    wanted = ("SELECT * FROM stock ORDER BY name", "SELECT * FROM moves", "SELECT * FROM notes ORDER BY name")
    return [[tuple(row) for row in connection.execute(text(each))] for each in wanted]


def row(name: str, more: int, note: bytes | None = None) -> dict[str, object]:
    return {"name": name, "more": more, "note": note}


@BOTH_STORES
def test_every_row_goes_through_every_statement(store: str) -> None:
    def work(connection: Connection) -> list[list[tuple[object, ...]]]:
        make(connection)
        WORK.run(connection, [row("kick", 5, b"\0a"), row("hat", 0), row("snare", -2, b"")])
        WORK.run(connection, [row("kick", 1, b"new")])
        WORK.run(connection, [])
        return found(connection)

    assert once(store, work) == [
        [("hat", 3), ("kick", 7), ("snare", 0)],
        [("kick", 5), ("kick", 1)],
        [("kick", b"new"), ("snare", b"")],
    ]


@BOTH_STORES
@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([row("kick", 1), row("cowbell", 1)], AssertionError),
        ([row("kick", 1), row("hat", -4)], IntegrityError),
    ],
    ids=["no such row", "a rule is broken"],
)
def test_what_cannot_be_done_for_one_row_raises_and_is_undone(
    store: str, rows: list[dict[str, object]], error: type[Exception]
) -> None:
    once(store, make)

    with pytest.raises(error):
        once(store, lambda connection: WORK.run(connection, rows))
    assert once(store, found) == [[("hat", 3), ("kick", 1), ("snare", 2)], [], []]


@BOTH_STORES
def test_values_arrive_as_they_are(store: str) -> None:
    kept = ForEach(
        {"said": "text", "number": "bigint", "share": "double precision", "blob": "bytea"},
        "INSERT INTO kept (said, number, share, blob) SELECT given.said, given.number, given.share, given.blob "
        "FROM given WHERE true",
    )
    words = ['a "b"', "c\\d", "e, {f}", "NULL", "", " ", "\u266f\n", None]
    numbers = [2**63 - 1, -(2**63), 0, None, 1, 2, 3, 4]
    shares = [0.1, 1e-300, 1.7976931348623157e308, None, -0.5, 1 / 3, 5e-324, 123456789.123456789]
    blobs = [b"", b"\0{},", None, b"\\x41", b"NULL", b"x", b"y", b"z"]
    rows = list(zip(words, numbers, shares, blobs, strict=True))

    def work(connection: Connection) -> list[tuple[object, ...]]:
        blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
        connection.execute(text(f"CREATE TABLE kept (said TEXT, number BIGINT, share DOUBLE PRECISION, blob {blob})"))
        kept.run(connection, [dict(zip(kept.types, row, strict=True)) for row in rows])
        return [tuple(row) for row in connection.execute(text("SELECT * FROM kept"))]

    assert once(store, work) == rows


SOME = ForThoseThat(
    WORK.types,
    "SELECT offered.* FROM offered JOIN stock ON stock.name = offered.name WHERE stock.pieces > 1",
    "name",
    *WORK.statements,
)


@ON_POSTGRESQL
def test_only_what_the_query_picks_is_done(store: str) -> None:
    once(store, make)

    rows = [row("kick", 5, b"x"), row("hat", 2, b"y"), row("snare", 1), row("cowbell", 1)]
    assert sorted(once(store, lambda connection: SOME.run(connection, rows))) == ["hat", "snare"]
    assert once(store, lambda connection: SOME.run(connection, rows[:1])) == []
    assert once(store, lambda connection: SOME.run(connection, [])) == []
    assert once(store, found) == [
        [("hat", 5), ("kick", 1), ("snare", 3)],
        [("hat", 2), ("snare", 1)],
        [("hat", b"y")],
    ]


@ON_POSTGRESQL
def test_an_update_that_misses_one_that_was_picked_undoes_all(store: str) -> None:
    strict = WORK.statements[0] + " AND pieces < 3"
    some = ForThoseThat(WORK.types, "SELECT * FROM offered", "name", strict, *WORK.statements[1:])
    once(store, make)

    with pytest.raises(DBAPIError, match="division by zero"):
        once(store, lambda connection: some.run(connection, [row("kick", 1, b"x"), row("hat", 1, b"y")]))
    assert once(store, found) == [[("hat", 3), ("kick", 1), ("snare", 2)], [], []]
