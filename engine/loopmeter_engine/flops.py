"""Floating-point operations of our networks, in closed form: what a quote can know before anything has run.

Counted as ``torch.utils.flop_counter`` counts: two per multiply-add of matrix products and convolutions; element-wise
work and Fourier transforms are left out. A test holds both counts equal.
"""

from __future__ import annotations

import functools

from loopmeter import LAYERS
from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS, HIT_VOICES, NOTE_VOICES, ONSET_ROWS
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    SHORT_BINS,
    SHORT_COLUMNS,
    SPECTRAL_CHANNELS,
    SUBFRAMES,
    AutoencoderConfig,
)
from loopmeter_engine.model.players import (
    HIT_CHANNELS,
    HIT_OUT,
    INSTRUMENT_CHANNELS,
    KIT_CHANNELS,
    LONG_BANDS,
    NOTE_CHANNELS,
    NOTE_OUT,
    SHORT_BANDS,
)
from loopmeter_engine.model.timbres import (
    ONSET_REACH,
    SAID_CHANNELS,
    SAID_LONG,
    SAID_SHORT,
    TRACES_S,
    TimbresConfig,
    instrument_channels,
    part_channels,
)
from loopmeter_engine.model.transformer import BLOCK_FRAMES, TransformerConfig
from loopmeter_engine.score import TONAL_LAYERS


def network_pass(config: TransformerConfig, rows: int) -> int:
    """One pass of the transformer over one block."""
    tokens, width, per_head = rows * BLOCK_FRAMES, config.width, config.width // config.heads
    linear = width * (3 * width + width + 2 * config.hidden + config.hidden)
    attention = 2 * width * per_head
    ends = 2 * config.latent * width + width * width
    return 2 * tokens * (config.layers * (linear + attention) + ends)


def conditions(config: TransformerConfig, rows: int, *, context: bool = False) -> int:
    """The score's conditions of one block, and what is known of the sound with ``context``."""
    width, kernel, side = config.width, config.ahead + 1, config.ahead // 2
    frames = BLOCK_FRAMES + 2 * config.ahead
    total = frames * (FRAME_CHANNELS + (2 * (config.latent + 1) if context else 0)) * width
    for _ in range(2):
        frames -= 2 * side
        total += frames * (kernel * width * width // 8 + width * width)
    return 2 * rows * (total + config.condition * width)


@functools.lru_cache(16)  # A plan asks five times, and every order waits for its plan.
def decoding(config: AutoencoderConfig, told: TimbresConfig | None = None, *, first: bool) -> int:
    """Decoding a block to spectra, ``told`` of the players or not; the first of a stream yields fewer frames by the
    look-ahead.
    """
    low, width = config.decoder_width_low, config.decoder_width
    frames, total = BLOCK_FRAMES, BLOCK_FRAMES * config.latent * low
    for ahead in config.decoder_ahead_low:
        total += 6 * low * low * frames
        frames -= ahead if first else 0
    frames *= SUBFRAMES
    total += frames * low * width
    for ahead in config.decoder_ahead:
        total += 6 * width * width * frames
        frames -= ahead if first else 0
    head = width * (SPECTRAL_CHANNELS + 2 * LONG_BINS)
    players = timbres(told, frames // SUBFRAMES) if told is not None else 0
    return players + 2 * (total + frames * head + frames // SUBFRAMES * config.partials * LONG_BINS)


def timbres(config: TimbresConfig, frames: int) -> int:
    """Telling the decoder of the players, for ``frames`` latent frames."""
    voice, hidden = config.voice, config.hidden
    in_bands = 2 * LONG_BINS * SAID_LONG + SHORT_COLUMNS * SHORT_BINS * SAID_SHORT
    fine = ONSET_ROWS * ONSET_REACH * len(TRACES_S) + 2 * in_bands
    fine += sum((part_channels(layer) + voice) * voice for layer in LAYERS)
    fine += (config.decoder_width + len(LAYERS) * voice + SAID_CHANNELS) * hidden
    fine += hidden * (config.decoder_width + config.rank + SAID_CHANNELS) + config.rank * SPECTRAL_CHANNELS
    slow = sum(instrument_channels(layer) * 4 * voice for layer in LAYERS)
    return 2 * frames * (SUBFRAMES * fine + slow) + players(config.player, frames)


def players(width: int, frames: int) -> int:
    """The networks of notes and hits, for ``frames`` latent frames."""
    fine = 2 * LONG_BANDS * LONG_BINS + SHORT_COLUMNS * SHORT_BANDS * SHORT_BINS
    fine += NOTE_VOICES * width * (NOTE_CHANNELS + width + NOTE_OUT)
    fine += HIT_VOICES * width * (HIT_CHANNELS + width + HIT_OUT)
    slow = (len(TONAL_LAYERS) * INSTRUMENT_CHANNELS + KIT_CHANNELS) * 4 * width
    return 2 * frames * (SUBFRAMES * fine + slow)


def encoding(config: AutoencoderConfig, frames: int) -> int:
    """Encoding ``frames`` latent frames of sound."""
    width, low, fine = config.encoder_width, config.encoder_width_low, SUBFRAMES * frames
    total = fine * SPECTRAL_CHANNELS * width + config.encoder_blocks * 6 * width * width * fine
    total += frames * SUBFRAMES * width * low + config.encoder_blocks_low * 6 * low * low * frames
    return 2 * (total + frames * low * config.latent)


def set_up(config: TransformerConfig, rows: int, times: int, *, reference: bool = False) -> int:
    """Style, text, a reference's statistics and modulations, once per request and lease."""
    style = GLOBAL_CHANNELS * 512 + 512 * config.condition + config.text * 256 + 256 * config.condition
    per_time = 128 * 256 + 256 * config.condition + config.layers * config.condition * 6 * config.width
    style += 2 * config.latent * config.condition if reference else 0
    return 2 * rows * (style + times * per_time)
