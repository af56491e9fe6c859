"""South of the tropics and back: amapiano, bossa nova, reggaeton."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import CLUB_FILLS, FUNK_FILLS, JAZZ_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

AMAPIANO = Genre(
    name="amapiano",
    tempo_bpm=(108, 112, 116),
    mood="warm",
    modes={"minor": 0.5, "dorian": 0.35, "major": 0.15},
    swing=(0.1, 0.35),
    drums=(
        DrumPattern(
            {
                "kick": "x... x... x... x...",
                "shaker": "oxxo oxxo oxxo oxxo",
                "rim": "...x ..x. ...x ..x.",
                "clap": ".... .... .... x...",
            },
            {"perc": "x..x ..x. ..x. x...", "open_hat": "..o. ..o. ..o. ..o.", "tom_high": ".... ..?. .... .x.x"},
        ),
        DrumPattern(  # No kick on every beat: the log drum leads.
            {
                "kick": "X... .... ..x. ....X... ..x. .... ....",
                "shaker": "xoxo xoxo xoxo xoxo",
                "snare": "...x ..x. ...x ..g....x ..x. ...x .gx.",
            },
            {"perc": "..x. ..x. .x.. x..x", "rim": "x... .... ..x. ...."},
        ),
        DrumPattern(
            {
                "kick": "x... x... x... x...",
                "closed_hat": "..x. ..x. ..x. ..x.",
                "shaker": "oxoo oxoo oxoo oxoo",
                "perc": "x..x ..x. x..x ..x.",
            },
            {"clap": ".... x... .... x...", "tom_low": ".... .... .x.. x..."},
        ),
    ),
    fills=CLUB_FILLS,
    fill_share=0.45,
    bass=(
        "1..1 ..8. .1.5 ..1.",
        "...1 ..1. .5.. 8.1.",
        "1... ..1. 8..5 .1..",
        ".1.1 ..8. ..1. 5..a",
        "1..8 ..1. .1.. ..5a",
    ),
    bass_locks=0.0,
    bass_centre=34,
    chords=(
        "X--- --x- .... ....",
        "..x. .x.. ..x- ....",
        "X-.. ..X- .... x-..",
        "x..x ..x- .... ....",
        "X--- ---- --x- ----",
    ),
    lead=("x.x. .x-- .... ....", "..x- x.x- --.. ....", "x..x ..x- .... x---", ".x.x x-.. .... ...."),
    sounds={
        "drums": (sound("acoustic", brightness=(0.4, 0.6)), sound("tr808", brightness=(0.4, 0.6)), sound("electro")),
        "bass": (
            sound("pluck", length=(0.35, 0.6), drive=(0.1, 0.4)),
            sound("fm", length=(0.4, 0.7), brightness=(0.2, 0.45)),
            sound("sub"),
        ),
        "chords": (
            sound("electric_piano", brightness=(0.4, 0.6)),
            sound("piano", brightness=(0.4, 0.65)),
            sound("organ"),
        ),
        "lead": (
            sound("flute", space=(0.3, 0.5)),
            sound("mallet"),
            sound("saw", brightness=(0.25, 0.45)),
            sound("whistle"),
        ),
        "pad": (sound("warm"), sound("strings", brightness=(0.25, 0.5)), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "pad"),
    chord_sizes={"seventh": 0.45, "ninth": 0.5, "triad": 0.05},
    bars_per_chord=2.0,
    vamp_share=0.35,
    lead_rest=0.45,
    crash=False,
    fx=("sweep", "riser"),
    groove="dance",
    human=0.4,
    density=0.55,
)

BOSSA_NOVA = Genre(
    name="bossa_nova",
    tempo_bpm=(112, 130, 148),
    mood="calm",
    modes={"major": 0.65, "minor": 0.35},
    drums=(
        DrumPattern(  # The clave on the rim, over two bars; the kick as a surdo.
            {
                "kick": "X... ..o. X... ..o.",
                "rim": "x... ..x. .... x....... x... ..x. ....",
                "closed_hat": "x.o. x.o. x.o. x.o.",
            },
            {"shaker": "o.o. o.o. o.o. o.o.", "perc": ".... ..?. .... ..?."},
        ),
        DrumPattern(
            {
                "kick": "X... ..o. X... ..o.",
                "rim": ".... x... ..x. ....x... ..x. .... x...",
                "shaker": "x.ox x.ox x.ox x.ox",
            },
            {"closed_hat": "..o. ..o. ..o. ..o."},
        ),
        DrumPattern(
            {"kick": "x... ..o. x... ..o.", "ride": "x.o. x.o. x.o. x.o.", "rim": "x..x ..x. ..x. .x.."},
            {"closed_hat": ".... o... .... o...", "shaker": "o.o. o.o. o.o. o.o."},
        ),
    ),
    fills=JAZZ_FILLS,
    fill_share=0.25,
    bass=("1--- --5- 5--- --1-", "1--- --5- l--- --a-", "1--- --1- 5--- --a-", "1--- --5- 8--- --5-"),
    bass_locks=0.0,
    bass_centre=35,
    chords=("X--. x--. ..x- ..x-", "X-.. ..x- ..x- ..x-", "..x- ..x- x--- ..x-", "X--- ..x- --x- --x-"),
    lead=(
        "x--- ..x- x-x- x---",
        "..x- x--x --x- ----",
        "x-x- --x- --.. ....",
        "..x- --x- x--- --x-",
        "x--- --x- x--- ....",
    ),
    sounds={
        "drums": (sound("acoustic", brightness=(0.3, 0.5), softness=(0.2, 0.4), drive=(0.0, 0.1)),),
        "bass": (sound("finger", brightness=(0.25, 0.45), length=(0.5, 0.75)), sound("pluck", brightness=(0.2, 0.35))),
        "chords": (
            sound("guitar", drive=(0.0, 0.08), length=(0.35, 0.6)),
            sound("electric_piano"),
            sound("piano", brightness=(0.35, 0.55)),
        ),
        "lead": (sound("flute"), sound("whistle", brightness=(0.2, 0.4)), sound("mallet")),
        "pad": (sound("strings", brightness=(0.25, 0.45)), sound("warm")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"seventh": 0.5, "ninth": 0.35, "sixth": 0.15},
    lead_rest=0.3,
    crash=False,
    groove="jazz",
    human=0.5,
    density=0.45,
)

REGGAETON = Genre(
    name="reggaeton",
    tempo_bpm=(86, 94, 104),
    mood="energetic",
    modes={"minor": 0.8, "major": 0.2},
    drums=(
        DrumPattern(  # Dembow.
            {"kick": "X... X... X... X...", "snare": "...x ..x. ...x ..x.", "closed_hat": "x.o. x.o. x.o. x.o."},
            {"perc": "x..x ..x. x..x ..x.", "shaker": "xoxo xoxo xoxo xoxo"},
        ),
        DrumPattern(
            {
                "kick": "X... X... X... X...",
                "rim": "...x ..x. ...x ..x.",
                "clap": "...x ..x. ...x ..x.",
                "shaker": "oxox oxox oxox oxox",
            },
            {"open_hat": ".... ..o. .... ..o.", "tom_high": ".... .... .... ..?x"},
        ),
        DrumPattern(
            {
                "kick": "X..x X... X..x X...",
                "snare": "...X ..X. ...X ..X....X ..X. ...X .gXg",
                "closed_hat": "xoxo xoxo xoxo xorr",
            },
            {"perc": "..x. .... ..x. ....", "tom_low": ".... .... .... x..."},
        ),
    ),
    fills=FUNK_FILLS,
    fill_share=0.45,
    bass=("1--1 --1- 1--1 --a-", "1-.1 --1. 1-.1 --8.", "1--- 1-1- --1- 1-a-", "1..1 ..1. 1..1 ..5a"),
    bass_locks=0.3,
    bass_centre=33,
    chords=(
        "x..x ..x. x..x ..x.",
        "X--- ---- X--- ----",
        "1.2. 3.2. 1.2. 3.4.",
        "..x. ..x. ..x. ..x.",
        "X--x --x- --x- ----",
    ),
    lead=("x..x ..x. x-x- ....", "x.x. x-.x .x-- ....", "x--x --x- x--x --x-", "..x- x.x- x..x --.."),
    sounds={
        "drums": (sound("electro", drive=(0.2, 0.5)), sound("tr808", brightness=(0.45, 0.7)), sound("trap")),
        "bass": (sound("sub", drive=(0.2, 0.5)), sound("pluck"), sound("fm", brightness=(0.2, 0.45))),
        "chords": (sound("pluck"), sound("guitar", length=(0.15, 0.4)), sound("saw_stab"), sound("piano")),
        "lead": (sound("mallet"), sound("saw", brightness=(0.3, 0.5)), sound("bell"), sound("flute")),
        "pad": (sound("warm"), sound("supersaw", brightness=(0.25, 0.45)), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"triad": 0.85, "seventh": 0.15},
    lead_rest=0.3,
    fx=("riser", "impact"),
    groove="pop",
    human=0.15,
    density=0.55,
)

TROPICS = (AMAPIANO, BOSSA_NOVA, REGGAETON)
