"""Drum fills, by the hand that plays them. Rows are aligned to the end of the bar."""

from __future__ import annotations

from loopmeter_engine.planner.genres.model import DrumFill

BAND_FILLS = (
    DrumFill({"snare": "x.xx x.xX", "kick": "X... ...."}, keep=("closed_hat",)),
    DrumFill({"snare": "X.x. xx.. .... ....", "tom_high": ".... ..xx x.x. ....", "tom_low": ".... .... .... x.xX",
              "kick": "X... .... x... ...."}),
    DrumFill({"snare": "xgXg", "kick": "...."}, keep=("closed_hat", "ride")),
    DrumFill({"tom_high": "x.x. ....", "tom_low": ".... x.x.", "snare": "...x ...x", "kick": "X... ...."}),
    DrumFill({"snare": "r.xX", "kick": "x..."}),
    DrumFill({"snare": "..x. X.X.", "kick": "x... ...x", "open_hat": ".... ..x."}),
)  # fmt: skip
FUNK_FILLS = (
    DrumFill({"snare": "gxgX g.Xg", "kick": "x... .x.."}, keep=("closed_hat",)),
    DrumFill({"snare": "X.gX .gX.", "kick": "..x. x..x", "open_hat": ".... ...x"}, keep=("closed_hat",)),
    DrumFill({"snare": "gXgX", "kick": "...."}, keep=("closed_hat",)),
    DrumFill({"tom_high": "x.x. ....", "tom_low": "...x x...", "snare": ".... ..XX", "kick": ".... ...."}),
)  # fmt: skip
HIPHOP_FILLS = (
    DrumFill({"kick": "x.xx"}, keep=("closed_hat",)),
    DrumFill({"snare": "..gx", "open_hat": "x..."}, keep=("kick",)),
    DrumFill({"snare": "...x ..x.", "kick": "x.x. x..."}, keep=("closed_hat",)),
    DrumFill({"snare": "X..x", "kick": "...."}),
    DrumFill({"kick": ".... ....", "snare": "X... ....", "closed_hat": "x... ...."}),
)
CLUB_FILLS = (
    DrumFill({"clap": "x..x ..x.", "kick": "X... ...."}, keep=("closed_hat", "shaker")),
    DrumFill({"snare": "x.x. xxrr", "kick": "X... X..."}, keep=("closed_hat", "open_hat")),
    DrumFill({"kick": "...."}, keep=("closed_hat", "open_hat", "clap", "shaker", "perc")),
    DrumFill({"kick": "X..x ..x."}, keep=("closed_hat", "clap", "shaker")),
    DrumFill({"tom_high": "x..x ....", "tom_low": ".... ..x.", "kick": "X... X..."}, keep=("closed_hat", "shaker")),
)
TRAP_FILLS = (
    DrumFill({"closed_hat": "t.t. rrrr", "snare": "X... ...."}, keep=("kick",)),
    DrumFill({"snare": "x.xx rrrr", "closed_hat": "x... ...."}),
    DrumFill({"closed_hat": "rrrr"}, keep=("snare", "clap", "kick")),
    DrumFill({"snare": ".x.x", "kick": "x..."}, keep=("closed_hat",)),
)
BREAK_FILLS = (
    DrumFill({"snare": "X.gX gXrr", "kick": "..x. ...."}, keep=("closed_hat", "ride")),
    DrumFill({"snare": "xgXg xgXX", "kick": "x... ...."}, keep=("ride",)),
    DrumFill({"snare": "X.X.", "kick": ".x.x"}, keep=("closed_hat",)),
    DrumFill({"kick": "x..x", "snare": "..X."}, keep=("closed_hat", "ride")),
)
JAZZ_FILLS = (
    DrumFill({"snare": "g.x. .gx.", "kick": "x... ..x."}, keep=("ride", "closed_hat")),
    DrumFill({"snare": "x.gx x...", "tom_high": ".... ..x.", "kick": ".... x..."}, keep=("ride",)),
    DrumFill({"snare": ".gX.", "kick": "x..x"}, keep=("ride", "closed_hat")),
    DrumFill({"snare": "t.t.", "kick": "x..."}, keep=("ride",)),
)  # fmt: skip
REGGAE_FILLS = (
    DrumFill({"tom_high": "x.xx ....", "tom_low": ".... x.x.", "rim": ".... ...x", "kick": ".... ...."}),
    DrumFill({"snare": "r.x. ..X.", "kick": ".... ...."}, keep=("closed_hat",)),
    DrumFill({"rim": "x..x ..x.", "kick": "x... ...."}, keep=("closed_hat",)),
)  # fmt: skip
SLOW_FILLS = (
    DrumFill({"tom_low": "x... x.x.", "tom_high": "..x. ...x"}),
    DrumFill({"tom_low": "X.xx"}, keep=("kick", "perc")),
    DrumFill({"perc": "x..x ..x."}, keep=("kick", "shaker")),
)
SYNTH_FILLS = (
    DrumFill({"tom_high": "x.xx x... .... ....", "tom_low": ".... .... x.xx x.x.", "snare": ".... X... .... ....",
              "kick": "X... .... X... ...."}),
    DrumFill({"snare": "xxxx", "kick": "X..."}),
    DrumFill({"tom_high": "x.x. ....", "tom_low": ".... x.xx", "kick": "X... X..."}),
    DrumFill({"snare": "X.xx X.X.", "kick": "x... x..."}, keep=("closed_hat",)),
)  # fmt: skip
