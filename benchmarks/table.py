"""Rows of figures as text, for the screen and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with two spaces between."""
    cells = [_shown(header), *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [_shown(header), ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _shown(header: Sequence[str]) -> list[str]:
    """The first column speaks for itself."""
    return ["", *header[1:]]
