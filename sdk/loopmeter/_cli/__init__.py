"""The program ``loopmeter``. Its commands need the extra ``[cli]``; the library never imports this package.

``_commands.py`` speaks to a gateway, ``_operator.py`` runs one, ``_admin.py``, ``_keys.py`` and ``_reports.py`` keep
its customers and books, ``_program.py`` puts them together.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program and exit; the exit codes stand in ``_program.py``."""
    try:
        from loopmeter._cli._program import program
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        sys.exit(f"loopmeter: the command line needs {package}; install it with: pip install 'loopmeter[cli]'")
    program()
