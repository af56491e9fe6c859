"""Bass music: drum and bass, garage, dubstep, reggae and dub."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import BREAK_FILLS, CLUB_FILLS, REGGAE_FILLS, TRAP_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

DRUM_AND_BASS = Genre(
    name="drum_and_bass",
    tempo_bpm=(168, 174, 180),
    mood="energetic",
    modes={"minor": 0.8, "dorian": 0.1, "phrygian": 0.1},
    drums=(
        DrumPattern(  # The two-step.
            {"kick": "X... .... ..x. ....", "snare": ".... X... .... X...", "closed_hat": "x.x. x.x. x.x. x.x."},
            {"ride": "x... x... x... x...", "snare": ".... ...g .g.. ...?", "shaker": ".o.o .o.o .o.o .o.o"},
        ),
        DrumPattern(  # After the well-known break, in its accents.
            {
                "kick": "X.x. .... ..xx ....X.x. .... ..x. ....",
                "snare": ".... X..g .g.. X..g.... X..g .g.. ..X.",
                "ride": "x.x. x.x. x.x. x.x.x.x. x.x. x.x. x.x.",
            },
            {"closed_hat": ".g.g .g.g .g.g .g.g", "crash": ".... .... .... ...."},
        ),
        DrumPattern(
            {
                "kick": "X... .... .x.. ..x.X... ..x. ..x. ....",
                "snare": ".... X... .... X....... X..? .... X...",
                "closed_hat": "xoxo xoxo xoxo xoxo",
            },
            {"open_hat": "..o. .... ..o. ....", "perc": "...? .... ...? .?.."},
        ),
    ),
    fills=BREAK_FILLS,
    bass=(
        "1--- ---- --1- ----",
        "1-1- ..5- --1- .8..",
        "1--- ---1 --8- --5-",
        "1--. 1.1. ..1- --a-",
        "1--- ---- 7--- ----",
    ),
    bass_locks=0.3,
    bass_centre=33,
    chords=(
        "X--- ---- ---- ----",
        "X--- --.. ..x- ----",
        "...x ..x. .... ....",
        "X-.. ..x- .... ....",
        "1.3. 2.4. 1.3. 2.4.",
    ),
    lead=("x--- --x- ---- ....", "x.x. ..x- --.. ....", "..x- x--- ---- ....", "x-x- --x- x--- ----"),
    sounds={
        "drums": (sound("acoustic", brightness=(0.55, 0.8), drive=(0.3, 0.6)), sound("electro"), sound("tr909")),
        "bass": (sound("reese", brightness=(0.3, 0.6)), sound("sub", length=(0.6, 0.9)), sound("fm", drive=(0.3, 0.7))),
        "chords": (sound("electric_piano", space=(0.3, 0.6)), sound("saw_stab"), sound("pluck"), sound("piano")),
        "lead": (sound("saw", space=(0.3, 0.5)), sound("bell"), sound("flute", space=(0.3, 0.5))),
        "pad": (sound("warm", space=(0.4, 0.7)), sound("strings"), sound("glass"), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "pad"),
    chord_sizes={"triad": 0.35, "seventh": 0.35, "ninth": 0.3},
    bars_per_chord=2.0,
    vamp_share=0.3,
    lead_rest=0.35,
    fx=("riser", "sweep", "impact"),
    groove="funk",
    human=0.25,
    density=0.55,
)

UK_GARAGE = Genre(
    name="uk_garage",
    tempo_bpm=(128, 132, 138),
    mood="warm",
    modes={"minor": 0.65, "dorian": 0.25, "major": 0.1},
    swing=(0.5, 0.8),
    drums=(
        DrumPattern(  # Two-step: no kick on three.
            {"kick": "X... .... ..x. .+..", "snare": ".... X... .... X...", "closed_hat": "..x. .xx. ..x. .xx."},
            {"rim": ".... ..x. .x.. ...x", "shaker": "o.xo o.xo o.xo o.xo", "open_hat": "..o. .... ..o. ...."},
        ),
        DrumPattern(
            {
                "kick": "X..x .... ..x. ....X... ...x .... ..x.",
                "clap": ".... X... .... X....... X... .... X..g",
                "closed_hat": "x.xx ..x. x.xx ..x.",
                "rim": "...x ..x. ...x .......x .... .x.. ..x.",
            },
            {"open_hat": "..x. ..x. ..x. ..x.", "perc": ".... ...? ..?. ...."},
        ),
        DrumPattern(
            {
                "kick": "X... X... X... X...",
                "snare": ".... X..g .... X.g.",
                "open_hat": "..x. ..x. ..x. ..x.",
                "rim": "...x ..x. ...x ....",
            },
            {"closed_hat": "x..x x..x x..x x..x"},
        ),
    ),
    fills=CLUB_FILLS,
    bass=("1--- ..1- .1.. 8...", "1-.1 ..8- .... 5-a.", "1.1. ...7 .1.. ..8.", "..1- -.1. .8.. 1-a."),
    bass_locks=0.35,
    bass_centre=34,
    chords=("X..x ..x. ...x ....", "..x. ...x ..x. ....", "X-.. ..x. .x.. ....", "x..x ..x. .x.. x..."),
    lead=("x.x. .x-- .... ....", "..xx .x.. x-.. ....", "x..x ..x- --.. ....", ".x.x x-.. .x.x x-.."),
    sounds={
        "drums": (sound("tr909", brightness=(0.5, 0.7)), sound("acoustic", brightness=(0.5, 0.7)), sound("electro")),
        "bass": (sound("sub", drive=(0.1, 0.4)), sound("fm"), sound("reese")),
        "chords": (sound("organ", length=(0.15, 0.4)), sound("electric_piano"), sound("saw_stab"), sound("pluck")),
        "lead": (sound("bell"), sound("square"), sound("mallet"), sound("whistle")),
        "pad": (sound("warm"), sound("strings")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"seventh": 0.5, "ninth": 0.4, "triad": 0.1},
    vamp_share=0.25,
    lead_rest=0.4,
    fx=("sweep", "riser"),
    groove="dance",
    human=0.2,
    density=0.5,
)

DUBSTEP = Genre(
    name="dubstep",
    tempo_bpm=(138, 140, 146),
    mood="dark",
    modes={"minor": 0.6, "phrygian": 0.4},
    swing=(0.0, 0.3),
    drums=(
        DrumPattern(  # Half time.
            {"kick": "X... .... .... ..x.", "snare": ".... .... X... ....", "closed_hat": "x..x ..x. x..x ..x."},
            {"rim": "...? ..?. ...? ..?.", "open_hat": ".... .... .... ..o.", "perc": ".... .x.. .... .x.."},
        ),
        DrumPattern(
            {
                "kick": "X... ..x. .... ....X... ...x .... ..x.",
                "snare": ".... .... X... ........ .... X... ...g",
                "closed_hat": "x.x. x.x. x.x. x.rr",
            },
            {"tom_low": ".... .... .... .+..", "shaker": "o.o. o.o. o.o. o.o."},
        ),
    ),
    fills=TRAP_FILLS,
    bass=(
        "1--- ---- ---- ----",
        "1--- --1- 1-.. 1-1-",
        "1-1- 1--- .... 8-7-",
        "1--- 1-.. 1.1. 1--a",
        "1-.. 111. 1--- ..5-",
    ),
    bass_locks=0.3,
    bass_centre=30,
    chords=("X--- ---- .... ....", "..x. .... .... ....", "x..x ..x. .... ....", "X--- ---- ---- ----"),
    lead=("x--- .... x-x- ....", "x.x. x--- .... ....", ".... .... x.x- x---", "x--- --x- ---- ...."),
    sounds={
        "drums": (
            sound("electro", drive=(0.3, 0.7)),
            sound("trap", drive=(0.3, 0.6)),
            sound("acoustic", drive=(0.4, 0.7)),
        ),
        "bass": (sound("reese", drive=(0.4, 0.9), brightness=(0.4, 0.8)), sound("fm", drive=(0.4, 0.8)), sound("sub")),
        "chords": (sound("saw_stab", space=(0.4, 0.7)), sound("organ", space=(0.4, 0.7)), sound("piano")),
        "lead": (sound("square", space=(0.3, 0.6)), sound("bell", space=(0.4, 0.7)), sound("saw")),
        "pad": (sound("choir"), sound("glass"), sound("strings", brightness=(0.2, 0.4))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "fx"),
    chord_sizes={"triad": 0.8, "power": 0.2},
    bars_per_chord=2.0,
    vamp_share=0.6,
    lead_rest=0.45,
    fx=("impact", "riser", "sweep"),
    groove="hiphop",
    human=0.1,
    density=0.45,
)

REGGAE = Genre(
    name="reggae",
    tempo_bpm=(68, 76, 90),
    mood="warm",
    modes={"minor": 0.45, "major": 0.45, "dorian": 0.1},
    swing=(0.2, 0.7),
    drums=(
        DrumPattern(  # One drop: beat one stays empty.
            {"kick": ".... .... X... ....", "rim": ".... .... X... ..?.", "closed_hat": "x.o. x.o. x.o. x.og"},
            {"open_hat": ".... .... .... ..o.", "perc": "...? .... ..?. ...."},
        ),
        DrumPattern(  # Steppers.
            {"kick": "X... x... X... x...", "snare": ".... .... X... ....", "closed_hat": "x.og x.o. x.og x.o."},
            {"rim": "...x ..?. .... ..x.", "shaker": "..o. ..o. ..o. ..o."},
        ),
        DrumPattern(  # Rockers.
            {"kick": "X... .... X... ..+.", "rim": ".... X... .... X..?", "closed_hat": "x.ox x.o. x.ox x.o."},
            {"perc": ".... ..?. .... ...?"},
        ),
    ),
    fills=REGGAE_FILLS,
    fill_share=0.5,
    bass=(
        "1--- 1-3- 5--- ....",
        ".... 1-1- 3-5- 1---",
        "1-.1 -.5- 3-1- ....",
        "1--- ..1- 5-3- 1-..",
        "..1- 1-.. 5-5- 3-..",
    ),
    bass_locks=0.0,
    bass_centre=34,
    chords=(".... x... .... x...", "..x. ..x. ..x. ..x.", "..xo ..xo ..xo ..xo", ".... x.o. .... x..."),
    lead=("x--- x-x- x--- ....", ".... x-x- --.. ....", "x-x. x--- .... ....", "..x- --x- x--- ----"),
    sounds={
        "drums": (sound("acoustic", space=(0.2, 0.5)), sound("lofi")),
        "bass": (sound("sub", brightness=(0.15, 0.35)), sound("finger", brightness=(0.1, 0.35))),
        "chords": (
            sound("guitar", length=(0.05, 0.25)),
            sound("organ", length=(0.1, 0.3)),
            sound("piano", length=(0.1, 0.3)),
        ),
        "lead": (
            sound("flute", space=(0.3, 0.6)),
            sound("whistle", space=(0.3, 0.6)),
            sound("square", brightness=(0.2, 0.4)),
        ),
        "pad": (sound("warm"), sound("strings")),
        "fx": (sound("texture", space=(0.4, 0.8)),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"triad": 0.7, "seventh": 0.3},
    vamp_share=0.5,
    lead_rest=0.45,
    fx=("sweep", "vinyl"),
    crash=False,
    groove="reggae",
    human=0.7,
    density=0.4,
)

SOUNDSYSTEM = (DRUM_AND_BASS, UK_GARAGE, DUBSTEP, REGGAE)
