"""Hip hop: dusty, head-nodding, or rolling hats over an 808."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import HIPHOP_FILLS, TRAP_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

LOFI = Genre(
    name="lofi",
    tempo_bpm=(68, 80, 92),
    mood="calm",
    modes={"minor": 0.4, "major": 0.35, "dorian": 0.25},
    swing=(0.45, 0.8),
    drums=(
        DrumPattern(
            {"kick": "X... ...x ..x. ...?", "snare": ".... X... .... X..g", "closed_hat": "x.o. x.o. x.o. x.o."},
            {"rim": ".... .... ..?. ...?", "shaker": "..o. ..o. ..o. ..o."},
        ),
        DrumPattern(
            {"kick": "X..x .... ..x. .+..", "rim": ".... X... .... X...", "closed_hat": "x.o. x.og x.o. x.o?"},
            {"open_hat": ".... .... .... ..o.", "perc": "...? .... ...? ...."},
        ),
        DrumPattern(
            {
                "kick": "X... ..x. .x.. ....X... ..x. ..x. .+..",
                "snare": ".... X... ...g X....... X..? .... X...",
                "closed_hat": "o.x. o.x. o.x. o.xgo.x. o.x. o.x. o.x.",
            },
            {"shaker": "g.o. g.o. g.o. g.o."},
        ),
    ),
    fills=HIPHOP_FILLS,
    fill_share=0.45,
    bass=("1--- ---. ..1- .a..", "1--. ...5 --1- ....", "1--- --5- ..8- 5-a.", "1--- ---- 5--- --a-"),
    bass_locks=0.4,
    chords=(
        "X--- ---- ---- ----",
        "X--- --.. ..o- ----",
        "X-.. ...x -... ..o.",
        "1-2- 3-4- ---- --..",
        "..X- ---- ..o- --..",
    ),
    lead=(
        "x-.x --.. x-x- ....",
        "..x- x-x- --.. ....",
        "x--- ..x- x--- ....",
        "x.x- --.x -.x- --..",
        ".... x-x- x--- ----",
    ),
    sounds={
        "drums": (sound("lofi", brightness=(0.2, 0.45), drive=(0.25, 0.5)), sound("acoustic", brightness=(0.2, 0.4))),
        "bass": (sound("finger", brightness=(0.15, 0.4)), sound("sub", brightness=(0.1, 0.3))),
        "chords": (
            sound("electric_piano", brightness=(0.2, 0.45), length=(0.5, 0.8)),
            sound("piano", brightness=(0.15, 0.4), softness=(0.15, 0.4)),
            sound("guitar", brightness=(0.2, 0.4)),
        ),
        "lead": (sound("mallet", brightness=(0.2, 0.45)), sound("flute"), sound("bell", brightness=(0.15, 0.4))),
        "pad": (sound("warm", brightness=(0.15, 0.4)), sound("strings", brightness=(0.15, 0.35))),
        "fx": (sound("texture", brightness=(0.2, 0.5)),),
    },
    layers=("drums", "bass", "chords", "lead", "fx"),
    chord_sizes={"seventh": 0.55, "ninth": 0.4, "add9": 0.05},
    bars_per_chord=1.0,
    lead_rest=0.35,
    fx=("vinyl",),
    crash=False,
    groove="hiphop",
    human=0.8,
    density=0.4,
)

BOOM_BAP = Genre(
    name="boom_bap",
    tempo_bpm=(82, 90, 100),
    mood="warm",
    modes={"minor": 0.65, "dorian": 0.25, "major": 0.1},
    swing=(0.35, 0.7),
    drums=(
        DrumPattern(
            {"kick": "X..x ..x. ..x. .+..", "snare": ".... X..? .... X...", "closed_hat": "x.x. x.x. x.x. x.x."},
            {"open_hat": ".... .... .... ..o.", "snare": ".... .... .g.. ...g"},
        ),
        DrumPattern(
            {
                "kick": "X.x. .... ..x. ..+.X... ...x ..x. ....",
                "snare": ".... X... .... X..g.... X..g .g.. X...",
                "closed_hat": "x.o. x.o. x.o. x.oox.o. x.o. x.oo x.o.",
            },
            {"shaker": "..o. ..o. ..o. ..o."},
        ),
        DrumPattern(
            {"kick": "X... ..xx .... x...", "snare": ".... X... .... X...", "ride": "x... o... x... o..."},
            {"closed_hat": "..o. ..o. ..o. ..o.", "perc": ".... ...? .... .?.."},
        ),
    ),
    fills=HIPHOP_FILLS,
    bass=("1--1 ..1- ..1- .a..", "1-.. ..5- .78- ....", "1--. 1..1 ..3- 5-a.", "1--- ..1. 8-.. 5.a."),
    bass_locks=0.6,
    chords=(
        "X-.. .... X-.. ....",
        "X--- --.. .x-- --..",
        "..X- ..x- .... x-..",
        "X--. ..X- -... ....",
        "1.2. 3.2. 4.3. 2.1.",
    ),
    lead=("x.x- ..x- .... ....", "x--x --x- .... ....", "..xx x-.. ..x- --..", "x-.. x-.. x.x- --.."),
    sounds={
        "drums": (sound("acoustic", drive=(0.3, 0.6), space=(0.05, 0.2)), sound("lofi", drive=(0.3, 0.6))),
        "bass": (sound("finger", brightness=(0.25, 0.5)), sound("sub", drive=(0.1, 0.4))),
        "chords": (
            sound("piano", brightness=(0.3, 0.55), length=(0.3, 0.6)),
            sound("electric_piano", brightness=(0.3, 0.55)),
            sound("organ", brightness=(0.2, 0.45)),
            sound("guitar", brightness=(0.3, 0.5)),
        ),
        "lead": (sound("flute"), sound("bell", brightness=(0.3, 0.5)), sound("whistle"), sound("mallet")),
        "pad": (sound("strings"), sound("choir", brightness=(0.2, 0.4))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"triad": 0.3, "seventh": 0.5, "ninth": 0.2},
    vamp_share=0.35,
    lead_rest=0.35,
    fx=("vinyl",),
    crash=False,
    groove="hiphop",
    human=0.7,
    density=0.5,
)

TRAP = Genre(
    name="trap",
    tempo_bpm=(126, 142, 160),
    mood="dark",
    modes={"minor": 0.7, "phrygian": 0.3},
    swing=(0.0, 0.1),
    drums=(
        DrumPattern(
            {"kick": "X... ...x ..x. ....", "snare": ".... .... X... ....", "closed_hat": "x.x. x.x. x.x. r.x."},
            {"open_hat": ".... .... .... ..o.", "perc": "...o ..o. .... .o.."},
        ),
        DrumPattern(
            {
                "kick": "X... .... ...x ..x.X... ..x. .... ....",
                "clap": ".... .... X... ........ .... X... ..+.",
                "closed_hat": "x.x. x.t. x.x. x.rrx.x. xxx. t.x. r.x.",
            },
            {"rim": "...? .... ...? ..?.", "crash": "g... .... .... ...."},
        ),
        DrumPattern(
            {
                "kick": "X..x ..x. ..x. ....X... ...x .x.. x...",
                "snare": ".... .... X... ........ .... X... ...g",
                "closed_hat": "xxxx xxxx xxxx xrxrx.x. x.x. xxt. rrx.",
            },
            {"open_hat": ".... ..o. .... ....", "tom_low": ".... .... .... ..?."},
        ),
    ),
    fills=TRAP_FILLS,
    bass=("1--- ---1 --1- ----", "1--- ---- ---1 --8-", "1--1 --1- --.. ..a-", "1--- --5- ---- --1-"),
    bass_locks=0.75,
    bass_centre=31,
    chords=(
        "X--- ---- ---- ----",
        "1.2. 3.1. 2.3. 1.2.",
        "X--- ---- --x- ----",
        "3-2- 1-2- 3--- ----",
        "1..2 ..3. .2.. 3...",
    ),
    lead=(
        "x--- x-x- x--- ....",
        "x.x. x.x- --.. ....",
        "x--x --x- x--x --x-",
        "x--- ---- x-x- x---",
        "..x- x-.. ..x- x-..",
    ),
    sounds={
        "drums": (sound("trap"), sound("tr808", brightness=(0.4, 0.7))),
        "bass": (sound("sub", length=(0.6, 1.0), drive=(0.2, 0.7)), sound("fm", brightness=(0.2, 0.4))),
        "chords": (
            sound("piano", brightness=(0.2, 0.5), space=(0.3, 0.6)),
            sound("pluck", space=(0.3, 0.6)),
            sound("guitar", space=(0.3, 0.5)),
        ),
        "lead": (sound("bell", space=(0.3, 0.6)), sound("flute", space=(0.3, 0.5)), sound("square"), sound("mallet")),
        "pad": (sound("choir", brightness=(0.2, 0.5)), sound("strings"), sound("glass")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    bars_per_chord=2.0,
    vamp_share=0.4,
    lead_rest=0.2,
    pad_style="high",
    fx=("riser", "impact"),
    groove="hiphop",
    human=0.1,
    density=0.55,
)

HIPHOP = (LOFI, BOOM_BAP, TRAP)
