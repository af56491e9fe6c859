"""The same few statements for many rows of values, on either store. A unit of work inside a transaction.

PostgreSQL gets all of it as one statement, with the values as one array per column: a row then costs the server less
than half of what it does as a statement of its own, and the network is waited for once. The arrays are written as text,
which costs less here than the driver's own encoding of them, and no more there. SQLite has neither network nor server,
and is as quick with one statement after another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, TextClause, text

_BYTES = "bytea"


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
            columns = {name: _array(type_, [row[name] for row in rows]) for name, type_ in self.types.items()}
            found = list(connection.execute(self._together, columns).one())
        else:
            found = [connection.execute(statement, rows).rowcount for statement in self._apart]
        updated = [count for count, said in zip(found, self.statements, strict=True) if said.startswith("UPDATE")]
        assert set(updated) <= {len(rows)}, f"expected {len(rows)} rows to change in each table, found {updated}"

    @cached_property
    def _together(self) -> TextClause:
        arrays = ", ".join(
            f"CAST(:{name} AS {type_}[])" if type_ == _BYTES else f"CAST(CAST(:{name} AS text) AS {type_}[])"
            for name, type_ in self.types.items()
        )
        parts = [f"given AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS given ({', '.join(self.types)}))"]
        parts += [f"done_{number} AS ({said} RETURNING 1)" for number, said in enumerate(self.statements)]
        counts = ", ".join(f"(SELECT count(*) FROM done_{number})" for number in range(len(self.statements)))
        return text(f"WITH {', '.join(parts)} SELECT {counts}")

    @cached_property
    def _apart(self) -> list[TextClause]:
        return [
            text(re.sub(r"\bgiven\.(\w+)", r":\1", statement.replace(" FROM given ", " ")))
            for statement in self.statements
        ]


def _array(type_: str, values: list[Any]) -> Any:
    """A column of values as PostgreSQL reads an array; bytes, which may be long, as the driver sends them."""
    if type_ == _BYTES:
        return values
    said = _quoted if type_ == "text" else str
    return "{" + ",".join(["NULL" if value is None else said(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'
