"""From a score to one stereo stem per layer. Sound follows from score and timbres; the seed moves only noise.

Every stem is seamless as a loop, and the mix is the plain sum of the stems.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopmeter import LAYERS, Layer
from loopmeter_engine.score import Score, Timbre
from loopmeter_engine.sidechain import DEPTH_BY_GENRE, RECOVER_BEATS, SHARE_BY_LAYER
from loopmeter_engine.training.synth import bass, drums, fx, keys, leads, pads
from loopmeter_engine.training.synth.bundle import Bundle
from loopmeter_engine.training.synth.effects import (
    Room,
    circular_filter,
    duck,
    echo,
    high_pass,
    reverb,
    saturate,
    to_left_right,
)
from loopmeter_engine.training.synth.instrument import Instrument, play
from loopmeter_engine.training.synth.levels import FAMILY_GAIN, LAYER_GAIN
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats
from loopmeter_engine.training.synth.sampled import Choice, choose

PEAK_MAX = 0.98
INSTRUMENTS: dict[Layer, dict[str, Instrument]] = {
    "bass": bass.FAMILIES, "chords": keys.FAMILIES, "lead": leads.FAMILIES, "pad": pads.FAMILIES,
}  # fmt: skip
_ROOMS: dict[Layer, Room] = {
    "drums": "room", "bass": "room", "chords": "plate", "lead": "plate", "pad": "hall", "fx": "hall",
}  # fmt: skip
_ECHO_BEATS: dict[Layer, float] = {"chords": 0.5, "lead": 0.75}


def render_stems(
    score: Score, seed: int, bundle: Bundle | None = None, *, held_out: bool = False
) -> dict[Layer, NDArray[np.float32]]:
    """One stem per layer of the score, (2, score.frames(44100)) float32; their sum stays within +-``PEAK_MAX``.

    Notes, hits and tails that pass the end go on at the start. Same arguments, same bytes (on the same machine). With
    a ``bundle`` some stems are played by its recordings: those of training, or with ``held_out`` those of testing.
    """
    stems = {}
    for layer in score.layers:
        family = score.timbres[layer].family
        choice = choose(bundle, layer, family, seed, held_out=held_out) if bundle else None
        stems[layer] = _stem(score, layer, seed, choice)
    if stems:
        peak = float(np.max(np.abs(sum(stems.values()))))
        if peak > PEAK_MAX:
            stems = {layer: stem * np.float32(PEAK_MAX / peak) for layer, stem in stems.items()}
    return stems


def _stem(score: Score, layer: Layer, seed: int, choice: Choice | None) -> Floats:
    timbre = score.timbres[layer]
    dry = play_layer(score, layer, seed, choice)
    if layer == "bass":
        dry[1] = circular_filter(dry[1], high_pass(180.0))
    dry[1] *= np.float32(1.6 * timbre.width)
    chosen = None if choice is None else choice.gain
    dry *= np.float32(FAMILY_GAIN[layer, timbre.family] if chosen is None else chosen)
    left_right = saturate(to_left_right(dry), timbre.drive)
    if timbre.space > 0.0:
        mid = (left_right[0] + left_right[1]) * np.float32(0.5)
        left_right = left_right + _space(mid, layer, timbre, score)
    if layer in SHARE_BY_LAYER and score.genre in DEPTH_BY_GENRE:
        left_right *= _pump(score, layer)
    return left_right * np.float32(LAYER_GAIN[layer] * 10.0 ** (18.0 * (timbre.level - 1.0) / 20.0))


def play_layer(score: Score, layer: Layer, seed: int, choice: Choice | None = None) -> Floats:
    """The dry notes of a layer, (2, frames) as mid and side, before width, gain and effects."""
    timbre = score.timbres[layer]
    frames = score.frames(SAMPLE_RATE_HZ)
    beat_s = 60.0 / score.tempo_bpm
    rng = np.random.default_rng([seed, LAYERS.index(layer)])
    if layer == "drums":
        return drums.play(score.hits, timbre, frames, beat_s, rng, choice.voices if choice else None)
    if layer == "fx":
        return fx.play(score.fx, timbre, frames, beat_s, rng, choice.recorded(timbre.brightness) if choice else None)
    notes = [note for note in score.notes if note.layer == layer]
    synthesiser = INSTRUMENTS[layer][timbre.family]
    instrument = choice.instrument(synthesiser) if choice else synthesiser
    return play(instrument, notes, timbre, frames, beat_s, rng)


def _space(mid: Floats, layer: Layer, timbre: Timbre, score: Score) -> Floats:
    """What the room adds, left and right: echoes in time with the beat, and reverberation of both."""
    amount = np.float32((0.35 if layer == "bass" else 0.8) * timbre.space**1.5)
    wet = np.zeros((2, len(mid)), np.float32)
    if layer in _ECHO_BEATS:
        step = round(_ECHO_BEATS[layer] * 60.0 / score.tempo_bpm * SAMPLE_RATE_HZ)
        wet += echo(mid, step, 0.2 + 0.35 * timbre.space) * np.float32(0.6)
    wet += reverb(mid + wet[0], _ROOMS[layer])
    wet[1] *= np.float32(1.6 * timbre.width)
    return to_left_right(circular_filter(wet * amount, high_pass(160.0)))


def _pump(score: Score, layer: Layer) -> Floats:
    """Ducking on every beat. It follows genre and beat, not the kicks: stems are also heard without their drums."""
    beat_s = 60.0 / score.tempo_bpm
    starts = [round(beat * beat_s * SAMPLE_RATE_HZ) for beat in range(score.beats)]
    depth = DEPTH_BY_GENRE[score.genre] * SHARE_BY_LAYER[layer]
    return duck(score.frames(SAMPLE_RATE_HZ), starts, depth, RECOVER_BEATS * beat_s)
