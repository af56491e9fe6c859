"""The gain plan: how much each family is turned up so that all sound alike, and where each layer sits in the mix."""

from __future__ import annotations

from loopmeter import Layer

# Loudness (dB, as ``calibrate.loudness`` measures it) of every family before saturation, on its reference phrase.
FAMILY_LOUDNESS: dict[Layer, float] = {
    "drums": -13.0, "bass": -17.0, "chords": -17.0, "lead": -17.0, "pad": -17.0, "fx": -17.0,
}  # fmt: skip

# Made by ``python -m loopmeter_engine.training.synth.calibrate``; run it again after a change to a family.
FAMILY_GAIN: dict[tuple[Layer, str], float] = {
    ("drums", "acoustic"): 0.7215,
    ("drums", "tr808"): 0.5776,
    ("drums", "tr909"): 0.8815,
    ("drums", "lofi"): 0.5088,
    ("drums", "electro"): 0.714,
    ("drums", "trap"): 0.5209,
    ("bass", "sub"): 0.218,
    ("bass", "reese"): 0.1884,
    ("bass", "acid"): 0.172,
    ("bass", "fm"): 0.1742,
    ("bass", "finger"): 0.1344,
    ("bass", "pluck"): 0.1896,
    ("chords", "electric_piano"): 0.132,
    ("chords", "piano"): 0.1149,
    ("chords", "organ"): 0.0764,
    ("chords", "saw_stab"): 0.0998,
    ("chords", "pluck"): 0.0807,
    ("chords", "guitar"): 0.0927,
    ("lead", "square"): 0.1953,
    ("lead", "saw"): 0.1967,
    ("lead", "bell"): 0.1641,
    ("lead", "mallet"): 0.2895,
    ("lead", "flute"): 0.1791,
    ("lead", "whistle"): 0.1882,
    ("pad", "warm"): 0.0788,
    ("pad", "supersaw"): 0.0668,
    ("pad", "strings"): 0.1148,
    ("pad", "choir"): 0.2167,
    ("pad", "glass"): 0.081,
    ("fx", "texture"): 0.4935,
}

# The place of each layer in the mix: at the levels that a planner gives, a full loop peaks near -3 dBFS.
LAYER_GAIN: dict[Layer, float] = {"drums": 0.76, "bass": 0.88, "chords": 0.78, "lead": 0.72, "pad": 0.7, "fx": 0.55}
