"""Make the shipped text encoder from a copy of all-MiniLM-L6-v2: ``python -m loopmeter_engine.text.convert FOLDER``.

FOLDER holds ``model.safetensors`` and ``vocab.txt`` of the original (float32). Two thirds of its word table are
rows for names, years and scripts that no music prompt uses; they go, in ``choose_pieces``. Matrices become int8
with one scale an output row; token type 0 is added to the positions, since sentences never come in pairs here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import instruments, lexicon
from .encoder import LAYERS, TOKENS_MAX, WEIGHTS
from .wordpiece import WordPiece, words

VOCABULARY_SIZE = 8_000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Common in prompts, but late in a vocabulary that an encyclopedia ordered.
EXTRA_WORDS = """
    groove grooves loop loops beat beats riff riffs vibe vibes vibey chill chilled chilling mellow punchy snappy wonky
    hazy smoky sleazy sexy sassy swagger swung swing shuffle halftime uptempo downtempo midtempo tempo bpm tonic minor
    major dorian phrygian lydian mixolydian pentatonic chromatic sharp flat octave interval triad seventh ninth
    arpeggio arpeggiated staccato legato pizzicato tremolo vibrato glissando portamento crescendo ostinato riser drop
    buildup breakdown intro outro verse chorus bridge hook stab stabs stem stems sample sampled chopped sliced
    reversed glitch glitchy stutter sidechain pumping ducking compressed saturated distorted overdriven fuzz bitcrushed
    filtered resonant sweep modulated detuned unison wavetable subtractive granular oscillator sawtooth sine square
    triangle pulse noise envelope attack decay sustain release cutoff lfo reverb delay echo chorus flanger phaser
    tape cassette vinyl crackle hiss dusty gritty crunchy warm lush airy glassy metallic wooden hollow nasal buzzy
    kick snare clap rimshot hat hats cymbal ride crash tom toms shaker tambourine conga bongo cowbell clave cabasa
    timpani taiko marimba xylophone vibraphone glockenspiel kalimba celesta harp harpsichord clavinet organ piano
    rhodes wurlitzer accordion harmonica ukulele banjo mandolin sitar guitar violin viola cello contrabass trumpet
    trombone saxophone clarinet oboe bassoon flute piccolo ocarina whistle theremin choir vocals acapella
    instrumental soundtrack underscore trailer cutscene boss battle dungeon quest puzzle platformer shooter racing
    stealth menu lobby credits gameplay npc inventory tavern village castle forest cave desert jungle underwater
    spaceship galaxy cyber robot robots zombie zombies monster monsters dragon dragons pirate ninja samurai wizard
    retro vintage futuristic dystopian neon cyberpunk steampunk nostalgic melancholic euphoric hypnotic psychedelic
    ominous eerie spooky creepy haunting menacing brooding sinister somber wistful bittersweet heartfelt uplifting
    triumphant heroic anthemic majestic playful quirky whimsical goofy cheerful bouncy carefree serene tranquil
    soothing meditative ethereal dreamy celestial cosmic frantic frenetic relentless aggressive brutal savage raging
    podcast vlog advert commercial jingle corporate wedding workout yoga meditation studying sleeping relaxing
    festival rave club nightclub warehouse rooftop lounge cafe beach sunset sunrise midnight rainy snowy foggy stormy
    relax relaxed unwind focus concentrate sleepy lazy tired bored excited nervous scared hopeful lonely romantic angry
    funny silly weird strange wild cool sweet cute pretty ugly messy sloppy clumsy heavy massive huge tiny subtle
    cooking driving flying swimming climbing sneaking hiding chasing escaping exploring building crafting farming
    mining fishing hiking jogging skating surfing sailing riding dancing marching stomping swaying bouncing nodding
    indoors outdoors kitchen bedroom apartment attic basement garage garden meadow swamp volcano island lagoon harbor
    haunted cursed enchanted magical sacred ancient medieval victorian western tropical arctic alien lunar solar
    spy heist detective mafia gangster cowboy knight goblin vampire ghost witch alien hero villain enemy sim rpg fps
    drift nitro turbo engine boost tunnel highway skyline traffic chill lobby shop merchant tutorial victory defeat
    slow slower fast faster quiet loud bright dark darker thick thin deep tight loose rough smooth sharp blurry dense
    sparse minimal busy simple complex catchy hooky singable haunting shimmering sparkling glittering gloomy grim
    birthday halloween christmas winter spring summer autumn thunder lightning breeze waves ocean river waterfall
    rapper producer dj mc singer guitarist drummer bassist pianist orchestra quartet trio duo ensemble band brass
    horns woodwinds percussion synth synths synthesizer analog digital modular sequencer drum machine turntable
    nightmare dreamlike trance hypnosis sleepwalking hangover champagne cocktail whiskey coffee tea candle fireplace
