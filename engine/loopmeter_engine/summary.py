"""What a person wants to know of a score, before its sound is there."""

from __future__ import annotations

from loopmeter import LoopRequest
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.score import Score


def summary_of(score: Score, request: LoopRequest) -> dict[str, object]:
    """As plain JSON values."""
    return {
        "tempo_bpm": score.tempo_bpm,
        "bars": score.bars,
        "beats_per_bar": score.beats_per_bar,
        "key": request.key,
        "mode": score.mode,
        "genre": score.genre,
        "mood": score.mood,
        "chords": [{"beat": span.onset_beats, "symbol": span.symbol} for span in score.chords],
        "layers": {layer: score.timbres[layer].family for layer in score.layers},
        "notes": sum(note.layer in score.timbres for note in score.notes),
        "hits": len(score.hits) if "drums" in score.timbres else 0,
        "sections": _section_starts(request),
    }


def _section_starts(request: LoopRequest) -> list[dict[str, object]]:
    assert request.tempo_bpm is not None
    found: list[dict[str, object]] = []
    bar = 0
    for section in request.sections or ():
        start_s = bar * request.beats_per_bar * 60 / request.tempo_bpm
        found.append({"name": section.name, "bar": bar, "bars": section.bars, "frame": round(start_s * SAMPLE_RATE_HZ)})
        bar += section.bars
    return found
