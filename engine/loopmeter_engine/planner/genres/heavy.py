"""Loud and low: metal."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import BAND_FILLS
from loopmeter_engine.planner.genres.model import DrumFill, DrumPattern, Genre, sound

_FILLS = (
    *BAND_FILLS,
    DrumFill({"snare": "xxxx ....", "tom_high": ".... xx..", "tom_low": ".... ..xx", "kick": "x.x. x.x."}),
    DrumFill({"kick": "xxxx xxxx", "snare": "X..X ..X.", "crash": "x... ...."}),
)

METAL = Genre(
    name="metal",
    tempo_bpm=(110, 148, 200),
    mood="aggressive",
    modes={"phrygian": 0.4, "minor": 0.6},
    drums=(
        DrumPattern(  # Double bass drum under the backbeat.
            {"kick": "xxxx x.xx xxxx x.xx", "snare": ".... X... .... X...", "ride": "x.x. x.x. x.x. x.x."},
            {"crash": "x... .... .... ....", "tom_low": ".... .... .... ..?."},
        ),
        DrumPattern(  # Gallop.
            {
                "kick": "X.xx x.xx X.xx x.xx",
                "snare": ".... X... .... X....... X... .... X.xx",
                "closed_hat": "x.x. x.x. x.x. x.x.",
            },
            {"crash": "x... .... .... ....", "open_hat": ".... .... .... x..."},
        ),
        DrumPattern(  # Half time, for what the guitars break down to.
            {
                "kick": "X..x ..xx ...x ....X..x .xx. ..x. x.x.",
                "snare": ".... .... X... ....",
                "open_hat": "X... X... X... X...",
            },
            {"crash": "x... .... x... ....", "tom_low": ".... .... .... .x.x"},
        ),
    ),
    fills=_FILLS,
    fill_share=0.75,
    bass=("1.11 1.11 1.11 1.1a", "1111 1111 1111 11a.", "1--1 --1- 1-11 5-a-", "1..1 ..11 ...1 ..a."),
    bass_locks=0.6,
    bass_centre=29,
    chords=(
        "X.xx x.xx X.xx x.xx",
        "xxxx xxxx X--- ----",
        "X--x --x- X--x --x-",
        "X..x ..xx ...x ....",
        "X--- ---- X-X- X---",
    ),
    lead=("x-x- x-x- x--- ----", "xxxx xxxx x--- ....", "x--x --x- x-x- x---", "x-xx x-xx x--- --x-"),
    sounds={
        "drums": (sound("acoustic", brightness=(0.55, 0.8), drive=(0.25, 0.5)),),
        "bass": (sound("finger", drive=(0.4, 0.8)), sound("pluck", drive=(0.4, 0.8))),
        "chords": (sound("guitar", drive=(0.75, 1.0), length=(0.2, 0.5)), sound("saw_stab", drive=(0.6, 0.9))),
        "lead": (sound("saw", drive=(0.6, 0.9)), sound("square", drive=(0.5, 0.8))),
        "pad": (sound("choir"), sound("strings", brightness=(0.35, 0.6))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"power": 0.85, "triad": 0.15},
    chord_centre=54,
    lead_rest=0.35,
    pad_style="close",
    fx=("impact",),
    groove="rock",
    human=0.5,
    density=0.6,
)

HEAVY = (METAL,)
