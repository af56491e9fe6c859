"""The words for layers, instrument families, sound adjectives and density. Data alone, torch-free.

Wordings are nouns that fit after "with" ("with rhodes"); adjectives fit before them ("muffled rhodes"). The rule
about held-out wordings is that of ``lexicon.py``.
"""

from __future__ import annotations

from loopmeter import Layer

# fmt: off
# A word for the layer as a whole, whatever plays it.
LAYER_WORDS: dict[Layer, tuple[str, ...]] = {
    "drums": (
        "drums", "drum beat", "drum beats", "percussion", "drum loop", "drum groove", "drum kit", "drum pattern",
        "rhythm section", "drum track", "drum machine", "drum", "break", "breaks", "breakbeats",
    ),
    "bass": (
        "bass", "bassline", "bass line", "low end", "bass riff", "bass groove", "bass part", "basslines",
        "bass loop",
    ),
    "chords": (
        "chords", "chord progression", "keys", "stabs", "chord loop", "harmony", "keyboard", "harmonies", "comping",
        "chord stabs", "keyboards",
    ),
    "lead": (
        "lead", "melody", "lead line", "synth lead", "topline", "melodic line", "hook line", "lead synth",
        "lead melody", "arp", "arpeggio", "arps", "arpeggios", "melodies", "leads",
    ),
    "pad": (
        "pad", "pads", "synth pad", "background pad", "atmosphere pad", "pad layer", "wash", "synth pads",
        "drone pad",
    ),
    "fx": ("fx", "effects", "sound effects", "transitions", "ear candy", "texture", "noise", "foley"),
}

