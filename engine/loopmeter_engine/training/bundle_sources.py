"""What goes into the bundle: which programmes and one-shots stand beside which of our families, and who gave them.

Everything here is MIT or CC0. Loops are left out: most have a tempo of their own, and two are of a break that nobody
ever gave away.
"""

from __future__ import annotations

from dataclasses import dataclass

from loopmeter import Layer

Programs = tuple[tuple[int, int], ...]  # (bank, programme), both counted from 0
Patches = dict[tuple[Layer, str], tuple[Programs, Programs]]


@dataclass(frozen=True)
class Source:
    name: str
    licence: str
    credit: str
    origin: str


@dataclass(frozen=True)
class Contents:
    """By family: programmes to train on and held out, programmes of kits, names of one-shots; and names held out."""

    patches: Patches
    kits: dict[str, tuple[int, ...]]
    one_shots: dict[str, dict[str, str]]
    effects: dict[str, str]
    held_out: frozenset[str]


FLUID = Source(
    "Fluid R3 GM", "MIT", "Copyright 2000-2002, 2008 Frank Wen, 2008 Toby Smithe",
    "Debian package fluid-soundfont-gm, /usr/share/sounds/sf2/FluidR3_GM.sf2",
)  # fmt: skip
SONIC_PI = Source(
    "Sonic Pi samples", "CC0-1.0", "given to the public domain by their makers at freesound.org; kept by Sam Aaron",
    "npm package supersonic-scsynth-samples 0.84.2, or Debian package sonic-pi-samples",
)  # fmt: skip

# Programmes to train on, and those held out for testing, of whose recordings none is in the first.
_PATCHES: Patches = {
    ("bass", "sub"): (((8, 80),), ()),
    ("bass", "reese"): (((0, 81),), ()),
    ("bass", "acid"): (((0, 38), (8, 39)), ()),
    ("bass", "fm"): (((0, 39),), ()),
    ("bass", "finger"): (((0, 33), (0, 32), (0, 37)), ((0, 35),)),
    ("bass", "pluck"): (((0, 34),), ((0, 36),)),
    ("chords", "electric_piano"): (((0, 4), (0, 5), (8, 4)), ((0, 2),)),
    ("chords", "piano"): (((0, 0), (0, 1), (0, 3)), ()),
    ("chords", "organ"): (((0, 16), (0, 17), (0, 20)), ((0, 18),)),
    ("chords", "saw_stab"): (((0, 62), (0, 63), (0, 90)), ()),
    ("chords", "pluck"): (((0, 46), (0, 6), (0, 107)), ((0, 45),)),
    ("chords", "guitar"): (((0, 25), (0, 27), (0, 28), (0, 24)), ((0, 26),)),
    ("lead", "square"): (((0, 80), (0, 82)), ()),
    ("lead", "saw"): (((0, 81), (0, 84)), ()),
    ("lead", "bell"): (((0, 14), (0, 9), (0, 112)), ((0, 10),)),
    ("lead", "mallet"): (((0, 11), (0, 12), (0, 108), (0, 114)), ((0, 13),)),
    ("lead", "flute"): (((0, 73), (0, 75)), ((0, 74),)),
    ("lead", "whistle"): (((0, 78),), ((0, 79),)),
    ("pad", "warm"): (((0, 89), (0, 50)), ((0, 95),)),
    ("pad", "supersaw"): (((0, 90), (0, 51)), ()),
    ("pad", "strings"): (((0, 48), (0, 44)), ()),
    ("pad", "choir"): (((0, 52), (0, 54)), ((0, 53),)),
    ("pad", "glass"): (((0, 92), (0, 88), (0, 98)), ()),
}
# Programmes of bank 128. They share many drums, so none is held out: one-shots are.
_GM_KITS: dict[str, tuple[int, ...]] = {
    "acoustic": (0, 8, 16, 32, 40),
    "tr808": (25,),
    "lofi": (32, 40),
    "electro": (24,),
}

