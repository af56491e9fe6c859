"""Training scores: equal per seed, valid, and wide."""

from __future__ import annotations

from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.variety import training_score
from loopmeter_engine.score import DRUMS, FAMILIES, MACROS, TONAL_LAYERS


def test_equal_seeds_give_equal_training_scores() -> None:
    assert [training_score(seed) for seed in range(20)] == [training_score(seed) for seed in range(20)]


def test_training_scores_are_valid() -> None:
    for seed in range(300):
        score = training_score(seed)
        assert 40 <= score.tempo_bpm <= 240 and 1 <= score.bars <= 4 and score.layers
        for note in score.notes:
            assert RANGES[note.layer][0] <= note.pitch <= RANGES[note.layer][1]
            assert note.onset_beats >= 0.0 and note.duration_beats > 0.0 and 0.0 < note.velocity <= 1.0
            assert note.onset_beats + note.duration_beats <= score.beats + 1e-6
        for hit in score.hits:
            assert 0.0 <= hit.onset_beats < score.beats and 0.0 < hit.velocity <= 1.0
        for layer in TONAL_LAYERS:
            assert (layer in score.timbres) == any(note.layer == layer for note in score.notes)


def test_training_scores_cover_drums_families_and_macros() -> None:
    scores = [training_score(seed) for seed in range(400)]
    assert {hit.drum for score in scores for hit in score.hits} == set(DRUMS)
    for layer, families in FAMILIES.items():
        timbres = [score.timbres[layer] for score in scores if layer in score.timbres]
        assert {timbre.family for timbre in timbres} == set(families)
        for macro in set(MACROS) - {"level"}:
            values = [getattr(timbre, macro) for timbre in timbres]
            assert min(values) < 0.1 and max(values) > 0.9
    for layer in TONAL_LAYERS:
        pitches = {note.pitch for score in scores for note in score.notes if note.layer == layer}
        low, high = RANGES[layer]
        assert len(pitches) > 0.9 * (high - low)