"""


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("expected one argument: the folder of all-MiniLM-L6-v2 (model.safetensors, vocab.txt)")
    source = Path(sys.argv[1])
    vocabulary = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    kept = choose_pieces(vocabulary, VOCABULARY_SIZE)
    stored = quantise(load_file(source / "model.safetensors"), kept)
    save_file(stored, WEIGHTS / "text_encoder.safetensors")
    pieces = "".join(vocabulary[i] + "\n" for i in kept)
    (WEIGHTS / "text_vocab.txt").write_text(pieces, encoding="utf-8")
    size = (WEIGHTS / "text_encoder.safetensors").stat().st_size
    print(f"{len(kept)} of {len(vocabulary)} pieces, {size / 1e6:.1f} MB")


def choose_pieces(vocabulary: list[str], size: int) -> list[int]:
    """Indices, ascending, of the pieces to keep: what our own words need, every ASCII sign, then the most frequent."""
    index = {piece: i for i, piece in enumerate(vocabulary)}
    split = WordPiece(index)
    kept = {index[piece] for piece in SPECIAL}
    kept.update(i for i, piece in enumerate(vocabulary) if piece.isascii() and len(piece.removeprefix("##")) == 1)
    for wording in _our_words():
        kept.update(split.ids(wording))
        kept.update(index[word] for word in words(wording) if word in index)
    for i, piece in enumerate(vocabulary):  # Ordered by frequency after the unused and the single signs.
        if len(kept) >= size:
            break
        letters = piece.removeprefix("##")
        if letters.isascii() and (letters.isalpha() or (letters.isdigit() and len(letters) <= 3)):
            kept.add(i)
    return sorted(kept)


def quantise(source: dict[str, Tensor], kept: list[int]) -> dict[str, Tensor]:
    """The tensors of the stored encoder, under the names that ``encoder.py`` reads."""
    embedding = "embeddings."
    position = source[embedding + "position_embeddings.weight"][:TOKENS_MAX]
    position = position + source[embedding + "token_type_embeddings.weight"][0]
    matrices = {"word": source[embedding + "word_embeddings.weight"][kept], "position": position}
    vectors = {
        "embedding.norm": source[embedding + "LayerNorm.weight"],
        "embedding.norm.bias": source[embedding + "LayerNorm.bias"],
    }
    linear = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "mix": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense",
    }  # fmt: skip
    norm = {"attention": "attention.output.LayerNorm", "output": "output.LayerNorm"}
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for ours, theirs in linear.items():
            matrices[f"{layer}.{ours}"] = source[f"{prefix}{theirs}.weight"]
            vectors[f"{layer}.{ours}.bias"] = source[f"{prefix}{theirs}.bias"]
        for ours, theirs in norm.items():
            vectors[f"{layer}.{ours}.norm"] = source[f"{prefix}{theirs}.weight"]
            vectors[f"{layer}.{ours}.norm.bias"] = source[f"{prefix}{theirs}.bias"]
    stored = {name: vector.half() for name, vector in vectors.items()}
    for name, matrix in matrices.items():
        scale = matrix.abs().amax(1).clamp_min(1e-12) / 127
        stored[name] = torch.round(matrix / scale.unsqueeze(1)).to(torch.int8)
        stored[name + ".scale"] = scale
    return stored


def _our_words() -> Iterator[str]:
    yield from EXTRA_WORDS.split()
    by_name = [lexicon.GENRE_WORDS, lexicon.GENRE_HINTS, lexicon.GENRE_SCENES, lexicon.MOOD_WORDS, lexicon.MOOD_SCENES]
    tables: list[tuple[str, ...]] = [wordings for table in by_name for wordings in table.values()]
    tables += [
        *instruments.LAYER_WORDS.values(),
        *instruments.MACRO_WORDS.values(),
        *instruments.DENSITY_WORDS.values(),
    ]
    tables += [wordings for families in instruments.FAMILY_WORDS.values() for wordings in families.values()]
    tables += [instruments.DRUM_PARTS, *instruments.ABSENT_WORDS.values()]
    for wordings in tables:
        yield from wordings


if __name__ == "__main__":
    main()