FAMILY_WORDS: dict[Layer, dict[str, tuple[str, ...]]] = {
    "drums": {
        "acoustic": (
            "acoustic drums", "live drums", "a live drum kit", "real drums", "studio drum kit", "rock drums",
            "brushed drums", "natural drums", "drummer", "jazz drums", "live kit", "big drums", "taikos", "congas",
            "bongos", "timpani",
        ),
        "tr808": (
            "808 drums", "808 kit", "tr-808", "808 beat", "roland 808", "808 drum machine", "808 percussion", "808s",
            "808 cowbell", "808",
        ),
        "tr909": (
            "909 drums", "909 kit", "tr-909", "909", "909 drum machine", "house drums", "techno drums", "909 kick",
            "909 hats", "roland 909", "909s",
        ),
        "lofi": (
            "lofi drums", "dusty drums", "crunchy drums", "vinyl drums", "tape-saturated drums", "bit-crushed drums",
            "sampled drums", "boom bap drums", "mpc drums", "crusty drums", "dusty break", "lo-fi beats drums",
        ),
        "electro": (
            "electro drums", "linn drum", "linndrum", "80s drums", "synth drums", "electronic drums", "gated drums",
            "simmons drums", "drum synth", "electronic kit", "8-bit drums", "gated snare",
        ),
        "trap": (
            "trap drums", "hat rolls", "trap hats", "rolling hi-hats", "trap kit", "hi-hat rolls", "drill drums",
            "triplet hats", "trap percussion", "rattling hats",
        ),
    },
    "bass": {
        "sub": (
            "sub bass", "808 bass", "sub", "deep sub", "sine bass", "low sub", "sine sub", "subs", "808 sub",
            "booming bass", "sliding 808", "deep bass",
        ),
        "reese": (
            "reese", "reese bass", "growl bass", "neuro bass", "wobble bass", "detuned bass", "wobbly bass",
            "growling bass", "rolling bass", "reece", "wobble",
        ),
        "acid": (
            "acid bass", "303", "acid line", "tb-303", "squelchy bass", "acid bassline", "303 bass", "acid synth",
            "acid", "resonant bass", "303 line",
        ),
        "fm": (
            "fm bass", "dx bass", "metallic bass", "donk", "digital bass", "slap synth bass", "fm synth bass",
            "dx7 bass", "organ bass", "lately bass", "square bass",
        ),
        "finger": (
            "bass guitar", "finger bass", "fingered bass", "electric bass", "upright bass", "acoustic bass",
            "double bass", "slap bass", "walking bass", "p-bass", "jazz bass", "contrabass",
        ),
        "pluck": (
            "pluck bass", "plucky bass", "plucked bass", "short synth bass", "bouncy bass", "analog bass",
            "synth bass", "moog bass", "picked bass", "staccato bass", "log drum", "octave bass",
        ),
    },
    "chords": {
        "electric_piano": (
            "rhodes", "electric piano", "wurlitzer", "rhodes chords", "e-piano", "fender rhodes", "wurli", "epiano",
            "mellow keys", "ep chords", "dx piano", "rhodes keys",
        ),
        "piano": (
            "piano", "grand piano", "piano chords", "upright piano", "felt piano", "house piano", "piano stabs",
            "acoustic piano", "piano loop", "honky-tonk piano", "pianos",
        ),
        "organ": (
            "organ", "hammond", "hammond organ", "organ chords", "organ stabs", "b3 organ", "church organ",
            "drawbar organ", "farfisa", "bubbling organ", "b3",
        ),
        "saw_stab": (
            "saw stabs", "synth stabs", "rave stabs", "saw chords", "synth chords", "stab synth", "detroit stabs",
            "brassy synth", "sawtooth chords", "hoover", "synth brass", "brass stabs", "horns", "brass",
        ),
        "pluck": (
            "plucks", "plucked chords", "synth plucks", "pluck chords", "pluck synth", "plucky synth", "pluck",
            "harp", "plucked synth", "kalimba chords", "pizzicato", "clavinet", "clav", "harpsichord",
        ),
        "guitar": (
            "guitar", "acoustic guitar", "electric guitar", "guitar chords", "strummed guitar", "nylon guitar",
            "guitars", "wah guitar", "funk guitar", "power chords", "clean guitar", "ukulele", "banjo",
            "guitar riff",
        ),
    },
    "lead": {
        "square": (
            "square lead", "square wave", "chip lead", "pulse lead", "8-bit lead", "square wave melody",
            "pulse wave", "chiptune lead", "gameboy lead", "bleeps", "blips", "hollow lead",
        ),
        "saw": (
            "saw lead", "sawtooth lead", "supersaw lead", "analog lead", "trance lead", "saw melody",
            "screaming lead", "detuned lead", "moog lead", "saw synth", "synth solo",
        ),
        "bell": (
            "bells", "bell melody", "bell", "music box", "chimes", "fm bells", "glockenspiel", "celesta",
            "tubular bells", "bell lead", "bell synth", "toy piano",
        ),
        "mallet": (
            "marimba", "vibraphone", "mallets", "xylophone", "vibraphones", "kalimba", "mallet melody", "mallet",
            "balafon", "steel drum", "thumb piano", "steel pan",
        ),
        "flute": (
            "flute", "pan flute", "flutes", "wooden flute", "flute melody", "shakuhachi", "recorder", "woodwind",
            "ocarina", "bamboo flute", "clarinet", "woodwinds",
        ),
        "whistle": (
            "whistle", "whistling", "whistle lead", "whistled melody", "theremin", "g-funk whistle", "sine lead",
            "whistling synth", "whistle melody", "g-funk lead",
        ),
    },
    "pad": {
        "warm": (
            "warm pad", "analog pad", "soft pad", "warm pads", "juno pad", "mellow pad", "lush pad", "analog pads",
            "vintage pad", "soft synth pad", "warm synth bed",
        ),
        "supersaw": (
            "supersaw", "supersaws", "supersaw pad", "supersaw chords", "huge saws", "wide saw pad", "trance pad",
            "detuned saws", "hypersaw", "saw pad", "super saws",
        ),
        "strings": (
            "strings", "string section", "string pad", "violins", "orchestral strings", "string ensemble", "cellos",
            "violin", "cello", "synth strings", "legato strings", "low strings",
        ),
        "choir": (
            "choir", "choir pad", "voices", "choral pad", "aahs", "vocal pad", "choirs", "angelic choir", "chanting",
            "gregorian choir", "ooh voices",
        ),
        "glass": (
            "glass pad", "glassy pad", "crystal pad", "shimmer pad", "icy pad", "glass tones", "bowed glass",
            "glassy pads", "shimmering pad", "digital pad", "crystalline pad",
        ),
    },
    "fx": {
        "texture": (
            "vinyl crackle", "crackle", "tape hiss", "vinyl noise", "riser", "risers", "sweeps", "vinyl hiss",
            "impacts", "hiss", "white noise", "noise sweep", "uplifter", "field recording", "rain sounds",
        ),
    },
}