_HATS = """hat_bdu hat_cab hat_cats hat_gem hat_gnu hat_hier hat_len hat_mess hat_noiz hat_psych hat_raw hat_sci
hat_snap hat_star hat_tap hat_yosh hat_zan hat_zap hat_zild drum_cymbal_closed"""
_METAL = {
    "closed_hat": _HATS, "open_hat": "elec_cymbal drum_cymbal_open", "ride": "ride_tri ride_via",
    "crash": "drum_cymbal_hard drum_splash_hard drum_splash_soft", "clap": "perc_snap perc_snap2",
}  # fmt: skip
_TOMS = {
    "tom_low": "drum_tom_lo_hard drum_tom_lo_soft elec_fuzz_tom",
    "tom_high": "drum_tom_hi_hard drum_tom_mid_hard drum_tom_hi_soft",
}
_HANDS = "tabla_na tabla_te1 tabla_tun1 tabla_ke1 tabla_ghe1 tabla_re tabla_tas1 tabla_na_o drum_cowbell perc_bell"
_BLIPS = "elec_blip elec_plip elec_ping elec_twip elec_bell elec_pop elec_bong glitch_perc2 glitch_perc3 tbd_perc_blip"
_RIMS = "elec_tick elec_wood"
# By family and drum: names of one-shots, of which a kit draws one each.
_ONE_SHOTS: dict[str, dict[str, str]] = {
    "acoustic": {
        "kick": "drum_bass_hard drum_bass_soft drum_heavy_kick bd_jazz",
        "snare": "drum_snare_hard drum_snare_soft sn_dolf", "closed_hat": "drum_cymbal_closed drum_cymbal_pedal",
        "open_hat": "drum_cymbal_open", "ride": "drum_cymbal_soft ride_via",
        "crash": "drum_cymbal_hard drum_splash_hard drum_splash_soft",
        "perc": _HANDS, **_TOMS,
    },
    "tr808": {"kick": "bd_808 bd_boom bd_gas", "snare": "elec_hi_snare elec_lo_snare", "perc": _BLIPS, **_METAL},
    "tr909": {
        "kick": "bd_haus bd_klub bd_tek bd_zum bd_ada", "snare": "sn_generic sn_zome elec_snare", "perc": _BLIPS,
        **_METAL, **_TOMS,
    },
    "lofi": {
        "kick": "bd_pure bd_jazz bd_mehackit bd_gas", "snare": "sn_dub sn_dolf drum_snare_soft", "perc": _HANDS,
        **_METAL, **_TOMS,
    },
    "electro": {
        "kick": "bd_sone elec_hollow_kick elec_soft_kick bd_zome bd_chip", "rim": _RIMS, "perc": _BLIPS,
        "snare": "elec_snare elec_filt_snare elec_mid_snare", **_METAL,
    },
    "trap": {
        "kick": "bd_fat bd_boom bd_808 bd_zum", "snare": "sn_zome elec_lo_snare sn_generic", "rim": _RIMS,
        "perc": _BLIPS, **_METAL,
    },
}  # fmt: skip
_EFFECTS: dict[str, str] = {
    "impact": "misc_cineboom perc_impact1 perc_impact2 perc_door", "sweep": "ambi_swoosh perc_swoosh ambi_dark_woosh",
    "vinyl": "vinyl_hiss",
}  # fmt: skip
_HELD_OUT = """bd_gas bd_ada bd_zum bd_chip drum_bass_soft drum_snare_soft sn_dolf elec_mid_snare elec_lo_snare
sn_generic hat_zild hat_zap hat_yosh drum_cymbal_pedal elec_cymbal ride_via drum_splash_soft perc_snap2
drum_tom_lo_soft drum_tom_hi_soft elec_wood tabla_na_o perc_bell elec_bong tbd_perc_blip perc_door ambi_dark_woosh"""
CONTENTS = Contents(_PATCHES, _GM_KITS, _ONE_SHOTS, _EFFECTS, frozenset(_HELD_OUT.split()))
