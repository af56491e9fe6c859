"""Loops through parts of the engine's codec, to tell which part loses what."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loopmeter_engine.attacks import HITS_APART
from loopmeter_engine.conditioning import (
    AHEAD_FRAMES,
    FRAME_CHANNELS,
    FRAME_S,
    RELEASE_FRAMES,
    events_of,
    frame_features,
    frame_voices,
    global_features,
    hits_of,
    partial_rolls,
    told_of,
)
from loopmeter_engine.model.autoencoder import (
    FRAME_SAMPLES,
    SHORT_COLUMNS,
    Autoencoder,
    AutoencoderConfig,
    Encoder,
    expand,
)
from loopmeter_engine.phase import AHEAD, LEAD_SAMPLES, Guide, Vocoder, guide_of
from loopmeter_engine.score import Score

Floats = NDArray[np.float64]
_MARGIN_FRAMES = 32  # Latent frames of the loop on both sides of it, so that the codec meets no edge.
MARGIN_SAMPLES = _MARGIN_FRAMES * FRAME_SAMPLES
_SEGMENT = 64  # Spectral frames whose phases are found at once: one block, as in streaming.


@torch.inference_mode()
def round_trip(autoencoder: Autoencoder, pcm: Floats, score: Score | None) -> Floats:
    """(channels, frames) of a loop -> the same shape, through spectra, latents, spectra and phases.

    The decoder is told the score, as it is when the engine generates; None where there is none to be told.
    """
    latents = autoencoder.encode(around(pcm))
    decoder, timbres = autoencoder.decoder, autoencoder.timbres
    frames = RELEASE_FRAMES + latents.shape[1] - autoencoder.config.lookahead + AHEAD_FRAMES
    if score is None:
        nothing = partial_rolls(torch.zeros(1, frames - AHEAD_FRAMES, FRAME_CHANNELS))
        return sound_of(decoder.decode(latents, nothing), None, pcm)
    begin_s = torch.tensor([-(_MARGIN_FRAMES + RELEASE_FRAMES) * FRAME_S], dtype=torch.float64)
    events = events_of([score])
    features, voices = frame_features(events, begin_s, frames), frame_voices(events, begin_s, frames)
    rolls = partial_rolls(features[:, :-AHEAD_FRAMES])
    h, _ = decoder.features(latents, decoder.init_state(1))
    told = told_of(features, voices, global_features([score]))
    change = None if timbres is None else timbres(h, told, rolls)
    spectra = decoder.spectra(h, rolls, change)
    begin = MARGIN_SAMPLES + LEAD_SAMPLES
    hits = hits_of(score, HITS_APART).within(-begin, latents.shape[1] * FRAME_SAMPLES - begin) + begin
    return sound_of(spectra, guide_of(change, len(pcm), hits), pcm)


@torch.inference_mode()
def through_phases(pcm: Floats) -> Floats:
    """(channels, frames) of a loop -> the same shape: its own spectra, with phases found anew. Needs no weights."""
    return sound_of(Encoder(AutoencoderConfig()).spectra(around(pcm)), None, pcm)


def _part(guide: Guide, frames: slice) -> Guide:
    return Guide(None if guide.sung is None else guide.sung[:, frames], guide.hits)


def around(pcm: Floats) -> Tensor:
    """A loop going round, ``MARGIN_SAMPLES`` more on each side, (1, 2, a whole number of latent frames)."""
    frames = pcm.shape[1]
    latent_frames = -(-frames // FRAME_SAMPLES) + 2 * _MARGIN_FRAMES
    at = np.arange(latent_frames * FRAME_SAMPLES) - MARGIN_SAMPLES
    return torch.from_numpy(pcm[:, at % frames]).float().expand(2, -1)[None]


def sound_of(spectra: Tensor, guide: Guide | None, like: Floats) -> Floats:
    """Spectra of what ``around`` gave -> (channels, frames) as ``like``."""
    channels, frames = like.shape
    long, short = expand(spectra)
    vocoder, generator = Vocoder(), torch.Generator().manual_seed(0)
    magnitudes, state = long[0, :, :channels].transpose(0, 1), vocoder.init_state(channels)
    pieces = []
    for start in range(0, magnitudes.shape[1] - _SEGMENT - AHEAD, _SEGMENT):
        # The first call takes what lies ahead as well; every later one as much as is kept.
        given = slice(start + AHEAD if start else 0, start + AHEAD + _SEGMENT)
        columns = slice(SHORT_COLUMNS * given.start, SHORT_COLUMNS * given.stop)
        known = None if guide is None else _part(guide, given)
        piece, state = vocoder.step(magnitudes[:, given], short[0, columns], known, state, _SEGMENT, generator)
        pieces.append(piece)
    begin = MARGIN_SAMPLES + LEAD_SAMPLES
    sound = torch.cat(pieces, 1)[:, begin : begin + frames]
    assert sound.shape[1] == frames
    if channels == 2:
        sound = torch.stack([sound[0] + sound[1], sound[0] - sound[1]])
    return sound.double().numpy()