# Parts of the drum kit: they mean that drums play, and never that drums should go.
DRUM_PARTS = (
    "kick", "kicks", "kick drum", "snare", "snares", "clap", "claps", "hats", "hi-hats", "hi-hat", "hihat", "hihats",
    "rim shot", "rim shots", "rimshot", "rims", "shaker", "shakers", "cymbals", "ride cymbal", "toms", "open hats",
    "snare drum", "bass drum", "handclaps", "hand claps", "tambourine", "cowbell", "crash cymbal",
)

# Phrases whose words would otherwise be taken for something else: they mean nothing.
NEUTRAL_PHRASES = (
    "short loop", "long loop", "haunted house", "tree house", "light house", "house party", "background music",
    "hard drive",
    "bright side", "long time", "short film", "heavy rain", "quiet place", "low key",
)

# Words that mean that a layer is absent, in one word.
ABSENT_WORDS: dict[Layer, tuple[str, ...]] = {
    "drums": ("drumless", "beatless", "drum-free", "percussion-free", "drums off", "unpercussive"),
    "bass": ("bassless", "bass-free", "bass off"),
    "chords": ("chordless", "chords off", "chord-free"),
    "lead": ("melody-free", "leadless", "melody off", "lead off"),
    "pad": ("padless", "pads off", "pad off"),
    "fx": ("fx-free", "fx off", "effects off"),
}

# Two wordings of each direction of each macro: what they say, and the value that it means.
MACRO_WORDS: dict[tuple[str, float], tuple[str, ...]] = {
    ("brightness", 0.2): (
        "dark", "muffled", "filtered", "dull", "low-passed", "underwater", "lowpassed", "muted", "murky", "mellow",
        "darker",
    ),
    ("brightness", 0.85): (
        "bright", "crisp", "brilliant", "sparkling", "shiny", "airy", "glittering", "brittle", "shimmering", "sharp",
        "crystal clear", "brighter",
    ),
    ("softness", 0.75): (
        "soft", "swelling", "slow attack", "gentle", "fading in", "bowed", "delicate", "feathery", "swells",
        "softer", "smooth",
    ),
    ("softness", 0.05): (
        "punchy", "snappy", "hard-hitting", "percussive", "tight", "clicky", "hard", "stabbing", "pointed",
        "punchier",
    ),
    ("length", 0.15): (
        "short", "plucky", "staccato", "choppy", "clipped", "stabby", "gated", "chopped", "stuttering",
        "tight and short",
    ),
    ("length", 0.85): (
        "long", "sustained", "legato", "ringing", "drawn-out", "held", "lingering", "droning", "endless", "flowing",
    ),
    ("drive", 0.8): (
        "distorted", "gritty", "overdriven", "saturated", "crunchy", "fuzzy", "dirty", "bit-crushed", "bitcrushed",
        "crushed", "filthy", "grungy", "growling", "lo-fi and crunchy", "harsh",
    ),
    ("drive", 0.02): ("clean", "no distortion", "pure", "pristine", "undistorted", "clean-sounding", "polished"),
    ("space", 0.8): (
        "reverb-drenched", "washed out", "reverberant", "spacious", "cavernous", "echoing", "drenched in reverb",
        "reverby", "roomy", "distant", "big reverb", "with lots of reverb", "long reverb", "echoey", "huge reverb",
    ),
    ("space", 0.02): (
        "dry", "close-miked", "no reverb", "bone-dry", "intimate and dry", "up-front", "without reverb",
        "reverb-free",
    ),
    ("width", 0.85): (
        "wide", "stereo", "panoramic", "spread out", "super wide", "very wide", "broad", "widescreen",
        "huge and wide",
    ),
    ("width", 0.05): ("mono", "narrow", "centred", "centered", "monophonic", "in mono"),
    ("level", 0.95): ("loud", "up front and loud", "dominant", "prominent", "booming", "thunderous"),
    ("level", 0.35): ("quiet", "faint", "soft in the mix", "subtle", "barely audible", "low in the mix"),
}

DENSITY_WORDS: dict[float, tuple[str, ...]] = {
    0.15: (
        "sparse", "minimal", "stripped-down", "bare", "minimalist", "sparing", "empty", "very sparse", "few notes",
        "stripped back", "skeletal", "minimalistic",
    ),
    0.35: ("simple", "uncluttered", "spacious groove", "restrained", "basic", "plain"),
    0.7: ("driving", "rolling", "full-on", "layered", "active"),
    0.9: (
        "busy", "dense", "intricate", "frantic", "hectic", "complex", "many notes", "virtuosic", "frenetic",
        "packed", "fast notes",
    ),
}
