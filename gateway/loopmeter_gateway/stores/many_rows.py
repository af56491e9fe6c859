"""The same few statements for many rows of values, on either store. A unit of work inside a transaction.

PostgreSQL gets all of it as one statement, with the values as one array per column: a row then costs the server less
than half of what it does as a statement of its own, and the network is waited for once. The arrays are written as text,
which costs less here than the driver's own encoding of them, and no more there. SQLite has neither network nor server,
and is as quick with one statement after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, TextClause, text

_BYTES = "bytea"
_GIVEN = re.compile(r"\bgiven\.(\w+)")


class ForEach:
    """Statements that take their values from rows, which they call ``given``.

    ``types`` are PostgreSQL's types of the values, by name. Each statement is an ``UPDATE ... FROM given WHERE``, which
    must find one row for each that is given, or an ``INSERT ... SELECT ... FROM given WHERE``. A column that is called
    like a value is qualified by its table.
    """

    def __init__(self, types: Mapping[str, str], *statements: str) -> None:
        self.types = dict(types)
        self.statements = statements

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run all statements for all rows.

        Raises:
            sqlalchemy.exc.IntegrityError: a row breaks a rule of its table.
            AssertionError: an update did not find what it was to change.
        """
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            found = list(connection.execute(self._together, _columns(self.types, rows)).one())
        else:
            found = [
                connection.exec_driver_sql(statement, [values(row) for row in rows]).rowcount
                for statement, values in self._apart
            ]
        updated = [count for count, said in zip(found, self.statements, strict=True) if said.startswith("UPDATE")]
        assert set(updated) <= {len(rows)}, f"expected {len(rows)} rows to change in each table, found {updated}"

    @cached_property
    def _together(self) -> TextClause:
        counts = ", ".join(_count(number) for number in range(len(self.statements)))
        return text(f"WITH {_given(self.types, 'given')}, {_done(self.statements)} SELECT {counts}")

    @cached_property
    def _apart(self) -> list[tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]]:
        """Each statement as the driver takes it, and its values of a row, in order.

        Not as SQLAlchemy's: it would sort the values of each row anew, which takes longer than the statement itself.
        """
        return [
            (_GIVEN.sub("?", statement.replace(" FROM given ", " ")), _values(_GIVEN.findall(statement)))
            for statement in self.statements
        ]


class ForThoseThat:
    """Statements for those of many rows that a query picks, all in one: PostgreSQL can commit it without being told to.

    The query reads the rows as ``offered``, and may take locks; what it finds is what the statements call ``given``.
    Of each of these ``answer`` is handed back. Else as ``ForEach``.
    """

    def __init__(self, types: Mapping[str, str], query: str, answer: str, *statements: str) -> None:
        self.types = dict(types)
        missed = " OR ".join(
            f"{_count(number)} <> count(*)" for number, said in enumerate(statements) if said.startswith("UPDATE")
        )
        self._all = text(
            f"WITH {_given(self.types, 'offered')}, given AS MATERIALIZED ({query}), {_done(statements)} "
            f"SELECT array_agg(given.{answer}), 1 / CASE WHEN {missed} THEN 0 ELSE 1 END FROM given"
        )

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run all statements for those rows that the query picks; the answers.

        Raises:
            sqlalchemy.exc.DBAPIError: a row breaks a rule of its table, or an update did not find what it was to
                change (a division by zero). Nothing was done, unless it is the connection that broke.
        """
        if not rows:
            return []
        answers, _ = connection.execute(self._all, _columns(self.types, rows)).one()
        return answers or []


def _values(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


def _given(types: Mapping[str, str], called: str) -> str:
    """The rows of values as a table."""
    arrays = ", ".join(
        f"CAST(:{name} AS {type_}[])" if type_ == _BYTES else f"CAST(CAST(:{name} AS text) AS {type_}[])"
        for name, type_ in types.items()
    )
    return f"{called} AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS {called} ({', '.join(types)}))"


def _done(statements: Sequence[str]) -> str:
    return ", ".join(f"done_{number} AS ({said} RETURNING 1)" for number, said in enumerate(statements))


def _count(number: int) -> str:
    return f"(SELECT count(*) FROM done_{number})"


def _columns(types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: _array(type_, [row[name] for row in rows]) for name, type_ in types.items()}


def _array(type_: str, values: list[Any]) -> Any:
    """A column of values as PostgreSQL reads an array; bytes, which may be long, as the driver sends them."""
    if type_ == _BYTES:
        return values
    if type_ == "text":
        return _texts(values)
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: list[str | None]) -> str:
    joined = ",".join(["NULL" if value is None else f'"{value}"' for value in values])
    if "\\" in joined or joined.count('"') != 2 * (len(values) - values.count(None)):
        joined = ",".join(["NULL" if value is None else _escaped(value) for value in values])
    return "{" + joined + "}"


def _escaped(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'
