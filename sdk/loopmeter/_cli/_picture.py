"""A loop as a line of text."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def waveform(samples: Sequence[float], columns: int) -> str:
    """The loudest sample in each of ``columns`` equal parts, relative to the loudest of all; blank where silent."""
    peaks = [
        max((abs(sample) for sample in samples[start:end]), default=0.0)
        for start, end in (
            (len(samples) * column // columns, len(samples) * (column + 1) // columns) for column in range(columns)
        )
    ]
    loudest = max(peaks, default=0.0)
    if loudest == 0.0:
        return " " * columns
    return "".join(" " if peak == 0 else _BARS[min(7, int(peak / loudest * 8))] for peak in peaks)
