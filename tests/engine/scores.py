"""A small score for tests of the networks."""

from loopmeter_engine.score import FxEvent, Hit, Note, Score, Timbre

SCORE = Score(
    tempo_bpm=93.7,
    beats_per_bar=4,
    bars=1,
    tonic=9,
    mode="minor",
    genre="lofi",
    mood="calm",
    swing=0.0,
    chords=(),
    notes=(
        Note("bass", 0.0, 2.0, 36, 0.8),
        Note("bass", 2.5, 1.75, 43, 0.7),
        Note("chords", 2.0, 3.0, 60, 0.5),
        Note("chords", 2.0, 3.0, 64, 0.5),
    ),
    hits=(Hit("kick", 0.0, 1.0), Hit("snare", 1.013, 0.8), Hit("kick", 2.5, 0.9), Hit("snare", 3.0, 0.8)),
    fx=(FxEvent("riser", 2.0, 2.0, 0.5),),
    timbres={"drums": Timbre("lofi"), "bass": Timbre("sub"), "chords": Timbre("piano"), "fx": Timbre("texture")},
)
