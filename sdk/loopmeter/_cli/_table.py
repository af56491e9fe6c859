"""Tables as a terminal, a pipe and a narrow window need them: nothing in them is ever cut."""

from __future__ import annotations

import os

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDTH_MAX = 10_000  # Wider than any table; rich asks for some width.


def print_table(table: Table) -> None:
    """Print it as wide as it is: a pipe has no width.

    On a terminal that is narrower, columns stand closer and those that may wrap do; ids and numbers never
    (``no_wrap``, or justified to the right). Where even that is too wide, the terminal breaks the lines itself.
    """
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.justify == "right"
        column.overflow = "fold"
    console = Console()
    # Somebody who sets COLUMNS has a width in mind, for a pipe too.
    limit = console.width if console.is_terminal or "COLUMNS" in os.environ else _WIDTH_MAX
    if _measured(console, table).maximum > limit:
        table.collapse_padding, table.pad_edge = True, False
    Console(width=max(limit, _measured(console, table).minimum)).print(table)


def _measured(console: Console, table: Table) -> Measurement:
    return Measurement.get(console, console.options.update(width=_WIDTH_MAX), table)
