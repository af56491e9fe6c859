"""Four to the floor: house, techno, trance, disco."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import CLUB_FILLS, FUNK_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

FOUR = "X... X... X... X..."
OFF = "..x. ..x. ..x. ..x."

HOUSE = Genre(
    name="house",
    tempo_bpm=(118, 124, 130),
    mood="energetic",
    modes={"minor": 0.55, "dorian": 0.25, "major": 0.2},
    swing=(0.1, 0.4),
    drums=(
        DrumPattern(
            {"kick": FOUR, "clap": ".... X... .... X...", "open_hat": OFF, "closed_hat": "x.go x.go x.go x.go"},
            {"shaker": "o.xo o.xo o.xo o.xo", "perc": "...? ..?. ...? ..?."},
        ),
        DrumPattern(
            {"kick": FOUR, "snare": ".... X... .... X...", "open_hat": OFF, "shaker": "xoxo xoxo xoxo xoxo"},
            {"rim": "..x. .x.. x..x ....", "clap": ".... x... .... x..?"},
        ),
        DrumPattern(
            {
                "kick": "X... X... X... X..xX... X... X... X...",
                "clap": ".... X... .... X....... X... .... X..g",
                "open_hat": OFF,
                "perc": "x..x ..x. .x.. x....x.. x..x ..x. ..x.",
            },
            {"closed_hat": "xgxg xgxg xgxg xgxg", "ride": OFF},
        ),
    ),
    fills=CLUB_FILLS,
    fill_share=0.5,
    bass=(
        "..1. ..1. ..1. ..1.",
        "..1- .1.. ..1- .8..",
        "1..1 ..1. .1.. 8.5.",
        "1.18 ..1. 1..5 ..a.",
        "..1. .18. ..1. .17.",
    ),
    bass_locks=0.0,
    chords=(
        "..x. ..x. ..x. ..x.",
        "X..x ..x. .x.. x...",
        "..X. .x.. ..X. .x..",
        "X-.. ..X- .... X-..",
        "x..x ..x- .... ....",
    ),
    lead=("x..x ..x- .... ....", "..x. x.x- .... ....", "x.x. .x.x -... ....", "..xx .x.. ..xx .x--"),
    sounds={
        "drums": (sound("tr909"), sound("tr808"), sound("electro", brightness=(0.4, 0.6))),
        "bass": (sound("pluck"), sound("fm"), sound("sub"), sound("finger", brightness=(0.4, 0.6))),
        "chords": (
            sound("organ", length=(0.2, 0.5)),
            sound("saw_stab", length=(0.2, 0.5)),
            sound("piano", brightness=(0.5, 0.8)),
            sound("electric_piano"),
        ),
        "lead": (sound("saw"), sound("bell"), sound("square"), sound("mallet")),
        "pad": (sound("warm"), sound("strings"), sound("supersaw", brightness=(0.2, 0.5))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "pad"),
    chord_sizes={"triad": 0.15, "seventh": 0.55, "ninth": 0.3},
    vamp_share=0.35,
    lead_rest=0.4,
    fx=("riser", "sweep"),
    groove="dance",
    human=0.2,
    density=0.55,
)

TECHNO = Genre(
    name="techno",
    tempo_bpm=(124, 132, 145),
    mood="dark",
    modes={"minor": 0.65, "phrygian": 0.35},
    drums=(
        DrumPattern(
            {"kick": FOUR, "closed_hat": "..x. ..x. ..x. ..x.", "rim": "...x ..x. .x.. ...x"},
            {"clap": ".... x... .... x...", "tom_low": "...? ..+. .... .+..", "ride": "x.x. x.x. x.x. x.x."},
        ),
        DrumPattern(
            {"kick": FOUR, "open_hat": OFF, "clap": ".... x... .... x...", "closed_hat": "xoxo xoxo xoxo xoxo"},
            {"perc": "x..x ..x. .x.. x.x.", "tom_high": ".... ...? ...? ...."},
        ),
        DrumPattern(
            {
                "kick": "X... X... X... X.x.",
                "ride": OFF,
                "perc": ".x.. x..x ..x. .x..",
                "shaker": "goxo goxo goxo goxo",
            },
            {"snare": ".... .... .... ...x", "tom_low": ".+.. ..x. .+.. ..x."},
        ),
    ),
    fills=CLUB_FILLS,
    fill_share=0.35,
    bass=(
        ".111 .111 .111 .111",
        "..1. ..1. ..1. ..1.",
        "1.11 .118 .1.1 1.81",
        ".1.1 .11. .1.1 .118",
        "1..1 ..1. 1..1 ..7.",
    ),
    bass_locks=0.0,
    bass_centre=33,
    chords=(
        "...x ..x. .... ....",
        "X..x ..x. .x.. x...",
        "x... .... ..x. ....",
        "..x. .... ..x. ...x",
        "X... ..X. .... X...",
    ),
    lead=("x.xx .x.x x.xx .x.x", "x..x ..x. x..x ..x.", "xxxx xxxx xxxx xxxx", "x.x. .x.. x.x. .x.."),
    sounds={
        "drums": (sound("tr909", drive=(0.3, 0.7)), sound("electro", drive=(0.2, 0.6)), sound("tr808")),
        "bass": (sound("acid", brightness=(0.3, 0.8)), sound("reese"), sound("sub", drive=(0.3, 0.7)), sound("fm")),
        "chords": (sound("saw_stab", length=(0.1, 0.4), space=(0.3, 0.7)), sound("organ"), sound("pluck")),
        "lead": (sound("square", space=(0.3, 0.6)), sound("saw"), sound("bell", space=(0.3, 0.6))),
        "pad": (sound("glass", brightness=(0.2, 0.5)), sound("warm"), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "fx"),
    chord_sizes={"triad": 0.6, "seventh": 0.3, "sus2": 0.1},
    bars_per_chord=4.0,
    vamp_share=0.85,
    lead_rest=0.1,
    fx=("sweep", "riser", "impact"),
    groove="dance",
    human=0.05,
    density=0.55,
)

TRANCE = Genre(
    name="trance",
    tempo_bpm=(130, 138, 145),
    mood="energetic",
    modes={"minor": 0.8, "major": 0.2},
    drums=(
        DrumPattern(
            {"kick": FOUR, "open_hat": OFF, "clap": ".... X... .... X...", "closed_hat": "x.xo x.xo x.xo x.xo"},
            {"shaker": "xoxo xoxo xoxo xoxo", "ride": "x.x. x.x. x.x. x.x."},
        ),
        DrumPattern(
            {"kick": FOUR, "open_hat": OFF, "snare": ".... x... .... x...", "shaker": "goxo goxo goxo goxo"},
            {"clap": ".... X... .... X..?", "ride": OFF},
        ),
    ),
    fills=CLUB_FILLS,
    bass=(".111 .111 .111 .111", "..1. ..1. ..1. ..1.", ".118 .118 .118 .118", "..11 ..11 ..11 ..88"),
    bass_locks=0.0,
    chords=(
        "x.xx .xx. x.xx .x.x",
        "1324 1324 1324 1324",
        "X--- ---- ---- ----",
        "x..x ..x. x..x ..x.",
        "4321 4321 4321 4321",
    ),
    lead=("x-x- x-x. x-x- x-..", "x..x ..x. x..x ..x-", "x.xx x.xx x.xx x.xx", "x--x --x- x--x --x-"),
    sounds={
        "drums": (sound("tr909"), sound("electro")),
        "bass": (sound("reese", length=(0.2, 0.4)), sound("pluck"), sound("acid"), sound("sub")),
        "chords": (
            sound("saw_stab", brightness=(0.5, 0.9), space=(0.3, 0.6), width=(0.6, 0.9)),
            sound("pluck", brightness=(0.5, 0.8), space=(0.4, 0.7)),
        ),
        "lead": (sound("saw", brightness=(0.6, 0.9), space=(0.4, 0.7)), sound("square", space=(0.3, 0.6))),
        "pad": (sound("supersaw", width=(0.6, 1.0)), sound("choir"), sound("strings")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead", "pad"),
    chord_sizes={"triad": 0.8, "add9": 0.15, "sus2": 0.05},
    lead_rest=0.1,
    lead_centre=77,
    fx=("riser", "impact", "sweep"),
    groove="dance",
    human=0.0,
    density=0.65,
)

DISCO = Genre(
    name="disco",
    tempo_bpm=(108, 118, 126),
    mood="happy",
    modes={"minor": 0.5, "dorian": 0.2, "major": 0.3},
    drums=(
        DrumPattern(
            {"kick": FOUR, "snare": ".... X... .... X...", "open_hat": OFF, "closed_hat": "xo.o xo.o xo.o xo.o"},
            {"perc": "x..x ..x. ..x. x...", "clap": ".... x... .... x..."},
        ),
        DrumPattern(
            {
                "kick": FOUR,
                "snare": ".... X..g .g.. X...",
                "closed_hat": "xoxo xoxo xoxo xoxo",
                "shaker": "x.xo x.xo x.xo x.xo",
            },
            {"open_hat": "..o. ..o. ..o. ..o.", "tom_high": ".... .... .... ..+."},
        ),
    ),
    fills=FUNK_FILLS,
    bass=(
        "1.8. 1.8. 1.8. 1.8.",
        "1.18 ..18 1.5. 8.7.",
        "1..1 8..8 5..5 8.7a",
        "1.81 .181 .1.8 5.a.",
        "1.1. 8.5. 1.1. 8.a.",
    ),
    bass_locks=0.0,
    chords=(
        "..xo ..xo ..xo ..xo",
        "x..x ..x. ..x. x...",
        "x.xo x.xo x.xo x.xo",
        "X--- ---- ..x. ..x.",
        "..x. ..x. ..x. ..x.",
    ),
    lead=("x-x. x.x- --.. ....", "..x. x.x. x-.. ....", "x--- --x- x-x- x---", "x.xx .x-- .... ...."),
    sounds={
        "drums": (sound("acoustic", brightness=(0.5, 0.7)), sound("tr909", brightness=(0.4, 0.6))),
        "bass": (sound("finger", brightness=(0.45, 0.7), length=(0.2, 0.5)), sound("pluck")),
        "chords": (sound("guitar", length=(0.1, 0.35)), sound("electric_piano", brightness=(0.5, 0.7)), sound("piano")),
        "lead": (sound("saw", brightness=(0.4, 0.7)), sound("flute"), sound("square")),
        "pad": (sound("strings", brightness=(0.5, 0.8)), sound("warm")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "pad"),
    chord_sizes={"triad": 0.2, "seventh": 0.55, "ninth": 0.25},
    lead_rest=0.3,
    pad_style="high",
    fx=("sweep",),
    groove="dance",
    human=0.5,
    density=0.6,
)

CLUB = (HOUSE, TECHNO, TRANCE, DISCO)
