"""The prices of a list of loops before any is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from loopmeter._models import LoopRequest, Quote

_PROMPT_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True)
class PreviewItem:
    """One request and its quote, which ``loops.create`` takes as ``quote`` within the quote's validity."""

    request: LoopRequest
    quote: Quote

    @property
    def tokens(self) -> int:
        return self.quote.tokens

    @property
    def duration_s(self) -> float:
        return self.quote.frames / self.quote.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Preview(Sequence[PreviewItem]):
    """Items in the order that they were asked for, with totals. ``print(preview)`` shows a table.

    for item in client.preview(["calm pads", "battle drums"], bars=8):
        client.loops.create(item.request, quote=item.quote)
    """

    items: tuple[PreviewItem, ...]

    @property
    def tokens(self) -> int:
        """What all of them cost."""
        return sum(item.tokens for item in self.items)

    @property
    def duration_s(self) -> float:
        """How long all of them play."""
        return sum(item.duration_s for item in self.items)

    @property
    def frames(self) -> int:
        return sum(item.quote.frames for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[PreviewItem]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> PreviewItem: ...
    @overload
    def __getitem__(self, index: slice) -> Preview: ...
    def __getitem__(self, index: int | slice) -> PreviewItem | Preview:
        return self.items[index] if isinstance(index, int) else Preview(self.items[index])

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table without its head: prompt, quality, seconds, tokens; the last row has the totals."""
        rows = [
            (_short(item.request.prompt), item.request.quality, f"{item.duration_s:.3f}", str(item.tokens))
            for item in self.items
        ]
        return [*rows, (f"{len(self.items)} in all", "", f"{self.duration_s:.3f}", str(self.tokens))]

    def __str__(self) -> str:
        rows = [("prompt", "quality", "seconds", "tokens"), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
            for row in rows
        )


def _short(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= _PROMPT_CHARACTERS_MAX else line[: _PROMPT_CHARACTERS_MAX - 1] + "…"
