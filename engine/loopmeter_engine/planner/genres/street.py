"""Half time with a bite: drill, phonk."""

from __future__ import annotations

from loopmeter_engine.planner.genres.fills import HIPHOP_FILLS, TRAP_FILLS
from loopmeter_engine.planner.genres.model import DrumPattern, Genre, sound

DRILL = Genre(
    name="drill",
    tempo_bpm=(138, 143, 150),
    mood="dark",
    modes={"minor": 0.65, "phrygian": 0.35},
    swing=(0.0, 0.15),
    drums=(
        DrumPattern(  # Hats in three, three, two; the snare late in every second bar.
            {
                "kick": "X... .... ..x. ......x. .x.. .... ..x.",
                "snare": ".... .... X... ........ .... .... X...",
                "closed_hat": "x..x ..x. x..x ..x.x..x ..x. x..t ..x.",
            },
            {
                "rim": "...? ..?. .... .?..",
                "open_hat": ".... .... .... ........ .... ..o. ....",
                "perc": "..?. .... ...? ....",
            },
        ),
        DrumPattern(
            {
                "kick": "X..x .... .... x...x... ..x. ...x ....",
                "snare": ".... .... X... ........ .... .... X..g",
                "closed_hat": "x..x ..x. x..x ..rrx..x ..x. t..x ..x.",
            },
            {"perc": ".... ..x. .... ..x.", "shaker": "o.o. o.o. o.o. o.o."},
        ),
        DrumPattern(
            {
                "kick": "X... ..x. .... x....... x... ..x. ....",
                "clap": ".... .... X... ........ .... .... X...",
                "closed_hat": "x..x ..x. x..x t.x.x..x ..x. x..x ..xr",
            },
            {"rim": ".... ...? ..?. ....", "tom_low": ".... .... .... .?.."},
        ),
    ),
    fills=TRAP_FILLS,
    fill_share=0.5,
    bass=(
        "1--- ---- --8- 1---",
        "1--- --1- ---- a---",
        "1--- ---- 5--- --8-",
        "1--1 ---- --l- --a-",
        "1--- 8--- --1- ----",
    ),
    bass_locks=0.55,
    bass_centre=31,
    chords=("X--- ---- ---- ----", "1..2 ..3. 1..2 ..3.", "X--- ---- --x- ----", "3--2 --1- 2--- ----"),
    lead=("x..x ..x- --.. ....", "x--- x--x --x- ....", "..x- x..x --.. x---", "x..x --x- x..x --x-"),
    sounds={
        "drums": (sound("trap"), sound("tr808", brightness=(0.45, 0.7))),
        "bass": (sound("sub", length=(0.7, 1.0), drive=(0.3, 0.7)), sound("fm", brightness=(0.2, 0.4))),
        "chords": (
            sound("piano", brightness=(0.25, 0.5), space=(0.3, 0.6)),
            sound("pluck", space=(0.3, 0.6)),
            sound("guitar", space=(0.3, 0.5)),
        ),
        "lead": (
            sound("bell", space=(0.3, 0.6)),
            sound("flute", space=(0.3, 0.6)),
            sound("square", brightness=(0.2, 0.4)),
        ),
        "pad": (sound("choir", brightness=(0.2, 0.45)), sound("strings", brightness=(0.25, 0.5)), sound("glass")),
        "fx": (sound("texture"),),
    },
    layers=("drums", "bass", "chords", "lead"),
    bars_per_chord=2.0,
    vamp_share=0.5,
    lead_rest=0.25,
    pad_style="high",
    crash=False,
    fx=("impact", "riser"),
    groove="hiphop",
    human=0.1,
    density=0.5,
)

PHONK = Genre(
    name="phonk",
    tempo_bpm=(120, 136, 160),
    mood="aggressive",
    modes={"minor": 0.5, "phrygian": 0.5},
    swing=(0.0, 0.2),
    drums=(
        DrumPattern(  # Drift: a driven kick against the clap.
            {"kick": "X..x ..x. X..x ..x.", "clap": ".... X... .... X...", "closed_hat": "x.x. x.x. x.x. x.x."},
            {"open_hat": "..x. ..x. ..x. ..x.", "perc": "x..x ..x. x..x ..x.", "crash": "x... .... .... ...."},
        ),
        DrumPattern(
            {
                "kick": "X... X..x X... X.x.",
                "snare": ".... X... .... X...",
                "closed_hat": "xoxo xoxo xoxo xoxo",
                "perc": "x..x ..x. ..x. x...",
            },
            {"open_hat": "..o. ..o. ..o. ..o.", "rim": "...? ..?. ...? ...."},
        ),
        DrumPattern(  # Memphis: half time.
            {
                "kick": "X... ..x. ..x. ....X..x .... ..x. x...",
                "snare": ".... .... X... ........ .... X... ..g.",
                "closed_hat": "x.x. x.x. x.x. x.rr",
            },
            {"perc": "x..x ..x. ..x. ....", "clap": ".... .... x... ...."},
        ),
    ),
    fills=HIPHOP_FILLS,
    fill_share=0.45,
    bass=("1..1 ..1. 1..1 ..a.", "1--- 1--1 1--- 1-a-", "1-.1 --1- .1-- 8-1-", "1--- ---- 1--- --a-"),
    bass_locks=0.6,
    bass_centre=30,
    chords=("X--- ---- .... ....", "x..x ..x. x..x ..x.", "1..2 ..1. 3..2 ..1.", "X--- --x- X--- ----"),
    lead=(
        "x..x ..x. x.x. x...",
        "x.x. x..x ..x. x...",
        "x--x --x. x-x- x...",
        "xx.x .x.x xx.x .x..",
    ),  # The cowbell's part.
    sounds={
        "drums": (sound("tr808", drive=(0.4, 0.8)), sound("trap", drive=(0.4, 0.7)), sound("lofi", drive=(0.4, 0.8))),
        "bass": (sound("sub", drive=(0.5, 0.95)), sound("reese", drive=(0.4, 0.8)), sound("fm", drive=(0.3, 0.7))),
        "chords": (sound("piano", drive=(0.2, 0.5)), sound("pluck"), sound("saw_stab", brightness=(0.25, 0.5))),
        "lead": (
            sound("bell", length=(0.1, 0.35), drive=(0.2, 0.5)),
            sound("mallet", brightness=(0.6, 0.9), length=(0.1, 0.35)),
            sound("square", drive=(0.3, 0.6)),
        ),
        "pad": (sound("choir", brightness=(0.2, 0.45)), sound("strings", brightness=(0.2, 0.4)), sound("warm")),
        "fx": (sound("texture", drive=(0.2, 0.5)),),
    },
    layers=("drums", "bass", "lead", "fx"),
    bars_per_chord=2.0,
    vamp_share=0.55,
    lead_centre=76,
    lead_rest=0.1,
    fx=("vinyl", "impact"),
    groove="hiphop",
    human=0.1,
    density=0.6,
)

STREET = (DRILL, PHONK)
