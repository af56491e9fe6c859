"""Played by hand: funk, jazz, rock, afrobeat, pop."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import BAND_FILLS, FUNK_FILLS, JAZZ_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

FUNK = Genre(
    name="funk",
    tempo_bpm=(92, 104, 116),
    mood="energetic",
    modes={"dorian": 0.4, "mixolydian": 0.25, "minor": 0.25, "major": 0.1},
    swing=(0.05, 0.35),
    drums=(
        DrumPattern(
            {"kick": "X.x. ..x. ..x. ..+.", "snare": ".... X..g .g.. X..g", "closed_hat": "xoxo xoxo xoxo xoxo"},
            {"open_hat": ".... .... .... ..x.", "perc": "..?. ..x. ..?. x..."},
        ),
        DrumPattern(
            {
                "kick": "X..x .... ..x. .x..X..x ..x. .... ..x.",
                "snare": ".g.. X..g .g.g X..g.g.. X..g .gX. ..X.",
                "closed_hat": "x.xo x.xo x.xo x.xo",
            },
            {"open_hat": "...o .... .... ....", "shaker": "oxoo oxoo oxoo oxoo"},
        ),
        DrumPattern(
            {"kick": "X.x. ...x ..xx ....", "snare": ".... X..g .g.g X...", "ride": "x.x. x.x. x.x. x.x."},
            {"closed_hat": "..g. ..g. ..g. ..g.", "perc": "x..x ..x. ..x. x..."},
        ),
    ),
    fills=FUNK_FILLS,
    bass=(
        "1..1 ..8. .17. 1.5a",
        "1... ..81 ..7. 8.5a",
        "1.11 ..5. 7.8. ..a.",
        "1--. .81. .7.5 ..1a",
        "1.8. 1..7 ..81 .5.a",
    ),
    bass_locks=0.35,
    chords=(
        "...x ..x. ...x ..x.",
        "x..o .o.x ..o. x.o.",
        ".... X... .x.. X...",
        "o.xo .ox. o.xo .ox.",
        "..X. .x.. ...X ....",
    ),
    lead=(
        "x.x. xx-. ..x. x-..",
        "..xx .x-. .... ....",
        "x.xx ..x- .... ....",
        "...x x.x- --.. ....",
        "xx.x .xx. x--- ....",
    ),
    sounds={
        "drums": (sound("acoustic", brightness=(0.45, 0.7), space=(0.05, 0.2)),),
        "bass": (sound("finger", brightness=(0.45, 0.75)), sound("pluck"), sound("acid", brightness=(0.2, 0.4))),
        "chords": (sound("guitar", length=(0.05, 0.3)), sound("electric_piano", drive=(0.2, 0.5)), sound("organ")),
        "lead": (sound("saw", brightness=(0.5, 0.7)), sound("square"), sound("flute")),
        "pad": (sound("strings"), sound("warm")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"seventh": 0.5, "ninth": 0.5},
    vamp_share=0.55,
    bars_per_chord=1.0,
    lead_rest=0.4,
    groove="funk",
    human=0.9,
    density=0.6,
)

JAZZ = Genre(
    name="jazz",
    tempo_bpm=(96, 124, 190),
    mood="warm",
    modes={"major": 0.5, "dorian": 0.25, "minor": 0.25},
    swing=(0.75, 1.0),
    swing_beats=0.5,
    drums=(
        DrumPattern(
            {
                "ride": "X... x.o. X... x.o.",
                "closed_hat": ".... x... .... x...",
                "kick": "o... o... o... o...",
                "snare": "..?. .... ..g. ..?.",
            },
            {"rim": ".... .... .... x...", "crash": ".... .... .... ...."},
        ),
        DrumPattern(
            {
                "ride": "X... x.o. X... x.o.X.o. x... X.o. x.o.",
                "closed_hat": ".... x... .... x...",
                "snare": ".... ..g. .... ?.....g. .... ..+. ..g.",
                "kick": "g... ..?. g... ....g... .... ..+. ....",
            },
            {"tom_low": ".... .... .... ..?."},
        ),
        DrumPattern(  # Brushes: the hand that sweeps, the hand that taps.
            {
                "shaker": "x.o. X.o. x.o. X.o.",
                "closed_hat": ".... x... .... x...",
                "kick": "o... ..?. o... ....",
                "rim": ".... .... .... x...",
            },
            {"snare": "..?. ..g. ..?. ..g."},
        ),
    ),
    fills=JAZZ_FILLS,
    fill_share=0.4,
    bass=(
        "1--- 3--- 5--- a---",
        "1--- 5--- 3--- a---",
        "1--- 3--- 5--. 7-a-",
        "1--- 7--- 5--- a---",
        "1-1- 3--- 5--- a---",
    ),
    bass_locks=0.0,
    chords=(
        "X--. ..x- ---- ....",
        "..x- .... ..x- ....",
        ".... ..X- ---- ....",
        "x--- ..x- .... x---",
        "..x. .... x--- ..x.",
    ),
    lead=(
        "x-x- x-x- x-x- ..x-",
        "..x- x-x- x--- ....",
        "x--- ..x- x-x- x---",
        "..x- --x- x-x- --..",
        "x-x- x--. ..x- x---",
    ),
    sounds={
        "drums": (sound("acoustic", brightness=(0.3, 0.55), softness=(0.2, 0.4), drive=(0.0, 0.1)),),
        "bass": (sound("finger", brightness=(0.3, 0.55), length=(0.5, 0.8)), sound("pluck", brightness=(0.2, 0.4))),
        "chords": (sound("piano", brightness=(0.35, 0.6)), sound("electric_piano"), sound("guitar"), sound("organ")),
        "lead": (sound("flute"), sound("mallet"), sound("whistle", brightness=(0.2, 0.4))),
        "pad": (sound("strings", brightness=(0.2, 0.45)), sound("warm")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"seventh": 0.55, "ninth": 0.35, "sixth": 0.1},
    lead_rest=0.25,
    crash=False,
    groove="jazz",
    human=0.9,
    density=0.5,
)

ROCK = Genre(
    name="rock",
    tempo_bpm=(96, 120, 152),
    mood="energetic",
    modes={"minor": 0.4, "major": 0.3, "mixolydian": 0.3},
    drums=(
        DrumPattern(
            {"kick": "X... .... X.x. ....", "snare": ".... X... .... X...", "closed_hat": "X.x. X.x. X.x. X.x."},
            {"open_hat": ".... .... .... ..x.", "perc": "x... x... x... x..."},
        ),
        DrumPattern(
            {
                "kick": "X..x ..x. .x.. ..x.X..x ..x. X.x. ....",
                "snare": ".... X... .... X....... X... .... X..g",
                "ride": "X.x. X.x. X.x. X.x.",
            },
            {"crash": "x... .... .... ...."},
        ),
        DrumPattern(
            {"kick": "X... ..x. X.x. ....", "snare": ".... X... .... X.?.", "open_hat": "x... x... x... x..."},
            {"tom_low": ".... .... ..?. ..?."},
        ),
    ),
    fills=BAND_FILLS,
    fill_share=0.7,
    bass=(
        "1.1. 1.1. 1.1. 1.1.",
        "1--- 1-1- --1- 1-a-",
        "1.1. 1.1. 1.5. 1.a.",
        "1--1 --1- 1-1- 5-a-",
        "1-1- 1-8- 1-1- 5-a-",
    ),
    bass_locks=0.3,
    bass_centre=33,
    chords=(
        "X--- ---- X-X- ----",
        "x.x. x.x. x.x. x.x.",
        "X--x --x- X--- ----",
        "X--- ---- ---- ----",
        "X-xx .xx. X-xx .xx.",
    ),
    lead=("x--- x-x- x--- ----", "x-x- x-x- x--- ....", "x--x --x- x-x- x---", "..x- x-x- --x- x---"),
    sounds={
        "drums": (sound("acoustic", brightness=(0.5, 0.75), drive=(0.15, 0.4)),),
        "bass": (sound("finger", drive=(0.2, 0.5)), sound("pluck", drive=(0.2, 0.5))),
        "chords": (sound("guitar", drive=(0.4, 0.9)), sound("organ", drive=(0.2, 0.6)), sound("piano")),
        "lead": (sound("saw", drive=(0.4, 0.8)), sound("square", drive=(0.3, 0.6))),
        "pad": (sound("strings"), sound("warm")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"power": 0.5, "triad": 0.4, "sus2": 0.05, "sus4": 0.05},
    lead_rest=0.3,
    pad_style="close",
    fx=("impact",),
    groove="rock",
    human=0.8,
    density=0.5,
)

AFROBEAT = Genre(
    name="afrobeat",
    tempo_bpm=(98, 108, 120),
    mood="happy",
    modes={"minor": 0.35, "dorian": 0.3, "major": 0.25, "mixolydian": 0.1},
    swing=(0.1, 0.4),
    drums=(
        DrumPattern(
            {
                "kick": "X... ..x. ..x. ....",
                "rim": "...x ..x. ...x ..x.",
                "shaker": "xoxo xoxo xoxo xoxo",
                "closed_hat": "..x. ..x. ..x. ..x.",
            },
            {"perc": "x..x ..x. ..x. x...", "tom_high": ".... ..?. .... .x.x"},
        ),
        DrumPattern(
            {
                "kick": "X..x .... X..x ....X..x ..x. X..x ....",
                "snare": "...x ..x. ...x ..g....x ..x. ...x .gx.",
                "closed_hat": "x.xo x.xo x.xo x.xo",
                "perc": "x..x ..x. ..x. x...",
            },
            {"open_hat": ".... ..x. .... ..x.", "tom_low": ".... .... .x.x ...."},
        ),
        DrumPattern(
            {
                "kick": "X... x... X... x...",
                "rim": "x..x ..x. ..x. x...",
                "shaker": "oxoo oxoo oxoo oxoo",
                "perc": "..x. .x.. ..x. .x.x",
            },
            {"snare": ".... .... ...x ..x.", "tom_high": "...? .... ...? ..?."},
        ),
    ),
    fills=FUNK_FILLS,
    fill_share=0.45,
    bass=("1..1 ..5. ..1. 7.a.", "1-.. 1.3. ..5- ..a.", ".1.1 ..1- .5.7 ..8.", "1..5 ..8. ..7. 5.3."),
    bass_locks=0.3,
    chords=("..x. .x.. ..x. .x..", ".1.2 .3.2 .1.2 .4.3", "x..x ..x. ..x. x...", "..xo ..x. ..xo .x.."),
    lead=("x.x. .x.x -... ....", "..x. x.xx .x-- ....", "x..x ..x. x-.. ....", "xx.x .x.. xx.x .x--"),
    sounds={
        "drums": (sound("acoustic"), sound("tr808", brightness=(0.4, 0.6)), sound("electro")),
        "bass": (sound("finger"), sound("fm"), sound("pluck")),
        "chords": (sound("guitar", length=(0.1, 0.35)), sound("pluck"), sound("electric_piano"), sound("organ")),
        "lead": (sound("mallet"), sound("saw", brightness=(0.3, 0.5)), sound("flute"), sound("bell")),
        "pad": (sound("warm"), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"triad": 0.4, "seventh": 0.45, "ninth": 0.15},
    vamp_share=0.4,
    lead_rest=0.35,
    crash=False,
    groove="afrobeat",
    human=0.75,
    density=0.6,
)

POP = Genre(
    name="pop",
    tempo_bpm=(90, 112, 128),
    mood="happy",
    modes={"major": 0.65, "minor": 0.35},
    drums=(
        DrumPattern(
            {"kick": "X... ..x. ..x. ....", "snare": ".... X... .... X...", "closed_hat": "x.o. x.o. x.o. x.o."},
            {"clap": ".... x... .... x...", "shaker": "o.oo o.oo o.oo o.oo", "open_hat": ".... .... .... ..o."},
        ),
        DrumPattern(
            {"kick": "X... X... X... X...", "clap": ".... X... .... X...", "closed_hat": "..x. ..x. ..x. ..x."},
            {"shaker": "xoxo xoxo xoxo xoxo", "perc": "...? ..x. ...? .x.."},
        ),
        DrumPattern(
            {
                "kick": "X..x .... ..x. ....X..x ..x. ..x. ....",
                "snare": ".... X... .... X....... X... .... X..?",
                "closed_hat": "x.xo x.xo x.xo x.xo",
            },
            {"open_hat": "..o. .... ..o. ....", "rim": "...? ..?. .... ...?"},
        ),
    ),
    fills=BAND_FILLS,
    bass=("1--- ..1- ..1- ..a-", "1.1. 1.1. 1.1. 1.a.", "1--- ---- 5--- --a-", "1-.1 --1- 8-.. 5-a-"),
    bass_locks=0.45,
    chords=(
        "X--- ---- X--- ----",
        "x.x. x.x. x.x. x.x.",
        "X--x --x- --x- x---",
        "1-2- 3-2- 4-3- 2-3-",
        "X--- --X- ---- X---",
    ),
    lead=(
        "x-x- x--- x-x- ....",
        "x--x --x- x--- ....",
        "..x- x-x- x-x- x---",
        "x-x- --x- x--- ----",
        "x.xx .x-- x-x- ....",
    ),
    sounds={
        "drums": (sound("acoustic"), sound("tr909"), sound("electro", brightness=(0.3, 0.5))),
        "bass": (sound("finger"), sound("sub"), sound("pluck"), sound("fm", brightness=(0.2, 0.4))),
        "chords": (sound("piano", brightness=(0.45, 0.7)), sound("guitar"), sound("pluck"), sound("electric_piano")),
        "lead": (
            sound("saw", brightness=(0.4, 0.6)),
            sound("bell"),
            sound("whistle"),
            sound("square"),
            sound("mallet"),
        ),
        "pad": (sound("warm"), sound("strings"), sound("supersaw", brightness=(0.3, 0.5))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead", "pad"),
    chord_sizes={"triad": 0.7, "add9": 0.2, "sus4": 0.05, "seventh": 0.05},
    lead_rest=0.3,
    fx=("riser", "sweep"),
    groove="pop",
    human=0.5,
    density=0.5,
)

BAND = (FUNK, JAZZ, ROCK, AFROBEAT, POP)
