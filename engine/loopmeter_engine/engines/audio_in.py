"""Sound that comes with a request: base64 of a WAV, FLAC or Ogg file, to (2, frames) at the engine's rate. Bounded."""

from __future__ import annotations

import base64
import binascii
import io
import math

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from loopmeter import LoopRequest
from loopmeter_engine.contract import InvalidRequest

DURATION_S_MAX = 600.0


def decode_audio(field: str, data_base64: str, sample_rate_hz: int) -> NDArray[np.float32]:
    """(2, frames) in [-1, 1] at ``sample_rate_hz``. Mono goes to both sides; of more channels, the first two are taken.

    Raises:
        InvalidRequest: ``field`` holds no sound, or too much.
    """
    try:
        file = io.BytesIO(base64.b64decode(data_base64, validate=True))
        with soundfile.SoundFile(file) as sound:
            if not 0 < sound.frames <= DURATION_S_MAX * sound.samplerate:
                seconds = sound.frames / sound.samplerate
                raise InvalidRequest(field, f"expected up to {DURATION_S_MAX:g} s of sound, found {seconds:.1f} s")
            wave, rate = sound.read(dtype="float32", always_2d=True), sound.samplerate
    except (binascii.Error, soundfile.LibsndfileError, RuntimeError) as error:
        raise InvalidRequest(
            field, f"expected a WAV, FLAC or Ogg file in base64, found {len(data_base64)} characters of something else"
        ) from error
    sides = np.ascontiguousarray(np.repeat(wave, 2, axis=1).T if wave.shape[1] == 1 else wave[:, :2].T)
    if rate != sample_rate_hz:
        common = math.gcd(rate, sample_rate_hz)
        sides = scipy.signal.resample_poly(sides, sample_rate_hz // common, rate // common, axis=1)
    return np.asarray(sides, np.float32)


def task_source(request: LoopRequest, frames: int, sample_rate_hz: int) -> NDArray[np.float32] | None:
    """The source of a task that has one, (2, frames): with silence behind it, or cut. None for text to music.

    Raises:
        InvalidRequest: a source without a task for it, or a task without a source.
    """
    if request.task in (None, "text2music"):
        if request.source_audio_base64 is not None:
            raise InvalidRequest("source_audio_base64", "expected no source for text2music, found one; name a task")
        return None
    if request.source_audio_base64 is None:
        raise InvalidRequest("source_audio_base64", f"expected a source for {request.task}, found none; send one")
    sound = decode_audio("source_audio_base64", request.source_audio_base64, sample_rate_hz)[:, :frames]
    return np.pad(sound, ((0, 0), (0, frames - sound.shape[1])))


def repainted_span_s(request: LoopRequest) -> tuple[float, float]:
    """From where to where a repaint goes, in seconds; without beats, the whole loop.

    Raises:
        InvalidRequest: the beats do not lie in the loop, in order.
    """
    assert request.tempo_bpm is not None and request.bars is not None
    beats = request.bars * request.beats_per_bar
    start = request.repaint_from_beat or 0.0
    end = beats if request.repaint_to_beat is None else request.repaint_to_beat
    if not start < end <= beats:
        raise InvalidRequest(
            "repaint_to_beat", f"expected beats from {start:g} up to at most {beats}, found {start:g} to {end:g}"
        )
    return start * 60 / request.tempo_bpm, end * 60 / request.tempo_bpm


def repainted_latents(span_s: tuple[float, float], latents: int, latents_per_s: float) -> tuple[int, int]:
    """The latent frames, of ``latents``, that a repaint makes anew: at least one."""
    first = min(int(span_s[0] * latents_per_s), latents - 1)
    return first, max(first + 1, min(int(span_s[1] * latents_per_s), latents))
