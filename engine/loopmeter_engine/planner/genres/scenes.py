"""Pictures in sound: synthwave, ambient, chiptune, cinematic."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import BAND_FILLS, CLUB_FILLS, SLOW_FILLS, SYNTH_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

SYNTHWAVE = Genre(
    name="synthwave",
    tempo_bpm=(84, 104, 120),
    mood="dreamy",
    modes={"minor": 0.75, "major": 0.15, "dorian": 0.1},
    drums=(
        DrumPattern(
            {"kick": "X... .... X... ....", "snare": ".... X... .... X...", "closed_hat": "x.x. x.x. x.x. x.x."},
            {"shaker": "xoxo xoxo xoxo xoxo", "clap": ".... x... .... x...", "tom_low": ".... .... .... .?.?"},
        ),
        DrumPattern(
            {"kick": "X... X... X... X...", "snare": ".... X... .... X...", "closed_hat": "xoxo xoxo xoxo xoxo"},
            {"open_hat": "..x. ..x. ..x. ..x.", "perc": ".... ...? .... ..?."},
        ),
        DrumPattern(
            {"kick": "X... ..x. X... ..x.", "snare": ".... X... .... X...", "open_hat": "..x. ..x. ..x. ..x."},
            {"closed_hat": "x.oo x.oo x.oo x.oo", "tom_high": ".... .... .... x..x"},
        ),
    ),
    fills=SYNTH_FILLS,
    fill_share=0.7,
    bass=(
        "1111 1111 1111 1111",
        "1.11 1.11 1.11 1.11",
        "1181 1181 1181 1181",
        "1.1. 1.1. 1.1. 1.8.",
        ".111 .111 .111 .111",
    ),
    bass_locks=0.0,
    bass_centre=33,
    chords=(
        "X--- ---- ---- ----",
        "1324 1324 1324 1324",
        "x..x ..x. x..x ..x.",
        "1.2. 3.4. 3.2. 3.2.",
        "X--- --X- ---- ----",
    ),
    lead=(
        "x--- x-x- x--- ----",
        "x--x --x- --x- x---",
        "..x- x-x- x--- ----",
        "x--- ---- x--- x-x-",
        "x-x- x-x- x--- ....",
    ),
    sounds={
        "drums": (sound("tr909", space=(0.25, 0.5)), sound("electro", space=(0.25, 0.5)), sound("tr808")),
        "bass": (sound("acid", brightness=(0.3, 0.5)), sound("reese"), sound("pluck"), sound("fm")),
        "chords": (sound("saw_stab", width=(0.5, 0.9)), sound("pluck", space=(0.3, 0.5)), sound("electric_piano")),
        "lead": (sound("saw", space=(0.3, 0.6)), sound("square", space=(0.3, 0.6)), sound("bell")),
        "pad": (sound("warm", width=(0.5, 0.9)), sound("supersaw"), sound("strings"), sound("choir")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead", "pad"),
    chord_sizes={"triad": 0.7, "seventh": 0.1, "sus2": 0.1, "add9": 0.1},
    lead_rest=0.25,
    fx=("riser", "sweep"),
    groove="pop",
    human=0.1,
    density=0.5,
)

AMBIENT = Genre(
    name="ambient",
    tempo_bpm=(56, 72, 96),
    mood="calm",
    modes={"major": 0.4, "lydian": 0.25, "minor": 0.2, "dorian": 0.15},
    drums=(
        DrumPattern(
            {"shaker": "g.?. o.?. g.?. o.?.", "kick": "o... .... .... ....", "perc": ".... ..?. .... ...."},
            {"rim": ".... .... o... ....", "tom_low": ".... .... ..?. ...."},
        ),
        DrumPattern(
            {"kick": "o... .... ..?. ....", "rim": ".... o... .... o...", "closed_hat": "..g. ..g. ..g. ..g."},
            {"perc": "...? .... .?.. ....", "crash": "g... .... .... ...."},
        ),
    ),
    fills=SLOW_FILLS,
    fill_share=0.15,
    bass=("1--- ---- ---- ----", "1--- ---- ---- --..", "1--- ---- 5--- ----", "1--- ---- ---- 8---"),
    bass_locks=0.0,
    chords=(
        "1-2- 3-4- 3-2- 3-4-",
        "1--- 3--- 2--- 4---",
        "X--- ---- ---- ----",
        "..1- ..3- ..2- ..4-",
        "1--2 --3- -4-- 3---",
    ),
    lead=(
        "x--- ---- x--- ----",
        "..x- ---- --x- ----",
        "x--- --x- ---- ----",
        ".... x--- ---- x---",
        "x--- ---- ---- ....",
    ),
    sounds={
        "drums": (
            sound("lofi", softness=(0.3, 0.6), space=(0.5, 0.9)),
            sound("tr808", space=(0.5, 0.9), level=(0.3, 0.5)),
        ),
        "bass": (sound("sub", softness=(0.3, 0.6)), sound("fm", brightness=(0.05, 0.25), softness=(0.3, 0.6))),
        "chords": (
            sound("electric_piano", space=(0.5, 0.9), length=(0.6, 1.0)),
            sound("pluck", space=(0.5, 0.9)),
            sound("piano", space=(0.5, 0.9), softness=(0.3, 0.6)),
        ),
        "lead": (
            sound("bell", space=(0.5, 0.9), softness=(0.1, 0.4)),
            sound("flute", space=(0.5, 0.9)),
            sound("mallet", space=(0.5, 0.9)),
        ),
        "pad": (
            sound("warm", space=(0.5, 0.9), softness=(0.5, 0.9)),
            sound("glass", space=(0.5, 0.9)),
            sound("choir", space=(0.5, 0.9)),
            sound("strings", space=(0.4, 0.8)),
        ),
        "fx": (sound("texture", space=(0.4, 0.8)),),
    },
    layers=("pad", "chords", "lead", "fx"),
    chord_sizes={"add9": 0.35, "seventh": 0.3, "ninth": 0.1, "sus2": 0.25},
    bars_per_chord=2.0,
    vamp_share=0.35,
    lead_rest=0.4,
    fx=("sweep", "vinyl"),
    crash=False,
    groove="pop",
    human=0.6,
    density=0.25,
)

CHIPTUNE = Genre(
    name="chiptune",
    tempo_bpm=(112, 140, 168),
    mood="happy",
    modes={"major": 0.55, "minor": 0.35, "mixolydian": 0.1},
    drums=(
        DrumPattern(
            {"kick": "X... x... X... x...", "snare": ".... X... .... X...", "closed_hat": "..x. ..x. ..x. ..x."},
            {"open_hat": ".... .... .... ..x.", "perc": "...x .... ...x ...."},
        ),
        DrumPattern(
            {"kick": "X..x ..x. X..x ....", "snare": ".... X... .... X.xx", "closed_hat": "xoxo xoxo xoxo xoxo"},
            {"tom_high": ".... .... .... .x.x"},
        ),
    ),
    fills=SYNTH_FILLS + CLUB_FILLS[1:2],
    bass=("1.8. 1.8. 1.8. 1.8.", "1.1. 8.1. 1.1. 8.5.", "1.5. 8.5. 1.5. 8.5.", "1181 1181 1181 118a"),
    bass_locks=0.0,
    bass_centre=38,
    chords=("1234 1234 1234 1234", "1232 1232 1232 1232", "3213 2132 1321 3213", "x.x. x.x. x.x. x.x."),
    lead=(
        "x.x. x.xx .x.x x...",
        "xxxx x.x. x-x- x...",
        "x-x. x.x- x-x. ....",
        "x.xx x.xx x.x. x-..",
        "x--x --x- x.x. x-..",
    ),
    sounds={
        "drums": (sound("electro", brightness=(0.5, 0.9), space=(0.0, 0.1)), sound("tr909", brightness=(0.6, 0.9))),
        "bass": (sound("acid", brightness=(0.3, 0.6)), sound("fm"), sound("pluck", brightness=(0.5, 0.8))),
        "chords": (sound("pluck", brightness=(0.5, 0.9), length=(0.1, 0.3)), sound("saw_stab", length=(0.1, 0.3))),
        "lead": (sound("square", brightness=(0.5, 0.9), space=(0.0, 0.2)), sound("whistle"), sound("saw")),
        "pad": (sound("glass"), sound("supersaw", brightness=(0.3, 0.5))),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    chord_sizes={"triad": 0.9, "seventh": 0.1},
    lead_rest=0.1,
    lead_centre=79,
    crash=False,
    fx=("sweep", "impact"),
    groove="pop",
    human=0.0,
    density=0.65,
)

CINEMATIC = Genre(
    name="cinematic",
    tempo_bpm=(64, 90, 140),
    mood="epic",
    modes={"minor": 0.75, "dorian": 0.1, "major": 0.15},
    drums=(
        DrumPattern(
            {"tom_low": "X..x ..x. X.x. x...", "kick": "X... .... X... ....", "perc": ".... ..o. .... ..o."},
            {"tom_high": "..x. x..x ..x. x.xx", "crash": "x... .... .... ...."},
        ),
        DrumPattern(
            {
                "kick": "X... .... ..x. ....X... .... X... x.x.",
                "tom_low": "X... x... x.x. x...X..x ..x. X.xx x.xx",
                "snare": ".... .... X... ........ .... X... ....",
            },
            {"shaker": "o.oo o.oo o.oo o.oo", "tom_high": ".... ..xx .... ..xx"},
        ),
        DrumPattern(
            {"kick": "X... .... .... ....", "tom_low": ".... .... x... x.x.", "rim": "x.x. x.x. x.x. x.x."},
            {"shaker": "xoxo xoxo xoxo xoxo"},
        ),
    ),
    fills=SLOW_FILLS + BAND_FILLS[3:4],
    fill_share=0.5,
    bass=("1--- ---- ---- ----", "1.1. 1.1. 1.1. 1.1.", "1--- ---- 1--- 1-1-", "1.11 1.11 1.11 1.11"),
    bass_locks=0.2,
    bass_centre=33,
    chords=(
        "x.xx x.xx x.xx x.xx",
        "1.3. 2.3. 1.3. 2.3.",
        "X--- ---- ---- ----",
        "x.x. x.x. x.x. x.x.",
        "1-2- 3-2- 1-2- 3-2-",
    ),
    lead=("x--- ---- x--- x---", "x--- --x- x--- ----", "x--- x--- x-x- x---", "..x- x--- --x- x---"),
    sounds={
        "drums": (sound("acoustic", space=(0.4, 0.8), length=(0.5, 0.9)), sound("tr808", space=(0.4, 0.8))),
        "bass": (sound("sub", drive=(0.1, 0.4)), sound("reese", brightness=(0.2, 0.4)), sound("finger")),
        "chords": (
            sound("piano", space=(0.4, 0.7)),
            sound("pluck", space=(0.3, 0.6)),
            sound("guitar", space=(0.4, 0.7)),
        ),
        "lead": (sound("flute", space=(0.4, 0.8)), sound("bell", space=(0.4, 0.8)), sound("whistle", space=(0.4, 0.8))),
        "pad": (sound("strings", space=(0.4, 0.8)), sound("choir", space=(0.4, 0.8)), sound("warm")),
        "fx": (sound("texture", space=(0.4, 0.8)),),
    },
    layers=("drums", "bass", "chords", "pad", "fx"),
    chord_sizes={"triad": 0.8, "add9": 0.1, "sus2": 0.1},
    lead_rest=0.25,
    pad_style="close",
    fx=("riser", "impact", "sweep"),
    groove="rock",
    human=0.5,
    density=0.5,
)

SCENES = (SYNTHWAVE, AMBIENT, CHIPTUNE, CINEMATIC)
